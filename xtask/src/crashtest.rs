//! Deaths and stops of processes, and garbage in their rings, by crates/ringway-crashtest.

use crate::process;

/// Builds in release, since debug code has other instructions and is slow, and passes `arguments` on.
pub(crate) fn run(check: &str, arguments: &[String]) -> Result<(), String> {
    run_built(&["--release"], check, arguments)
}

/// Counts instructions, and says what compiled them.
pub(crate) fn count_instructions(arguments: &[String]) -> Result<(), String> {
    // `cargo run` builds only what it runs; the program that is counted is another one.
    process::run(process::command(&[
        "cargo",
        "build",
        "--locked",
        "--release",
        "--package=ringway-crashtest",
        "--bins",
    ]))?;
    let compiler = process::quiet(process::command(&["rustc", "--version"]))?;
    let mut all = vec!["--compiler".to_owned(), compiler.trim().to_owned()];
    all.extend_from_slice(arguments);
    run("instructions", &all)
}

/// Builds with the checks of arithmetic and all assertions, which release builds lack.
pub(crate) fn run_checked(check: &str, arguments: &[String]) -> Result<(), String> {
    run_built(&[], check, arguments)
}

fn run_built(profile: &[&str], check: &str, arguments: &[String]) -> Result<(), String> {
    let mut run = process::command(&["cargo", "run", "--locked"]);
    run.args(profile);
    run.args(["--package=ringway-crashtest", "--", check]);
    run.args(arguments);
    // The check is to see a Ctrl-C by itself.
    process::become_it(run)
}
