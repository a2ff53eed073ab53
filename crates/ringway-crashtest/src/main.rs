//! What SIGKILL and SIGSTOP do to the users of a ring, at every instruction and for hours, what a peer does that
//! writes garbage, and how many instructions a message costs. Run by `cargo xtask kill-matrix`, `cargo xtask board-matrix`, `cargo xtask broadcast-matrix`, `cargo xtask call-matrix`, `cargo xtask log-matrix`,
//! `cargo xtask death-latency`, `cargo xtask soak`, `cargo xtask scribble` and `cargo xtask instructions`.

use std::process::ExitCode;

use clap::Parser;

mod boards;
mod broadcasts;
mod calls;
mod instructions;
mod latency;
mod logs;
mod matrix;
mod scribble;
mod soak;
mod sweep;
mod trace;

/// Kills participants of ringway rings, and judges what is left
#[derive(Parser)]
enum Command {
    /// Kills, or freezes, a process at each instruction of each operation
    Matrix(matrix::Options),
    /// The same of boards
    Boards(sweep::Options),
    /// The same of broadcast rings
    Broadcasts(sweep::Options),
    /// The same of services
    Calls(sweep::Options),
    /// The same of logs
    Logs(sweep::Options),
    /// Measures the time from SIGKILL to the survivor's next successful operation
    Latency(latency::Options),
    /// Many processes under random SIGKILL and SIGSTOP, audited at the end
    Soak(soak::Options),
    /// A peer writes garbage all over rings that others work on
    Scribble(scribble::Options),
    /// Counts the instructions of the usual operations
    Instructions(instructions::Options),
    /// One of the processes that the others start
    #[command(hide = true, subcommand)]
    Play(Part),
}

/// What a started process is.
#[derive(Parser)]
enum Part {
    /// Who is stepped and killed
    Victim(matrix::VictimOptions),
    /// The same of a board
    BoardVictim(boards::VictimOptions),
    /// The same of a broadcast ring
    BroadcastVictim(broadcasts::VictimOptions),
    /// The same of a service
    CallVictim(calls::VictimOptions),
    /// The same of a log
    LogVictim(logs::VictimOptions),
    /// Who dies in `latency`
    Dying(latency::DyingOptions),
    /// A producer or a consumer of `soak`
    Worker(soak::WorkerOptions),
    /// Who works in `scribble`
    Scribbled(scribble::WorkerOptions),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Matrix(options) => matrix::run(options),
        Command::Boards(options) => boards::run(&options),
        Command::Broadcasts(options) => broadcasts::run(&options),
        Command::Calls(options) => calls::run(&options),
        Command::Logs(options) => logs::run(&options),
        Command::Latency(options) => latency::run(options),
        Command::Soak(options) => soak::run(options),
        Command::Scribble(options) => scribble::run(options),
        Command::Instructions(options) => instructions::run(options),
        Command::Play(Part::Victim(options)) => matrix::play_victim(options),
        Command::Play(Part::BoardVictim(options)) => boards::play_victim(options),
        Command::Play(Part::BroadcastVictim(options)) => broadcasts::play_victim(options),
        Command::Play(Part::CallVictim(options)) => calls::play_victim(options),
        Command::Play(Part::LogVictim(options)) => logs::play_victim(options),
        Command::Play(Part::Dying(options)) => latency::play_dying(options),
        Command::Play(Part::Worker(options)) => soak::play_worker(options),
        Command::Play(Part::Scribbled(options)) => scribble::play_worker(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
