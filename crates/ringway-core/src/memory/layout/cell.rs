//! A cell of the cell ring: a 64-bit control word, 8 bytes about the message, and the payload. `LAYOUT.md` ("Cells") has
//! the bits.
//!
//! A record takes one cell or several adjacent ones, its *extent*. Only the first cell of a record has a
//! control word while the record lives; the payload runs on through the others.
//!
//! Which field of the control word lies where depends on the state: what a state does not need is left to the lap.
//! A word is compared and swapped by participants that may have been stopped for long since they saw it, so the
//! same word must not come again.
//!
//! So the word of a cell without an owner comes again after 2^61 cells, and none has been used so often
//! (`HEAD` ends at 2^56). One with an owner comes again after 2^44 cells, and only if the slot's epoch has come
//! round as well.
//!
//! # Payload where a word was
//!
//! One who was stopped for long may look at a cell, or try to change the word that it saw there, when the cell lies
//! inside a record of several cells. It must find no control word, although payload is anybody's:
//!
//! - Words are xored with a key, which comes from the ring's nonce. So eight bytes of payload are no word.
//! - The end of a message may cover only the first bytes of a word, and bytes are written one after the other. So
//!   before any payload is written, each cell of a record but the first gets a *cover* in its word's place. It has
//!   bit 63 and, in a free cell, an extent that is not 1. Whatever the payload leaves of it, the first byte
//!   or the last, is no part of a word. (Without a cover one byte of payload made the word of a free cell that of the lap
//!   before, which a producer that was idle since then could claim.)

use super::pool::TICKET_LEN;

/// Bytes of a cell that are not payload.
pub(crate) const CELL_HEADER: u64 = 16;
/// Where the length of the payload is, in bytes from the start of the cell.
pub(crate) const LEN_AT: u64 = 8;
/// Where the description of a record, 64 bits from [`LEN_AT`] on, says how often it was delivered before, in four
/// bits: 0 to 14, and 15 for "once less than never": it was taken once, and nobody looked at it.
pub(crate) const DELIVERED: u32 = 58;
/// Those bits.
pub(crate) const DELIVERED_MASK: u64 = 15 << DELIVERED;
/// What there is of a message in a slab: its ticket, in one cell.
pub(crate) const LOANED: u64 = 1 << 63 | 1 << 32 | TICKET_LEN;
/// The shortest cell, in bytes.
pub(crate) const MIN_CELL_LEN: u32 = 64;
/// The longest cell, in bytes.
pub(crate) const MAX_CELL_LEN: u32 = 1 << 20;
/// The fewest cells of a ring.
pub(crate) const MIN_CELLS: u64 = 4;

/// The longest extent of a record, or of several taken together.
const MAX_EXTENT: u64 = 1 << 24;
const _: () = assert!(MAX_EXTENT << 32 < 1 << DELIVERED);
const STATE_BITS: u32 = 3;
const SLOT_BITS: u32 = 7;
const EPOCH_BITS: u32 = 10;
/// What an owner takes.
const OWNER_BITS: u32 = SLOT_BITS + EPOCH_BITS;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const OWNER_MASK: u64 = ((1 << OWNER_BITS) - 1) << STATE_BITS;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// After so many cells of any ring, the lap in the word of a record with an owner begins anew.
#[cfg(test)]
pub(crate) const LAPS_END: u64 = 1 << (WORD_BITS - STATE_BITS - OWNER_BITS + 1);

/// A word's bits: all but the last, which tells a cover.
const WORD_BITS: u32 = u64::BITS - 1;
const WORD_MASK: u64 = u64::MAX >> 1;

/// Log2 of the most cells of a ring.
const MAX_CELL_BITS: u32 = (super::MAX_CAPACITY / MIN_CELL_LEN as u64).ilog2();
// Three laps that follow one another can be told apart.
const _: () = assert!(STATE_BITS + OWNER_BITS + MAX_CELL_BITS - 1 + 2 <= WORD_BITS);
const _: () = assert!(super::MAX_PARTICIPANTS as u64 <= SLOT_MASK);
const _: () = assert!(CELL_HEADER + TICKET_LEN <= MIN_CELL_LEN as u64);

