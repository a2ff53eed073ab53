//! A cell of the cell ring: a 64-bit control word, 8 bytes about the message, and the payload.
//!
//! | offset in the cell | width | field |
//! |---|---|---|
//! | 0 | 8 | control word, xored with the ring's key |
//! | 8 | 4 | bytes of payload |
//! | 12 | 4 | extent in cells; 2^31 + 1 if the payload is the ticket of a message in a slab ([`super::pool`]) |
//! | 16 | | payload |
//!
//! A record takes one cell or several adjacent ones, its *extent*. Only the first cell of a record has a
//! control word while the record lives; the payload runs on through the others.
//!
//! | bits of the control word | field |
//! |---|---|
//! | 0 - 2 | state |
//! | 3 - 9 | owner: slot in the participants table |
//! | 10 - 19 | owner: low bits of the slot's epoch |
//! | 20 - 43 | extent in cells |
//! | 44 - 63 | lap: low bits of how often the ring has been used up to here |
//!
//! The key comes from the ring's nonce. It is there so that no payload is ever taken for a control word:
//! one who looks at a cell at the wrong time may find payload there, and payload is anybody's.

use super::pool::TICKET_LEN;

/// Bytes of a cell that are not payload.
pub(crate) const CELL_HEADER: u64 = 16;
/// Where the length of the payload is, in bytes from the start of the cell.
pub(crate) const LEN_AT: u64 = 8;
/// What there is of a message in a slab: its ticket, in one cell.
pub(crate) const LOANED: u64 = 1 << 63 | 1 << 32 | TICKET_LEN;
/// The shortest cell, in bytes.
pub(crate) const MIN_CELL_LEN: u32 = 64;
/// The longest cell, in bytes.
pub(crate) const MAX_CELL_LEN: u32 = 1 << 20;
/// The fewest cells of a ring.
pub(crate) const MIN_CELLS: u64 = 4;

/// The longest extent that a control word can say.
const MAX_EXTENT: u64 = (1 << 24) - 1;
const LAP_MASK: u64 = (1 << 20) - 1;
const EPOCH_MASK: u64 = (1 << 10) - 1;
const SLOT_MASK: u64 = (1 << 7) - 1;

const _: () = assert!(super::MAX_PARTICIPANTS as u64 <= SLOT_MASK);
const _: () = assert!(CELL_HEADER + TICKET_LEN <= MIN_CELL_LEN as u64);

/// What a record is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's, for the lap in the word.
    Free,
    /// A producer's, who is writing it.
    Claimed,
    /// Committed; no consumer has ever had it.
    Full,
    /// A consumer's, who is reading it.
    Taken,
    /// Committed, and given back by a consumer that died.
    Returned,
    /// Acknowledged; its owner is freeing its cells.
    Freeing,
    /// Claimed, and never to be committed: aborted, or padding at the end of the ring.
    Aborted,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Free,
        Self::Claimed,
        Self::Full,
        Self::Taken,
        Self::Returned,
        Self::Freeing,
        Self::Aborted,
    ];
}

/// One holder of one slot: what a control word says of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) slot: u32,
    /// Low bits of the slot's epoch.
    epoch: u32,
}

impl Owner {
    /// Nobody.
    const NONE: Self = Self { slot: 0, epoch: 0 };

    /// The holder of `slot` in its `epoch`.
    pub(crate) fn new(slot: u32, epoch: u64) -> Self {
        Self {
            slot,
            epoch: (epoch & EPOCH_MASK) as u32,
        }
    }

    /// Whether it was in this epoch of its slot.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        u64::from(self.epoch) == epoch & EPOCH_MASK
    }
}

/// A decoded control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: State,
    pub(crate) owner: Owner,
    /// In cells; 0 in a free cell, at least 1 in others.
    pub(crate) extent: u64,
    /// Low bits.
    pub(crate) lap: u64,
}

impl Word {
    /// A free cell.
    pub(crate) fn free(lap: u64) -> Self {
        Self {
            state: State::Free,
            owner: Owner::NONE,
            extent: 0,
            lap: lap & LAP_MASK,
        }
    }

    /// The same record in another state, which has no owner.
    pub(crate) fn become_nobodys(self, state: State) -> Self {
        Self {
            state,
            owner: Owner::NONE,
            ..self
        }
    }

    /// The same record in another state, owned.
    pub(crate) fn become_owned(self, state: State, owner: Owner) -> Self {
        Self {
            state,
            owner,
            ..self
        }
    }

    /// The same record with another extent.
    pub(crate) fn with_extent(self, extent: u64) -> Self {
        Self { extent, ..self }
    }

    /// Whether it belongs to this lap.
    #[inline]
    pub(crate) fn is_of_lap(self, lap: u64) -> bool {
        self.lap == lap & LAP_MASK
    }

    /// The bits as they are stored.
    #[inline]
    pub(crate) fn encode(self, key: u64) -> u64 {
        let bits = self.state as u64
            | u64::from(self.owner.slot) << 3
            | u64::from(self.owner.epoch) << 10
            | self.extent << 20
            | self.lap << 44;
        bits ^ key
    }

    /// Decodes bits that were fetched once; `None` if nobody writes such.
    #[inline]
    pub(crate) fn decode(stored: u64, key: u64) -> Option<Self> {
        let bits = stored ^ key;
        let word = Self {
            state: *State::ALL.get((bits & 7) as usize)?,
            owner: Owner {
                slot: (bits >> 3 & SLOT_MASK) as u32,
                epoch: (bits >> 10 & EPOCH_MASK) as u32,
            },
            extent: bits >> 20 & MAX_EXTENT,
            lap: bits >> 44,
        };
        ((word.state == State::Free) == (word.extent == 0)).then_some(word)
    }
}

/// What nobody writes as a word of the ring with this key.
pub(crate) fn no_word(key: u64) -> u64 {
    // No state has this number.
    key ^ 7
}

/// The ring's key, from its nonce.
pub(crate) fn key(nonce: [u8; 16]) -> u64 {
    let number = u128::from_le_bytes(nonce);
    (number >> 64) as u64 ^ number as u64
}

/// The longest extent in a ring of so many cells: half of them, so that the padding before it always
/// fits as well.
pub(crate) fn max_extent(cells: u64) -> u64 {
    (cells / 2).min(MAX_EXTENT)
}

/// The longest payload in a ring of `capacity` bytes with cells of `cell_len`.
pub(crate) fn max_payload(capacity: u64, cell_len: u32) -> u64 {
    let longest = max_extent(capacity / u64::from(cell_len)) * u64::from(cell_len) - CELL_HEADER;
    longest.min(u32::MAX.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_was_encoded_from() {
        let word = Word {
            state: State::Freeing,
            owner: Owner::new(119, 1023),
            extent: MAX_EXTENT,
            lap: LAP_MASK,
        };
        assert_eq!(Word::decode(word.encode(42), 42), Some(word));
        assert_eq!(
            Word::decode(Word::free(7).encode(3), 3),
            Some(Word::free(7))
        );
    }

    #[test]
    fn what_nobody_writes_is_no_word() {
        assert_eq!(Word::decode(no_word(0), 0), None, "no such state");
        assert_eq!(Word::decode(no_word(u64::MAX), u64::MAX), None);
        assert_eq!(Word::decode(1, 0), None, "a record without cells");
        assert_eq!(Word::decode(1 << 20, 0), None, "a free cell with an extent");
    }
}
