//! The command line: its words, and the help that goes with them.

mod board;
mod join;
mod log;
mod metrics;
mod pages;
mod plan;
mod service;
pub(crate) mod shape;
pub(crate) mod slabs;
mod spool;
pub(crate) mod subscription;
mod tap;
mod top;
mod transfer;
mod trial;
mod upkeep;
mod work;
mod worker;

use clap::{ArgAction, Parser, Subcommand};
use ringway::Address;

pub(crate) use self::board::{BoardArgs, GetArgs, SetArgs, WatchArgs};
pub(crate) use self::join::JoinArgs;
pub(crate) use self::log::{RecordArgs, ReplayArgs, Speed, Target, WriteLogArgs};
pub(crate) use self::metrics::MetricsArgs;
pub(crate) use self::pages::{CompletionsArgs, ManArgs};
pub(crate) use self::plan::{Plan, PlanBacking, PlanKind};
pub(crate) use self::service::{CallArgs, ServeArgs};
pub(crate) use self::spool::{Order, SpoolArgs};
pub(crate) use self::tap::TapArgs;
pub(crate) use self::top::{TopArgs, TopBy};
pub(crate) use self::transfer::{HowArgs, IntakeArgs, PlaceArgs, RecvArgs, SendArgs};
pub(crate) use self::trial::{BenchArgs, DemoArgs};
pub(crate) use self::upkeep::{
    By, CreateArgs, DoctorArgs, ForgetArgs, GcArgs, LsArgs, RmArgs, StatArgs,
};
pub(crate) use self::work::{TaskArgs, WorkArgs};
pub(crate) use self::worker::{BenchWorkerArgs, DemoWorkerArgs, Strategy, WorkerRole};

/// Messages between processes on this machine, through shared memory.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, arg_required_else_help = true, after_help = OVERVIEW)]
pub(crate) struct Cli {
    /// Tell on standard error what happens: what is made, removed and repaired, and who dies; twice, also who comes and goes; three times, all
    ///
    /// Without it the variable RUST_LOG says what is told, such as ringway=info or ringway::peer=debug.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const OVERVIEW: &str = "\
Addresses:
  shm:NAME          POSIX shared memory, /dev/shm/NAME
  file:PATH         a memory-mapped file; outlives every process and a reboot
  sysv:0xKEY        a System V segment; also sysv:PATH#ID (ftok), sysv:id=SHMID
  memfd:            anonymous memory (for demo and bench only: it has no name to find it by)
  mq:/NAME          a POSIX message queue: short messages, many senders, one receiver
  sysvmq:0xKEY      a System V message queue; also sysvmq:PATH#ID (ftok)
  auto:NAME         shm:NAME where shared memory can be had, else mq:/NAME
  log:DIR           a durable log: a directory of files; one writes, any number read

Exit status:
  0  done
  1  a negative answer: nothing there, timed out, too few, the peer died before it closed
  2  an error; standard output that is closed or full is one
  128 and more, as a shell shows it: a signal ended it

Try it:
  ringway demo
  seq 1000000 | ringway send shm:numbers --create &
  ringway recv shm:numbers --wait 5s --unlink | tail -1
  ringway set shm:car speed 50; ringway get shm:car speed
  ringway serve shm:upper -- tr a-z A-Z & ringway call shm:upper hello --wait 5s
  ringway doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Create(CreateArgs),
    Send(SendArgs),
    Recv(RecvArgs),
    Record(RecordArgs),
    Replay(ReplayArgs),
    Work(WorkArgs),
    Spool(SpoolArgs),
    Join(JoinArgs),
    Set(SetArgs),
    Get(GetArgs),
    Watch(WatchArgs),
    Serve(ServeArgs),
    Call(CallArgs),
    Ls(LsArgs),
    Stat(StatArgs),
    Tap(TapArgs),
    Top(TopArgs),
    Metrics(MetricsArgs),
    Forget(ForgetArgs),
    Rm(RmArgs),
    Gc(GcArgs),
    Doctor(DoctorArgs),
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    /// Write the pages of the manual
    #[command(hide = true)]
    ManPages(ManArgs),
    /// The other process of a bench
    #[command(hide = true)]
    BenchWorker(BenchWorkerArgs),
    /// One of the two processes of a demo
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
}

/// Parses an address; clap puts the argument's name before the error.
fn address(text: &str) -> Result<Address, ringway::Error> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_words_are_in_each_others_way() {
        Cli::command().debug_assert();
    }
}
