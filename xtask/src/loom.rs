//! Every interleaving, by loom.

use crate::{arguments, process};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([preemptions], names) = arguments::parse(arguments, ["preemptions"])?;
    arguments::no_names(&names)?;
    let mut test = process::command(&[
        "cargo",
        "test",
        "--locked",
        "--release",
        "--package=ringway-core",
        "--lib",
        "interleavings",
    ]);
    test.env("RUSTFLAGS", "--cfg loom")
        // Other flags for every crate: it would not share what is built.
        .env("CARGO_TARGET_DIR", "target/loom")
        .env("LOOM_MAX_PREEMPTIONS", preemptions.unwrap_or(5).to_string());
    process::run(test)
}
