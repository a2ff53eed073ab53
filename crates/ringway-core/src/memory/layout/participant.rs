//! The participants table: who is attached, with the proof of its life; and the *sights*, by which each slot sees whether
//! each other one's holder lives. `LAYOUT.md` ("Participants") has the tables.
//!
//! Slots belong to roles: first come the producers' slots, then the consumers'. So taking a role and
//! being seen to live is one compare-and-swap. The fields from 40 to 96 are those of cell rings; a
//! stream ring leaves them zero, and uses the one behind them.

use super::LINE;

/// Offset of the first slot.
pub(crate) const PARTICIPANTS_OFFSET: usize = 1024;
/// Bytes of a slot.
pub(crate) const SLOT_LEN: usize = LINE;

/// Offsets within a slot.
pub(crate) const LIVENESS: usize = 0;
pub(crate) const ROLE: usize = 4;
pub(crate) const EPOCH: usize = 8;
pub(crate) const PID: usize = 16;
/// Readers believe the other fields only while this equals the liveness word.
pub(crate) const FILLED_FOR: usize = 20;
pub(crate) const PID_NAMESPACE: usize = 24;
pub(crate) const ATTACHED_NS: usize = 32;
pub(crate) const ASLEEP: usize = 40;
pub(crate) const CLOSED: usize = 44;
pub(crate) const MESSAGES: usize = 48;
pub(crate) const OVERWRITTEN: usize = 56;
pub(crate) const SEMAPHORE: usize = 64;
/// Bytes kept for the semaphore.
pub(crate) const SEMAPHORE_LEN: usize = 32;
/// In stream rings: one more than the epoch while the holder makes the fence of [`crate::waiting::publisher`].
pub(crate) const FENCES: usize = 96;
/// Also in stream rings.
pub(crate) const REPAIRED: usize = 104;

/// Which queue the holder sleeps on, see [`crate::waiting::sync::mqueue`].
pub(crate) const QUEUE: usize = 112;

/// Says of which opening that has no entry any more the holder is.
pub(crate) const NO_ENTRY: usize = 120;

/// What [`ASLEEP`] says.
pub(crate) const AWAKE: u32 = 0;
pub(crate) const FOR_MESSAGE: u32 = 1;
pub(crate) const FOR_ROOM: u32 = 2;

/// Offset of slot `index` in the segment.
pub(crate) const fn slot_offset(index: u32) -> usize {
    PARTICIPANTS_OFFSET + index as usize * SLOT_LEN
}

/// Bytes of a sight. (A robust list has a node of eight bytes for each.)
pub(crate) const SIGHT_LEN: usize = 8;

/// Where the holder of slot `watcher` sees whether that of slot `watched` lives, in a ring with so many slots.
pub(crate) const fn sight_offset(participants: u32, watched: u32, watcher: u32) -> usize {
    let nth = watched as usize * participants as usize + watcher as usize;
    slot_offset(participants) + nth * SIGHT_LEN
}

/// The end of the participants table and the sights of a ring with so many slots.
pub(crate) const fn table_end(participants: u32) -> usize {
    sight_offset(participants, participants, 0)
}

/// All words of a ring with so many slots that say who lives.
pub(crate) fn liveness_words(participants: u32) -> impl Iterator<Item = usize> {
    let slots = (0..participants).map(|slot| slot_offset(slot) + LIVENESS);
    slots.chain((slot_offset(participants)..table_end(participants)).step_by(SIGHT_LEN))
}

/// What a participant does on a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It sends.
    Producer,
    /// It receives.
    Consumer,
}

impl Role {
    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::peer::Role::Producer.name(), "producer");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The number in the slot.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Producer => 1,
            Self::Consumer => 2,
        }
    }

    /// The role of a number in a slot.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        [Self::Producer, Self::Consumer]
            .into_iter()
            .find(|role| role.code() == code)
    }
}
