//! Coverage-guided fuzzing, by cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{arguments, process};

/// What takes so long has no end, in seconds. Every input takes well under a second, but a busy machine
/// may stop us for a while, and that must not look like a fault.
const TIMEOUT: u64 = 300;
/// No input has a reason to be longer, in bytes.
const MAX_LEN: u64 = 4096;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([minutes, seconds], mut targets) = arguments::parse(arguments, ["minutes", "seconds"])?;
    let seconds = seconds.unwrap_or(minutes.unwrap_or(10) * 60);
    process::ensure(
        &["cargo", "fuzz", "--version"],
        &["cargo", "install", "cargo-fuzz", "--locked"],
    )?;
    if targets.is_empty() {
        targets = all_targets()?;
    }
    process::run(process::command(&["cargo", "+nightly", "fuzz", "build"]))?;
    targets.iter().try_for_each(|target| fuzz(target, seconds))
}

fn all_targets() -> Result<Vec<String>, String> {
    let folder = process::root().join("fuzz/fuzz_targets");
    let mut targets: Vec<String> = entries(&folder)?
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    Ok(targets)
}

fn fuzz(target: &str, seconds: u64) -> Result<(), String> {
    println!("\n{target}: {seconds} s");
    // What is new stays out of the seeds that are committed.
    let found = format!("target/fuzz/corpus/{target}");
    let scratch = Scratch::new(target)?;
    fs::create_dir_all(process::root().join(&found)).map_err(|error| error.to_string())?;
    let options = [format!("-timeout={TIMEOUT}"), format!("-max_len={MAX_LEN}")];

    let regressions = entries(&process::root().join("fuzz/regressions").join(target));
    let regressions = regressions.unwrap_or_default();
    if !regressions.is_empty() {
        let mut known = process::command(&["cargo", "+nightly", "fuzz", "run", target]);
        known.args(regressions).arg("--").args(&options);
        process::run(scratch.used_by(known))?;
    }

    let mut run = process::command(&["cargo", "+nightly", "fuzz", "run", target, &found]);
    let seeds = format!("fuzz/corpus/{target}");
    if process::root().join(&seeds).is_dir() {
        run.arg(seeds);
    }
    run.arg("--").args(options);
    run.arg(format!("-max_total_time={seconds}"));
    run.arg("-print_final_stats=1");
    process::run(scratch.used_by(run))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).collect())
}

/// A folder for the files that a target makes. An input that aborts the target leaves one; it goes
/// with the folder.
struct Scratch(PathBuf);

impl Scratch {
    fn new(target: &str) -> Result<Self, String> {
        let folder = format!("target/fuzz/scratch-{target}-{}", std::process::id());
        let folder = process::root().join(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    fn used_by(&self, mut command: std::process::Command) -> std::process::Command {
        command.env("TMPDIR", &self.0);
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
