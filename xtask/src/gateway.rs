//! The gateway to NATS JetStream: its tests, which start servers of their own.

use crate::arguments::{no_names, parse};
use crate::process;

/// All of its tests; or, told how long, kills of all that takes part at random.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([minutes, seconds], names) = parse(arguments, ["minutes", "seconds"])?;
    no_names(&names)?;
    for (program, probe, package) in [
        ("nats-server", "--version", "nats-server"),
        ("ip", "-V", "iproute2"),
        ("openssl", "version", "openssl"),
    ] {
        process::ensure(
            &[program, probe],
            &["apt-get", "install", "--yes", "-q", package],
        )?;
    }
    let mut tests = process::command(&[
        "cargo",
        "test",
        "--locked",
        "--manifest-path=crates/ringway-gateway/Cargo.toml",
        "--target-dir=target/gateway",
    ]);
    if let Some(seconds) = seconds.or(minutes.map(|minutes| 60 * minutes)) {
        tests.env("RINGWAY_GATEWAY_SECONDS", seconds.to_string());
        tests.args(["--test=kills", "--", "--exact"]);
        tests.args(["everything_is_killed_at_random", "--nocapture"]);
    }
    process::run(tests)
}
