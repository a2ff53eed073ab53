//! Bugs on purpose, each of which a check has to find.
//!
//! A bug is a patch in `mutants/`. It is applied to a copy of the sources, what its checks need is built there, and they
//! are run: each has to pass without the bug, and to fail with it. A patch that does not apply or does not build is an
//! error: the sources have gone on without it.

mod patch;
mod tree;
mod trial;
mod workshop;

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use patch::{Build, Check, Patch};
use trial::{Outcome, Sandbox};
use workshop::{Binary, Workshop};

use crate::{arguments, process};

/// A check that takes so long without any bug has hung.
const CLEAN_LIMIT: Duration = Duration::from_secs(300);
/// One with a bug has hung when it takes so long, and so many times as long as without.
const LIMIT: Duration = Duration::from_secs(30);
const TIMES_CLEAN: u32 = 10;
/// Some checks find their bug by the chance of a moment: one that misses it is tried again, so many times in all. The report says it.
const TRIES: u32 = 3;
/// Checks with processes mostly wait, and hung ones always do: so many at once.
const PROCESS_CHECKS: usize = 8;
/// How many built binaries may wait for those that run them.
const WAITING: usize = 8;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([preemptions], names) = arguments::parse(arguments, ["preemptions"])?;
    let patches = choose(&names)?;
    let runner = Runner {
        sandbox: Sandbox::new()?,
        preemptions: preemptions.unwrap_or(3).to_string(),
    };
    let started = Instant::now();
    println!("{} bugs; each check first without any", patches.len());
    let lanes = std::thread::scope(|scope| {
        let lanes = [Build::Loom, Build::Tests, Build::Program].map(|kind| {
            let (runner, patches) = (&runner, &patches);
            scope.spawn(move || lane(kind, runner, patches))
        });
        lanes.map(|lane| {
            lane.join()
                .unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        })
    });
    println!("{:.0} s", started.elapsed().as_secs_f64());
    report(lanes)
}

/// All checks of a kind, first on the sources as they are, then with the bugs that they must find.
fn lane<'a>(kind: Build, runner: &Runner, patches: &'a [Patch]) -> Result<Vec<Trial<'a>>, String> {
    let of_kind = |patch: &'a Patch| {
        patch
            .checks
            .iter()
            .filter(move |check| check.build() == kind)
    };
    let jobs: Vec<Job<'a>> = patches
        .iter()
        .map(|patch| Job {
            patch: Some(patch),
            checks: of_kind(patch).collect(),
        })
        .filter(|job| !job.checks.is_empty())
        .collect();
    let mut checks: Vec<&Check> = jobs.iter().flat_map(|job| job.checks.clone()).collect();
    checks.sort_unstable();
    checks.dedup();
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let mut workshop = Workshop::new(kind)?;
    let clean = Job {
        patch: None,
        checks,
    };
    let clean = tried(&mut workshop, runner, &[clean], |_| CLEAN_LIMIT);
    let clean = durations(clean)?;
    let without = |check: &Check| clean.get(check).copied().unwrap_or(CLEAN_LIMIT);
    let limit = |check: &Check| LIMIT.max(without(check) * TIMES_CLEAN);
    let mut trials = tried(&mut workshop, runner, &jobs, limit);
    for trial in &mut trials {
        trial.clean = without(trial.check);
    }
    Ok(trials)
}

/// The bugs of those names, or all. An error if one does not apply.
fn choose(names: &[String]) -> Result<Vec<Patch>, String> {
    let mut patches = Patch::all(&process::root().join("mutants"))?;
    if let Some(name) = names
        .iter()
        .find(|name| !patches.iter().any(|patch| patch.name == **name))
    {
        return Err(format!("there is no mutants/{name}.diff"));
    }
    patches.retain(|patch| names.is_empty() || names.contains(&patch.name));
    let stale = patches
        .iter()
        .filter_map(|patch| tree::try_to_apply(&process::root(), patch).err());
    let stale: Vec<String> = stale.collect();
    match stale.is_empty() {
        true => Ok(patches),
        false => Err(stale.join("\n")),
    }
}

/// Checks to be run on the sources, with a bug or as they are.
struct Job<'a> {
    patch: Option<&'a Patch>,
    checks: Vec<&'a Check>,
}

/// A run of a check.
struct Trial<'a> {
    patch: Option<&'a Patch>,
    check: &'a Check,
    /// An error: it could not be run.
    outcome: Result<Outcome, String>,
    /// How long it takes without a bug.
    clean: Duration,
}

impl<'a> Trial<'a> {
    /// Says what came of it, so that who waits for all sees that they go on.
    fn new(patch: Option<&'a Patch>, check: &'a Check, outcome: Result<Outcome, String>) -> Self {
        let result = match &outcome {
            Ok(outcome) if outcome.passed() => "passes",
            Ok(_) => "fails",
            Err(_) => "could not be tried",
        };
        let name = patch.map_or("without a bug", |patch| &patch.name);
        println!("{name}: {check}: {result}");
        Self {
            patch,
            check,
            outcome,
            clean: Duration::ZERO,
        }
    }
}

