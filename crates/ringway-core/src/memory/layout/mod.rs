//! What lies where in a segment: constants, structs and bits. What they mean, and who writes them, is said once, in
//! `LAYOUT.md` at the root of the repository; a test holds the two together.
//!
//! Everything is little-endian and of fixed width; nothing is a pointer.

#[cfg(all(test, not(loom)))]
mod figure;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) mod board;
pub(crate) mod broadcast;
pub(crate) mod cell;
pub(crate) mod control;
pub(crate) mod header;
pub(crate) mod message_type;
pub(crate) mod participant;
pub(crate) mod pool;
pub(crate) mod record;
pub(crate) mod slab_segment;

use control::CONTROL_OFFSET;
use participant::{PARTICIPANTS_OFFSET, Role, table_end};
use pool::Slabs;

/// The distance that keeps two writers off each other's cache lines: two lines, because the
/// prefetcher of x86-64 fetches pairs.
pub(crate) const LINE: usize = 128;

/// The data region starts on a multiple of this, so that it can be given pages of its own.
const DATA_ALIGN: u64 = 4096;

/// The smallest capacity that the layout allows, in bytes. (The builder asks for a page.)
pub(crate) const MIN_CAPACITY: u64 = 64;

/// The largest capacity, in bytes: a quarter of what 48 address bits can map.
pub(crate) const MAX_CAPACITY: u64 = 1 << 46;

/// The most participants: a watcher sleeps on its sights of all others and on two words more with one system call,
/// which takes 128 words.
pub(crate) const MAX_PARTICIPANTS: u32 = 120;

/// What the segment holds cannot be the work of a ringway peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

const _: () = assert!(CONTROL_OFFSET >= header::HEADER_LEN);
const _: () = assert!(CONTROL_OFFSET + control::CONTROL_LEN <= PARTICIPANTS_OFFSET);

/// Who takes part in a ring, or that it is none but a board. Recorded in the header; fixed for the life of the ring.
///
/// Several consumers share the work: each message goes to one of them. Those of a broadcast ring all get each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// One producer, one consumer. With [`SyncKind::Futex`] this is the stream ring: records of any size
    /// packed one after the other, the fastest of all.
    Spsc,
    /// Many producers, one consumer.
    Mpsc,
    /// One producer, many consumers.
    Spmc,
    /// Many producers, many consumers.
    Mpmc,
    /// No ring but a [`Board`](crate::Board), which is made and opened by that and looked at by
    /// [`inspect::stat`](crate::inspect::stat()). A [`Builder`](crate::Builder) makes none.
    Board,
    /// One producer, many consumers, of which each gets every message ([`broadcast`](crate::broadcast)).
    Broadcast,
}

impl Kind {
    /// All kinds of rings.
    pub const ALL: [Self; 5] = [
        Self::Spsc,
        Self::Mpsc,
        Self::Spmc,
        Self::Mpmc,
        Self::Broadcast,
    ];

    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::Kind::Mpmc.name(), "mpmc");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Spsc => "spsc",
            Self::Mpsc => "mpsc",
            Self::Spmc => "spmc",
            Self::Mpmc => "mpmc",
            Self::Broadcast => "broadcast",
            Self::Board => "board",
        }
    }

    /// Whether the kind has room for several processes in `role`.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Kind;
    /// use ringway::peer::Role;
    ///
    /// assert!(Kind::Mpsc.allows_many(Role::Producer));
    /// assert!(!Kind::Mpsc.allows_many(Role::Consumer));
    /// ```
    pub fn allows_many(self, role: Role) -> bool {
        match role {
            Role::Producer => matches!(self, Self::Mpsc | Self::Mpmc | Self::Board),
            Role::Consumer => matches!(self, Self::Spmc | Self::Mpmc | Self::Broadcast),
        }
    }

    /// Slots for participants, with `each` in every role that the kind has many of.
    pub(crate) fn participants(self, each: u32) -> Option<u32> {
        if self == Self::Board {
            // Its readers take no slots.
            return Some(each);
        }
        let of = |role| if self.allows_many(role) { each } else { 1 };
        of(Role::Producer).checked_add(of(Role::Consumer))
    }

    /// How many of `participants` are producers; the rest are consumers. `None` if a kind of this name
    /// cannot have so many slots.
    fn producers(self, participants: u32) -> Option<u32> {
        let producers = match self {
            Self::Spsc | Self::Spmc | Self::Broadcast => 1,
            Self::Mpsc => participants.checked_sub(1)?,
            Self::Mpmc => participants / 2,
            Self::Board => participants,
        };
        (self.participants(producers.max(participants.checked_sub(producers)?))
            == Some(participants))
        .then_some(producers)
    }

    fn code(self) -> u32 {
        match self {
            Self::Spsc => 1,
            Self::Mpsc => 2,
            Self::Spmc => 3,
            Self::Mpmc => 4,
            Self::Broadcast => 5,
            Self::Board => 6,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::Board]);
        all.find(|kind| kind.code() == code)
    }
}

