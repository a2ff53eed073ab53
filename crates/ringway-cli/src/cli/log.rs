//! What only logs have, and `record` and `replay`.

use std::fmt::Display;
use std::time::Duration;

use clap::Args;
use ringway::Address;
use ringway::log::{Builder, Durability, Retention};

use super::address;
use super::subscription::{From, start};
use crate::failure::Failure;
use crate::units;

/// What heads the options of logs.
const OF_LOG: &str = "Of a log";

/// How a log is written.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteLogArgs {
    /// What an acknowledgement means: written, so that it outlives the process; synced each, before the next is read; or synced in groups, after
    /// so long or so many bytes. At the end all is synced, unless it is none [default: none]
    #[arg(long, value_name = "none|each|batch:DURATION|batch:SIZE", value_parser = durability, help_heading = OF_LOG)]
    durability: Option<Durability>,

    /// Bytes of a new segment [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = OF_LOG)]
    segment: Option<u64>,

    /// Remove the oldest segments when all together have more
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = OF_LOG)]
    keep_bytes: Option<u64>,

    /// Remove segments of which all messages are older
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = OF_LOG)]
    keep_for: Option<Duration>,

    /// Remove segments that all named cursors have passed
    #[arg(long, help_heading = OF_LOG)]
    drop_passed: bool,

    /// Remove also what a named cursor has not passed; its reader is told how many it missed
    #[arg(long, help_heading = OF_LOG)]
    despite_cursors: bool,

    /// Cut a log where a message that was acknowledged is damaged, and keep what is cut in a file .cut; after a sync that
    /// failed, write anew what may be lost
    #[arg(long, help_heading = OF_LOG)]
    repair: bool,
}

impl WriteLogArgs {
    /// The same, for a log.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let mut retention = Retention::all();
        if let Some(bytes) = self.keep_bytes {
            retention = retention.bytes(bytes);
        }
        if let Some(age) = self.keep_for {
            retention = retention.age(age);
        }
        if self.drop_passed {
            retention = retention.passed();
        }
        if self.despite_cursors {
            retention = retention.despite_cursors();
        }
        let mut builder = builder
            .durability(self.durability.unwrap_or_default())
            .retention(retention)
            .repair(self.repair);
        if let Some(bytes) = self.segment {
            builder = builder.segment_len(bytes);
        }
        builder
    }

    /// Whether anything is synced while it is written.
    pub(crate) fn is_synced(&self) -> bool {
        self.durability.unwrap_or_default() != Durability::None
    }

    /// Refuses what only a log has.
    pub(crate) fn refuse_at(&self, address: &impl Display) -> Result<(), Failure> {
        let given = [
            ("--durability", self.durability.is_some()),
            ("--segment", self.segment.is_some()),
            ("--keep-bytes", self.keep_bytes.is_some()),
            ("--keep-for", self.keep_for.is_some()),
            ("--drop-passed", self.drop_passed),
            ("--despite-cursors", self.despite_cursors),
            ("--repair", self.repair),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(no_log(address, option)),
            None => Ok(()),
        }
    }
}

/// How a log is read.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ReadLogArgs {
    /// Take only what is synced, so that a loss of power can take nothing that was written out
    #[arg(long, help_heading = OF_LOG)]
    pub(crate) synced: bool,

    /// Say how many messages are damaged, and go on behind them
    #[arg(long, help_heading = OF_LOG)]
    pub(crate) skip_damaged: bool,
}

impl ReadLogArgs {
    /// Refuses what only a log has.
    pub(crate) fn refuse_at(self, address: &impl Display) -> Result<(), Failure> {
        match self {
            Self { synced: true, .. } => Err(no_log(address, "--synced")),
            Self {
                skip_damaged: true, ..
            } => Err(no_log(address, "--skip-damaged")),
            _ => Ok(()),
        }
    }
}

fn no_log(address: &impl Display, option: &str) -> Failure {
    Failure::error(format_args!(
        "{address} is no log: leave out {option}, or use log:DIR"
    ))
}

fn durability(text: &str) -> Result<Durability, String> {
    match text.split_once(':') {
        None if text == "none" => Ok(Durability::None),
        None if text == "each" => Ok(Durability::Each),
        Some(("batch", group)) => match units::duration(group) {
            Ok(interval) => Ok(Durability::every(interval)),
            Err(_) => units::size(group).map(Durability::after_bytes),
        },
        _ => Err("choose none, each, batch:DURATION or batch:SIZE".to_owned()),
    }
}

