//! The kill matrix of services: a process is stepped through what a server or a client does, and killed, or frozen, at each instruction that
//! others can see; a caller waits, another server serves on, and what they are told is judged.
//!
//! A server killed: its caller has the answer, of the victim or of another one, or is told of the death, at most once; never both, and not
//! less than the victim has done. Frozen: others are served. In the end every desk is free.

mod scene;
mod victim;

use clap::ValueEnum;
use ringway_testing::place::Backing;

use crate::boards::Victim;
use crate::sweep::{self, Fate, Options, Tried, Way};
use scene::Scene;
use victim::Op;
pub(crate) use victim::{VictimOptions, play_victim};

/// An operation, and whether the waiting caller calls at least once.
type Case = (Op, bool);

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let cases = Op::value_variants().iter().flat_map(|op| {
        let ways = [(false, "once"), (true, "at-least-once")];
        // At most once nobody takes over from the dead.
        let ways = ways
            .into_iter()
            .filter(|(way, _)| *way || *op != Op::TakeOver);
        ways.map(|(way, name)| (format!("{}/{name}", op.name()), (*op, way)))
    });
    sweep::run(
        options,
        &Backing::NAMED,
        &cases.collect::<Vec<_>>(),
        attempt,
    )
}

/// The number says nothing here: how many instructions it takes to find a request differs from run to run, with what other processes do
/// meanwhile, so who is killed later has not always come farther.
fn attempt(
    (op, at_least_once): Case,
    backing: Backing,
    way: Way<'_>,
    fate: Fate,
) -> Result<Tried, String> {
    let mut scene = Scene::set(op, at_least_once, backing)?;
    let mut victim = Victim::play("call-victim", &op.name(), scene.place())?;
    let script = victim.go(way)?;
    scene.serve_on()?;
    if fate == Fate::Frozen {
        scene.call_beside()?;
        let outcome = victim.thaw()?;
        scene.judge(outcome, false)?;
        return Ok((script, 0));
    }
    let (outcome, _zombie) = victim.kill()?;
    scene.judge(outcome, true)?;
    Ok((script, 0))
}
