//! Planted bugs, each of which a check has to find.

mod bugs;
mod trial;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bugs::{BUGS, Build, Check};
use trial::{Outcome, Sandbox};

use crate::{arguments, process};

const SOURCES: &str = "crates/ringway-core/src";
/// A check that takes so long without any bug has hung.
const CLEAN_LIMIT: Duration = Duration::from_secs(300);
/// One with a bug has hung when it takes so long, and so many times as long as without.
const LIMIT: Duration = Duration::from_secs(30);
const TIMES_CLEAN: u32 = 10;
/// Checks with processes mostly wait, and hung ones always do: so many at once.
const PROCESS_CHECKS: usize = 8;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([preemptions], names) = arguments::parse(arguments, ["preemptions"])?;
    let places = places()?;
    let chosen = choose(&names)?;
    let runner = Runner {
        binaries: build(&chosen)?,
        sandbox: Sandbox::new()?,
        preemptions: preemptions.unwrap_or(3).to_string(),
    };
    let mut checks: Vec<Check> = chosen.iter().map(|(_, check)| *check).collect();
    checks.sort_by_key(|check| check.test());
    checks.dedup();

    println!("\n{} checks without a bug:", checks.len());
    let clean = all(
        &checks,
        |check| *check,
        |check| {
            let outcome = runner.run(*check, None, CLEAN_LIMIT)?;
            match outcome.passed() {
                true => Ok(outcome.took),
                false => Err(format!(
                    "{} fails without any bug: {}\n{}",
                    check.test(),
                    outcome.symptom(),
                    outcome.tail()
                )),
            }
        },
    );
    let clean = clean.into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("all pass; {} bugs:", chosen.len());

    let findings = all(
        &chosen,
        |(_, check)| *check,
        |(bug, check)| {
            let index = checks.iter().position(|one| one == check);
            let clean = index.map_or(CLEAN_LIMIT, |index| clean[index]);
            let limit = LIMIT.max(clean * TIMES_CLEAN);
            let outcome = runner.run(*check, Some(bug), limit)?;
            Ok((Verdict::of(bug, &outcome), clean, outcome))
        },
    );
    let findings = findings.into_iter().collect::<Result<Vec<_>, String>>()?;
    report(&chosen, &findings, &places)
}

/// The bugs of those names, or all.
fn choose(names: &[String]) -> Result<Vec<(&'static str, Check)>, String> {
    if names.is_empty() {
        return Ok(BUGS.to_vec());
    }
    let unknown = |name: &&String| !BUGS.iter().any(|(bug, _)| bug == *name);
    if let Some(name) = names.iter().find(unknown) {
        return Err(format!("there is no bug {name}"));
    }
    let is_named = |(bug, _): &&(&str, Check)| names.iter().any(|name| name == bug);
    Ok(BUGS.iter().filter(is_named).copied().collect())
}

/// The files in which each bug is planted. An error if the list of bugs is not that of the sources.
fn places() -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let root = process::root().join(SOURCES);
    for file in sources(&root)? {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let name = file.strip_prefix(&root).unwrap_or(&file);
        for (_, rest) in text.match_indices("Bug::").map(|(at, _)| text.split_at(at)) {
            let bug = rest["Bug::".len()..].split(|next: char| !next.is_alphanumeric());
            let files = places.entry(bug.take(1).collect()).or_default();
            let name = name.display().to_string();
            if !files.contains(&name) {
                files.push(name);
            }
        }
    }
    let unchecked = places
        .keys()
        .find(|bug| !BUGS.iter().any(|(known, _)| known == bug));
    let unplanted = BUGS.iter().find(|(bug, _)| !places.contains_key(*bug));
    match (unchecked, unplanted) {
        (Some(bug), _) => Err(format!("no check is meant to find {bug}")),
        (_, Some((bug, _))) => Err(format!("{bug} is planted nowhere")),
        (None, None) => Ok(places),
    }
}

/// All sources but the list of bugs.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("planted.rs")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Binaries, by how they are built, and by name.
type Binaries = BTreeMap<(Build, String), String>;

/// Builds what the checks need. One build has all bugs.
fn build(chosen: &[(&str, Check)]) -> Result<Binaries, String> {
    let mut binaries = Binaries::new();
    for kind in [Build::Loom, Build::Tests, Build::Program] {
        let mut needed: Vec<&str> = chosen
            .iter()
            .filter(|(_, check)| check.build() == kind)
            .map(|(_, check)| check.binary())
            .collect();
        needed.sort_unstable();
        needed.dedup();
        if needed.is_empty() {
            continue;
        }
        let mut build = match kind {
            Build::Loom => process::command(&["cargo", "test", "--no-run", "--release"]),
            Build::Tests => process::command(&["cargo", "test", "--no-run"]),
            // Debug code has other instructions, and far more of them.
            Build::Program => process::command(&["cargo", "build", "--release"]),
        };
        build.args(["--locked", "--message-format=json-render-diagnostics"]);
        // Other flags for every crate: it would not share what is built.
        let (flags, folder) = match kind {
            Build::Loom => ("--cfg loom --cfg planted", "target/planted/loom"),
            _ => ("--cfg planted", "target/planted/processes"),
        };
        for binary in needed {
            match binary {
                "crashtest" => build.arg("--package=ringway-crashtest"),
                "ringway_core" => build.args(["--package=ringway-core", "--lib"]),
                file => build.args(["--package=ringway", "--test", file]),
            };
        }
        build
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", folder);
        for path in process::output(build)?.lines().filter_map(executable) {
            let name = Path::new(path).file_name().unwrap_or_default();
            let name = name.to_string_lossy();
            let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
            binaries.insert((kind, name.to_owned()), path.to_owned());
        }
    }
    Ok(binaries)
}

