//! The kill matrix of broadcast rings: a process is stepped through one operation with ptrace and killed, or frozen, at each
//! instruction that others can see; the producer and the other consumers work on, and what they get is judged.
//!
//! Killed: what was sent comes to each consumer once, whole, in order; what the victim was sending, once or not at all, to
//! all of them alike, and never less when it is killed later. A dead consumer holds nobody up, and its name goes on with
//! what it had not released. Frozen: a producer delays who waits for its messages and nobody else; a consumer that blocks is
//! waited for, any other is not.

mod scene;
mod victim;

use clap::ValueEnum;
use ringway_testing::place::Backing;

use crate::boards::Victim;
use crate::sweep::{self, Fate, Options, Tried, Way};
use scene::Scene;
use victim::Op;
pub(crate) use victim::{VictimOptions, play_victim};

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let cases = Op::value_variants().iter().map(|op| (op.name(), *op));
    sweep::run(
        options,
        &Backing::NAMED,
        &cases.collect::<Vec<_>>(),
        attempt,
    )
}

/// The number is how many messages were sent in the end.
fn attempt(op: Op, backing: Backing, way: Way<'_>, fate: Fate) -> Result<Tried, String> {
    let mut scene = Scene::set(op, backing)?;
    let mut victim = Victim::play("broadcast-victim", &op.name(), scene.place())?;
    let script = victim.go(way)?;
    if fate == Fate::Frozen {
        scene.work_around()?;
        let outcome = victim.thaw()?;
        return Ok((script, scene.judge(outcome, false)?));
    }
    let (outcome, _zombie) = victim.kill()?;
    Ok((script, scene.judge(outcome, true)?))
}
