//! Undefined behaviour and data races, by Miri.

use crate::{arguments, process};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let ([seeds], names) = arguments::parse(arguments, ["seeds"])?;
    arguments::no_names(&names)?;
    process::ensure(
        &["cargo", "+nightly", "miri", "--version"],
        &[
            "rustup",
            "component",
            "add",
            "--toolchain=nightly",
            "miri",
            "rust-src",
        ],
    )?;
    // What has one thread is the same under every seed, or chooses its own inputs.
    test(
        "",
        &[
            "layout::",
            "region::",
            "stream::",
            "cell::",
            "pool::",
            "--skip=tests::threads",
        ],
    )?;
    let many = format!("-Zmiri-many-seeds=0..{}", seeds.unwrap_or(64).max(1));
    test(&many, &["tests::threads"])
}

fn test(flags: &str, filters: &[&str]) -> Result<(), String> {
    let mut test = process::command(&[
        "cargo",
        "+nightly",
        "miri",
        "test",
        "--locked",
        "--package=ringway-core",
        "--lib",
        "--",
    ]);
    test.args(filters)
        // The property tests take their randomness from the system.
        .env(
            "MIRIFLAGS",
            format!("-Zmiri-disable-isolation {flags}").trim(),
        )
        .env("CARGO_TARGET_DIR", "target/miri");
    process::run(test)
}
