//! Deaths and stops of processes, by crates/ringway-crashtest.

use crate::process;

/// Builds in release, since debug code has other instructions and is slow, and passes `arguments` on.
pub(crate) fn run(check: &str, arguments: &[String]) -> Result<(), String> {
    let mut run = process::command(&["cargo", "run", "--release", "--locked"]);
    run.args(["--package=ringway-crashtest", "--", check]);
    run.args(arguments);
    // The check is to see a Ctrl-C by itself.
    process::become_it(run)
}
