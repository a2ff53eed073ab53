//! The command `ringway`: rings from the shell.

mod attach;
mod bench;
mod cleanup;
mod cli;
mod cores;
mod create;
mod demo;
mod doctor;
mod failure;
mod framing;
mod gc;
mod inspect;
mod latency;
mod output;
mod payload;
mod progress;
mod recv;
mod rm;
mod send;
mod transport;
mod units;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Recv(args) => recv::run(&args),
        Command::Ls(args) => inspect::ls(&args),
        Command::Stat(args) => inspect::stat(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Gc(args) => gc::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::BenchWorker(args) => bench::worker::run(&args),
        Command::DemoWorker(args) => demo::worker::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
