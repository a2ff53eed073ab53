//! Who is stepped: a writer of a log, or a reader.

use std::time::Duration;

use clap::{Args, ValueEnum};
use ringway::log::{Builder, Durability, Log, Retention, Subscription, Writer};
use ringway::{Address, Error};

use super::scene::WATCHDOG;
use crate::boards::{act, verdict};
use crate::matrix::name_of;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(super) enum Op {
    /// Makes the log
    Create,
    /// Comes as the writer
    Open,
    /// Comes as a writer that syncs
    OpenSynced,
    /// Appends the first message
    AppendFirst,
    /// Appends one to a segment that has some
    Append,
    /// Appends one that is synced before it is seen
    AppendSynced,
    /// Appends one, and waits until a thread has synced it
    AppendGrouped,
    /// The same, but the thread does not, and so it does it itself
    SyncGrouped,
    /// Appends one for which a segment is begun
    Roll,
    /// The same, where all is synced
    RollSynced,
    /// Appends one that is too long for the segment, in which there is nothing yet
    Replace,
    /// Appends three, in one write
    Batch,
    /// Appends some that do not find room in one segment
    BatchRoll,
    /// Syncs what was appended
    Sync,
    /// Removes what all cursors have passed
    Retain,
    /// Begins a segment, and removes what is too much, though a cursor is behind
    RollAndRetain,
    /// Closes
    Close,
    /// Closes, and syncs
    CloseSynced,
    /// Comes as a reader with a name
    Subscribe,
    /// Stores how far it is
    Acknowledge,
    /// The same, and syncs it
    AcknowledgeSynced,
    /// Notes that it begins a message
    Begin,
}

/// Bytes of the segments.
const SEGMENT: u64 = 16 << 10;
/// Bytes of a message. A few, as each copy of a long one takes thousands of steps.
const LEN: usize = 1000;
/// For so many of them there is room in a segment.
const IN_SEGMENT: u64 = 11;
/// Bytes of one for which a segment has no room that is filled by half.
const LONG: usize = 10_000;

/// The cursor that is there in any case.
pub(super) const AUDIT: &str = "audit";
/// The victim's own.
pub(super) const OWN: &str = "victim";
/// What a reader with a name has received before it does what it does.
pub(super) const RECEIVED: u64 = 3;

/// Who has appended a message.
pub(super) const SETTER: u8 = b's';
pub(super) const VICTIM: u8 = b'v';
pub(super) const NEXT: u8 = b'n';

impl Op {
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    /// Whether it is the writer before it does what it does.
    pub(super) fn is_writer(self) -> bool {
        !matches!(self, Self::Create | Self::Open | Self::OpenSynced) && !self.is_reader()
    }

    pub(super) fn is_reader(self) -> bool {
        matches!(
            self,
            Self::Subscribe | Self::Acknowledge | Self::AcknowledgeSynced | Self::Begin
        )
    }

    /// Who comes as a writer behind this one.
    pub(super) fn successor(self) -> Self {
        match self.durability() {
            Durability::None => Self::Open,
            _ => Self::OpenSynced,
        }
    }

    /// How many messages are there before the victim.
    pub(super) fn before(self) -> u64 {
        match self {
            Self::Create | Self::AppendFirst | Self::Replace => 0,
            // The last segment is full.
            Self::Roll | Self::RollSynced => 2 * IN_SEGMENT,
            Self::RollAndRetain => 3 * IN_SEGMENT,
            Self::Retain => 40,
            _ => 20,
        }
    }

    /// How many it appends before it does what it does.
    pub(super) fn prepared(self) -> u64 {
        match self {
            Self::AppendSynced
            | Self::AppendGrouped
            | Self::SyncGrouped
            | Self::Sync
            | Self::CloseSynced => 2,
            _ => 0,
        }
    }

    /// How many it appends by that.
    pub(super) fn appends(self) -> u64 {
        match self {
            Self::BatchRoll => 5,
            Self::Batch => 3,
            Self::AppendFirst
            | Self::Append
            | Self::AppendSynced
            | Self::AppendGrouped
            | Self::SyncGrouped
            | Self::Roll
            | Self::RollSynced
            | Self::RollAndRetain
            | Self::Replace => 1,
            _ => 0,
        }
    }

    /// Where the cursor is that is there in any case.
    pub(super) fn audit(self) -> u64 {
        match self {
            Self::Retain => 25,
            _ => self.before().min(5),
        }
    }

    /// Whether cursors lose what they have not passed.
    pub(super) fn is_ruthless(self) -> bool {
        self == Self::RollAndRetain
    }

