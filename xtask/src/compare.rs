//! benches/compare, several times over, and docs/performance made of that.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::arguments;
use crate::process;

/// Where everything is built and kept that is not in the tree.
const TARGET: &str = "target/compare";

/// Tools that Aeron's build needs, in an environment of Python's.
const TOOLS: &str = "target/compare/tools";

const PAGES: &str = "docs/performance";

const INSTRUCTIONS: &str = "benches/INSTRUCTIONS.md";

pub(crate) fn run(given: &[String]) -> Result<(), String> {
    let mut given = given.to_vec();
    let mut flag = |name: &str| {
        let before = given.len();
        given.retain(|argument| argument != name);
        given.len() < before
    };
    let (quick, no_aeron, build_only) = (flag("--quick"), flag("--no-aeron"), flag("--build-only"));
    let (add, report_only) = (flag("--add"), flag("--report-only"));
    let passed = match given.iter().position(|argument| argument == "--") {
        Some(at) => given.split_off(at).split_off(1),
        None => Vec::new(),
    };
    let ([runs, rounds, pause], names) = arguments::parse(&given, ["runs", "rounds", "pause"])?;
    arguments::no_names(&names)?;
    let (usual_runs, usual_rounds, usual_pause) = if quick { (2, 5, 0) } else { (5, 15, 600) };
    let (runs, rounds) = (runs.unwrap_or(usual_runs), rounds.unwrap_or(usual_rounds));
    let pause = Duration::from_secs(pause.unwrap_or(usual_pause));

    let tools = if no_aeron { None } else { Some(Tools::find()?) };
    let cargo = |verb: &str, what: &[&str]| {
        let mut command = process::command(&["cargo", verb, "--release", "--locked"]);
        command.args(["--manifest-path=benches/compare/Cargo.toml"]);
        command.arg(format!("--target-dir={TARGET}"));
        if let Some(tools) = &tools {
            command.arg("--features=aeron");
            tools.lend_to(&mut command);
        }
        command.args(what);
        command
    };
    process::run(cargo("build", &[]))?;
    if build_only {
        return Ok(());
    }
    let directory = process::root().join(TARGET).join("runs");
    if !add && !report_only {
        // What an earlier command has left may be of another build.
        let _ = fs::remove_dir_all(&directory);
    }
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for run in 0..if report_only { 0 } else { runs } {
        if run > 0 {
            std::thread::sleep(pause);
        }
        // By the time at which it began, which orders them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let name = format!("{}.jsonl", now.map_or(0, |time| time.as_secs()));
        let file = directory.join(name).display().to_string();
        let rounds = rounds.to_string();
        let mut command = cargo("run", &["--bin=compare", "--"]);
        command
            .args(["--rounds", &rounds, "--json", &file])
            .args(&passed);
        process::run(command)?;
    }
    let runs = fs::read_dir(&directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .flatten()
        .map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = runs
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    runs.sort();
    let mut report = cargo("run", &["--bin=report", "--"]);
    report.args(["--instructions", INSTRUCTIONS, "--renew", "README.md"]);
    report.args(runs).arg(PAGES);
    process::run(report)
}

/// What Aeron is built with: CMake and libclang from PyPI, headers from the distribution.
struct Tools {
    directory: PathBuf,
    /// Headers of the compiler, which libclang from PyPI comes without.
    headers: String,
}

impl Tools {
    /// Installs what is missing.
    fn find() -> Result<Self, String> {
        let directory = process::root().join(TOOLS);
        let pip = directory.join("bin/pip").display().to_string();
        let cmake = directory.join("bin/cmake").display().to_string();
        process::ensure(&[&pip, "--version"], &["python3", "-m", "venv", TOOLS])?;
        process::ensure(
            &[&cmake, "--version"],
            &[&pip, "install", "--quiet", "cmake>=3.30", "libclang"],
        )?;
        let headers = ["uuid/uuid.h", "bsd/stdlib.h", "boost/version.hpp"];
        let is_there =
            |header: &&str| fs::exists(format!("/usr/include/{header}")).unwrap_or(false);
        if !headers.iter().all(is_there) {
            let packages = "apt-get install --yes uuid-dev libbsd-dev libboost-dev g++";
            process::run(process::command(&packages.split(' ').collect::<Vec<_>>())).map_err(
                |problem| {
                    format!("{problem}\nAeron needs these packages, and Boost the last two. Without Aeron: --no-aeron")
                },
            )?;
        }
        let headers = process::quiet(process::command(&["cc", "-print-file-name=include"]))?;
        let headers = headers.trim().to_owned();
        Ok(Self { directory, headers })
    }

    fn lend_to(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.directory.join("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.env("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{}", self.headers));
        let libraries = fs::read_dir(self.directory.join("lib"));
        for entry in libraries.into_iter().flatten().flatten() {
            let native = entry.path().join("site-packages/clang/native");
            if native.is_dir() {
                command.env("LIBCLANG_PATH", native);
            }
        }
    }
}