/// What a record is going through. The odd ones have an owner.
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
    /// A consumer's, who is still reading it although producers that overwrite have come round.
    HeldOver,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Free,
        Self::Claimed,
        Self::Full,
        Self::Taken,
        Self::Returned,
        Self::Freeing,
        Self::Aborted,
        Self::HeldOver,
    ];

    /// Whether somebody owns a record in this state.
    #[inline]
    pub(crate) fn is_owned(self) -> bool {
        self as u64 & 1 == 1
    }
}

/// One holder of one slot: what a control word says of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The slot and low bits of its epoch, where a word has them.
    bits: u64,
}

impl Owner {
    /// Nobody.
    const NONE: Self = Self { bits: 0 };

    /// The holder of `slot` in its `epoch`.
    pub(crate) fn new(slot: u32, epoch: u64) -> Self {
        let owner = u64::from(slot) | (epoch & EPOCH_MASK) << SLOT_BITS;
        Self {
            bits: owner << STATE_BITS,
        }
    }

    /// Which slot.
    pub(crate) fn slot(self) -> u32 {
        (self.bits >> STATE_BITS & SLOT_MASK) as u32
    }

    /// Whether it was in this epoch of its slot.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        self.bits >> (STATE_BITS + SLOT_BITS) == epoch & EPOCH_MASK
    }
}

/// A control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: State,
    pub(crate) owner: Owner,
    /// In cells, at least 1.
    pub(crate) extent: u64,
    /// As much of it as the word has room for, in one that was decoded: [`in_lap`](Self::in_lap) gives it all.
    pub(crate) lap: u64,
}

impl Word {
    /// A free cell.
    pub(crate) fn free(lap: u64) -> Self {
        Self {
            state: State::Free,
            owner: Owner::NONE,
            extent: 1,
            lap,
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

    /// The same record, of which the whole lap is known. (A word with an owner has less room for it than the words
    /// that follow it.)
    pub(crate) fn in_lap(self, lap: u64) -> Self {
        Self { lap, ..self }
    }
}

/// How the words of a ring are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    key: u64,
    /// The bits of a position that tell the lap.
    laps: u64,
    /// Those of them for which a word with an owner has room.
    owned_laps: u64,
}

impl Code {
    /// The code of a ring of so many cells, under this key.
    pub(crate) fn new(key: u64, cells: u64) -> Self {
        let laps = !(cells - 1);
        Self {
            key,
            laps,
            owned_laps: laps & WORD_MASK >> (STATE_BITS + OWNER_BITS - 1),
        }
    }

    /// Log2 of the ring's cells, at least 2.
    #[inline]
    fn lap_bits(self) -> u32 {
        self.laps.trailing_zeros()
    }

    /// Bits before the extent.
    #[inline]
    fn below_extent(state: State) -> u32 {
        STATE_BITS + if state.is_owned() { OWNER_BITS } else { 0 }
    }

    /// Bits before the lap.
    #[inline]
    fn below_lap(self, state: State) -> u32 {
        Self::below_extent(state) + self.lap_bits() - 1
    }

    /// The bits as they are stored.
    #[inline]
    pub(crate) fn encode(self, word: Word) -> u64 {
        debug_assert!((1..=1 << (self.lap_bits() - 1)).contains(&word.extent));
        let bits = word.state as u64
            | word.owner.bits
            | (word.extent - 1) << Self::below_extent(word.state)
            | word.lap << self.below_lap(word.state);
        bits & WORD_MASK ^ self.key
    }