    pub(super) fn durability(self) -> Durability {
        match self {
            Self::OpenSynced | Self::AppendSynced | Self::RollSynced => Durability::Each,
            // Nothing is synced but when it is asked for.
            Self::SyncGrouped | Self::CloseSynced => Durability::every(Duration::MAX),
            // All is synced by the thread at once.
            Self::AppendGrouped => Durability::Batch {
                interval: Duration::MAX,
                bytes: 1,
            },
            _ => Durability::None,
        }
    }

    /// Whether a thread of the victim's takes part.
    pub(super) fn has_thread(self) -> bool {
        matches!(self.durability(), Durability::Batch { .. })
    }

    fn retention(self) -> Retention {
        match self {
            Self::Retain => Retention::all().passed(),
            // Three segments, and not four.
            Self::RollAndRetain => Retention::all().bytes(50_000).despite_cursors(),
            _ => Retention::all(),
        }
    }

    pub(super) fn builder(self, address: &Address) -> Result<Builder, Error> {
        let builder = Builder::at(address)?.segment_len(SEGMENT);
        Ok(builder
            .durability(self.durability())
            .retention(self.retention()))
    }

    /// Message `number`, which says who has appended it.
    pub(super) fn message(self, author: u8, number: u64) -> Vec<u8> {
        let len = match author {
            VICTIM if self == Self::Replace => 2 * LONG,
            // Such that a segment ends among three.
            NEXT if number.is_multiple_of(3) => LONG,
            _ => LEN,
        };
        let mut message = number.to_le_bytes().to_vec();
        message.resize(len, author);
        message
    }
}

#[derive(Args)]
pub(crate) struct VictimOptions {
    /// Where the log is
    #[arg(long)]
    address: Address,
    /// What to do
    #[arg(long)]
    op: Op,
}

pub(crate) fn play_victim(options: VictimOptions) -> Result<(), String> {
    play(&options).map_err(|error| format!("the victim of {}: {error}", options.op.name()))
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn play(options: &VictimOptions) -> Outcome {
    let op = options.op;
    let builder = op.builder(&options.address)?;
    if op == Op::Create {
        let mut made = None;
        return act(|| {
            made = builder.create().ok();
            verdict(made.is_some())
        });
    }
    let log = builder.open()?;
    match op {
        Op::Open | Op::OpenSynced => {
            let mut writer = None;
            act(|| {
                writer = log.writer().ok();
                verdict(writer.is_some())
            })
        }
        _ if op.is_reader() => read(op, &log),
        _ => write(op, &log),
    }
}

fn read(op: Op, log: &Log) -> Outcome {
    let own = Subscription::new().name(OWN);
    if op == Op::Subscribe {
        let mut reader = None;
        return act(|| {
            reader = log.subscribe(&own).ok();
            verdict(reader.is_some())
        });
    }
    let mut reader = log.subscribe(&own)?;
    for _ in 0..RECEIVED {
        reader.recv()?;
    }
    act(|| match op {
        Op::Begin => verdict(reader.begin(0) == Ok(1)),
        Op::AcknowledgeSynced => verdict(reader.acknowledge_synced().is_ok()),
        _ => verdict(reader.acknowledge().is_ok()),
    })
}

fn write(op: Op, log: &Log) -> Outcome {
    let mut writer = log.writer()?;
    for _ in 0..op.prepared() {
        writer.append(&op.message(VICTIM, writer.next_number()))?;
    }
    let first = writer.next_number();
    if op == Op::AppendGrouped {
        // So that its thread has nothing to do before.
        writer.sync()?;
    }
    let messages: Vec<_> = (first..first + op.appends())
        .map(|number| op.message(VICTIM, number))
        .collect();
    if op == Op::Retain {
        let mut audit = log.subscribe(&Subscription::new().name(AUDIT))?;
        while audit.next_number() < op.audit() {
            audit.recv()?;
        }
        audit.acknowledge()?;
    }
    match op {
        Op::Close | Op::CloseSynced => act(|| verdict(writer.close().is_ok())),
        Op::Retain => act(|| verdict(writer.retain() == Ok(2))),
        _ => act(|| verdict(append(op, &mut writer, &messages).is_ok())),
    }
}

fn append(
    op: Op,
    writer: &mut Writer,
    messages: &[Vec<u8>],
) -> Result<(), ringway::log::AppendError> {
    match op {
        Op::Batch | Op::BatchRoll => {
            let mut batch = writer.batch();
            for message in messages {
                batch.append(message)?;
            }
            batch.commit()?;
        }
        _ => {
            for message in messages {
                writer.append(message)?;
            }
        }
    }
    match op {
        Op::Sync | Op::SyncGrouped => writer.sync(),
        // Who waits until a time leaves it to the thread.
        Op::AppendGrouped => writer.wait_synced_timeout(u64::MAX, WATCHDOG),
        _ => Ok(()),
    }
}