/// How the participants of a ring exclude and wake each other. Recorded in the header.
///
/// All have the same interface and the same promises; [`SyncKind::Futex`] is the fastest by far. The others
/// are for who has to work with what they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncKind {
    /// Lock-free, with an eventcount on futex words for sleeping.
    Futex,
    /// A robust `PTHREAD_PROCESS_SHARED` mutex in the segment, and a condition variable beside it.
    ///
    /// For peers that trust each other ([`needs_trust`](Self::needs_trust)): the C library follows pointers in its
    /// mutex, so who writes there can make a peer write where it likes in its own memory.
    Pthread,
    /// POSIX semaphores in the segment: one to exclude, and one for each participant to sleep on.
    ///
    /// For peers that trust each other ([`needs_trust`](Self::needs_trust)): the C library ends a process whose
    /// semaphore holds what it never writes there, so who writes there can end all peers.
    PosixSem,
    /// A System V semaphore set: one to exclude, which the kernel gives back for the dead (`SEM_UNDO`),
    /// and one for each participant to sleep on.
    SysvSem,
    /// Lock-free; sleepers are woken by a message in a POSIX message queue.
    Mqueue,
}

impl SyncKind {
    /// All kinds of synchronisation.
    pub const ALL: [Self; 5] = [
        Self::Futex,
        Self::Pthread,
        Self::PosixSem,
        Self::SysvSem,
        Self::Mqueue,
    ];

    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::SyncKind::PosixSem.name(), "posix-sem");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Futex => "futex",
            Self::Pthread => "pthread",
            Self::PosixSem => "posix-sem",
            Self::SysvSem => "sysv-sem",
            Self::Mqueue => "mqueue",
        }
    }

    /// Whether peers must trust each other: the C library works on objects of its own in memory that they write.
    ///
    /// A ring of such a kind is opened only if this process's user and root alone can write in it, by its owner and
    /// its mode; it is made with no other mode, and a `memfd:` is neither handed nor taken over, unless
    /// [`Builder::trust_peers`](crate::Builder::trust_peers) says that all who can are trusted.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::SyncKind;
    ///
    /// assert!(SyncKind::Pthread.needs_trust() && SyncKind::PosixSem.needs_trust());
    /// assert!(!SyncKind::Futex.needs_trust());
    /// ```
    pub fn needs_trust(self) -> bool {
        match self {
            Self::Pthread | Self::PosixSem => true,
            // The kernel's objects and futex words: whatever a peer makes of them, nothing is followed.
            Self::Futex | Self::SysvSem | Self::Mqueue => false,
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Futex => 1,
            Self::Pthread => 2,
            Self::PosixSem => 3,
            Self::SysvSem => 4,
            Self::Mqueue => 5,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|sync| sync.code() == code)
    }
}

/// How the messages of a ring lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other ([`record`]).
    Stream,
    /// In cells of so many bytes, a power of two ([`cell`]).
    Cells(u32),
    /// No messages but values, of so many entries ([`board`]).
    Board(u32),
    /// One after the other ([`record`]), for all consumers ([`broadcast`]).
    Broadcast,
}

impl Shape {
    /// The shape of a ring: a stream where one producer and one consumer need nothing else. Of a board, `cell_len` is
    /// the number of its entries.
    pub(crate) fn of(kind: Kind, sync: SyncKind, overwrite: bool, cell_len: u32) -> Self {
        if kind == Kind::Board {
            Self::Board(cell_len)
        } else if kind == Kind::Broadcast {
            Self::Broadcast
        } else if kind == Kind::Spsc && sync == SyncKind::Futex && !overwrite {
            Self::Stream
        } else {
            Self::Cells(cell_len)
        }
    }
}

/// Where the parts of one ring lie. A process computes it once, from checked numbers, and works from
/// this private copy; it never reads geometry from the segment again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    shape: Shape,
    capacity: u64,
    producers: u32,
    participants: u32,
    data_offset: u64,
    slabs: Slabs,
    /// Whether each slab is a segment of its own.
    slab_segments: bool,
}

