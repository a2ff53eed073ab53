//! The command line: its words, and the help that goes with them.

pub(crate) mod shape;
pub(crate) mod slabs;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ringway::Address;

use self::shape::{KindArgs, MakeArgs, only_with_create, only_with_slabs};
use self::slabs::CopyArgs;
use crate::bench::worker::{BenchWorkerArgs, Strategy};
use crate::demo::worker::WorkerArgs;
use crate::framing::Framing;
use crate::units;

/// Messages between processes on this machine, through shared memory.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, arg_required_else_help = true, after_help = OVERVIEW)]
pub(crate) struct Cli {
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

Exit status:
  0  done
  1  a negative answer: nothing there, timed out, the peer died before it closed
  2  an error

Try it:
  ringway demo
  seq 1000000 | ringway send shm:numbers --create &
  ringway recv shm:numbers --wait 5s --unlink | tail -1
  ringway doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Create(CreateArgs),
    Send(SendArgs),
    Recv(RecvArgs),
    Ls(LsArgs),
    Stat(StatArgs),
    Rm(RmArgs),
    Gc(GcArgs),
    Doctor(DoctorArgs),
    Bench(BenchArgs),
    /// The other process of a bench
    #[command(hide = true)]
    BenchWorker(BenchWorkerArgs),
    /// One of the two processes of a demo
    #[command(hide = true)]
    DemoWorker(WorkerArgs),
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
#[command(after_help = DEMO_HELP, mut_args(only_with_slabs))]
pub(crate) struct DemoArgs {
    /// Where to make the ring, or which queue to use [default: shm:ringway-demo-PID]
    #[arg(long, value_parser = address)]
    pub(crate) address: Option<Address>,

    /// How many messages to send one way (and a fiftieth as many round trips)
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,

    /// Bytes of a message, such as 64 or 4K
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = message_size)]
    pub(crate) size: usize,

    /// How many processes send [default: 2 where the kind has many, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) senders: Option<u32>,

    /// How many processes receive [default: 2 where the kind has many, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) receivers: Option<u32>,

    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    #[command(flatten)]
    pub(crate) kind: KindArgs,

    /// Write an object as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
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

/// Make a ring or a queue, and leave it for others
///
/// Writes its address to standard output: that of sysv:private is known only then, and which auto: is.
#[derive(Args, Debug)]
#[command(after_help = CREATE_HELP)]
pub(crate) struct CreateArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:private, mq:/NAME, sysvmq:0xKEY, auto:NAME
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

const CREATE_HELP: &str = "\
Exit status:
  0  made
  2  an error: something is there already, or there is no room

Examples:
  ringway create shm:jobs --kind mpmc
  ringway create file:/var/lib/log.ring --kind mpsc --overwrite --capacity 64M --mode 660
  ringway create sysv:private --kind spmc --sync sysv-sem
  ringway create shm:images --slabs 64Kx64 --slabs 16Mx8";

/// What `send` and `recv` have in common.
#[derive(Args, Debug)]
#[command(mut_args(only_with_create))]
pub(crate) struct RingArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:id=SHMID, mq:/NAME, sysvmq:0xKEY, auto:NAME
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Make the ring or the queue if nothing is there
    #[arg(long)]
    pub(crate) create: bool,

    /// Wait so long for it to appear
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,

    /// Use it even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    framing: FramingArgs,

    /// With --whole: refuse a message of more bytes
    #[arg(long, value_name = "SIZE", value_parser = units::size, requires = "whole",
          help_heading = A_MESSAGE_IS)]
    pub(crate) max_message: Option<u64>,

    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

impl RingArgs {
    /// What is a message.
    pub(crate) fn framing(&self) -> Framing {
        self.framing.choice()
    }
}

/// What a message is, in a stream of bytes.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct FramingArgs {
    /// A line, without its newline (the default)
    #[arg(long, help_heading = A_MESSAGE_IS)]
    lines: bool,

    /// A block of bytes, of whatever size they come in
    #[arg(long, help_heading = A_MESSAGE_IS)]
    raw: bool,

    /// Bytes with their length before them: 32 bits, little-endian
    #[arg(long, help_heading = A_MESSAGE_IS)]
    frames: bool,

    /// All, of whatever size: sent in pieces, written out as they come
    #[arg(long, help_heading = A_MESSAGE_IS)]
    whole: bool,
}

