//! The kill matrix of boards: a process is stepped through one operation with ptrace and killed, or frozen, at each
//! instruction that others can see; readers, a sleeper and a successor work on, and what they find is judged.
//!
//! Killed: the value is the old one or the new one, whole, and never an older one when the victim is killed later; whoever
//! sleeps is woken by the value or told of the death; another one takes the role over and goes on; no entry is there twice, and no place
//! stays taken. Frozen: others read, write other entries and add some; who sleeps learns of a value that is there, also
//! if the frozen one was about to wake it.

mod scene;
mod victim;

use clap::ValueEnum;
use ringway_testing::place::Backing;

use crate::sweep::{self, Fate, Options, Tried, Way};
use scene::Scene;
pub(crate) use scene::{Process, Victim};
use victim::Op;
pub(crate) use victim::{DONE, VictimOptions, WRONG, act, play_victim, verdict};

/// An operation, and whether another process sleeps meanwhile for what it brings.
type Case = (Op, bool);

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let states = [(false, "awake"), (true, "asleep")];
    let cases = Op::value_variants().iter().flat_map(|op| {
        states.map(|(asleep, state)| (format!("{}/{state}", op.name()), (*op, asleep)))
    });
    sweep::run(
        options,
        &Backing::NAMED,
        &cases.collect::<Vec<_>>(),
        attempt,
    )
}

/// The number is that of the value that was there in the end.
fn attempt(
    (op, asleep): Case,
    backing: Backing,
    way: Way<'_>,
    fate: Fate,
) -> Result<Tried, String> {
    let mut scene = Scene::set(op, backing)?;
    let mut victim = Victim::start(op, &scene)?;
    if asleep {
        scene.fall_asleep()?;
    }
    let script = victim.go(way)?;
    if fate == Fate::Frozen {
        scene.work_around()?;
        let outcome = victim.thaw()?;
        return Ok((script, scene.judge(outcome, false)?));
    }
    let (outcome, _zombie) = victim.kill()?;
    Ok((script, scene.judge(outcome, true)?))
}