/// The binary that a message of cargo's tells of.
fn executable(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    rest.split('"').next()
}

struct Runner {
    binaries: Binaries,
    sandbox: Sandbox,
    preemptions: String,
}

impl Runner {
    fn run(&self, check: Check, bug: Option<&str>, limit: Duration) -> Result<Outcome, String> {
        let binary = (check.build(), check.binary().to_owned());
        let binary = self.binaries.get(&binary);
        let binary = binary.ok_or_else(|| format!("cargo built no {}", check.binary()))?;
        let test = check.test();
        let mode = match check {
            Check::Freeze(_) => "freeze",
            _ => "kill",
        };
        let words: &[&str] = match check {
            Check::Matrix(case) | Check::Freeze(case) => &[
                binary, "matrix", "--only", case, "--modes", mode, "--every", "0", "--jobs", "1",
            ],
            _ => &[binary, "--exact", &test, "--nocapture", "--test-threads=1"],
        };
        let environment = [
            ("RINGWAY_PLANTED", bug.unwrap_or_default()),
            ("LOOM_MAX_PREEMPTIONS", &self.preemptions),
        ];
        let name = format!("{}-{test}", bug.unwrap_or_default());
        let name = name.replace("::", "-").replace('/', "-");
        let outcome = self.sandbox.run(&name, words, &environment, limit)?;
        let ran = ["1 passed", "all: 1 cases"];
        if outcome.passed() && !ran.iter().any(|ran| outcome.output.contains(ran)) {
            return Err(format!("there is no test {test}"));
        }
        Ok(outcome)
    }
}

/// Does all the work, several at once, and returns what it gave in the order of `items`.
fn all<T: Sync, O: Send>(
    items: &[T],
    check: impl Fn(&T) -> Check,
    work: impl Fn(&T) -> Result<O, String> + Sync,
) -> Vec<Result<O, String>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let kinds = [
            (Build::Loom, processors),
            (Build::Tests, PROCESS_CHECKS),
            (Build::Program, processors),
        ];
        for (kind, workers) in kinds {
            let indices = 0..items.len();
            let queue = indices.filter(|index| check(&items[*index]).build() == kind);
            let queue = Arc::new(Mutex::new(queue.collect::<Vec<_>>().into_iter()));
            for _ in 0..workers {
                let (queue, done, work) = (Arc::clone(&queue), &done, &work);
                scope.spawn(move || {
                    while let Some(index) = next(&queue) {
                        let result = work(&items[index]);
                        lock(done).insert(index, result);
                    }
                });
            }
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

fn next(queue: &Mutex<impl Iterator<Item = usize>>) -> Option<usize> {
    lock(queue).next()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a check makes of a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Caught,
    /// It passes.
    Survived,
    /// It fails, but never came to where the bug is.
    NotReached,
}

impl Verdict {
    fn of(bug: &str, outcome: &Outcome) -> Self {
        let is_reached = outcome.output.contains(&format!("planted: {bug}"));
        match (outcome.passed(), is_reached) {
            (true, _) => Self::Survived,
            (false, true) => Self::Caught,
            (false, false) => Self::NotReached,
        }
    }
}

fn report(
    chosen: &[(&str, Check)],
    findings: &[(Verdict, Duration, Outcome)],
    places: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    println!("\n| bug | planted in | check | how it showed | seconds | without |");
    println!("|---|---|---|---|---|---|");
    let mut uncaught = Vec::new();
    for ((bug, check), (verdict, clean, outcome)) in chosen.iter().zip(findings) {
        let showed = match verdict {
            Verdict::Caught => outcome.symptom(),
            Verdict::Survived => "SURVIVED".to_owned(),
            Verdict::NotReached => format!("NOT REACHED: {}", outcome.symptom()),
        };
        let place = places
            .get(*bug)
            .map_or(String::new(), |files| files.join(", "));
        let [took, clean] = [outcome.took, *clean].map(|time| time.as_secs_f64());
        println!("| {bug} | {place} | {check} | {showed} | {took:.1} | {clean:.1} |");
        if *verdict != Verdict::Caught {
            uncaught.push(*bug);
            eprintln!("{bug}:\n{}", outcome.tail());
        }
    }
    match uncaught.is_empty() {
        true => Ok(()),
        false => Err(format!("not caught: {}", uncaught.join(", "))),
    }
}
