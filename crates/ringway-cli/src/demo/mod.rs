//! `ringway demo`: two processes, a ring, and the same work over a pipe and a Unix socket beside it.

mod crowd;
mod report;
mod share;
pub(crate) mod worker;
mod workers;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use hdrhistogram::Histogram;
use ringway::peer::Role;
use ringway::{Address, Builder, Channel};

use self::worker::WorkerReport;
use crate::attach::reply_address;
use crate::cleanup::Cleanup;
use crate::cli::shape::KindArgs;
use crate::cli::slabs::CopyArgs;
use crate::cli::{DemoArgs, WorkerRole};
use crate::failure::Failure;
use crate::{cores, latency, progress};

/// Each transport has its turn so many times, so that a bad moment of the machine strikes all.
const ROUNDS: u64 = 5;

/// Until both workers are up.
const LEAD_NS: u64 = 25_000_000;

/// The contestants, in the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Ring,
    Pipe,
    Socket,
}

const CONTESTANTS: [Via; 3] = [Via::Ring, Via::Pipe, Via::Socket];

/// What one contestant did.
struct Results {
    via: Via,
    /// Messages a second one way, of each round, from the least.
    rates: Vec<f64>,
    round_trips: Histogram<u64>,
}

/// What is to be done in one turn.
struct Work {
    address: Address,
    kind: KindArgs,
    copy: CopyArgs,
    size: usize,
    one_way: u64,
    round_trips: u64,
    cores: Option<[usize; 2]>,
}

/// Runs the demo and shows the results.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let address = match &args.address {
        Some(address) => address.clone(),
        None => Address::Shm(format!("ringway-demo-{}", std::process::id())),
    };
    args.trial.kind.refuse_at_queue(&address)?;
    args.trial.kind.refuse_broadcast("demo")?;
    args.trial.kind.refuse_without_effect(false)?;
    let [senders, receivers] = processes(args)?;
    if senders > 1 || receivers > 1 {
        return crowd::run(args, address, senders, receivers);
    }
    let cleanup = Cleanup::new()?;
    let address = cleanup.choose(args.trial.kind.apply(Builder::at(address)))?;
    let per_round = args.messages.div_ceil(ROUNDS);
    let work = Work {
        address,
        kind: args.trial.kind.clone(),
        copy: args.trial.copy.clone(),
        size: args.size,
        one_way: per_round,
        // A round trip over a pipe takes as long as dozens of messages.
        round_trips: (per_round / 50).max(per_round.min(100)),
        cores: cores::pair(),
    };
    let bar = progress::bar(args.trial.quiet, ROUNDS * CONTESTANTS.len() as u64);
    let mut results = CONTESTANTS.map(|via| Results {
        via,
        rates: Vec::new(),
        round_trips: latency::histogram(),
    });
    for _ in 0..ROUNDS {
        for result in &mut results {
            bar.set_message(result.via.name());
            result.take_turn(&work, &cleanup)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    for result in &mut results {
        result.rates.sort_by(f64::total_cmp);
    }
    report::show(&work, &results, args.trial.json)
}

/// How many processes send and receive.
fn processes(args: &DemoArgs) -> Result<[u32; 2], Failure> {
    let kind = args.trial.kind.kind();
    let count = |role: Role, asked: Option<u32>| match (kind.allows_many(role), asked) {
        (true, None) => Ok(2),
        (false, None) => Ok(1),
        (false, Some(2..)) => Err(Failure::error(format_args!(
            "{} has one {}: choose a --kind that has many",
            kind.name(),
            role.name()
        ))),
        (_, Some(count)) => Ok(count),
    };
    Ok([
        count(Role::Producer, args.senders)?,
        count(Role::Consumer, args.receivers)?,
    ])
}

/// Here it can be said what to do; a worker could not.
fn refuse_too_long(channel: &Channel, size: usize) -> Result<(), Failure> {
    let max = channel.max_message_len();
    if size as u64 <= max {
        return Ok(());
    }
    Err(Failure::error(format_args!(
        "{} carries messages of up to {max} bytes: choose a shorter --size, or --slabs",
        channel.address()
    )))
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Socket => "unix socket",
        }
    }
}

impl Results {
    fn take_turn(&mut self, work: &Work, cleanup: &Cleanup) -> Result<(), Failure> {
        let one_way = [WorkerRole::Producer, WorkerRole::Consumer];
        let [_, consumer] = pair_up(self.via, work, work.one_way, one_way, cleanup)?;
        self.rates
            .push(work.one_way as f64 * 1e9 / consumer.elapsed_ns.max(1) as f64);
        let both_ways = [WorkerRole::Caller, WorkerRole::Answerer];
        let [caller, _] = pair_up(self.via, work, work.round_trips, both_ways, cleanup)?;
        for (ns, count) in caller.round_trips {
            self.round_trips.saturating_record_n(ns, count);
        }
        Ok(())
    }
}

/// Has two processes work with each other, and gives their reports.
fn pair_up(
    via: Via,
    work: &Work,
    messages: u64,
    roles: [WorkerRole; 2],
    cleanup: &Cleanup,
) -> Result<[WorkerReport; 2], Failure> {
    let start_ns = worker::now_ns()? + LEAD_NS;
    let mut first = workers::command(roles[0], messages, work.size, start_ns, &work.copy)?;
    let mut second = workers::command(roles[1], messages, work.size, start_ns, &work.copy)?;
    if let Some(cores) = work.cores {
        first.args(["--core", &cores[0].to_string()]);
        second.args(["--core", &cores[1].to_string()]);
    }
    // Held until the workers have ended: channels, their addresses, and what hands them over.
    let mut channels = Vec::new();
    let children = match via {
        Via::Ring => {
            let create = |address| cleanup.create(work.kind.apply(Builder::at(address)));
            let there = create(work.address.clone())?;
            refuse_too_long(&there, work.size)?;
            channels.push(there);
            if matches!(roles[0], WorkerRole::Caller) {
                channels.push(create(reply_address(&work.address))?);
            }
            [
                workers::start_on(&mut first, &channels)?,
                workers::start_on(&mut second, &channels)?,
            ]
        }
        Via::Pipe => {
            let (there, back) = (workers::pipe()?, workers::pipe()?);
            [
                workers::start(first, back.0, there.1)?,
                workers::start(second, there.0, back.1)?,
            ]
        }
        Via::Socket => {
            let (here, there) = UnixStream::pair().map_err(Failure::error)?;
            let twin = |socket: &UnixStream| socket.try_clone().map(OwnedFd::from);
            let (here2, there2) = (
                twin(&here).map_err(Failure::error)?,
                twin(&there).map_err(Failure::error)?,
            );
            [
                workers::start(first, here.into(), here2)?,
                workers::start(second, there.into(), there2)?,
            ]
        }
    };
    let reports = workers::reports(roles.into_iter().zip(children));
    for channel in &channels {
        cleanup.remove(channel.address());
    }
    reports?
        .try_into()
        .map_err(|_| Failure::error("there are two workers"))
}