    /// The same for a record of so many cells that starts at the position `cell` and that nobody owns.
    #[inline(always)]
    pub(crate) fn nobodys(self, state: State, cell: u64, extent: u64) -> u64 {
        // The lap lies where the position has it, but for the bits of the state, and the extent's that are one less.
        let bits =
            state as u64 | (extent - 1) << STATE_BITS | (cell & self.laps) << (STATE_BITS - 1);
        bits ^ self.key
    }

    /// The same for one that `owner` has.
    #[inline(always)]
    pub(crate) fn owned(self, state: State, owner: Owner, cell: u64, extent: u64) -> u64 {
        let bits = state as u64
            | owner.bits
            | (extent - 1) << (STATE_BITS + OWNER_BITS)
            | (cell & self.owned_laps) << (STATE_BITS + OWNER_BITS - 1);
        bits ^ self.key
    }

    /// How many cells a record has that starts at the position `cell`, if `stored` is the word of one in this state, in which
    /// nobody owns it.
    #[inline(always)]
    pub(crate) fn extent_if(self, stored: u64, state: State, cell: u64) -> Option<u64> {
        // All bits but those of the extent are as they have to be.
        let found = stored ^ self.nobodys(state, cell, 1);
        let extents = (!self.laps << (STATE_BITS - 1)) & !STATE_MASK;
        (found & !extents == 0).then_some((found >> STATE_BITS) + 1)
    }

    /// Decodes bits that were fetched once; `None` if nobody writes such.
    #[inline]
    pub(crate) fn decode(self, stored: u64) -> Option<Word> {
        let bits = stored ^ self.key;
        if bits & !WORD_MASK != 0 {
            return None;
        }
        let state = State::ALL[(bits & STATE_MASK) as usize];
        let extent = bits >> Self::below_extent(state) & ((1 << (self.lap_bits() - 1)) - 1);
        let owner = if state.is_owned() {
            Owner {
                bits: bits & OWNER_MASK,
            }
        } else {
            Owner::NONE
        };
        let word = Word {
            state,
            owner,
            extent: extent + 1,
            lap: bits >> self.below_lap(state),
        };
        (state != State::Free || extent == 0).then_some(word)
    }

    /// How many laps from `word`, of which all of its lap is known, to the same record in a later one.
    pub(crate) fn laps_to(self, word: Word, later: Word) -> u64 {
        later.lap.wrapping_sub(word.lap) & WORD_MASK >> self.below_lap(later.state)
    }

    /// Whether a word belongs to this lap.
    #[inline]
    pub(crate) fn is_of_lap(self, word: Word, lap: u64) -> bool {
        (word.lap ^ lap) << self.below_lap(word.state) & WORD_MASK == 0
    }

