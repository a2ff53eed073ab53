//! One step over the records: of consumers, of a producer that takes up the work, and of who only looks.

use std::sync::atomic::Ordering;

use crate::memory::layout::Corrupt;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, SEQUENCE_MASK, VACANT, WORD, footprint};
use crate::memory::region::Load;
use crate::rings::message::MessageRef;
use crate::rings::pool::IN_SLAB;

impl MessageRef {
    /// Where the next record of a broadcast ring starts.
    #[inline]
    pub(super) fn next_record(&self) -> u64 {
        let len = match self.is_loaned() {
            true => TICKET_LEN,
            false => self.len as u64,
        };
        (self.payload & !IN_SLAB) - WORD + footprint(len)
    }
}

/// The message with that number at `position`, behind padding if there is some; `None` if it is not committed yet.
/// Each word is fetched once. Of a message in a slab the ticket is found, and so many bytes as that has.
#[inline]
pub(super) fn find<R: Load>(
    region: &R,
    position: u64,
    number: u64,
) -> Result<Option<MessageRef>, Corrupt> {
    // Acquire pairs with the release in `Producer::publish`: the payload is there (B1).
    let word = region.load_word(position, Ordering::Acquire);
    let to_end = region.capacity() - (position & (region.capacity() - 1));
    match Record::decode(word) {
        Record::Vacant => Ok(None),
        Record::Message { len, sequence }
            if sequence == number & SEQUENCE_MASK && footprint(len.into()) <= to_end =>
        {
            Ok(Some(MessageRef {
                payload: position + WORD,
                len: len as usize,
            }))
        }
        Record::Loaned { sequence }
            if sequence == number & SEQUENCE_MASK && footprint(TICKET_LEN) <= to_end =>
        {
            Ok(Some(ticket_at(position)))
        }
        Record::Padding { len, sequence }
            if sequence == number & SEQUENCE_MASK && u64::from(len) + WORD == to_end =>
        {
            find_behind_padding(region, position + to_end, number).map(Some)
        }
        _ => Err(Corrupt),
    }
}

/// Padding is committed together with the message that starts the region.
#[cold]
fn find_behind_padding<R: Load>(
    region: &R,
    position: u64,
    number: u64,
) -> Result<MessageRef, Corrupt> {
    match Record::decode(region.load_word(position, Ordering::Acquire)) {
        Record::Message { len, sequence }
            if sequence == number & SEQUENCE_MASK && footprint(len.into()) <= region.capacity() =>
        {
            Ok(MessageRef {
                payload: position + WORD,
                len: len as usize,
            })
        }
        Record::Loaned { sequence } if sequence == number & SEQUENCE_MASK => {
            Ok(ticket_at(position))
        }
        _ => Err(Corrupt),
    }
}

fn ticket_at(position: u64) -> MessageRef {
    MessageRef {
        payload: (position + WORD) | IN_SLAB,
        len: TICKET_LEN as usize,
    }
}

/// The place of a record, or of the one that will be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    /// Its message's number.
    pub(crate) number: u64,
}

/// The largest position that anything adds to.
pub(super) const MOST_POSITION: u64 = u64::MAX / 4;

impl Place {
    /// Of a record's place as `TAIL` says it, and of `SENT`, which is not behind it: what number it has. `None` if the
    /// record there is none.
    pub(super) fn at_tail<R: Load>(region: &R, position: u64, sent: u64) -> Option<Self> {
        if !position.is_multiple_of(WORD) || position > MOST_POSITION || sent > MOST_POSITION {
            return None;
        }
        let word = region.load_word(position, Ordering::Acquire);
        let number = match Record::decode(word) {
            Record::Vacant => sent,
            // A record of before the first message was made up.
            record @ (Record::Message { .. } | Record::Padding { .. } | Record::Loaned { .. }) => {
                record.number(sent).filter(|number| *number <= sent)?
            }
            Record::Invalid => return None,
        };
        Some(Self { position, number })
    }

    /// The first place from here on with nothing committed, or the one of message `number`. Reads each record once.
    pub(crate) fn walk<R: Load>(self, region: &R, number: u64) -> Result<Self, Corrupt> {
        self.walk_over(region, number, |_, _| ())
    }

    /// The same, that says of each place with a message that it was there, and where that ends.
    pub(super) fn walk_over<R: Load>(
        self,
        region: &R,
        number: u64,
        mut seen: impl FnMut(Self, u64),
    ) -> Result<Self, Corrupt> {
        let mut place = self;
        while place.number < number
            && let Some(found) = find(region, place.position, place.number)?
        {
            seen(place, found.next_record());
            place.position = found.next_record();
            place.number += 1;
            if place.position - self.position > region.capacity() {
                return Err(Corrupt);
            }
        }
        Ok(place)
    }

    /// Whether nothing is committed there.
    pub(crate) fn is_vacant<R: Load>(self, region: &R) -> bool {
        region.load_word(self.position, Ordering::Acquire) == VACANT
    }
}

/// Where the next message will be, as the words say it: of a producer that died between its commit and its counters, or
/// that is at work.
pub(crate) fn tail<R: Load>(region: &R) -> Option<Place> {
    use crate::memory::layout::control::{SENT, TAIL};
    // TAIL first: SENT is stored before it, and so is not behind it. Acquire pairs with the releases in `Producer::show`:
    // of a message that is counted in SENT, the word is seen.
    let position = region.load64(TAIL, Ordering::Acquire);
    let sent = region.load64(SENT, Ordering::Acquire);
    Place::at_tail(region, position, sent)
}