/// Append what a ring or a queue carries to a log
///
/// Makes the log if it is not there, and receives as any receiver does. A message is released from the ring when it is in the log, as
/// --durability says. Ends when the senders have closed and all is recorded; with --follow it waits for the next one. Started again, it goes on: of
/// a ring of kind broadcast, and of one of kind spsc and sync futex, each message is recorded exactly once; of others, one that was recorded
/// just before a death may come twice.
///
/// To a broadcast ring it subscribes by the name that --name says, so that the sender waits for it.
#[derive(Args, Debug)]
#[command(after_help = RECORD_HELP)]
pub(crate) struct RecordArgs {
    /// What to record: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:id=SHMID, mq:/NAME, sysvmq:0xKEY, auto:NAME
    #[arg(value_parser = address)]
    pub(crate) source: Address,

    /// Where to: log:DIR
    #[arg(value_parser = address)]
    pub(crate) log: Address,

    /// Wait so long for the source to appear: 5 (seconds), 100ms, 2min
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,

    /// Wait for the next sender whenever one has closed or died, until a signal ends it
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Say neither how far it is nor, at the end, how much that was
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// By which name to subscribe to a broadcast ring
    #[arg(long, value_name = "NAME", default_value = "record")]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) write: WriteLogArgs,
}

const RECORD_HELP: &str = "\
Exit status:
  0  the source is closed, and all is in the log
  1  the source is not there, or a sender died before it closed (all that it sent is in the log)
  2  an error

Examples:
  ringway record shm:orders log:/var/lib/orders --durability batch:100ms --follow
  ringway record shm:news log:/var/lib/news --keep-for 7days --follow";

/// Send what a log holds
///
/// To a ring or a queue, as any sender does, or to standard output as lines. Ends when all is sent that the log held when it
/// began, or at --to. With --speed 1x it takes as long between two messages as they were apart.
#[derive(Args, Debug)]
#[command(after_help = REPLAY_HELP)]
pub(crate) struct ReplayArgs {
    /// What to replay: log:DIR
    #[arg(value_parser = address)]
    pub(crate) log: Address,

    /// Where to: an address, which must be there unless --create is given, or - for lines on standard output
    #[arg(value_parser = target)]
    pub(crate) target: Target,

    /// Begin with the oldest message [default], the last N, the one with number K, the first one of a time, or of so long ago
    #[arg(long, value_parser = start, value_name = "oldest|last:N|number:K|time:T|ago:D")]
    pub(crate) from: Option<From>,

    /// End before the message with number K, or the first one of a time, or of so long ago
    #[arg(long, value_parser = start, value_name = "number:K|time:T|ago:D")]
    pub(crate) to: Option<From>,

    /// As fast as it goes, or so many times as fast as it was
    #[arg(long, value_parser = speed, value_name = "max|1x", default_value = "max")]
    pub(crate) speed: Speed,

    /// Make the ring if it is not there
    #[arg(short, long)]
    pub(crate) create: bool,

    /// Say neither how far it is nor, at the end, how much that was
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) read: ReadLogArgs,
}

const REPLAY_HELP: &str = "\
Exit status:
  0  all is sent, and the ring is closed
  1  there is no log, or the receiver died or closed
  2  an error: a message is damaged, or too large for the ring

Examples:
  ringway replay log:/var/lib/orders shm:test --create
  ringway replay log:/var/lib/orders - --from ago:1h | grep error
  ringway replay log:/var/lib/orders shm:test --from time:2026-11-30T09:00:00Z --to time:2026-11-30T10:00:00Z --speed 10x";

/// Where a log is replayed to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Output,
    Address(Address),
}

fn target(text: &str) -> Result<Target, ringway::Error> {
    match text {
        "-" => Ok(Target::Output),
        address => address.parse().map(Target::Address),
    }
}

/// How fast it is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    Max,
    Times(f64),
}

fn speed(text: &str) -> Result<Speed, String> {
    let times = |text: &str| {
        text.parse()
            .ok()
            .filter(|times| *times > 0.0 && f64::is_finite(*times))
    };
    match text {
        "max" => Ok(Speed::Max),
        _ => (text.strip_suffix('x').and_then(times).map(Speed::Times))
            .ok_or_else(|| "choose max, 1x, 0.5x or another multiple".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_say() {
        assert_eq!(durability("each"), Ok(Durability::Each));
        let interval = Duration::from_millis(100);
        assert_eq!(durability("batch:100ms"), Ok(Durability::every(interval)));
        assert_eq!(durability("batch:1M"), Ok(Durability::after_bytes(1 << 20)));
        assert!(durability("batch").is_err() && durability("some").is_err());
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("0.5x"), Ok(Speed::Times(0.5)));
        assert!(speed("0x").is_err() && speed("x").is_err() && speed("2").is_err());
        assert!(speed("-1x").is_err() && speed("infx").is_err());
    }
}
