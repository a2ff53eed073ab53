//! `send` and `recv`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, Args};
use ringway::{Address, RecvError};

use super::address;
use super::log::{ReadLogArgs, WriteLogArgs};
use super::shape::{MakeArgs, only_with_create};
use super::slabs::CopyArgs;
use super::subscription::SubscriptionArgs;
use super::work::TaskArgs;
use crate::framing::Framing;
use crate::units;

/// What carries messages, and how to come by it.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:id=SHMID, mq:/NAME, sysvmq:0xKEY, auto:NAME, log:DIR
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// How to come by what carries messages.
#[derive(Args, Debug)]
#[command(mut_args(only_with_create))]
pub(crate) struct HowArgs {
    /// Make the ring or the queue if nothing is there
    #[arg(short, long)]
    pub(crate) create: bool,

    /// Wait so long for it to appear, and for the directory in which it will: 5 (seconds), 100ms, 2min
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,

    /// Use it even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,

    /// Say neither how far it is nor, at the end, how much that was
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

/// What `send` and `recv` have in common.
#[derive(Args, Debug)]
pub(crate) struct RingArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// A POSIX queue (mq:) of another program's: messages are raw, without what ringway puts before its own
    ///
    /// So nobody can tell whether anybody else is there, or whether all is sent. No such queue is made or removed.
    #[arg(long, conflicts_with_all = ["create", "whole", "kind", "sync", "trust_peers"])]
    pub(crate) foreign: bool,

    #[command(flatten)]
    framing: FramingArgs,

    /// With --whole: refuse a message of more bytes
    #[arg(long, value_name = "SIZE", value_parser = units::size, requires = "whole",
          help_heading = A_MESSAGE_IS)]
    pub(crate) max_message: Option<u64>,
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

    /// What ends with a NUL byte, without it, as find -print0 writes and xargs -0 reads
    #[arg(short = '0', long, help_heading = A_MESSAGE_IS)]
    null: bool,

    /// What ends with this byte, without it: a letter, or an escape such as \t, \0 or \x1e
    #[arg(short, long, value_name = "C", allow_hyphen_values = true, help_heading = A_MESSAGE_IS,
          value_parser = OsStringValueParser::new().try_map(|text| units::byte(&text)))]
    delimiter: Option<u8>,

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
        match *self {
            Self { raw: true, .. } => Framing::Raw,
            Self { frames: true, .. } => Framing::Frames,
            Self { whole: true, .. } => Framing::Whole,
            Self { null: true, .. } => Framing::Delimited(0),
            Self {
                delimiter: Some(byte),
                ..
            } => Framing::Delimited(byte),
            _ => Framing::LINES,
        }
    }
}

/// Send lines, blocks, frames or a whole input
///
/// Reads the FILEs, or standard input, and sends what it reads as messages; or sends each --message. Waits while the
/// ring is full. At the end of the input it closes the ring and leaves at once: the receiver drains it and ends
/// too. If anything else ends it, the ring stays open. At the end it says on standard error what it has sent.
///
/// To a log (log:DIR) it appends, and never waits for anybody.
///
/// With many senders (--kind mpsc, mpmc, and queues) each closes for itself: the receivers end after the last one.
/// With many receivers (spmc, mpmc) it goes on as long as one of them is alive; with kind broadcast, whether there is one or not.
#[derive(Args, Debug)]
#[command(after_help = SEND_HELP)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) ring: RingArgs,

    /// Send this, and not what stands in files; may be given several times, a message each
    #[arg(short, long = "message", value_name = "TEXT", allow_hyphen_values = true,
          conflicts_with_all = ["files", "FramingArgs"])]
    pub(crate) messages: Vec<OsString>,

    /// End with status 1 if it has to wait so long: for room, or for a receiver
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Send so many messages a second, evenly
    #[arg(short, long, value_name = "N", value_parser = units::rate, conflicts_with = "whole")]
    pub(crate) rate: Option<Duration>,

    /// When all is received, remove the address; of several senders, the last to leave does
    #[arg(short, long, conflicts_with = "foreign")]
    pub(crate) unlink: bool,

    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    #[command(flatten)]
    pub(crate) log: WriteLogArgs,

    /// Files to send, one after the other as if they were one; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const SEND_HELP: &str = "\
Exit status:
  0  all is sent, and the ring is closed (with --unlink: drained and removed)
  1  nothing is there, or the receiver (the last of several) died, or closed, or --timeout passed; the
     ring keeps what was sent
  2  an error: the input could not be read, a message is too large, another process sends where one
     can, the ring is of another kind than asked for

Examples:
  journalctl -f | ringway send shm:log --create
  ringway send file:/var/lib/jobs.ring --create --capacity 64M jobs.txt
  ringway send shm:jobs -m 'first job' -m 'second job' --timeout 5
  find . -name '*.png' -print0 | ringway send shm:images -0 --rate 10
  tar c src | ringway send shm:tar --raw --wait 10s
  ringway send shm:images --create --slabs 16Mx8 --copy-limit 4K --frames < images
  ringway send mq:/image --create --whole disk.img
  ringway send mq:/of-another-program --foreign -m hello
  ringway send log:/var/lib/orders --create --durability each < orders";

