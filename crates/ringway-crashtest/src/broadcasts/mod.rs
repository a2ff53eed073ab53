//! The kill matrix of broadcast rings: a process is stepped through one operation with ptrace and killed, or frozen, at each
//! instruction that others can see; the producer and the other consumers work on, and what they get is judged.
//!
//! Killed: what was sent comes to each consumer once, whole, in order; what the victim was sending, once or not at all, to
//! all of them alike, and never less when it is killed later. A dead consumer holds nobody up, and its name goes on with
//! what it had not released. Frozen: a producer delays who waits for its messages and nobody else; a consumer that blocks is
//! waited for, any other is not.

mod scene;
mod victim;

use std::time::Instant;

use clap::{Args, ValueEnum};
use ringway_testing::place::Backing;

use crate::boards::{ENOUGH, EVERY, FEW, Victim, some};
use crate::trace::{Step, settle_on_any};
use scene::Scene;
use victim::Op;
pub(crate) use victim::{VictimOptions, play_victim};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Only cases whose names contain one of these, with commas between, such as Shm/send
    #[arg(long, default_value = "")]
    only: String,
    /// On shm: alone, and of long operations a part of the points
    #[arg(long)]
    fast: bool,
}

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
            let case = format!("{backing:?}/{}", op.name());
            if !options.only.split(',').any(|part| case.contains(part)) {
                continue;
            }
            let (done, problems) = try_case(*op, backing, options.fast)?;
            for problem in &problems {
                eprintln!("FAILED: {case}, {problem}");
            }
            let [killed, frozen] = done;
            println!(
                "{case}: {killed} kills, {frozen} freezes, {} failures",
                problems.len()
            );
            cases += 1;
            kills += killed;
            freezes += frozen;
            failures += problems.len();
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

/// How often it was killed and frozen, and what went wrong.
fn try_case(op: Op, backing: Backing, fast: bool) -> Result<([usize; 2], Vec<String>), String> {
    let (mut done, mut problems) = ([0, 0], Vec::new());
    let script = match attempt(op, backing, usize::MAX, false) {
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
        done[0] += 1;
        match attempt(op, backing, steps, false) {
            Ok((_, sent)) if sent >= farthest => farthest = sent,
            Ok((_, sent)) => problems.push(format!(
                "killed after {steps} steps: LOST: {sent} sent, and {farthest} when killed earlier"
            )),
            Err(problem) => problems.push(format!("killed after {steps} steps: {problem}")),
        }
        if problems.len() >= ENOUGH {
            return Ok((done, problems));
        }
    }
    for steps in some(&seen, most) {
        done[1] += 1;
        if let Err(problem) = attempt(op, backing, steps, true) {
            problems.push(format!("frozen after {steps} steps: {problem}"));
            if problems.len() >= ENOUGH {
                break;
            }
        }
    }
    Ok((done, problems))
}

/// One try: what the victim went through, and how many messages were sent then.
fn attempt(
    op: Op,
    backing: Backing,
    steps: usize,
    frozen: bool,
) -> Result<(Vec<Step>, u64), String> {
    let mut scene = Scene::set(op, backing)?;
    let mut victim = Victim::play("broadcast-victim", &op.name(), scene.place())?;
    let script = victim.advance(steps)?;
    if frozen {
        scene.work_around()?;
        let outcome = victim.thaw()?;
        return Ok((script, scene.judge(outcome, false)?));
    }
    let (outcome, _zombie) = victim.kill()?;
    Ok((script, scene.judge(outcome, true)?))
}
