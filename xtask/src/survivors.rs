//! Changes that no test notices: cargo-mutants makes each small change to a part of the code, one at a time, and runs
//! the tests that are meant to hold that part. What it cannot make, changed orders of memory and forgotten fences, is the
//! business of [`mutants`](crate::mutants).

use std::fs;
use std::path::Path;

use crate::process;

/// A part of the code, and the tests that hold it.
struct Part {
    name: &'static str,
    files: &'static str,
    /// The one with these files first.
    packages: &'static [&'static str],
    tests: &'static [&'static str],
}

const CORE: &[&str] = &["ringway-core", "ringway"];

const PARTS: [Part; 6] = [
    Part {
        name: "chunk",
        files: "crates/ringway-chunk/src/**/*.rs",
        packages: &["ringway-chunk"],
        tests: &["--lib", "--tests"],
    },
    Part {
        name: "mq",
        files: "crates/ringway-mq/src/**/*.rs",
        packages: &["ringway-mq", "ringway"],
        tests: &["--lib", "--test", "message_queues", "--test", "transports"],
    },
    Part {
        name: "store",
        files: "crates/ringway-core/src/store/**/*.rs",
        packages: CORE,
        tests: &[
            "--lib",
            "--test",
            "creation",
            "--test",
            "bad_input",
            "--test",
            "slab_segments",
            "--test",
            "restart_of_file_ring",
        ],
    },
    Part {
        name: "gc",
        files: "crates/ringway-core/src/admin/gc/**/*.rs",
        packages: CORE,
        tests: &["--lib"],
    },
    Part {
        name: "stat",
        files: "crates/ringway-core/src/admin/stat/**/*.rs",
        packages: CORE,
        tests: &["--lib", "--test", "observation"],
    },
    Part {
        name: "pool",
        files: "crates/ringway-core/src/rings/pool/**/*.rs",
        packages: CORE,
        tests: &["--lib", "--test", "slabs", "--test", "slab_segments"],
    },
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (names, shard) = match arguments {
        [names @ .., flag, shard] if flag == "--shard" => (names, Some(shard)),
        names => (names, None),
    };
    let known = |name: &String| PARTS.iter().any(|part| part.name == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let all = PARTS.map(|part| part.name).join(", ");
        return Err(format!("there is no part {name}; there are {all}"));
    }
    process::ensure(
        &["cargo", "mutants", "--version"],
        &["cargo", "install", "cargo-mutants", "--locked"],
    )?;
    let chosen = |part: &&Part| names.is_empty() || names.iter().any(|name| name == part.name);
    let mut figures = Vec::new();
    for part in PARTS.iter().filter(chosen) {
        figures.push(tried(part, shard)?);
    }
    println!("\n{}", figures.join("\n"));
    Ok(())
}

/// Tries all changes of a part, and says what came of them.
fn tried(part: &Part, shard: Option<&String>) -> Result<String, String> {
    let output = format!("target/survivors/{}", part.name);
    fs::create_dir_all(process::root().join(&output)).map_err(|error| error.to_string())?;
    let mut command = process::command(&["cargo", "mutants", "--no-shuffle", "--colors=never"]);
    // Without the first it looks at the package of this folder only.
    command.args(["--workspace", "--file", part.files, "--output", &output]);
    // What the code does in builds for tests only is held by nothing.
    command.args(["--exclude-re", "verify|fmt"]);
    command.args(["--test-package", part.packages[0]]);
    if let Some(shard) = shard {
        command.args(["--shard", shard]);
    }
    // Of several packages it would run the tests of one after the other, and none of them has all that are named.
    command.arg("--");
    part.packages[1..].iter().for_each(|package| {
        command.args(["--package", package]);
    });
    command.args(part.tests);
    // It fails when something survives, which is what the figures say.
    if let Err(problem) = process::run(command) {
        println!("{problem}");
    }
    let results = process::root().join(output).join("mutants.out");
    let lines = |name: &str| lines(&results.join(name));
    let survivors = lines("missed.txt");
    let counts = [
        ("caught", lines("caught.txt").len()),
        ("hung", lines("timeout.txt").len()),
        ("do not compile", lines("unviable.txt").len()),
        ("survived", survivors.len()),
    ];
    if counts.iter().all(|(_, count)| *count == 0) {
        return Err(format!("there is nothing to change in {}", part.files));
    }
    let counts = counts.map(|(what, count)| format!("{count} {what}"));
    let mut text = format!("{}: {}", part.name, counts.join(", "));
    for survivor in survivors {
        text += &format!("\n    {survivor}");
    }
    Ok(text)
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