/// What heads the choices of framing.
const A_MESSAGE_IS: &str = "A message is";

impl FramingArgs {
    fn choice(&self) -> Framing {
        match self {
            Self { raw: true, .. } => Framing::Raw,
            Self { frames: true, .. } => Framing::Frames,
            Self { whole: true, .. } => Framing::Whole,
            _ => Framing::Lines,
        }
    }
}

/// Send lines, blocks, frames or a whole input
///
/// Reads the FILEs, or standard input, and sends what it reads as messages. Waits while the ring is
/// full. At the end of the input it closes the ring and leaves at once: the receiver drains it and ends
/// too. If anything else ends it, the ring stays open.
///
/// With many senders (--kind mpsc, mpmc, and queues) each closes for itself: the receivers end after the last one.
/// With many receivers (spmc, mpmc) it goes on as long as one of them is alive.
#[derive(Args, Debug)]
#[command(after_help = SEND_HELP)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) ring: RingArgs,

    /// When all is received, remove the address; of several senders, the last to leave does
    #[arg(long)]
    pub(crate) unlink: bool,

    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    /// Files to send, one after the other as if they were one; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const SEND_HELP: &str = "\
Exit status:
  0  all is sent, and the ring is closed (with --unlink: drained and removed)
  1  nothing is there, or the receiver (the last of several) died, or closed; the ring keeps what
     was sent
  2  an error: the input could not be read, a message is too large, another process sends where one
     can, the ring is of another kind than asked for

Examples:
  journalctl -f | ringway send shm:log --create
  ringway send file:/var/lib/jobs.ring --create --capacity 64M jobs.txt
  tar c src | ringway send shm:tar --raw --wait 10s
  ringway send shm:images --create --slabs 16Mx8 --copy-limit 4K --frames < images
  ringway send mq:/image --create --whole disk.img";

/// Receive messages and write them to standard output
///
/// Ends when the sender (the last of several) has closed the ring and all is received. A message is
/// released only when its bytes are written: what a killed receiver did not write, another one gets.
/// Several receivers (--kind spmc, mpmc) share the messages: each goes to one of them.
#[derive(Args, Debug)]
#[command(after_help = RECV_HELP)]
pub(crate) struct RecvArgs {
    #[command(flatten)]
    pub(crate) ring: RingArgs,

    /// At the end, remove the address
    #[arg(long)]
    pub(crate) unlink: bool,

    /// End after so many messages; the rest stays in the ring
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// End with status 1 if no message comes for so long
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,

    /// End only when so many senders have ever joined the ring, and all have left
    #[arg(long, value_name = "N")]
    pub(crate) producers: Option<u64>,

    /// If a sender dies before it closes, wait for its successor: the next one that joins
    #[arg(long)]
    pub(crate) follow: bool,
}

const RECV_HELP: &str = "\
Exit status:
  0  the ring is closed and drained, or --count is reached, or nobody reads the output any more
  1  nothing is there, --timeout passed, or a sender died before it closed (all that it sent is
     written, by one receiver or another)
  2  an error

Examples:
  ringway recv shm:log --wait 10s | grep -i error
  ringway recv shm:tar --raw --create --unlink | tar x
  ringway recv mq:/image --wait 10s --whole --max-message 10G > disk.img
  ringway recv file:/var/lib/jobs.ring --count 1 --timeout 5s
  ringway recv shm:jobs --kind mpmc --create --producers 4 > share-of-this-receiver";

