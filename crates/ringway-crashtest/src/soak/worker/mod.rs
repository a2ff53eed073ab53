//! The processes that use the rings, and are killed.

mod auditor;
pub(super) mod board;
mod consumer;
mod listener;
mod producer;

use std::os::fd::RawFd;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid, fork};
use ringway::{Builder, Error, ErrorKind, Receiver, RecvError, Ring, WaitStrategy};
use ringway_testing::messages::Random;
use serde::{Deserialize, Serialize};

use super::journal::{Journal, Journals, Order, Step};
pub(super) use listener::Ear;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Part {
    Produce,
    Consume,
    /// Closes the ring in the place of a producer, so that consumers come to an end.
    Close,
    /// Takes what is left, and looks whether the ring is whole.
    Audit,
    /// Receives from a broadcast ring.
    Listen(Ear),
    /// Writes an entry of a board.
    Set(u32),
    /// Reads an entry of a board.
    Look(u32),
    /// Reads whatever changes on a board.
    Watch,
}

/// All that a worker is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) part: Part,
    pub(super) address: String,
    /// As what it signs its messages.
    pub(super) name: u32,
    pub(super) seed: u64,
    /// The index of its journal.
    pub(super) journal: usize,
    /// Whether all who had its place before are known to be dead.
    pub(super) place_is_free: bool,
    /// For an auditor.
    pub(super) fresh: Fresh,
}

/// What a ring is like when it is new.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Fresh {
    /// Places for producers.
    pub(super) producers: usize,
    /// Places for consumers.
    pub(super) consumers: usize,
    /// Messages of no bytes that it can hold.
    pub(super) messages: u64,
}

/// How a worker is started that is a program of its own.
#[derive(Args)]
pub(crate) struct Options {
    /// The descriptor of the journals
    #[arg(long)]
    journals: Option<RawFd>,
    /// What to do; nothing, if it is what a worker has become by exec
    #[arg(long)]
    task: Option<String>,
}

/// The arguments of a worker that is a program of its own.
pub(super) fn arguments(task: &Task, journals: &Journals) -> Result<Vec<String>, String> {
    let task = serde_json::to_string(task).map_err(|error| error.to_string())?;
    let journals = journals.descriptor().to_string();
    Ok([
        "crashtest",
        "play",
        "worker",
        "--journals",
        &journals,
        "--task",
        &task,
    ]
    .map(str::to_owned)
    .to_vec())
}

/// A worker that is a program of its own.
pub(crate) fn play(options: Options) -> Result<(), String> {
    let (Some(descriptor), Some(task)) = (options.journals, options.task) else {
        loop {
            nix::unistd::pause();
        }
    };
    let journals = Journals::inherit(descriptor)?;
    let task: Task = serde_json::from_str(&task).map_err(|error| error.to_string())?;
    let journal = journals.at(task.journal);
    perform(&task, journal).inspect_err(|problem| journal.report(problem))
}

/// Does what a worker is there for. What goes wrong is for its journal.
pub(super) fn perform(task: &Task, journal: &Journal) -> Result<(), String> {
    journal.begin(Step::Attaching);
    let address = task.address.parse().map_err(failed)?;
    if let Part::Set(_) | Part::Look(_) | Part::Watch = task.part {
        let board = ringway::board::Builder::at(address)
            .open()
            .map_err(failed)?;
        return match task.part {
            Part::Set(entry) => board::set(&board, entry, task, journal),
            Part::Look(entry) => board::look(&board, entry, task, journal),
            _ => board::watch(&board, task, journal),
        };
    }
    let ring = Builder::at(address).open().map_err(failed)?;
    match task.part {
        Part::Produce => producer::Producer::attach(ring, task, journal)?.work(),
        Part::Consume => consumer::Consumer::attach(ring, task, journal)?.work(),
        Part::Close => {
            ring.sender().map_err(failed)?.close();
            Ok(())
        }
        Part::Listen(ear) => listener::Listener::attach(ring, ear, task, journal)?.work(),
        Part::Audit => auditor::audit(&ring, task, journal),
        Part::Set(_) | Part::Look(_) | Part::Watch => Ok(()),
    }
}

