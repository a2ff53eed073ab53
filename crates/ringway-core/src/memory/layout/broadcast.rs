//! What lies where in a broadcast ring: the words of its producer, of each consumer's slot, and, between the sights and the
//! data, its waypoints and the cursors that have names. `LAYOUT.md` ("Broadcast") has the tables.

use super::LINE;
use super::control::{HEAD, TAKE_HINT};
use super::participant::{SEMAPHORE, SEMAPHORE_LEN, slot_offset, table_end};

/// How far the producer may go without looking at anybody: whatever lies a capacity before this and earlier may be
/// overwritten at any moment. A line of its own, where other rings have their head.
pub(crate) const LIMIT: usize = HEAD;

/// Fields in the slot of a consumer, where rings of sync posix-sem have a semaphore.
pub(crate) const CURSOR: usize = SEMAPHORE;
/// What the holder is to the producer, see [`State`].
pub(crate) const STATE: usize = CURSOR + 8;
/// Number of the next message.
pub(crate) const NUMBER: usize = CURSOR + 16;
/// What a consumer with the policy `Evict` may hold up, see [`Bound`].
pub(crate) const BOUND: usize = CURSOR + 24;

const _: () = assert!(BOUND + 8 <= SEMAPHORE + SEMAPHORE_LEN);

/// How many waypoints there are: places of records with their numbers, from which a consumer that comes, or that was
/// overtaken, goes on.
pub(crate) const WAYPOINTS: usize = if cfg!(loom) { 2 } else { 32 };
/// Bytes of a waypoint: position, number.
pub(crate) const WAYPOINT_LEN: usize = 16;
/// A waypoint's position while it is written.
pub(crate) const NO_WAYPOINT: u64 = u64::MAX;
/// The producer looks at the consumers, and may set a waypoint, when it has gone the capacity divided by this.
/// (Models of interleavings have few, and look at few.)
pub(crate) const STRIDES: u64 = if cfg!(loom) { 1 } else { 16 };

// All that lie within a capacity are there, and those that were set last.
const _: () = assert!(STRIDES as usize * 2 <= WAYPOINTS);

/// How many names there are. (Models of interleavings have few.)
pub(crate) const NAMES: usize = if cfg!(loom) { 2 } else { 128 };
/// Bytes of a name's entry, lines of its own: its holder writes it with each message.
pub(crate) const NAME_LEN: usize = LINE;
/// Fields of an entry: a hash of the name, 0 as long as it was nobody's, [`FORGOTTEN`] if the name was forgotten.
pub(crate) const NAME_KEY: usize = 0;
/// The key of an entry that can be another name's.
pub(crate) const FORGOTTEN: u64 = u64::MAX;
/// Slot (8 bits) and epoch of who gives forgotten entries to other names, or did so last; 0 nobody. A control line that other
/// rings have their hints in.
pub(crate) const NAMES_LOCK: usize = TAKE_HINT;
/// Slot (8 bits) and epoch of whoever has the name, or had it last; 0 nobody yet.
pub(crate) const NAME_HOLDER: usize = 8;
/// One more than the number of the next message, 0 as long as no holder had one.
pub(crate) const NAME_NUMBER: usize = 16;
/// Messages before this number were shown in place.
pub(crate) const NAME_SHOWN: usize = 24;
/// The name, for observers.
pub(crate) const NAME_TEXT: usize = 32;
/// The most bytes of a name.
pub(crate) const MOST_NAME: usize = 64;

/// Where that message is, or one before it.
pub(crate) const NAME_POSITION: usize = NAME_TEXT + MOST_NAME;

const _: () = assert!(NAME_POSITION + 8 <= NAME_LEN);

/// Bytes of waypoints and names.
pub(crate) const NOTES_LEN: usize = WAYPOINTS * WAYPOINT_LEN + NAMES * NAME_LEN;

/// Where the waypoints start in a ring with so many slots.
const fn notes_offset(participants: u32) -> usize {
    table_end(participants).next_multiple_of(LINE)
}

/// Where waypoint `index` is in a ring with so many slots.
pub(crate) const fn waypoint_offset(participants: u32, index: usize) -> usize {
    notes_offset(participants) + index % WAYPOINTS * WAYPOINT_LEN
}

/// Where the entry of name `index` is in a ring with so many slots.
pub(crate) const fn name_offset(participants: u32, index: usize) -> usize {
    notes_offset(participants) + WAYPOINTS * WAYPOINT_LEN + index % NAMES * NAME_LEN
}

