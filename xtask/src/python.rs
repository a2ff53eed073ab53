//! The Python package: built as users build it, in a fresh virtual environment, and tested there.

use std::ffi::OsString;

use crate::{arguments, process};

/// Where all of it is.
const PLACE: &str = "target/python";
const TESTS: &str = "crates/ringway-python/tests";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([times], names) = arguments::parse(arguments, ["times"])?;
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let environment = format!("{PLACE}/venv");
    let inside = process::root().join(&environment).join("bin/python");
    let inside = inside.to_string_lossy().into_owned();

    let mut make = process::command(&[&python.to_string_lossy(), "-m", "venv", "--clear"]);
    make.arg(&environment);
    process::run(make)?;
    let pip = [&inside, "-m", "pip", "install", "--quiet"];
    let mut install = process::command(&pip);
    install
        .arg(".")
        .env("CARGO_TARGET_DIR", process::root().join(PLACE));
    process::run(install)?;
    let mut tools = process::command(&pip);
    tools.args(["-r", &format!("{TESTS}/requirements.txt")]);
    process::run(tools)?;

    let build = ["cargo", "build", "--locked", "--package", "ringway-cli"];
    process::run(process::command(&build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    let command = process::root().join(target).join("debug/ringway");
    for _ in 0..times.unwrap_or(1) {
        let mut tests =
            process::command(&[&inside, "-m", "pytest", "-q", "-p", "no:cacheprovider"]);
        match names.is_empty() {
            true => tests.arg(TESTS),
            false => tests.args(names.iter().map(|name| format!("{TESTS}/{name}"))),
        };
        tests.env("RINGWAY_COMMAND", &command);
        // Emptied by each run. Else pytest keeps the files of some runs in the directory for temporary ones.
        tests.arg("--basetemp");
        tests.arg(process::root().join(PLACE).join("pytest"));
        // What a warning says of leaks is an error.
        tests.args(["-W", "error"]);
        tests.env("PYTHONDONTWRITEBYTECODE", "1");
        process::run(tests)?;
    }
    if names.is_empty() {
        // With the other languages, on one ring.
        let test = [
            "cargo",
            "test",
            "--locked",
            "--package",
            "ringway-capi",
            "--test",
            "languages",
        ];
        let mut languages = process::command(&test);
        languages.env("RINGWAY_PYTHON", &inside);
        process::run(languages)?;
    }
    Ok(())
}
