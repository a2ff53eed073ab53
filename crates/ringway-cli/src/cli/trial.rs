//! Trials of a ring that is made for them: `demo` and `bench`.

use std::time::Duration;

use clap::Args;
use ringway::Address;

use super::address;
use super::shape::{KindArgs, only_with_slabs};
use super::slabs::CopyArgs;
use super::worker::Strategy;
use crate::units;

/// What `demo` and `bench` have in common.
#[derive(Args, Debug)]
#[command(mut_args(only_with_slabs))]
pub(crate) struct TrialArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    #[command(flatten)]
    pub(crate) kind: KindArgs,

    /// Write an object as JSON
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Show what a ring does, beside a pipe and a Unix socket
///
/// Starts a producer and a consumer process, pinned to different cores, and measures how many messages
/// a second go one way and how long a round trip takes; then the same work over a pipe and a Unix
/// socket. The three take turns. Nothing is left behind.
///
/// With several producers or consumers it shows the ring alone, one way: that every message arrives at
/// one consumer, once, each producer's in order.
#[derive(Args, Debug)]
#[command(after_help = DEMO_HELP)]
pub(crate) struct DemoArgs {
    /// Where to make the ring, or which queue to use [default: shm:ringway-demo-PID]
    #[arg(long, value_parser = address)]
    pub(crate) address: Option<Address>,

    /// How many messages to send one way (and a fiftieth as many round trips)
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,

    /// Bytes of a message, such as 64 or 4K
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = message_size)]
    pub(crate) size: usize,

    /// How many processes send [default: 2 where the kind has many, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) senders: Option<u32>,

    /// How many processes receive [default: 2 where the kind has many, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) receivers: Option<u32>,

    #[command(flatten)]
    pub(crate) trial: TrialArgs,
}

const DEMO_HELP: &str = "\
Exit status:
  0  done: every message arrived once, in order, byte for byte
  2  an error, or a message was not as it should be

Examples:
  ringway demo
  ringway demo --kind mpmc --senders 4 --receivers 3
  ringway demo --kind mpsc --sync posix-sem
  ringway demo --address memfd: --size 1K
  ringway demo --size 1M --slabs 1Mx8 --messages 2000
  ringway demo --json | jq '.transports[] | {name, p99: .round_trip_ns.p99}'";

/// Measure a ring or a queue against the raw limit of this machine
///
/// Two processes, pinned to different cores, work over a ring and over a hand-laid slot ring that does
/// nothing but the transport, in short bursts in turn. On a machine whose speed changes from moment to
/// moment the ratio of two neighbouring bursts still means something; it is given as the median of all
/// rounds, with the tenth and the ninetieth percentile. Every message is checked.
#[derive(Args, Debug)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct BenchArgs {
    /// Bytes of a message; several may be given
    #[arg(short, long, value_name = "SIZE", value_delimiter = ',', default_value = "8,64,256",
          value_parser = message_size)]
    pub(crate) size: Vec<usize>,

    /// Where to make the ring, or which queue to use [default: memfd:]
    #[arg(long, value_parser = address)]
    pub(crate) address: Option<Address>,

    /// How rings wait: the raw limit for spin and adaptive spins, for park it is a bare futex
    #[arg(long, value_name = "STRATEGY", value_enum, default_value = "spin")]
    pub(crate) wait_strategy: Strategy,

    /// How often each has its turn
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// About how long a turn is
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = units::duration)]
    pub(crate) burst: Duration,

    /// Bytes for messages in the ring [default: 4M]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) capacity: Option<u64>,

    #[command(flatten)]
    pub(crate) trial: TrialArgs,
}

const BENCH_HELP: &str = "\
Exit status:
  0  done
  2  an error, or a message was not as it should be

Examples:
  ringway bench
  ringway bench --size 64,4K --wait-strategy park
  ringway bench --kind mpmc --sync pthread
  ringway bench --size 256K,1M --slabs 1Mx8
  ringway bench --address mq:/bench --wait-strategy park
  ringway bench --json | jq '.sizes[] | [.size_bytes, .one_way.ratio.median]'";

fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)?.try_into() {
        Ok(0) => Err("a message that is to be checked has a byte at least".to_owned()),
        size => size.map_err(|_| "that is more than this machine can address".to_owned()),
    }
}
