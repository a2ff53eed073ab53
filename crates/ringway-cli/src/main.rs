//! The command `ringway`: rings from the shell.

// What these macros do when nobody listens is to panic.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod attach;
mod bench;
mod board;
mod call;
mod cleanup;
mod cli;
mod cores;
mod create;
mod demo;
mod descriptors;
mod doctor;
mod endpoint;
mod failure;
mod foreign;
mod forget;
mod framing;
mod gc;
mod inspect;
mod join;
mod latency;
mod listen;
mod log;
mod metrics;
mod observe;
mod output;
mod pages;
mod payload;
mod progress;
mod record;
mod recv;
mod replay;
mod rm;
mod say;
mod send;
mod serve;
mod signals;
mod spool;
mod tap;
mod top;
mod transport;
mod units;
mod work;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            listen::listen(cli.verbose);
            report(run(cli.command))
        }
        Err(text) if text.use_stderr() => {
            say::write(&rendered(&text, io::stderr().is_terminal()));
            ExitCode::from(2)
        }
        Err(text) => report(output::print(&rendered(&text, io::stdout().is_terminal()))),
    }
}

fn report(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help, or what is wrong with the words.
fn rendered(text: &clap::Error, in_colour: bool) -> String {
    match in_colour {
        true => text.render().ansi().to_string(),
        false => text.render().to_string(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    if writes(&command) {
        // Before anything is made, received or removed of which nobody would learn.
        descriptors::require_output()?;
    }
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Recv(args) if args.ack_after.is_some() => work::run_after(&args),
        Command::Recv(args) => recv::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Work(args) => work::run(&args),
        Command::Spool(args) => spool::run(&args),
        Command::Join(args) => join::run(&args),
        Command::Set(args) => board::set(&args),
        Command::Get(args) => board::get(&args),
        Command::Watch(args) => board::watch(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Call(args) => call::run(&args),
        Command::Ls(args) => inspect::ls(&args),
        Command::Stat(args) => inspect::stat(&args),
        Command::Tap(args) => tap::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Gc(args) => gc::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => pages::completions(&args),
        Command::ManPages(args) => pages::manual(&args),
        Command::BenchWorker(args) => bench::worker::run(&args),
        Command::DemoWorker(args) => demo::worker::run(&args),
    }
}

/// Whether a command has something for standard output.
fn writes(command: &Command) -> bool {
    if let Command::Metrics(args) = command {
        return args.listen.is_none() && args.textfile.is_none();
    }
    !matches!(
        command,
        Command::Send(_)
            | Command::Record(_)
            | Command::Set(_)
            | Command::Spool(_)
            | Command::Join(_)
            | Command::Serve(_)
            | Command::Forget(_)
            | Command::Rm(_)
            | Command::ManPages(_)
            | Command::BenchWorker(_)
            | Command::DemoWorker(_)
    )
}
