//! What is tried: every kind of ring, every operation, every state in which it is begun.

use std::fmt;

use clap::ValueEnum;
use ringway::Builder;
use ringway::peer::Role;
use ringway_testing::place::Backing;
use ringway_testing::table::Row;

/// An operation that a victim is stepped through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Op {
    Create,
    Open,
    AttachSender,
    AttachReceiver,
    /// A message that fits one cell.
    Send,
    /// A message of several cells.
    SendLong,
    /// Commits a message that was claimed and written before.
    Commit,
    /// A message that a system call writes where a claim says.
    SendByPointer,
    /// Claims, writes, and gives up.
    Abort,
    /// Three messages that become visible together.
    Batch,
    /// Three values in one call, of which those become visible together that lie in one lap.
    SendAll,
    /// Sends into a full ring, sleeps, and goes on when there is room.
    SleepSend,
    /// Sends into a full ring, whose oldest message makes room.
    Overwrite,
    /// A message of several cells, for which several messages make room.
    OverwriteLong,
    /// Commits a message that was claimed and written before, in a ring whose other producers overwrite.
    CommitOver,
    CloseSender,
    LeaveSender,
    /// Receives a copy.
    Receive,
    /// Borrows a message, reads it, releases it.
    Borrow,
    /// The same in a ring whose producers overwrite.
    BorrowOver,
    /// Borrows a message, reads it, and drops it, which gives it back.
    GiveBack,
    /// Up to three messages at once.
    Drain,
    /// Sleeps in an empty ring, and goes on when a message comes.
    SleepReceive,
    CloseReceiver,
    DropReceiver,
    /// A message that is written into a slab.
    Lend,
    /// A message that a system call writes into a slab.
    LendPointer,
    /// Receives a copy of a message that lies in a slab.
    TakeLoan,
    /// Borrows a message that lies in a slab, reads it, detaches it, and gives the slab back.
    Detach,
    /// Makes a ring whose slabs are segments of their own.
    CreateSegments,
    /// A message that is written into a slab, whose segment is mapped for it.
    LendSegment,
    /// Receives a copy of a message that lies in a slab, whose segment is mapped for it.
    TakeSegment,
}

/// How many slabs a ring has that has some.
pub(super) const SLABS: u32 = 3;

/// What the ring is like before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// There is no ring.
    Nothing,
    Empty,
    One,
    Full,
    /// The next record is the last of its lap, or reaches into the next one.
    Wrapped,
    /// In the middle of the second lap, where records of the first one lie ahead.
    Lapped,
    /// The oldest message takes several cells.
    Long,
    /// The other side sleeps.
    Asleep,
    /// Full, and a survivor has the oldest message.
    Held,
    /// A copy of a ring in use, with one message, that nobody has opened yet.
    Copied,
    /// With one message, and the last one in the victim's role has closed.
    Closed,
}

impl Op {
    /// As on the command line.
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    /// Whether it shows messages where they lie, before it releases them.
    pub(super) fn shows_in_place(self) -> bool {
        matches!(
            self,
            Self::Borrow | Self::BorrowOver | Self::GiveBack | Self::Drain | Self::Detach
        )
    }

