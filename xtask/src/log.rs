//! The durable log's long checks, which are tests of crates/ringway-log that are told how long to go on.

use crate::arguments::{no_names, parse};
use crate::process;

/// On a simulated disk: kills and losses of power at random calls.
pub(crate) fn ordeal(arguments: &[String]) -> Result<(), String> {
    let ([seeds, first], names) = parse(arguments, ["seeds", "first"])?;
    no_names(&names)?;
    let first = first.unwrap_or(0);
    let end = first + seeds.unwrap_or(20_000);
    let test = "ordeal::tests::what_was_acknowledged_survives_kills_and_losses_of_power";
    let mut command = test_of("--lib", test);
    command.env("RINGWAY_LOG_SEEDS", format!("{first}:{end}"));
    process::run(command)
}

/// With processes: a writer and readers under random SIGKILL.
pub(crate) fn audit(arguments: &[String]) -> Result<(), String> {
    let ([minutes, seconds], names) = parse(arguments, ["minutes", "seconds"])?;
    no_names(&names)?;
    let seconds = seconds.unwrap_or(60 * minutes.unwrap_or(20));
    let mut command = test_of(
        "--test=random_kills",
        "nothing_acknowledged_is_lost_doubled_or_torn",
    );
    command.env("RINGWAY_LOG_AUDIT_SECONDS", seconds.to_string());
    process::run(command)
}

/// A test, optimised.
fn test_of(target: &str, name: &str) -> std::process::Command {
    let mut command = process::command(&["cargo", "test", "--locked", "--release"]);
    command.args([
        "--package=ringway-log",
        target,
        "--",
        "--exact",
        name,
        "--nocapture",
    ]);
    command
}