    /// What is stored in the word's place of a cell inside a record.
    #[inline]
    pub(crate) fn cover(self) -> u64 {
        no_word(self.key)
    }
}

/// How the record of a message of `len` bytes is described that has so many cells.
#[inline(always)]
pub(crate) fn described_as(len: u64, extent: u64) -> u64 {
    len | extent << 32
}

/// The stored word of a cell in a ring that is new.
pub(crate) fn new_word(key: u64) -> u64 {
    // The same in every ring, however many cells it has.
    Code::new(key, MIN_CELLS).encode(Word::free(0))
}

/// What is no word of the ring with this key, and stays none if all of its bytes but the first or the last are others:
/// the cover of a cell inside a record.
#[inline]
pub(crate) fn no_word(key: u64) -> u64 {
    // A free cell whose extent is not one, and the last bit.
    key ^ (1 << STATE_BITS | !WORD_MASK)
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

    const CELLS: u64 = 1 << 10;

    #[test]
    fn a_word_is_what_it_was_encoded_from() {
        let code = Code::new(42, CELLS);
        for state in State::ALL {
            let lap = WORD_MASK >> code.below_lap(state);
            let extent = if state == State::Free { 1 } else { CELLS / 2 };
            let word = Word::free(lap).with_extent(extent);
            let word = match state.is_owned() {
                true => word.become_owned(state, Owner::new(119, 1023)),
                false => word.become_nobodys(state),
            };
            assert_eq!(code.decode(code.encode(word)), Some(word));
            let cell = lap << 10 | 77;
            for extent in [1, 2, extent] {
                let stored = code.encode(word.with_extent(extent));
                if state.is_owned() {
                    assert_eq!(code.owned(state, word.owner, cell, extent), stored);
                    continue;
                }
                assert_eq!(code.nobodys(state, cell, extent), stored);
                assert_eq!(code.extent_if(stored, state, cell), Some(extent));
                // Of another lap, another state, a cover: none.
                for other in [cell + CELLS, cell.wrapping_sub(CELLS)] {
                    assert_eq!(code.extent_if(stored, state, other), None);
                }
                let other = match state {
                    State::Full => State::Returned,
                    _ => State::Full,
                };
                assert_eq!(code.extent_if(stored, other, cell), None);
                assert_eq!(code.extent_if(code.cover(), state, cell), None);
            }
            assert!(code.is_of_lap(word, lap));
            assert!(!code.is_of_lap(word, lap.wrapping_add(1)));
            assert!(!code.is_of_lap(word, lap - 1));
        }
    }

    #[test]
    fn what_nobody_writes_is_no_word() {
        for cells in [MIN_CELLS, CELLS] {
            for key in [0, u64::MAX] {
                assert_eq!(Code::new(key, cells).decode(no_word(key)), None);
            }
        }
    }

    /// Whatever payload lies over a cover but for its first byte, or but for its last, it is the word of no free cell,
    /// and no other word if the last byte is left.
    #[test]
    fn what_is_left_of_a_cover_is_no_word() {
        let code = Code::new(7, MIN_CELLS);
        for lap in [0, 1, 2, 255, 256, 1 << 20, u64::MAX >> 12] {
            for (state, owner) in State::ALL
                .into_iter()
                .map(|state| (state, Owner::new(1, 1)))
            {
                let word = match state.is_owned() {
                    true => Word::free(lap).become_owned(state, owner),
                    false => Word::free(lap).become_nobodys(state),
                };
                let word = code.encode(word);
                for covered in 1..8 {
                    // The payload's bytes are those that would make it that word.
                    let payload = u64::MAX >> (64 - 8 * covered);
                    let from_the_front = code.cover() & !payload | word & payload;
                    assert_ne!(from_the_front, word, "{state:?} in lap {lap}");
                    let from_the_back = word & !(u64::MAX >> (8 * covered));
                    let from_the_back = code.cover() & u64::MAX >> (8 * covered) | from_the_back;
                    assert_ne!(from_the_back, word, "{state:?} in lap {lap}");
                }
            }
        }
    }

    /// What is stopped for any time that a process can live finds another word, in the smallest ring and in the
    /// largest.
    #[test]
    fn how_long_until_a_word_comes_again() {
        for lap_bits in [2, 10, MAX_CELL_BITS] {
            let code = Code::new(7, 1 << lap_bits);
            let of_lap = |state, lap| {
                let word = Word::free(lap).become_nobodys(state);
                code.encode(word)
            };
            for state in [State::Free, State::Full, State::Returned, State::Aborted] {
                // As often as `HEAD` can count.
                let last = u64::MAX >> 8 >> lap_bits;
                for lap in (0..56 - lap_bits).map(|bit| 1 << bit) {
                    assert_ne!(of_lap(state, 0), of_lap(state, lap));
                    assert_ne!(of_lap(state, last), of_lap(state, last - lap));
                }
            }
            let claimed = |lap, epoch| {
                let owner = Owner::new(1, epoch);
                code.encode(Word::free(lap).become_owned(State::Claimed, owner))
            };
            let again = LAPS_END >> lap_bits;
            assert_eq!(claimed(0, 0), claimed(again, 1024));
            assert_ne!(claimed(0, 0), claimed(again, 1));
            assert_ne!(claimed(0, 0), claimed(again / 2, 1024));
        }
    }
}
