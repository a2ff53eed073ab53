//! The kill matrix of boards: a process is stepped through one operation with ptrace and killed, or frozen, at each
//! instruction that others can see; readers, a sleeper and a successor work on, and what they find is judged.
//!
//! Killed: the value is the old one or the new one, whole, and never an older one when the victim is killed later; whoever
//! sleeps is woken by the value or told of the death; another one takes the role over and goes on; no entry is there twice, and no place
//! stays taken. Frozen: others read, write other entries and add some; who sleeps learns of a value that is there, also
//! if the frozen one was about to wake it.

mod scene;
mod victim;

use std::time::Instant;

use clap::{Args, ValueEnum};
use ringway_testing::place::Backing;

use crate::trace::{Step, settle_on_any};
use scene::Scene;
pub(crate) use scene::Victim;
use victim::Op;
pub(crate) use victim::{DONE, VictimOptions, WRONG, act, play_victim};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Only cases whose names contain one of these, with commas between, such as Shm/set
    #[arg(long, default_value = "")]
    only: String,
    /// On shm: alone, and of long operations a part of the points
    #[arg(long)]
    fast: bool,
}

/// Points of an operation in the fast cut.
pub(crate) const FEW: usize = 16;
/// Failures of a case after which it is left.
pub(crate) const ENOUGH: usize = 3;
/// Operations of up to so many instructions are killed at each of them.
pub(crate) const EVERY: usize = 1000;

pub(crate) fn run(options: Options) -> Result<(), String> {
    // Steps are the same each time.
    settle_on_any()?;
    let start = Instant::now();
    let backings: &[Backing] = match options.fast {
        true => &[Backing::Shm],
        false => &Backing::NAMED,
    };
    let (mut cases, mut kills, mut freezes, mut failures) = (0, 0, 0, 0);
    for &backing in backings {
        for op in Op::value_variants() {
            for asleep in [false, true] {
                let state = if asleep { "asleep" } else { "awake" };
                let case = format!("{backing:?}/{}/{state}", op.name());
                if !options.only.split(',').any(|part| case.contains(part)) {
                    continue;
                }
                let (done, problems) = try_case(*op, backing, asleep, options.fast)?;
                for problem in &problems {
                    eprintln!("FAILED: {case}, {problem}");
                }
                println!(
                    "{case}: {} kills, {} freezes, {} failures",
                    done.kills,
                    done.freezes,
                    problems.len()
                );
                cases += 1;
                kills += done.kills;
                freezes += done.freezes;
                failures += problems.len();
            }
        }
    }
    println!(
        "all: {cases} cases, {kills} kills, {freezes} freezes, {failures} failures, {:.0?}",
        start.elapsed()
    );
    match failures {
        0 if cases > 0 => Ok(()),
        0 => Err("no such case".to_owned()),
        failures => Err(format!("{failures} failures")),
    }
}

#[derive(Default)]
struct Done {
    kills: usize,
    freezes: usize,
}

fn try_case(
    op: Op,
    backing: Backing,
    asleep: bool,
    fast: bool,
) -> Result<(Done, Vec<String>), String> {
    let (mut done, mut problems) = (Done::default(), Vec::new());
    let script = match attempt(op, backing, asleep, usize::MAX, false) {
        Ok((script, _)) => script,
        Err(problem) => return Ok((done, vec![format!("not killed: {problem}")])),
    };
    // Behind each step that others can see, and before the first.
    let seen = (script.iter().zip(1..)).filter(|(step, _)| **step != Step::Private);
    let seen: Vec<usize> = [0].into_iter().chain(seen.map(|(_, nth)| nth)).collect();
    let deaths = match script.len() <= EVERY && !fast {
        true => (0..=script.len()).collect(),
        false => seen.clone(),
    };
    let most = if fast { FEW } else { usize::MAX };
    let mut farthest = 0;
    for steps in some(&deaths, most) {
        done.kills += 1;
        match attempt(op, backing, asleep, steps, false) {
            Ok((_, number)) if number >= farthest => farthest = number,
            Ok((_, number)) => problems.push(format!(
                "killed after {steps} steps: LOST: value {number}, and {farthest} when killed earlier"
            )),
            Err(problem) => problems.push(format!("killed after {steps} steps: {problem}")),
        }
        if problems.len() >= ENOUGH {
            return Ok((done, problems));
        }
    }
    for steps in some(&seen, most) {
        done.freezes += 1;
        if let Err(problem) = attempt(op, backing, asleep, steps, true) {
            problems.push(format!("frozen after {steps} steps: {problem}"));
            if problems.len() >= ENOUGH {
                break;
            }
        }
    }
    Ok((done, problems))
}

/// One try: what the victim went through, and the number of the value that was there then.
fn attempt(
    op: Op,
    backing: Backing,
    asleep: bool,
    steps: usize,
    frozen: bool,
) -> Result<(Vec<Step>, u64), String> {
    let mut scene = Scene::set(op, backing)?;
    let mut victim = Victim::start(op, &scene)?;
    if asleep {
        scene.fall_asleep()?;
    }
    let script = victim.advance(steps)?;
    if frozen {
        scene.work_around()?;
        let outcome = victim.thaw()?;
        return Ok((script, scene.judge(outcome, false)?));
    }
    let (outcome, _zombie) = victim.kill()?;
    Ok((script, scene.judge(outcome, true)?))
}

/// At most `most` of them, the first and the last among these.
pub(crate) fn some(points: &[usize], most: usize) -> Vec<usize> {
    if points.len() <= most {
        return points.to_vec();
    }
    let nth = |nth: usize| points[nth * (points.len() - 1) / (most - 1)];
    (0..most).map(nth).collect()
}
