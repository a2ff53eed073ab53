//! A sweep over cases: each operation is killed at one point after the other, and then frozen at one after the other. What a
//! try is, and what is judged, the caller says.

use std::time::Instant;

use clap::Args;
use ringway_testing::place::Backing;

use crate::trace::{Step, settle_on_any};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Only cases whose names contain one of these, with commas between, such as Shm/set
    #[arg(long, default_value = "")]
    only: String,
    /// On shm: alone, and of long operations a part of the points
    #[arg(long)]
    pub(crate) fast: bool,
}

/// Points of an operation in the fast cut.
const FEW: usize = 16;
/// Failures of a case after which it is left.
const ENOUGH: usize = 3;
/// Operations of up to so many instructions are killed at each of them.
const EVERY: usize = 1000;

/// What becomes of a victim behind a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Killed,
    /// Stopped while others work, and continued.
    Frozen,
}

/// How far a victim is to get.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    /// All of its steps, which are the same each time; none before they are known.
    pub(crate) script: &'a [Step],
    /// So many of them.
    pub(crate) steps: usize,
}

/// What a victim went through, if that was not known before, and a number that is never less where it was killed later: of messages, or of a value.
pub(crate) type Tried = (Vec<Step>, u64);

/// Tries all cases on each backing (in the fast cut, on the first): `cases` names them behind that, and `attempt` makes one try of a case with
/// a victim that gets so far.
pub(crate) fn run<C: Copy>(
    options: &Options,
    backings: &[Backing],
    cases: &[(String, C)],
    attempt: impl Fn(C, Backing, Way<'_>, Fate) -> Result<Tried, String>,
) -> Result<(), String> {
    // Steps are the same each time.
    settle_on_any()?;
    let start = Instant::now();
    let backings = match options.fast {
        true => &backings[..1],
        false => backings,
    };
    let (mut count, mut kills, mut freezes, mut failures) = (0, 0, 0, 0);
    for &backing in backings {
        for (name, case) in cases {
            let name = format!("{backing:?}/{name}");
            if !options.only.split(',').any(|part| name.contains(part)) {
                continue;
            }
            let ([killed, frozen], problems) =
                try_case(options.fast, |way, fate| attempt(*case, backing, way, fate));
            for problem in &problems {
                eprintln!("FAILED: {name}, {problem}");
            }
            println!(
                "{name}: {killed} kills, {frozen} freezes, {} failures",
                problems.len()
            );
            count += 1;
            kills += killed;
            freezes += frozen;
            failures += problems.len();
        }
    }
    println!(
        "all: {count} cases, {kills} kills, {freezes} freezes, {failures} failures, {:.0?}",
        start.elapsed()
    );
    match failures {
        0 if count > 0 => Ok(()),
        0 => Err("no such case".to_owned()),
        failures => Err(format!("{failures} failures")),
    }
}

/// How often it was killed and frozen, and what went wrong.
fn try_case(
    fast: bool,
    attempt: impl Fn(Way<'_>, Fate) -> Result<Tried, String>,
) -> ([usize; 2], Vec<String>) {
    let (mut done, mut problems) = ([0, 0], Vec::new());
    let unknown = Way {
        script: &[],
        steps: usize::MAX,
    };
    let script = match attempt(unknown, Fate::Killed) {
        Ok((script, _)) => script,
        Err(problem) => return (done, vec![format!("not killed: {problem}")]),
    };
    let script = &script;
    let attempt = |steps, fate| attempt(Way { script, steps }, fate);
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
        match attempt(steps, Fate::Killed) {
            Ok((_, number)) if number >= farthest => farthest = number,
            Ok((_, number)) => problems.push(format!(
                "killed after {steps} steps: LOST: {number}, and {farthest} when killed earlier"
            )),
            Err(problem) => problems.push(format!("killed after {steps} steps: {problem}")),
        }
        if problems.len() >= ENOUGH {
            return (done, problems);
        }
    }
    for steps in some(&seen, most) {
        done[1] += 1;
        if let Err(problem) = attempt(steps, Fate::Frozen) {
            problems.push(format!("frozen after {steps} steps: {problem}"));
            if problems.len() >= ENOUGH {
                break;
            }
        }
    }
    (done, problems)
}

/// At most `most` of them, the first and the last among these.
fn some(points: &[usize], most: usize) -> Vec<usize> {
    if points.len() <= most {
        return points.to_vec();
    }
    let nth = |nth: usize| points[nth * (points.len() - 1) / (most - 1)];
    (0..most).map(nth).collect()
}
