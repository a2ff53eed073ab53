//! One of the processes of a demo: it sends or receives, checks every message, and reports.
//!
//! A worker's standard error carries its report, one line of JSON, if its status is 0; otherwise the
//! reason. Over a ring, standard input is a Unix socket by which `memfd:` rings are handed over. Over
//! anything else, standard input and output are the transport.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use ringway::channel::Carrier;
use ringway::{Channel, Ring};
use serde::{Deserialize, Serialize};

use super::share::{self, Share};
use crate::attach;
use crate::cli::{DemoWorkerArgs, WorkerRole};
use crate::failure::Failure;
use crate::transport::{Incoming, Outgoing, Stream, answer, call, receive_all, send_all};
use crate::{cores, latency};

/// What a worker found out.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct WorkerReport {
    /// From the common start to the last message.
    pub(crate) elapsed_ns: u64,
    /// Round trips: nanoseconds, and how many took so long.
    pub(crate) round_trips: Vec<(u64, u64)>,
    /// What one of several consumers received.
    pub(crate) share: Share,
}

/// Round trips before those that count: the first ones pay for page faults and cold caches.
pub(crate) const WARM_UP: u64 = 200;

/// Does the work and reports.
pub(crate) fn run(args: &DemoWorkerArgs) -> Result<(), Failure> {
    // If the parent is gone, nobody wants the result.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Failure::error)?;
    if let Some(core) = args.core {
        cores::pin(core);
    }
    let done = if args.channels.is_empty() {
        let (input, output) = (io::stdin(), io::stdout());
        let own = |fd: io::Result<_>| fd.map(File::from).map(Stream).map_err(Failure::error);
        let input = own(input.as_fd().try_clone_to_owned())?;
        let output = own(output.as_fd().try_clone_to_owned())?;
        work(args, || Ok(output), || Ok(input))?
    } else {
        let socket = io::stdin().as_fd().try_clone_to_owned();
        let socket = UnixStream::from(socket.map_err(Failure::error)?);
        let channels = attach::open_all(&args.channels, &socket)?;
        let there = channels
            .first()
            .ok_or_else(|| Failure::error("no address is given"))?;
        let back = channels.last().unwrap_or(there);
        let (outgoing, incoming) = match args.role {
            WorkerRole::OneOfProducers => return report(&share::send(ring(there)?, args)?),
            WorkerRole::OneOfConsumers => return report(&share::receive(ring(there)?, args)?),
            WorkerRole::Producer | WorkerRole::Caller => (there, back),
            WorkerRole::Consumer | WorkerRole::Answerer => (back, there),
        };
        let sender = || Ok(args.copy.apply(outgoing.sender()?));
        work(args, sender, || Ok(incoming.receiver()?))?
    };
    report(&done)
}

/// Who is one of several needs what only rings have.
fn ring(channel: &Channel) -> Result<&Ring, Failure> {
    match channel.carrier() {
        Carrier::Ring(ring) => Ok(ring),
        _ => Err(Failure::error(
            "a queue shows two processes only: leave out --kind, --senders and --receivers",
        )),
    }
}

fn report(done: &WorkerReport) -> Result<(), Failure> {
    let line = serde_json::to_string(done).map_err(Failure::error)?;
    writeln!(io::stderr(), "{line}").map_err(Failure::error)
}

fn work<O: Outgoing, I: Incoming>(
    args: &DemoWorkerArgs,
    outgoing: impl FnOnce() -> Result<O, Failure>,
    incoming: impl FnOnce() -> Result<I, Failure>,
) -> Result<WorkerReport, Failure> {
    let mut message = vec![0; args.size];
    let messages = args.messages;
    let mut report = WorkerReport::default();
    match args.role {
        WorkerRole::Producer => {
            let mut outgoing = outgoing()?;
            wait_for_start(args)?;
            send_all(&mut outgoing, messages, &mut message)?;
        }
        WorkerRole::Consumer => {
            let mut incoming = incoming()?;
            wait_for_start(args)?;
            receive_all(&mut incoming, messages, &mut message)?;
            report.elapsed_ns = now_ns()?.saturating_sub(args.start_ns);
        }
        WorkerRole::Caller => {
            let (mut outgoing, mut incoming) = (outgoing()?, incoming()?);
            wait_for_start(args)?;
            let mut histogram = latency::histogram();
            call(&mut outgoing, &mut incoming, WARM_UP, &mut message, |_| ())?;
            call(&mut outgoing, &mut incoming, messages, &mut message, |ns| {
                histogram.saturating_record(ns);
            })?;
            let counts = histogram.iter_recorded();
            report.round_trips = counts
                .map(|at| (at.value_iterated_to(), at.count_at_value()))
                .collect();
        }
        WorkerRole::Answerer => {
            let (mut outgoing, mut incoming) = (outgoing()?, incoming()?);
            wait_for_start(args)?;
            for trips in [WARM_UP, messages] {
                answer(&mut outgoing, &mut incoming, trips, &mut message)?;
            }
        }
        WorkerRole::OneOfProducers | WorkerRole::OneOfConsumers => {
            return Err(Failure::error("only a ring can be shared"));
        }
    }
    Ok(report)
}

/// All workers start at one instant, so that none measures how long the others took to come up.
pub(super) fn wait_for_start(args: &DemoWorkerArgs) -> Result<(), Failure> {
    let left = args.start_ns.saturating_sub(now_ns()?);
    std::thread::sleep(Duration::from_nanos(left));
    Ok(())
}

/// The monotonic clock.
pub(crate) fn now_ns() -> Result<u64, Failure> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(Failure::error)?;
    Ok(Duration::from(now).as_nanos() as u64)
}
