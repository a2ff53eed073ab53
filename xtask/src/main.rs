//! Checks of ringway that take their time, each with one command: `cargo xtask`.

use std::process::ExitCode;

mod api;
mod arguments;
mod book;
mod c;
mod compare;
mod crashtest;
mod deny;
mod dist;
mod fuzz;
mod gateway;
mod layers;
mod log;
mod loom;
mod miri;
mod mutants;
mod process;
mod python;
mod sbom;
mod survivors;

const USAGE: &str = "\
Checks of ringway that take their time. Defaults are for an unhurried run; CI takes less.

    cargo xtask layers
        Imports run one way: what uses a room that stands above it is told of with file and line. The order
        is in ARCHITECTURE.md, in the block `layers`.

    cargo xtask loom [--preemptions N]
        Every interleaving of two processes, as the model checker loom goes through them, with up to N
        preemptions of a thread (default 5: seconds; 3: less than one; 10: minutes).

    cargo xtask miri [--seeds N]
        The rings over heap memory under Miri, which reports undefined behaviour; then threads on one
        ring, of either shape, under N schedules (default 64: about a quarter of an hour).

    cargo xtask fuzz [--minutes N | --seconds N] [TARGET...]
        Coverage-guided fuzzing, each target (default: all in fuzz/) for N minutes (default 10). What
        was found before, in fuzz/regressions/, is tried first.

    cargo xtask mutants [--preemptions N] [BUG...]
        Applies each patch of mutants/, a bug on purpose (default: all), to a copy of the sources, and runs
        the checks that are meant to find it: they have to pass without the bug, and to fail with it. What
        hangs with it for 30 seconds, and for 10 times as long as the check takes without, has failed. A patch
        that does not apply, or with which the sources do not build, is an error.
        Interleavings have up to N preemptions (default 3).

    cargo xtask survivors [PART...] [--shard K/N]
        Makes each small change that cargo-mutants knows to parts of the code (chunk, mq, store, gc, stat,
        pool; default: all), one at a time, and runs the tests of that part. Prints the changes that no test
        noticed. Hours; a shard tries the K-th of N shares, K from 0.

    cargo xtask c-header [--check]
        Makes crates/ringway-capi/include/ringway.h of the sources, with cbindgen, or says whether it is as
        they say.

    cargo xtask c-install PREFIX
        Builds the libraries for C and C++, and puts them, their headers and ringway.pc below that folder.

    cargo xtask api [--bless] [PACKAGE...]
        Lists the public interface of each package that is published, and compares it with api/; --bless writes that.
        By cargo-public-api, which needs the nightly toolchain.

    cargo xtask deny
        Licences, versions and origins of all that is depended on, here and in the packages with lock files of their own, by
        cargo-deny and deny.toml; and known advisories, if their database can be had.

    cargo xtask dist [--check]
        Makes what goes onto other machines, in target/dist: the manual, completions for bash, zsh and fish, and a Debian package
        with the command, the libraries, their headers, units for systemd, and a bill of materials (CycloneDX). --check installs it in a root of its own, uses it
        there, and removes it.

    cargo xtask python [--times N] [TEST...]
        Builds the Python package in a fresh virtual environment, as users do, and runs its tests there (all
        of crates/ringway-python/tests, or these files), N times; of all, also the test of one ring with four
        languages. PYTHON says with which interpreter.

    cargo xtask gateway [--minutes N | --seconds N]
        Runs the tests of the gateway to NATS JetStream, with servers that they start themselves, also in network namespaces
        (for root). Told how long, only the one that kills and stops all that takes part at random, and counts every
        message. What is missing (nats-server, ip, openssl) is installed with apt-get.

    cargo xtask book [--no-commands | --figures | --hierarchy FIGURES]
        Builds the book in docs/ with mdBook (target/book), follows its links, has a browser look at each page, and
        types what it tells the reader to type. --figures makes the figures of their sources, and nothing else.

    cargo xtask kill-matrix [--only PART,...] [--fast] [--modes kill,freeze,recover] [--every N] [--jobs N]
        A process is stepped through each operation of each ring, in each state, and killed or frozen at
        each instruction; survivors and successors work on, and an oracle judges. Hours; --fast takes a few
        minutes.

    cargo xtask board-matrix [--only PART,...] [--fast]
        The same of boards: each operation on an entry, with a reader that sleeps and without.

    cargo xtask broadcast-matrix [--only PART,...] [--fast]
        The same of broadcast rings: with a consumer that blocks, asleep or awake, and one that is lossy.

    cargo xtask call-matrix [--only PART,...] [--fast]
        The same of services: what a server does with a call, and what a client does.

    cargo xtask log-matrix [--only PART,...] [--fast]
        The same of logs: what a writer does, within each write as well, and what a reader with a name does; and a writer
        that finds what a dead one left is killed in its turn.

    RINGWAY_SERVICE_SECONDS=600 cargo test --release --test services_at_random -- --nocapture
        Servers and clients of a service are killed and stopped at random for so long, and every call is
        answered once, or its caller told why not.

    cargo xtask death-latency [--kills N] [--rows PART,...] [--victims ...] [--fates ...] [--waits ...] [--json FILE]
        How long survivors wait: from just before SIGKILL to the return of the next operation that
        succeeds, over N kills in each case (default 2000), as p50, p99, p99.9 and maximum.

    RINGWAY_FROZEN_SECONDS=60 cargo test --release --test stopped_under_load
        One of several processes is stopped for so long while the others work, and nothing is lost.

    RINGWAY_TEST_MESSAGES=10000000 cargo test --release --test broadcast_of_millions -- --nocapture
        A broadcast to processes that are stopped, evicted, killed and started again by name, and late: what each got and missed
        is counted.

    cargo xtask soak [--minutes N] [--seed S] [--resume FILE] [--rows PART,...] [--rings N] [--hang SECONDS]
        Many processes on many rings and boards (4 at once) under random SIGKILL and SIGSTOP, for N minutes (default
        60). Every message is accounted for, every ring audited, and nobody may stand still for longer
        than that (default 60 s). With a FILE, the state is kept in it, also at Ctrl-C, and gone on from.

    cargo xtask scribble [--minutes N] [--seed S] [--rows PART,...]
        Garbage is written all over rings of every kind while processes work on them, for N minutes (default
        10): nobody may panic, be ended by a signal, take much memory, or come to no end.

    cargo xtask log-ordeal [--seeds N] [--first SEED]
        Durable logs on a simulated disk, N of them (default 20000: minutes), each through 60 lives of a writer: killed within any
        call, with power that takes any subset of what is not synced, syncs that fail, full disks. Prints counts.

    cargo xtask log-audit [--minutes N | --seconds N]
        A writer and two readers of a durable log under random SIGKILL, for N minutes (default 20), with each message accounted
        for. Prints counts. RINGWAY_LOG_AUDIT_DIR says where the log is.

    cargo xtask instructions [--bless | --only PART]
        Counts the instructions of the usual operations in a release build, by single steps, and compares them with
        benches/INSTRUCTIONS.md: a growth is an error. --bless writes that file; PART is of a row's name: 'stream, send'.

    cargo xtask compare [--quick] [--runs N] [--rounds N] [--pause SECONDS] [--no-aeron] [--build-only] [-- OPTION...]
        Runs benches/compare N times (default 5, of 15 rounds, 10 minutes apart; --quick: 2 of 5, at once), and writes
        docs/performance. On an idle machine. The OPTIONs are those of benches/compare.