impl Geometry {
    /// The only place that decides where things lie. `None` if the numbers are out of range.
    pub(crate) fn new(kind: Kind, shape: Shape, participants: u32, capacity: u64) -> Option<Self> {
        let in_range = (MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity)
            && (2..=MAX_PARTICIPANTS).contains(&participants);
        if !in_range || !capacity.is_power_of_two() {
            return None;
        }
        if let Shape::Cells(cell_len) = shape {
            let cells = capacity.checked_div(cell_len.into())?;
            let in_range = (cell::MIN_CELL_LEN..=cell::MAX_CELL_LEN).contains(&cell_len)
                && cells >= cell::MIN_CELLS;
            if !in_range || !cell_len.is_power_of_two() {
                return None;
            }
        }
        let mut table = table_end(participants);
        if let Shape::Board(entries) = shape {
            if !(1..=board::MAX_ENTRIES).contains(&entries)
                || capacity < DATA_ALIGN
                || board::buffer_len(capacity, entries) < board::MIN_BUFFER_LEN
            {
                return None;
            }
            table = board::entries_end(participants, entries);
        }
        if shape == Shape::Broadcast {
            table = broadcast::notes_end(participants);
        }
        Some(Self {
            shape,
            capacity,
            producers: kind.producers(participants)?,
            participants,
            data_offset: (table as u64).next_multiple_of(DATA_ALIGN),
            slabs: Slabs::NONE,
            slab_segments: false,
        })
    }

    /// The same ring, with slabs.
    pub(crate) fn with_slabs(self, slabs: Slabs) -> Self {
        Self { slabs, ..self }
    }

    /// The same ring, with each of its slabs, if it has some, in a segment of its own or not.
    pub(crate) fn with_slab_segments(self, yes: bool) -> Self {
        Self {
            slab_segments: yes && !self.slabs.is_empty(),
            ..self
        }
    }

    /// A stream ring's.
    #[cfg(any(test, feature = "verify"))]
    pub(crate) fn stream(capacity: u64) -> Option<Self> {
        Self::new(Kind::Spsc, Shape::Stream, 2, capacity)
    }

    /// A broadcast ring's, with so many consumers at most.
    #[cfg(any(test, feature = "verify"))]
    pub(crate) fn broadcast(capacity: u64, consumers: u32) -> Option<Self> {
        Self::new(Kind::Broadcast, Shape::Broadcast, 1 + consumers, capacity)
    }

    /// How the messages lie.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes in the data region, a power of two.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Slots in the participants table.
    pub(crate) fn participants(&self) -> u32 {
        self.participants
    }

    /// The slots of those in `role`: first all producers, then all consumers.
    pub(crate) fn slots(&self, role: Role) -> std::ops::Range<u32> {
        match role {
            Role::Producer => 0..self.producers,
            Role::Consumer => self.producers..self.participants,
        }
    }

    /// The longest message, in bytes.
    pub(crate) fn max_message_len(&self) -> u64 {
        let in_ring = match self.shape {
            Shape::Stream | Shape::Broadcast => record::max_payload(self.capacity),
            Shape::Cells(cell_len) => cell::max_payload(self.capacity, cell_len),
            Shape::Board(entries) => board::buffer_len(self.capacity, entries),
        };
        in_ring.max(self.slabs.longest())
    }

    /// The slabs for long messages.
    pub(crate) fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// Whether each slab is a segment of its own.
    pub(crate) fn has_slab_segments(&self) -> bool {
        self.slab_segments
    }

    /// Where the slabs' words start, and where the slabs or the table of their segments' ids, in bytes from the
    /// start of the segment.
    pub(crate) fn slab_offsets(&self) -> (u64, u64) {
        self.slabs.offsets(self.data_end())
    }

    /// Where the data region starts, in bytes from the start of the segment.
    pub(crate) fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Where the data region ends, in bytes from the start of the segment.
    pub(crate) fn data_end(&self) -> u64 {
        self.data_offset + self.capacity
    }

    /// Bytes of the whole segment, and of those that its slabs may have of their own.
    pub(crate) fn memory_len(&self) -> u64 {
        let slabs = match self.slab_segments {
            true => self.slabs.bytes() + u64::from(self.slabs.count()) * slab_segment::TRAILER_LEN,
            false => 0,
        };
        self.total_len() + slabs
    }

    /// Bytes of the whole segment.
    pub(crate) fn total_len(&self) -> u64 {
        if self.slabs.is_empty() {
            return self.data_end();
        }
        let (_, slabs) = self.slab_offsets();
        slabs
            + if self.slab_segments {
                self.slabs.words_len()
            } else {
                self.slabs.bytes()
            }
    }
}

/// Whether a segment of some ring has so many bytes.
pub(crate) fn is_length_of_a_ring(len: u64) -> bool {
    // One with slabs has a page for header and participants at least, and one each for data, words and slabs.
    if len.is_multiple_of(DATA_ALIGN) && len >= 4 * DATA_ALIGN {
        return true;
    }
    let last = broadcast::notes_end(MAX_PARTICIPANTS) as u64;
    (1..=last.div_ceil(DATA_ALIGN))
        .filter_map(|pages| len.checked_sub(pages * DATA_ALIGN))
        .any(|rest| rest.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&rest))
}