/// A check that can be run.
struct Ready<'a> {
    patch: Option<&'a Patch>,
    check: &'a Check,
    binary: Binary,
}

/// Builds for all jobs, one after the other, and meanwhile runs what is built. The result is in the order of the jobs.
fn tried<'a>(
    workshop: &mut Workshop,
    runner: &Runner,
    jobs: &[Job<'a>],
    limit: impl Fn(&Check) -> Duration + Sync,
) -> Vec<Trial<'a>> {
    let workers = match workshop.kind() {
        Build::Tests => PROCESS_CHECKS,
        Build::Loom | Build::Program => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let done = Mutex::new(Vec::new());
    let (give, take) = mpsc::sync_channel(WAITING);
    let take = Mutex::new(take);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(Ready {
                    patch,
                    check,
                    binary,
                }) = next(&take)
                {
                    let outcome = runner.run(patch, check, &binary, limit(check));
                    lock(&done).push(Trial::new(patch, check, outcome));
                }
            });
        }
        for Job { patch, checks } in jobs {
            let patch = *patch;
            match workshop.build(patch, checks) {
                Ok(binaries) => {
                    for (&check, binary) in checks.iter().zip(binaries) {
                        // It fails if all that run checks have panicked, which ends everything.
                        let _ = give.send(Ready {
                            patch,
                            check,
                            binary,
                        });
                    }
                }
                Err(problem) => {
                    let trials = checks
                        .iter()
                        .map(|check| Trial::new(patch, check, Err(problem.clone())));
                    lock(&done).extend(trials);
                }
            }
        }
        drop(give);
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|trial| (trial.patch.map(|patch| &patch.name), trial.check));
    done
}

struct Runner {
    sandbox: Sandbox,
    preemptions: String,
}

impl Runner {
    fn run(
        &self,
        patch: Option<&Patch>,
        check: &Check,
        binary: &Binary,
        limit: Duration,
    ) -> Result<Outcome, String> {
        let path = binary.path().to_string_lossy();
        let mut words = vec![&*path];
        words.extend(check.arguments());
        let environment = [("LOOM_MAX_PREEMPTIONS", self.preemptions.as_str())];
        let name = patch.map_or("clean", |patch| &patch.name);
        let name = format!("{name}-{check}").replace(|c: char| !c.is_alphanumeric(), "-");
        let ran = ["1 passed", "all: 1 cases"];
        let mut tries = 1;
        loop {
            let outcome = self.sandbox.run(&name, &words, &environment, limit)?;
            if outcome.passed() && !ran.iter().any(|ran| outcome.output.contains(ran)) {
                return Err(format!("there is no check: {check}"));
            }
            if patch.is_none() || !outcome.passed() || tries == TRIES {
                return Ok(Outcome { tries, ..outcome });
            }
            tries += 1;
        }
    }
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    lock(queue).recv().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long each check took without any bug. An error if one does not pass.
fn durations(trials: Vec<Trial<'_>>) -> Result<BTreeMap<&Check, Duration>, String> {
    let took = trials.into_iter().map(|trial| {
        let (check, outcome) = (trial.check, trial.outcome?);
        match outcome.passed() {
            true => Ok((check, outcome.took)),
            false => Err(format!(
                "{check} fails without any bug: {}\n{}",
                outcome.symptom(),
                outcome.tail()
            )),
        }
    });
    took.collect()
}

fn report(lanes: [Result<Vec<Trial<'_>>, String>; 3]) -> Result<(), String> {
    println!("\n| bug | in | check | how it showed | seconds | without |");
    println!("|---|---|---|---|---|---|");
    let mut problems = String::new();
    let mut trials = Vec::new();
    for lane in lanes {
        match lane {
            Ok(lane) => trials.extend(lane),
            Err(problem) => problems += &format!("\n{problem}"),
        }
    }
    trials.sort_by_key(|trial| trial.patch.map(|patch| &patch.name));
    for trial in trials {
        let Some(patch) = trial.patch else { continue };
        let (name, check, files) = (&patch.name, trial.check, patch.files.join(", "));
        let files = files.replace("crates/ringway-core/src/", "");
        let (showed, took) = match trial.outcome {
            Ok(outcome) if outcome.passed() => {
                problems += &format!("\n{name} is not found by {check}");
                ("SURVIVED".to_owned(), outcome.took)
            }
            Ok(outcome) => {
                let again = match outcome.tries {
                    1 => String::new(),
                    tries => format!(" (try {tries})"),
                };
                (outcome.symptom() + &again, outcome.took)
            }
            Err(problem) => {
                problems += &format!("\n{name}, {check}: could not be tried: {problem}");
                ("NOT TRIED".to_owned(), Duration::ZERO)
            }
        };
        let [took, clean] = [took, trial.clean].map(|time| time.as_secs_f64());
        println!("| {name} | {files} | {check} | {showed} | {took:.1} | {clean:.1} |");
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}
