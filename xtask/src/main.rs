//! Checks of ringway that take their time, each with one command: `cargo xtask`.

use std::process::ExitCode;

mod arguments;
mod fuzz;
mod loom;
mod miri;
mod mutants;
mod process;

const USAGE: &str = "\
Checks of ringway that take their time. Defaults are for an unhurried run; CI takes less.

    cargo xtask loom [--preemptions N]
        Every interleaving of two processes, as the model checker loom goes through them, with up to N
        preemptions of a thread (default 5: seconds; 3: less than one; 10: minutes).

    cargo xtask miri [--seeds N]
        The rings over heap memory under Miri, which reports undefined behaviour; then two threads on
        one ring under N schedules (default 64: about ten minutes).

    cargo xtask fuzz [--minutes N | --seconds N] [TARGET...]
        Coverage-guided fuzzing, each target (default: all in fuzz/) for N minutes (default 10). What
        was found before, in fuzz/regressions/, is tried first.

    cargo xtask mutants [--preemptions N] [BUG...]
        Plants each bug of crates/ringway-core/src/planted.rs (default: all; about two minutes), and runs
        the check that is meant to find it: it has to pass without the bug, and to fail with it. What
        hangs with it for 30 seconds, and for 20 times as long as the check takes without, has failed.
        Interleavings have up to N preemptions (default 3).

What is missing (Miri, cargo-fuzz) is installed. The nightly toolchain must be there for both.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "loom" => loom::run(rest),
            "miri" => miri::run(rest),
            "fuzz" => fuzz::run(rest),
            "mutants" => mutants::run(rest),
            "help" | "--help" | "-h" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => Err(format!("there is no command {other}\n\n{USAGE}")),
        },
        None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