fn failed(error: Error) -> String {
    error.to_string()
}

/// Takes a place, waiting for it if one that has been killed may have it yet.
fn take_place<T>(
    place_is_free: bool,
    mut attach: impl FnMut() -> Result<T, Error>,
) -> Result<T, String> {
    loop {
        match attach() {
            Err(error) if !place_is_free && matches!(error.kind(), ErrorKind::RoleTaken { .. }) => {
                std::thread::sleep(Duration::from_micros(100));
            }
            outcome => return outcome.map_err(failed),
        }
    }
}

fn some_wait(random: &mut Random) -> WaitStrategy {
    match random.below(8) {
        0..3 => WaitStrategy::Park,
        3 => WaitStrategy::Spin,
        most => WaitStrategy::Adaptive(Duration::from_micros(most * 10)),
    }
}

/// What producers and consumers do besides. Whether to go on.
fn rest(journal: &Journal, random: &mut Random) -> bool {
    loop {
        match journal.order() {
            Order::Work => break,
            Order::Hush => {
                journal.begin(Step::Resting);
                std::thread::sleep(Duration::from_micros(300));
            }
            Order::Stop => return false,
        }
    }
    if random.below(200) == 0 {
        journal.begin(Step::Resting);
        std::thread::sleep(Duration::from_micros(random.below(500)));
    }
    true
}

/// Whether a worker is due to do something rare to itself; what, is up to it.
fn is_due(random: &mut Random, one_in: u64) -> bool {
    random.below(one_in) == 0
}

/// A child that does not do anything in the ring, and lives a while: perhaps longer than its parent, whose
/// death must be seen all the same. `uses` is what the child tries, which must be refused.
fn fork_bystander(
    journal: &Journal,
    random: &mut Random,
    uses: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let time = Duration::from_micros(random.below(20_000));
    // SAFETY: the child only looks at words, sleeps and ends. It runs no destructor.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { .. }) => Ok(()),
        Ok(ForkResult::Child) => {
            if let Err(problem) = uses() {
                journal.report(&problem);
            }
            std::thread::sleep(time);
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(0) };
        }
        Err(errno) => Err(format!("cannot fork: {errno}")),
    }
}

/// The same of one that receives.
fn fork_listener(
    journal: &Journal,
    random: &mut Random,
    receiver: Option<&mut Receiver>,
) -> Result<(), String> {
    fork_bystander(journal, random, || {
        match receiver.map(|receiver| receiver.try_recv_into(&mut [])) {
            Some(Err(RecvError::Forked)) => Ok(()),
            other => Err(format!("a forked child receives: {other:?}")),
        }
    })
}

/// Calls exec in the middle of it all, which is a death to the ring.
fn execute(journal: &Journal) -> Result<(), String> {
    journal.begin(Step::Executing);
    let arguments = [c"crashtest", c"play", c"worker"];
    let errno = nix::unistd::execv(c"/proc/self/exe", &arguments);
    Err(format!("cannot execute itself: {errno:?}"))
}

/// What every worker needs: it ends with the coordinator, and not by what is typed at it.
pub(super) fn prepare(coordinator: Option<Pid>) {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if coordinator.is_some_and(|coordinator| nix::unistd::getppid() != coordinator) {
        // SAFETY: ends the process, and nothing else.
        unsafe { libc::_exit(0) };
    }
    for (which, handler) in [
        (Signal::SIGINT, SigHandler::SigIgn),
        (Signal::SIGTERM, SigHandler::SigIgn),
        // Children are not waited for.
        (Signal::SIGCHLD, SigHandler::SigIgn),
        (Signal::SIGALRM, SigHandler::SigDfl),
    ] {
        // SAFETY: no handler of ours.
        let _ = unsafe { signal(which, handler) };
    }
}

/// The longest message, in bytes.
fn max_message(ring: &Ring) -> usize {
    ring.max_message_len() as usize
}
