//! What there is, made, shown and removed: `create`, `ls`, `stat`, `rm`, `gc` and `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ringway::Address;

use super::address;
use super::shape::MakeArgs;
use crate::units;

/// Make a ring or a queue, and leave it for others
///
/// Writes its address to standard output: that of sysv:private is known only then, and which auto: is.
///
/// As many producers and as many consumers as --participants says may be attached at once, where the kind has many of
/// them: 32, or up to 60. A queue has room for 1024 senders.
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

/// List the rings, boards, services, queues and logs of this machine
///
/// Shows the rings in POSIX and System V shared memory that this user may read, those in the given
/// files and directories, with the logs that are there, and the message queues that carry ringway's messages. What is damaged, of another version or
/// cannot be read is listed as that.
#[derive(Args, Debug)]
#[command(after_help = LS_HELP)]
pub(crate) struct LsArgs {
    /// Write an array of objects as JSON; schema/stat.schema.json describes them
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Only what somebody held when he died, and nobody has taken since
    #[arg(long)]
    pub(crate) dead: bool,

    /// The largest, the one farthest behind or the oldest first
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,

    /// Look twice, so far apart, and show in JSON what moved
    #[arg(long, value_name = "DURATION", value_parser = units::duration, requires = "json")]
    pub(crate) sample: Option<Duration>,

    /// File rings and logs, or directories to look for them in
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// What comes first in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The one with the most room
    Size,
    /// The one with the most messages that somebody has not had
    Lag,
    /// The oldest
    Age,
}

const LS_HELP: &str = "\
Exit status:
  0  listed, even if there are none
  1  a given FILE does not exist
  2  an error, among them a given FILE that is no ring or damaged

Examples:
  ringway ls
  ringway ls /var/lib/rings
  ringway ls --dead
  ringway ls --by lag | head
  ringway ls --json | jq -r '.[] | select(.used_bytes > 0) | .address'";

/// Show one ring, board, service, queue or log: how full, how many messages, who is attached
#[derive(Args, Debug)]
#[command(after_help = STAT_HELP)]
pub(crate) struct StatArgs {
    /// Where the ring is
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Write an object as JSON, with --watch one a line; schema/stat.schema.json describes it
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Show it again and again, every second or so often as said
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration, num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub(crate) watch: Option<Duration>,

    /// With --watch: so many times
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Look twice, so far apart, and show what moved
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) sample: Option<Duration>,
}

const STAT_HELP: &str = "\
Exit status:
  0  shown
  1  nothing is there
  2  an error: it is no ring, or may not be read

Examples:
  ringway stat shm:log
  ringway stat shm:log --watch
  ringway stat shm:log --sample 1s
  ringway stat shm:log --json | jq '.sent - .received'";

/// Remove rings, queues and logs
///
/// Refuses while a live process is attached, and never removes anything that is not ringway's.
#[derive(Args, Debug)]
#[command(after_help = RM_HELP)]
pub(crate) struct RmArgs {
    /// Where they are
    #[arg(value_name = "ADDRESS", value_parser = address, required = true)]
    pub(crate) addresses: Vec<Address>,

    /// Remove even if live processes are attached; they can go on, but nobody else will find the ring
    #[arg(short, long)]
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

/// Forget names of receivers of a broadcast ring that will not come back
///
/// A ring keeps the place of each name (ringway recv --name), 128 of them. That of a forgotten name can be another one's; whoever comes by
/// it again begins anew.
#[derive(Args, Debug)]
#[command(after_help = FORGET_HELP)]
pub(crate) struct ForgetArgs {
    /// Where the ring is
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Which names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// Use the ring even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,
}

const FORGET_HELP: &str = "\
Exit status:
  0  forgotten
  1  the ring has no such name, or nothing is there
  2  an error: a live receiver has the name, or it is no broadcast ring

Example:
  ringway forget shm:news audit";

/// Remove what dead processes left behind
///
/// Removes rings that somebody held when he died and that nobody alive has open, segments that were never
/// finished, and semaphore sets and message queues without a ring; and mq: and sysvmq: queues that somebody
/// held when he died and to which nobody alive is attached. What anybody uses, what was left in order, what
/// others made and what this user may not remove stays. A ring or a queue with messages that nobody has
/// received stays too, and is shown; so does a board that has values.
///
/// Of an mq: queue to which only senders died the kernel keeps no trace: it is shown as unknown, and stays.
///
/// Rings that were made with --keep stay, whoever died.
///
/// Without addresses it looks at all shm: and sysv: rings and all queues of this machine, and removes something only with
/// --yes: a supervisor may be about to start a process anew that goes on with its ring.
#[derive(Args, Debug, Default)]
#[command(after_help = GC_HELP)]
pub(crate) struct GcArgs {
    /// Look at these only; file: rings are found in no other way
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub(crate) addresses: Vec<Address>,

    /// Change nothing, and show what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Without addresses: remove what is shown
    #[arg(short, long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,

    /// Only what nobody has made or attached to for so long; of a queue nothing tells that
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) older_than: Option<Duration>,

    /// Only what has a name that begins so
    #[arg(long, value_name = "TEXT", conflicts_with = "addresses")]
    pub(crate) prefix: Option<String>,

    /// Remove rings and queues in which messages wait, and boards that have values, too
    #[arg(long)]
    pub(crate) undelivered: bool,

    /// Write an object as JSON
    #[arg(short, long)]
    pub(crate) json: bool,
}

const GC_HELP: &str = "\
Exit status:
  0  done, even if there was nothing to remove
  1  nothing is at a given ADDRESS; or there is something to remove, and --yes was not said
  2  an error: something could not be looked at or removed

Examples:
  ringway gc
  ringway gc --yes
  ringway gc --yes --older-than 1h --prefix jobs-
  ringway gc --undelivered shm:log file:/var/lib/jobs.ring
  ringway gc --json | jq -r '.objects[] | select(.fate == \"kept\") | .name'";

/// Check whether this machine is fit for rings, and show its limits
///
/// Looks at the kernel, the memory, the limits of this process and of the machine, and at what dead
/// processes left behind. Says first whether all is well, then what is not, then all that it looked at. Changes nothing.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArgs {
    /// Whether that will fit as well, and what to set: capacity (bytes of a ring), rings (how many), clients (who take part in one,
    /// on the side that has more), message (bytes of the longest), kind (spsc, mpmc, broadcast, service), backing (shm,
    /// sysv, file), lock (yes, no)
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = super::plan::parse)]
    pub(crate) plan: Option<super::Plan>,

    /// Write an array of objects as JSON
    #[arg(short, long)]
    pub(crate) json: bool,
}

const DOCTOR_HELP: &str = "\
Exit status:
  0  all is well, or there are only warnings
  1  there are problems: some kinds of rings do not work here
  2  an error

Examples:
  ringway doctor
  ringway doctor --plan capacity=64M,rings=4,clients=200,kind=service
  ringway doctor --json | jq '.[] | select(.verdict != \"ok\")'";