    /// In which role the victim is; `None` if it takes no part.
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::Create | Self::CreateSegments | Self::Open => None,
            Self::AttachSender
            | Self::Send
            | Self::SendLong
            | Self::Commit
            | Self::Abort
            | Self::Batch
            | Self::SendAll
            | Self::SleepSend
            | Self::Overwrite
            | Self::OverwriteLong
            | Self::CommitOver
            | Self::CloseSender
            | Self::LeaveSender
            | Self::SendByPointer
            | Self::Lend
            | Self::LendPointer
            | Self::LendSegment => Some(Role::Producer),
            Self::AttachReceiver
            | Self::Receive
            | Self::Borrow
            | Self::BorrowOver
            | Self::GiveBack
            | Self::Drain
            | Self::SleepReceive
            | Self::CloseReceiver
            | Self::DropReceiver
            | Self::TakeLoan
            | Self::TakeSegment
            | Self::Detach => Some(Role::Consumer),
        }
    }

    /// Whether it sends messages, when it is done: how many, each of how many bytes.
    pub(super) fn sends(self) -> (u32, usize) {
        match self {
            Self::Send | Self::Commit | Self::SendByPointer | Self::SleepSend => {
                (1, super::message::SHORT)
            }
            Self::Overwrite | Self::CommitOver => (1, super::message::SHORT),
            Self::SendLong
            | Self::OverwriteLong
            | Self::Lend
            | Self::LendPointer
            | Self::LendSegment => (1, super::message::LONG),
            Self::Batch | Self::SendAll => (3, super::message::SHORT),
            _ => (0, 0),
        }
    }

    /// Whether all that it sends becomes visible together.
    pub(super) fn is_atomic(self) -> bool {
        self != Self::SendAll
    }

    /// How many messages it may hold when it dies.
    pub(super) fn holds(self) -> usize {
        match self {
            Self::Receive
            | Self::Borrow
            | Self::BorrowOver
            | Self::GiveBack
            | Self::SleepReceive
            | Self::TakeLoan
            | Self::TakeSegment
            | Self::Detach => 1,
            Self::Drain => 3,
            _ => 0,
        }
    }

    /// Whether threads of the victim's take part that begin or end with it.
    pub(super) fn has_threads(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::CreateSegments
                | Self::Open
                | Self::AttachSender
                | Self::AttachReceiver
                | Self::CloseSender
                | Self::LeaveSender
                | Self::CloseReceiver
                | Self::DropReceiver
                | Self::SleepSend
                | Self::SleepReceive
        )
    }

    /// Whether the ring has slabs, into which long messages go.
    pub(super) fn has_slabs(self) -> bool {
        matches!(
            self,
            Self::Lend | Self::LendPointer | Self::TakeLoan | Self::Detach
        ) || self.has_slab_segments()
    }

    fn has_slab_segments(self) -> bool {
        matches!(
            self,
            Self::CreateSegments | Self::LendSegment | Self::TakeSegment
        )
    }

    /// Has a builder make the ring that the operation needs.
    pub(super) fn shape(self, builder: Builder) -> Builder {
        if self.has_slabs() {
            let builder = builder.slabs(4096, SLABS);
            return builder.slab_segments(self.has_slab_segments());
        }
        builder.overwrite_oldest(self.overwrites())
    }

    /// Whether producers overwrite in its ring.
    pub(super) fn overwrites(self) -> bool {
        matches!(
            self,
            Self::Overwrite | Self::OverwriteLong | Self::CommitOver | Self::BorrowOver
        )
    }

    /// Whether it sleeps in the middle, until somebody else has done something.
    pub(super) fn sleeps(self) -> bool {
        matches!(self, Self::SleepSend | Self::SleepReceive)
    }

    /// The states that make a difference to it.
    fn states(self) -> &'static [State] {
        use State::{
            Asleep, Closed, Copied, Empty, Full, Held, Lapped, Long, Nothing, One, Wrapped,
        };
        match self {
            Self::Create | Self::CreateSegments => &[Nothing],
            Self::Open => &[Empty, Copied],
            Self::AttachSender | Self::AttachReceiver => &[Empty, One, Full, Closed],
            Self::Send | Self::SendLong => &[Empty, One, Full, Wrapped, Lapped, Asleep],
            Self::Commit | Self::Abort | Self::Batch | Self::SendAll => {
                &[Empty, Wrapped, Lapped, Asleep]
            }
            Self::SendByPointer | Self::LendPointer => &[Empty, Wrapped],
            Self::SleepSend => &[Full],
            Self::Overwrite => &[Full, Held],
            Self::OverwriteLong => &[Full, Held],
            Self::CommitOver => &[Empty, Full],
            Self::BorrowOver => &[One, Full],
            Self::CloseSender | Self::LeaveSender => &[One, Asleep],
            Self::Receive | Self::Borrow => &[Empty, One, Full, Wrapped, Lapped, Long, Asleep],
            Self::GiveBack => &[One, Wrapped],
            Self::Drain => &[One, Full, Wrapped, Lapped, Long, Asleep],
            Self::SleepReceive => &[Empty],
            Self::CloseReceiver | Self::DropReceiver => &[One, Asleep],
            Self::Lend => &[Empty, One, Wrapped, Asleep],
            Self::TakeLoan | Self::Detach => &[Wrapped, Long],
            Self::LendSegment => &[Empty, Wrapped],
            Self::TakeSegment => &[Wrapped],
        }
    }
}

pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    let named = value.to_possible_value();
    named.map_or_else(String::new, |named| named.get_name().to_owned())
}

/// An operation in a ring in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) row: Row,
    pub(super) op: Op,
    pub(super) state: State,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, op, state } = self;
        write!(f, "{row}/{}/{}", op.name(), name_of(state))
    }
}

impl Case {
    /// Whether the others can go on while the victim stands still. Who opens a copy for the first time keeps those who
    /// open it, too, waiting, until they give up.
    pub(super) fn can_be_frozen(self) -> bool {
        self.state != State::Copied
    }

    /// Those who may come upon what the victim leaves when it is killed, and be killed over it.
    pub(super) fn finders(self) -> &'static [Op] {
        let many = self.row.has_many(Role::Consumer);
        if !matches!(self.state, State::One | State::Wrapped | State::Lapped)
            && self.op != Op::Commit
        {
            return &[];
        }
        // Who would sleep has to find nothing.
        let empty = self.state != State::One;
        match self.op {
            Op::SendLong | Op::Batch if empty => &[Op::Receive, Op::SleepReceive, Op::AttachSender],
            Op::SendLong | Op::Batch => &[Op::Receive, Op::AttachSender],
            Op::Commit | Op::Abort => &[Op::Receive, Op::SleepReceive],
            Op::Send if empty => &[Op::Receive, Op::SleepReceive],
            Op::Send => &[Op::Receive],
            Op::Drain if many => &[Op::Receive, Op::AttachReceiver],
            Op::Drain => &[Op::AttachReceiver],
            Op::Lend | Op::LendPointer => &[Op::TakeLoan, Op::AttachSender],
            Op::LendSegment => &[Op::TakeSegment],
            Op::TakeLoan | Op::Detach if many => &[Op::TakeLoan, Op::AttachSender],
            Op::TakeLoan | Op::Detach => &[Op::AttachReceiver, Op::AttachSender],
            Op::Receive | Op::Borrow if many => &[Op::Receive],
            _ => &[],
        }
    }

    /// The cases of a row.
    pub(super) fn of(row: Row) -> Vec<Self> {
        let possible = |op: &Op| match op {
            op if op.overwrites() => row.has_cells(),
            _ => true,
        };
        let cases = |op: Op| {
            let case = move |state: &State| Self {
                row,
                op,
                state: *state,
            };
            op.states().iter().map(case)
        };
        Op::value_variants()
            .iter()
            .copied()
            .filter(possible)
            .flat_map(cases)
            .filter(|case| case.state != State::Copied || row.backing != Backing::SysvKey)
            .collect()
    }
}

/// The rows whose rings are found by others when their creators are dead.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(|row| matches!(row.backing, Backing::Shm | Backing::File | Backing::SysvKey));
    rows
}

/// The rows of the fast cut: each kind, each sync, each backing.
pub(super) fn fast_rows() -> Vec<Row> {
    const CHOSEN: [&str; 7] = [
        "spsc/futex/Shm",
        "spsc/futex/SysvKey",
        "mpmc/futex/Shm",
        "mpmc/pthread/Shm",
        "mpmc/posix-sem/File",
        "mpsc/sysv-sem/Shm",
        "spmc/mqueue/Shm",
    ];
    let mut rows = rows();
    rows.retain(|row| CHOSEN.contains(&row.to_string().as_str()));
    rows
}