What is missing (Miri, cargo-fuzz, cargo-mutants, cargo-deny, cargo-public-api, mdBook; CMake, libclang and headers for Aeron) is installed. The nightly toolchain must be there for both.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "gateway" => gateway::run(rest),
            "layers" => layers::run(rest),
            "loom" => loom::run(rest),
            "miri" => miri::run(rest),
            "fuzz" => fuzz::run(rest),
            "mutants" => mutants::run(rest),
            "survivors" => survivors::run(rest),
            "c-header" => c::header(rest),
            "c-install" => c::install(rest),
            "dist" => dist::run(rest),
            "api" => api::run(rest),
            "deny" => deny::run(rest),
            "python" => python::run(rest),
            "kill-matrix" => crashtest::run("matrix", rest),
            "board-matrix" => crashtest::run("boards", rest),
            "broadcast-matrix" => crashtest::run("broadcasts", rest),
            "call-matrix" => crashtest::run("calls", rest),
            "log-matrix" => crashtest::run("logs", rest),
            "death-latency" => crashtest::run("latency", rest),
            "soak" => crashtest::run("soak", rest),
            "scribble" => crashtest::run_checked("scribble", rest),
            "log-ordeal" => log::ordeal(rest),
            "log-audit" => log::audit(rest),
            "compare" => compare::run(rest),
            "book" => book::run(rest),
            "instructions" => crashtest::count_instructions(rest),
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