/// Receive messages and write them to standard output
///
/// Ends when the sender (the last of several) has closed the ring and all is received; with --follow it waits for the
/// next one. A message is released only when its bytes are written: what a killed receiver did not write, another one
/// gets. At the end it says on standard error what it has received.
///
/// A pipe into a program that ends early (head -1) does not tell how much that has read: say --count 1 instead.
///
/// From a log it takes nothing away. It ends where the log ends if nobody writes to it, else when the writer has closed; with --name it goes
/// on behind what was written out the last time.
///
/// Several receivers (--kind spmc, mpmc) share the messages: each goes to one of them. Those of kind broadcast all get every
/// message, from --from on. With --unlink it closes at its
/// end, also at the end of a --count: senders learn that nobody will receive any more.
#[derive(Args, Debug)]
#[command(after_help = RECV_HELP, mut_args(not_together))]
pub(crate) struct RecvArgs {
    #[command(flatten)]
    pub(crate) ring: RingArgs,

    #[command(flatten)]
    pub(crate) intake: IntakeArgs,

    /// Show the messages that are there now, up to --count, and take none; it is a receiver for that moment
    #[arg(short, long, conflicts_with_all = ["whole", "create", "foreign"])]
    pub(crate) peek: bool,

    /// Write nothing: have a shell run COMMAND for each message, which is on its standard input, or in the file {} if that occurs;
    /// and acknowledge the message only when COMMAND has succeeded (ringway work --help says more)
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["FramingArgs", "foreign", "peek", "synced", "skip_damaged"])]
    pub(crate) ack_after: Option<OsString>,

    #[command(flatten)]
    pub(crate) tasks: TaskArgs,

    #[command(flatten)]
    pub(crate) log: ReadLogArgs,
}

/// Has what `recv` can do refuse what has no effect beside it.
fn not_together(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "count" => option.conflicts_with("whole"),
        "timeout" => option.conflicts_with("peek"),
        "unlink" => option.conflicts_with_all(["peek", "foreign"]),
        "producers" | "follow" => option.conflicts_with_all(["whole", "peek", "foreign"]),
        "tries" | "dead_letters" => option.requires("ack_after"),
        _ => option,
    }
}

/// Which messages to take, and when to end.
#[derive(Args, Debug)]
pub(crate) struct IntakeArgs {
    /// At the end, remove the address
    #[arg(short, long)]
    pub(crate) unlink: bool,

    /// End after so many messages; the rest stays in the ring
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// End with status 1 if no message comes for so long: 5 (seconds), 100ms, 2min
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,

    /// End only when so many senders have ever joined the ring, and all have left
    #[arg(long, value_name = "N")]
    pub(crate) producers: Option<u64>,

    /// Wait for the next sender whenever one has closed or died, until --count, --producers, --timeout or a signal ends
    /// it
    #[arg(short, long)]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) subscription: SubscriptionArgs,
}

impl IntakeArgs {
    /// Whether to wait for another sender when all of `ever` have left.
    pub(crate) fn expects_another(&self, end: RecvError, ever: u64) -> bool {
        match self.producers {
            Some(producers) if ever < producers => true,
            // One that died has a successor.
            Some(_) => self.follow && end == RecvError::PeerDied,
            None => self.follow,
        }
    }
}

const RECV_HELP: &str = "\
Exit status:
  0  the ring is closed and drained, or --count is reached, or nobody reads the output any more
  1  nothing is there, --timeout passed, the ring is closed before --count or --producers is reached,
     or a sender died before it closed (all that it sent is written, by one receiver or another); with
     --peek, there is no message; the sender went on without this one, as --policy says
  2  an error; also if something was taken out of a queue, or with --whole, and could not be written
  SIGTERM, SIGINT and SIGHUP end it by that signal: what is written is acknowledged, the rest comes again

Examples:
  ringway recv shm:log --wait 10s | grep -i error
  ringway recv shm:tar --raw --create --unlink | tar x
  ringway recv mq:/image --wait 10s --whole --max-message 10G > disk.img
  ringway recv file:/var/lib/jobs.ring --count 1 --timeout 5
  ringway recv shm:log --follow >> log
  ringway recv shm:jobs --peek --count 3
  ringway recv shm:images -0 | xargs -0 file
  ringway recv shm:news --from last:10 --policy lossy
  ringway recv shm:news --name audit >> audit.log
  ringway recv log:/var/lib/orders --from ago:10min --follow
  ringway recv shm:jobs --kind mpmc --create --producers 4 > share-of-this-receiver
  ringway recv mq:/of-another-program --foreign --count 1";