/// List the rings and queues of this machine
///
/// Shows the rings in POSIX and System V shared memory that this user may read, those in the given
/// files and directories, and the message queues that carry ringway's messages.
#[derive(Args, Debug)]
#[command(after_help = LS_HELP)]
pub(crate) struct LsArgs {
    /// Write an array of objects as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// File rings, or directories to look for them in
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const LS_HELP: &str = "\
Exit status:
  0  listed, even if there are none
  1  a given FILE does not exist
  2  an error

Examples:
  ringway ls
  ringway ls /var/lib/rings
  ringway ls --json | jq -r '.[] | select(.used_bytes > 0) | .address'";

/// Show one ring or queue: how full, how many messages, who is attached
#[derive(Args, Debug)]
#[command(after_help = STAT_HELP)]
pub(crate) struct StatArgs {
    /// Where the ring is
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Write an object as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const STAT_HELP: &str = "\
Exit status:
  0  shown
  1  nothing is there
  2  an error: it is no ring, or may not be read

Examples:
  ringway stat shm:log
  ringway stat shm:log --json | jq '.sent - .received'";

/// Remove rings and queues
///
/// Refuses while a live process is attached, and never removes anything that is not ringway's.
#[derive(Args, Debug)]
#[command(after_help = RM_HELP)]
pub(crate) struct RmArgs {
    /// Where they are
    #[arg(value_name = "ADDRESS", value_parser = address, required = true)]
    pub(crate) addresses: Vec<Address>,

    /// Remove even if live processes are attached; they can go on, but nobody else will find the ring
    #[arg(long)]
    pub(crate) force: bool,
}

const RM_HELP: &str = "\
Exit status:
  0  removed
  1  nothing is there
  2  an error: a live process is attached, or it is no ring

Examples:
  ringway rm shm:log
  ringway rm --force sysv:0x52494e47";

/// Remove what dead processes left behind
///
/// Removes rings that somebody held when he died and that nobody alive has open, segments that were never
/// finished, and semaphore sets and message queues without a ring; and mq: and sysvmq: queues that somebody
/// held when he died and to which nobody alive is attached. What anybody uses, what was left in order, what
/// others made and what this user may not remove stays. A ring or a queue with messages that nobody has
/// received stays too, and is shown.
///
/// Of an mq: queue to which only senders died the kernel keeps no trace: it is shown as unknown, and stays.
///
/// Without addresses it looks at all shm: and sysv: rings and all queues of this machine.
#[derive(Args, Debug, Default)]
#[command(after_help = GC_HELP)]
pub(crate) struct GcArgs {
    /// Look at these only; file: rings are found in no other way
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub(crate) addresses: Vec<Address>,

    /// Change nothing, and show what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Remove rings and queues in which messages wait, too
    #[arg(long)]
    pub(crate) undelivered: bool,

    /// Write an object as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const GC_HELP: &str = "\
Exit status:
  0  done, even if there was nothing to remove
  1  nothing is at a given ADDRESS
  2  an error: something could not be looked at or removed

Examples:
  ringway gc --dry-run
  ringway gc
  ringway gc --undelivered shm:log file:/var/lib/jobs.ring
  ringway gc --json | jq -r '.objects[] | select(.fate == \"kept\") | .name'";

/// Check whether this machine is fit for rings, and show its limits
///
/// Looks at the kernel, the memory, the limits of this process and of the machine, and at what dead
/// processes left behind. Changes nothing.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArgs {
    /// Write an array of objects as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_HELP: &str = "\
Exit status:
  0  all is well, or there are only warnings
  1  there are problems: some kinds of rings do not work here
  2  an error

Examples:
  ringway doctor
  ringway doctor --json | jq '.[] | select(.verdict != \"ok\")'";

/// Measure a ring or a queue against the raw limit of this machine
///
/// Two processes, pinned to different cores, work over a ring and over a hand-laid slot ring that does
/// nothing but the transport, in short bursts in turn. On a machine whose speed changes from moment to
/// moment the ratio of two neighbouring bursts still means something; it is given as the median of all
/// rounds, with the tenth and the ninetieth percentile. Every message is checked.
#[derive(Args, Debug)]
#[command(after_help = BENCH_HELP, mut_args(only_with_slabs))]
pub(crate) struct BenchArgs {
    /// Bytes of a message; several may be given
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "8,64,256",
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

    /// Bytes for messages in the ring
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = units::size)]
    pub(crate) capacity: u64,

    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    #[command(flatten)]
    pub(crate) kind: KindArgs,

    /// Write an object as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
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

/// Parses an address; clap puts the argument's name before the error.
fn address(text: &str) -> Result<Address, ringway::Error> {
    text.parse()
}
