//! A record of the stream ring: one 64-bit word, then the payload, padded to a multiple of eight. `LAYOUT.md` ("Records")
//! has the bits. The payload of a message in a slab is its ticket ([`super::pool`]).
//!
//! The word is the whole descriptor: it is read once and written once, and writing it is the commit.

use super::pool::TICKET_LEN;

/// Bytes of the word before each payload.
pub(crate) const WORD: u64 = 8;

/// How many messages a number in the word can tell apart.
pub(crate) const SEQUENCE_MASK: u64 = (1 << 30) - 1;

/// What is longer takes the long way of each side, so that whatever takes the short one is the length of a message in a record's word.
pub(crate) const LONGEST_AT_ONCE: u64 = 1 << 31;

/// The word where nothing is committed yet.
pub(crate) const VACANT: u64 = 0;

/// Counts messages, and makes the words of those that come next.
///
/// What a number adds to the word is its low bits, 32 further up. So is the number itself, but for a difference
/// that stays the same until the low bits begin anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// Messages that were counted: the next one's number.
    pub(crate) number: u64,
    /// To be added to the number, 32 bits further up, for the word.
    difference: u64,
}

impl Count {
    /// So many were counted.
    pub(crate) fn new(number: u64) -> Self {
        let mut count = Self {
            number,
            difference: 0,
        };
        count.renew();
        count
    }

    /// The word of an empty message with that number, to which a length can be added; of one of the first
    /// [`left`](Self::left) messages after the last [`renew`](Self::renew).
    #[inline(always)]
    pub(crate) fn word(&self, number: u64) -> u64 {
        (number << 32).wrapping_add(self.difference)
    }

    /// Makes the difference right for the next messages.
    pub(crate) fn renew(&mut self) {
        let word = Record::message(0, self.number);
        self.difference = word.wrapping_sub(self.number << 32);
    }

    /// For how many messages the difference is right.
    pub(crate) fn left(&self) -> u64 {
        SEQUENCE_MASK + 1 - (self.number & SEQUENCE_MASK)
    }
}

/// A decoded record word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing committed here yet.
    Vacant,
    /// A message with `len` bytes of payload behind the word.
    Message { len: u32, sequence: u64 },
    /// Nothing up to the end of the region; the next record is at its start.
    Padding { len: u32, sequence: u64 },
    /// A message in a slab, with its ticket behind the word.
    Loaned { sequence: u64 },
    /// What no producer writes.
    Invalid,
}

impl Record {
    /// What the words of two messages of one length differ by, of which one is the next: until numbers begin anew.
    pub(crate) const NEXT: u64 = 1 << 32;

    /// The word of a message.
    #[inline]
    pub(crate) fn message(len: u32, number: u64) -> u64 {
        1 << 62 | (number & SEQUENCE_MASK) << 32 | u64::from(len)
    }

    /// The word of padding with `len` bytes behind it.
    #[inline]
    pub(crate) fn padding(len: u32, number: u64) -> u64 {
        2 << 62 | (number & SEQUENCE_MASK) << 32 | u64::from(len)
    }

    /// The word of a message in a slab.
    #[inline]
    pub(crate) fn loaned(number: u64) -> u64 {
        3 << 62 | (number & SEQUENCE_MASK) << 32 | TICKET_LEN
    }

    /// The full number of this record's message, given a count that is not behind it. `None` where
    /// there is no record.
    pub(crate) fn number(self, count: u64) -> Option<u64> {
        match self {
            Self::Message { sequence, .. }
            | Self::Padding { sequence, .. }
            | Self::Loaned { sequence } => {
                Some(count.wrapping_sub(count.wrapping_sub(sequence) & SEQUENCE_MASK))
            }
            Self::Vacant | Self::Invalid => None,
        }
    }

    /// Decodes a word that was fetched once.
    #[inline]
    pub(crate) fn decode(word: u64) -> Self {
        let len = word as u32;
        let sequence = word >> 32 & SEQUENCE_MASK;
        match word >> 62 {
            1 => Self::Message { len, sequence },
            2 => Self::Padding { len, sequence },
            3 if u64::from(len) == TICKET_LEN => Self::Loaned { sequence },
            _ if word == VACANT => Self::Vacant,
            _ => Self::Invalid,
        }
    }
}

/// Bytes that a record with `len` bytes of payload takes, the word included.
#[inline]
pub(crate) const fn footprint(len: u64) -> u64 {
    (len + WORD + 7) & !7
}

/// The longest payload in a region of `capacity` bytes: a record and the padding before it must fit
/// even when they start in the worst place, which is half of the region for the record.
pub(crate) const fn max_payload(capacity: u64) -> u64 {
    let half = capacity / 2 - WORD;
    if half < u32::MAX as u64 & !7 {
        half
    } else {
        u32::MAX as u64 & !7
    }
}
