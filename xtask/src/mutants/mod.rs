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
use std::fmt::Write;
use std::sync::mpsc::{self, Receiver, SyncSender};
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
    let clean = clean_checks(&patches);
    println!("{} checks without a bug", clean.len());
    let clean = tried(
        &runner,
        &[Job {
            patch: None,
            checks: clean,
        }],
        |_| CLEAN_LIMIT,
    );
    let clean = durations(clean)?;
    println!(
        "all pass ({:.0} s); {} bugs",
        started.elapsed().as_secs_f64(),
        patches.len()
    );

    let jobs: Vec<Job<'_>> = patches
        .iter()
        .map(|patch| Job {
            patch: Some(patch),
            checks: patch.checks.iter().collect(),
        })
        .collect();
    let limit = |check: &Check| {
        let clean = clean.get(check).copied();
        clean.map_or(CLEAN_LIMIT, |clean| LIMIT.max(clean * TIMES_CLEAN))
    };
    let trials = tried(&runner, &jobs, limit);
    println!("{:.0} s", started.elapsed().as_secs_f64());
    report(&trials, &clean)
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

/// All checks, each once.
fn clean_checks(patches: &[Patch]) -> Vec<&Check> {
    let mut checks: Vec<&Check> = patches.iter().flat_map(|patch| &patch.checks).collect();
    checks.sort_unstable();
    checks.dedup();
    checks
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
}

/// A check that can be run.
struct Ready<'a> {
    patch: Option<&'a Patch>,
    check: &'a Check,
    binary: Binary,
}

/// Builds and runs all, as much at once as is of use. The result is in the order of the jobs.
fn tried<'a>(
    runner: &Runner,
    jobs: &[Job<'a>],
    limit: impl Fn(&Check) -> Duration + Sync,
) -> Vec<Trial<'a>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (kind, workers) in [
            (Build::Loom, processors),
            (Build::Tests, PROCESS_CHECKS),
            (Build::Program, processors),
        ] {
            let (give, take) = mpsc::sync_channel(WAITING);
            let (done, limit) = (&done, &limit);
            scope.spawn(move || built(kind, jobs, &give, done));
            let take = std::sync::Arc::new(Mutex::new(take));
            for _ in 0..workers {
                let take = std::sync::Arc::clone(&take);
                scope.spawn(move || {
                    while let Some(Ready {
                        patch,
                        check,
                        binary,
                    }) = next(&take)
                    {
                        let outcome = runner.run(patch, check, &binary, limit(check));
                        lock(done).push(Trial {
                            patch,
                            check,
                            outcome,
                        });
                    }
                });
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|trial| (trial.patch.map(|patch| &patch.name), trial.check));
    done
}

/// Builds what the jobs need of one kind, one after the other, and hands it on.
fn built<'a>(
    kind: Build,
    jobs: &[Job<'a>],
    give: &SyncSender<Ready<'a>>,
    done: &Mutex<Vec<Trial<'a>>>,
) {
    let mut workshop = None;
    for Job { patch, checks } in jobs {
        let checks = checks.iter().filter(|check| check.build() == kind);
        let checks: Vec<&Check> = checks.copied().collect();
        if checks.is_empty() {
            continue;
        }
        if workshop.is_none() {
            workshop = Some(Workshop::new(kind));
        }
        let binaries = match &mut workshop {
            Some(Ok(workshop)) => workshop.build(*patch, &checks),
            Some(Err(problem)) => Err(problem.clone()),
            None => continue,
        };
        for (index, check) in checks.into_iter().enumerate() {
            let patch = *patch;
            match &binaries {
                Ok(binaries) => {
                    let binary = binaries[index].clone();
                    // It fails if all that run checks have panicked, which ends everything.
                    let _ = give.send(Ready {
                        patch,
                        check,
                        binary,
                    });
                }
                Err(problem) => lock(done).push(Trial {
                    patch,
                    check,
                    outcome: Err(problem.clone()),
                }),
            }
        }
    }
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
        let outcome = self.sandbox.run(&name, &words, &environment, limit)?;
        let ran = ["1 passed", "all: 1 cases"];
        if outcome.passed() && !ran.iter().any(|ran| outcome.output.contains(ran)) {
            return Err(format!("there is no check: {check}"));
        }
        Ok(outcome)
    }
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    lock(queue).recv().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long each check took without any bug. An error if one does not pass.
fn durations<'a>(trials: Vec<Trial<'a>>) -> Result<BTreeMap<&'a Check, Duration>, String> {
    let took = trials.into_iter().map(|Trial { check, outcome, .. }| {
        let outcome = outcome?;
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

fn report(trials: &[Trial<'_>], clean: &BTreeMap<&Check, Duration>) -> Result<(), String> {
    println!("\n| bug | in | check | how it showed | seconds | without |");
    println!("|---|---|---|---|---|---|");
    let mut problems = String::new();
    for Trial {
        patch,
        check,
        outcome,
    } in trials
    {
        let Some(patch) = patch else { continue };
        let (name, files) = (&patch.name, patch.files.join(", "));
        let files = files.replace("crates/ringway-core/src/", "");
        let (showed, took) = match outcome {
            Ok(outcome) if outcome.passed() => {
                let _ = write!(problems, "\n{name}: not found by {check}");
                ("SURVIVED".to_owned(), outcome.took)
            }
            Ok(outcome) => (outcome.symptom(), outcome.took),
            Err(problem) => {
                let _ = write!(problems, "\n{name}, {check}: not tried: {problem}");
                ("NOT TRIED".to_owned(), Duration::ZERO)
            }
        };
        let clean = clean.get(check).copied().unwrap_or_default();
        let [took, clean] = [took, clean].map(|time| time.as_secs_f64());
        println!("| {name} | {files} | {check} | {showed} | {took:.1} | {clean:.1} |");
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}
