//! What lies where in a segment. `LAYOUT.md` at the root of the repository is the same in prose.
//!
//! | from | to | what |
//! |---|---|---|
//! | 0 | 256 | [`header`]: identity and geometry, written once by the creator |
//! | 256 | 1024 | [`control`]: indices, counters and wake words, each writer on lines of its own |
//! | 1024 | 1024 + 128 n | [`participant`]: one slot per attached process |
//! | data | data + capacity | [`record`]: the messages |
//!
//! Everything is little-endian and of fixed width; nothing is a pointer.

pub(crate) mod control;
pub(crate) mod header;
pub(crate) mod participant;
pub(crate) mod record;

use control::CONTROL_OFFSET;
use participant::{PARTICIPANTS_OFFSET, SLOT_LEN};

/// The distance that keeps two writers off each other's cache lines: two lines, because the
/// prefetcher of x86-64 fetches pairs.
pub(crate) const LINE: usize = 128;

/// The data region starts on a multiple of this, so that it can be given pages of its own.
const DATA_ALIGN: u64 = 4096;

/// The smallest capacity that the layout allows, in bytes. (The builder asks for a page.)
pub(crate) const MIN_CAPACITY: u64 = 64;

/// The largest capacity, in bytes: a quarter of what 48 address bits can map.
pub(crate) const MAX_CAPACITY: u64 = 1 << 46;

/// The most participants whose liveness words lie within [`crate::segment::map::FRONT`].
pub(crate) const MAX_PARTICIPANTS: u32 = 256;

const _: () = assert!(CONTROL_OFFSET >= header::HEADER_LEN);
const _: () = assert!(CONTROL_OFFSET + control::CONTROL_LEN <= PARTICIPANTS_OFFSET);

/// The shape of a ring. Recorded in the header; fixed for the life of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The stream ring: one producer, one consumer, records of any size packed one after the other.
    Spsc,
}

impl Kind {
    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// assert_eq!(ringway_core::Kind::Spsc.name(), "spsc");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Spsc => "spsc",
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Spsc => 1,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        (code == Self::Spsc.code()).then_some(Self::Spsc)
    }
}

/// How the sides of a ring exclude and wake each other. Recorded in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sync {
    /// Lock-free, with an eventcount on futex words for sleeping.
    Futex,
}

impl Sync {
    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// assert_eq!(ringway_core::Sync::Futex.name(), "futex");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Futex => "futex",
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Futex => 1,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        (code == Self::Futex.code()).then_some(Self::Futex)
    }
}

/// Where the parts of one ring lie. A process computes it once, from checked numbers, and works from
/// this private copy; it never reads geometry from the segment again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    capacity: u64,
    participants: u32,
    data_offset: u64,
}

impl Geometry {
    /// The only place that decides where things lie. `None` if the numbers are out of range.
    pub(crate) fn new(capacity: u64, participants: u32) -> Option<Self> {
        let in_range = (MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity)
            && (1..=MAX_PARTICIPANTS).contains(&participants);
        if !in_range || !capacity.is_power_of_two() {
            return None;
        }
        let table_end = PARTICIPANTS_OFFSET as u64 + u64::from(participants) * SLOT_LEN as u64;
        let data_offset = table_end.next_multiple_of(DATA_ALIGN);
        Some(Self {
            capacity,
            participants,
            data_offset,
        })
    }

    /// Bytes in the data region, a power of two.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Slots in the participants table.
    pub(crate) fn participants(&self) -> u32 {
        self.participants
    }

    /// Where the data region starts, in bytes from the start of the segment.
    pub(crate) fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Bytes of the whole segment.
    pub(crate) fn total_len(&self) -> u64 {
        self.data_offset + self.capacity
    }
}
