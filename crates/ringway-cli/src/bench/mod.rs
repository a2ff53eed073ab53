//! `ringway bench`: a ring against the raw limit, in short bursts in turn.

mod raw;
mod report;
pub(crate) mod worker;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use nix::sys::memfd::{MFdFlags, memfd_create};
use ringway::{Address, Builder, Channel, SyncKind};

use self::raw::Shape;
use self::worker::Ends;
use crate::attach::{self, reply_address};
use crate::cleanup::Cleanup;
use crate::cli::BenchArgs;
use crate::cli::shape::refuse_capacity_of_queue;
use crate::failure::Failure;
use crate::transport::{call, receive_all};
use crate::{cores, latency, progress};

/// Bytes for messages in a ring, if nothing else is asked for.
const CAPACITY: u64 = 4 << 20;

/// What was measured with messages of one size.
struct Measured {
    size: usize,
    one_way: OneWay,
    round_trip: RoundTrip,
}

/// Messages a second, one number a round.
#[derive(Default)]
struct OneWay {
    ring: Vec<f64>,
    raw: Vec<f64>,
}

/// Nanoseconds: all trips, and the median of each round.
struct RoundTrip {
    ring: Histogram<u64>,
    raw: Histogram<u64>,
    ring_medians: Vec<f64>,
    raw_medians: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Ring,
    Raw,
}

/// Runs the bench and shows the results.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let there = address(args);
    args.trial.kind.refuse_at_queue(&there)?;
    args.trial.kind.refuse_broadcast("bench")?;
    args.trial.kind.refuse_without_effect(false)?;
    if args.capacity.is_some() {
        refuse_capacity_of_queue(&there)?;
    }
    let cores = cores::pair();
    if let Some([first, _]) = cores {
        cores::pin(first);
    }
    let steps = u64::from(args.rounds) * args.size.len() as u64;
    let bar = progress::bar(args.trial.quiet, steps);
    let cleanup = Cleanup::new()?;
    let there = cleanup.choose(builder(args, there))?;
    let mut results = Vec::new();
    for size in &args.size {
        bar.set_message(format!("{size} B"));
        results.push(measure(args, &there, *size, cores, &bar, &cleanup)?);
    }
    bar.finish_and_clear();
    report::show(args, &there, cores, &results)
}

fn measure(
    args: &BenchArgs,
    there: &Address,
    size: usize,
    cores: Option<[usize; 2]>,
    bar: &ProgressBar,
    cleanup: &Cleanup,
) -> Result<Measured, Failure> {
    let mut pair = Pair::start(args, there, size, cores, cleanup)?;
    let mut one_way = OneWay::default();
    let mut round_trip = RoundTrip {
        ring: latency::histogram(),
        raw: latency::histogram(),
        ring_medians: Vec::new(),
        raw_medians: Vec::new(),
    };
    let counts = [
        pair.calibrate(Via::Ring, args.burst)?,
        pair.calibrate(Via::Raw, args.burst)?,
    ];
    for round in 0..args.rounds {
        // Whoever goes first may find the machine otherwise than who goes second.
        let order = if round % 2 == 0 {
            [Via::Ring, Via::Raw]
        } else {
            [Via::Raw, Via::Ring]
        };
        for via in order {
            let (messages, trips) = counts[via as usize];
            let rate = pair.one_way(via, messages)?;
            let histogram = pair.round_trips(via, trips)?;
            let median = histogram.value_at_quantile(0.5) as f64;
            let (rates, all, medians) = match via {
                Via::Ring => (
                    &mut one_way.ring,
                    &mut round_trip.ring,
                    &mut round_trip.ring_medians,
                ),
                Via::Raw => (
                    &mut one_way.raw,
                    &mut round_trip.raw,
                    &mut round_trip.raw_medians,
                ),
            };
            rates.push(rate);
            medians.push(median);
            all.add(&histogram).map_err(Failure::error)?;
        }
        bar.inc(1);
    }
    pair.finish(cleanup)?;
    Ok(Measured {
        size,
        one_way,
        round_trip,
    })
}

/// Where a ring or a queue is made: without a name, so that nothing can stay behind, unless what it synchronises
/// by has one.
fn address(args: &BenchArgs) -> Address {
    match (&args.address, args.trial.kind.sync()) {
        (Some(address), _) => address.clone(),
        (None, SyncKind::SysvSem | SyncKind::Mqueue) => {
            Address::Shm(format!("ringway-bench-{}", std::process::id()))
        }
        (None, _) => Address::Memfd,
    }
}

/// A ring as it was asked for.
fn builder(args: &BenchArgs, address: Address) -> Builder {
    // How much a queue holds is the kernel's affair.
    let is_queue = matches!(address, Address::Mq(_) | Address::Sysvmq(_));
    let builder = Builder::at(address);
    args.trial.kind.apply(match is_queue {
        true => builder,
        false => builder.capacity(args.capacity.unwrap_or(CAPACITY)),
    })
}

/// This process and the other, with everything open between them.
struct Pair {
    child: Child,
    socket: UnixStream,
    ends: Ends,
    channels: [Channel; 2],
    message: Vec<u8>,
}