/// The end of the names in a ring with so many slots.
pub(crate) const fn notes_end(participants: u32) -> usize {
    notes_offset(participants) + NOTES_LEN
}

/// Where the state of the holder of `slot` is.
pub(crate) const fn state_offset(slot: u32) -> usize {
    slot_offset(slot) + STATE
}

/// Where the cursor of the holder of `slot` is.
pub(crate) const fn cursor_offset(slot: u32) -> usize {
    slot_offset(slot) + CURSOR
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It looks for its place: it holds the producer where that is.
    Joining,
    /// Its cursor counts.
    Active,
    /// It has held the producer up for too long, and does not count any more.
    Evicted,
}

/// Whom a consumer holds up, as its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The producer waits for it.
    Always,
    /// Nobody.
    Never,
    /// The producer waits for it up to its bound.
    Bounded,
}

/// A consumer's state: a word that is replaced as a whole. Of another epoch than the slot's it is what an earlier holder
/// left, and says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) epoch: u64,
    pub(crate) holds: Holds,
    pub(crate) phase: Phase,
}

/// The bits of an epoch that a state has.
const EPOCH_BITS: u64 = u64::MAX >> 8;

impl State {
    /// The word.
    pub(crate) fn encode(self) -> u64 {
        let holds = match self.holds {
            Holds::Always => 1,
            Holds::Never => 2,
            Holds::Bounded => 3,
        };
        let phase = match self.phase {
            Phase::Joining => 1,
            Phase::Active => 2,
            Phase::Evicted => 3,
        };
        (self.epoch & EPOCH_BITS) << 8 | holds << 4 | phase
    }

    /// What a word says that was fetched once; `None` if nobody writes such.
    pub(crate) fn decode(word: u64) -> Option<Self> {
        let holds = match word >> 4 & 0xf {
            1 => Holds::Always,
            2 => Holds::Never,
            3 => Holds::Bounded,
            _ => return None,
        };
        let phase = match word & 0xf {
            1 => Phase::Joining,
            2 => Phase::Active,
            3 => Phase::Evicted,
            _ => return None,
        };
        let epoch = word >> 8;
        Some(Self {
            epoch,
            holds,
            phase,
        })
    }

    /// Whether it is of a slot's holder with that epoch.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        self.epoch == epoch & EPOCH_BITS
    }
}

/// Up to where a consumer may hold the producer up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// For so many bytes that it is behind.
    Bytes(u64),
    /// For so many nanoseconds that the producer waits.
    Nanoseconds(u64),
}

/// Says that a bound is a time.
const IS_TIME: u64 = 1 << 63;

impl Bound {
    /// The word.
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes & !IS_TIME,
            Self::Nanoseconds(time) => time | IS_TIME,
        }
    }

    /// What a word says; every word says something.
    pub(crate) fn decode(word: u64) -> Self {
        match word & IS_TIME {
            0 => Self::Bytes(word),
            _ => Self::Nanoseconds(word & !IS_TIME),
        }
    }
}

/// What consumers of a ring may choose, a bit each, in the header.
pub(crate) mod allowed {
    pub(crate) const BLOCK: u8 = 1;
    pub(crate) const LOSSY: u8 = 2;
    pub(crate) const EVICT: u8 = 4;
    pub(crate) const ALL: u8 = BLOCK | LOSSY | EVICT;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        for holds in [Holds::Always, Holds::Never, Holds::Bounded] {
            for phase in [Phase::Joining, Phase::Active, Phase::Evicted] {
                let state = State {
                    epoch: 7,
                    holds,
                    phase,
                };
                assert_eq!(State::decode(state.encode()), Some(state));
                assert!(state.is_of(7) && !state.is_of(8));
            }
        }
        assert_eq!(State::decode(0), None);
        for bound in [Bound::Bytes(4096), Bound::Nanoseconds(1)] {
            assert_eq!(Bound::decode(bound.encode()), bound);
        }
    }

    #[test]
    fn entries_lie_apart() {
        assert!(waypoint_offset(2, WAYPOINTS - 1) + WAYPOINT_LEN <= name_offset(2, 0));
        assert_eq!(name_offset(120, NAMES - 1) + NAME_LEN, notes_end(120));
        assert!(name_offset(33, 5).is_multiple_of(LINE));
    }
}