impl Pair {
    fn start(
        args: &BenchArgs,
        there: &Address,
        size: usize,
        cores: Option<[usize; 2]>,
        cleanup: &Cleanup,
    ) -> Result<Self, Failure> {
        let create = |address| cleanup.create(builder(args, address));
        let channels = [create(there.clone())?, create(reply_address(there))?];
        let [there, back] = &channels;
        let max = there.max_message_len();
        if size as u64 > max {
            return Err(Failure::error(format_args!(
                "{} carries messages of up to {max} bytes: choose a larger --capacity or --slabs, \
                 or a shorter --size",
                there.address()
            )));
        }
        let raw = memfd_create("ringway-bench", MFdFlags::MFD_CLOEXEC).map_err(Failure::error)?;
        let mut raw = File::from(raw);
        // Written, not only sized, so that no burst pays for page faults.
        raw.write_all(&vec![0; 2 * Shape::new(size).len()])
            .map_err(Failure::error)?;
        let ends = Ends::new(
            [there, back],
            &raw,
            size,
            args.wait_strategy,
            &args.trial.copy,
            true,
        )?;

        let (mut socket, theirs) = UnixStream::pair().map_err(Failure::error)?;
        let mut command = Command::new(std::env::current_exe().map_err(Failure::error)?);
        let strategy = args.wait_strategy.to_possible_value();
        let strategy = strategy
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        command.args([
            "bench-worker",
            "--size",
            &size.to_string(),
            "--wait-strategy",
            &strategy,
        ]);
        command.args(args.trial.copy.words());
        if let Some([_, second]) = cores {
            command.args(["--core", &second.to_string()]);
        }
        command.args(channels.iter().map(|channel| channel.address().to_string()));
        let child = command
            .stdin(OwnedFd::from(theirs))
            .stdout(raw)
            .spawn()
            .map_err(|error| Failure::error(format_args!("cannot start a worker: {error}")))?;
        // What `command` holds of the other end would keep the socket open after a death.
        drop(command);
        attach::hand_over_all(&channels, &socket)?;
        // Its answer: all is open.
        socket
            .read_exact(&mut [0])
            .map_err(|_| Failure::error("the other process did not start"))?;
        Ok(Self {
            child,
            socket,
            ends,
            channels,
            message: vec![0; size],
        })
    }

    fn order(&mut self, via: Via, work: &str, count: u64) -> Result<(), Failure> {
        let via = match via {
            Via::Ring => "ring",
            Via::Raw => "raw",
        };
        self.socket
            .write_all(format!("{via} {work} {count}\n").as_bytes())
            .map_err(Failure::error)
    }

    /// Receives so many messages, and tells how many came a second.
    fn one_way(&mut self, via: Via, messages: u64) -> Result<f64, Failure> {
        self.order(via, "one-way", messages)?;
        let message = &mut self.message;
        let first = match via {
            Via::Ring => receive_all(&mut self.ends.ring.1, messages, message),
            Via::Raw => receive_all(&mut self.ends.raw.1, messages, message),
        }?;
        Ok((messages - 1) as f64 / first.elapsed().as_secs_f64().max(1e-9))
    }

    fn round_trips(&mut self, via: Via, trips: u64) -> Result<Histogram<u64>, Failure> {
        let mut histogram = latency::histogram();
        self.order(via, "round-trip", trips)?;
        let (message, record) = (&mut self.message, |ns| histogram.saturating_record(ns));
        match via {
            Via::Ring => {
                let (out, into) = &mut self.ends.ring;
                call(out, into, trips, message, record)
            }
            Via::Raw => {
                let (out, into) = &mut self.ends.raw;
                call(out, into, trips, message, record)
            }
        }?;
        Ok(histogram)
    }

    /// How many messages and how many round trips take about as long as a burst.
    fn calibrate(&mut self, via: Via, burst: Duration) -> Result<(u64, u64), Failure> {
        let messages = fit(burst, |count| self.one_way(via, count).map(drop))?;
        let trips = fit(burst, |count| self.round_trips(via, count).map(drop))?;
        Ok((messages, trips))
    }

    fn finish(self, cleanup: &Cleanup) -> Result<(), Failure> {
        let Self {
            mut child,
            socket,
            channels,
            ..
        } = self;
        // The end of the orders is the end of the other process.
        drop(socket);
        let status = child.wait().map_err(Failure::error)?;
        for channel in &channels {
            cleanup.remove(channel.address());
        }
        if status.success() {
            Ok(())
        } else {
            Err(Failure::error(format_args!(
                "the other process ended with {status}"
            )))
        }
    }
}

/// How many pieces of `work` take about as long as a burst; two at least.
fn fit(burst: Duration, mut work: impl FnMut(u64) -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut count = 64;
    loop {
        let started = Instant::now();
        work(count)?;
        let elapsed = started.elapsed();
        if elapsed >= burst / 2 || count > 1 << 32 {
            let share = burst.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            return Ok(((count as f64 * share) as u64).max(2));
        }
        count *= 2;
    }
}
