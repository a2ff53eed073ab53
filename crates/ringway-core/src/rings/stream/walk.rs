//! The walk over the records of a stream ring: of a producer that takes up the work, and of who only looks.

use std::sync::atomic::Ordering;

use crate::memory::layout::Corrupt;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, SEQUENCE_MASK, WORD, footprint};
use crate::memory::region::Load;

/// What the records from a head lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Where the stop word is.
    pub(crate) tail: u64,
    /// How many messages lie before it.
    pub(crate) messages: u64,
    /// Whether there was nothing behind the last record.
    pub(crate) is_all: bool,
    /// The low bits of the last message's number.
    last: Option<u64>,
}

impl Reach {
    /// Messages ever sent, by a producer that had `counted` so many, which may lag by what it committed last. With
    /// no message left, all that was sent is `received`.
    pub(crate) fn sent(&self, counted: u64, received: u64) -> u64 {
        match self.last {
            Some(last) => counted.wrapping_add((last + 1).wrapping_sub(counted) & SEQUENCE_MASK),
            None => received,
        }
    }
}

/// Walks over the committed records from `head` on, at most so many. Reads each once, and none twice.
pub(crate) fn reach<R: Load>(region: &R, head: u64, most: u64) -> Result<Reach, Corrupt> {
    if !head.is_multiple_of(WORD) || head > u64::MAX / 2 {
        return Err(Corrupt);
    }
    let mut reach = Reach {
        tail: head,
        messages: 0,
        is_all: false,
        last: None,
    };
    for _ in 0..most {
        let Some(step) = step(region, reach.tail)? else {
            reach.is_all = true;
            break;
        };
        if step.end - head > region.capacity() - WORD {
            return Err(Corrupt);
        }
        reach.tail = step.end;
        reach.messages += u64::from(step.is_message);
        reach.last = Some(step.number);
    }
    Ok(reach)
}

/// Messages ever released by a consumer that has released all before `head`, and `counted` so many: it may have
/// counted what it did not come to release, and the record knows. [`Corrupt`] if there is no record's word.
pub(crate) fn received<R: Load>(region: &R, head: u64, counted: u64) -> Result<u64, Corrupt> {
    match Record::decode(region.load_word(head, Ordering::Acquire)) {
        Record::Invalid => Err(Corrupt),
        record => Ok(record.number(counted).unwrap_or(counted)),
    }
}

/// A record that a walk comes to.
pub(super) struct Step {
    /// Where the next record starts.
    pub(super) end: u64,
    /// The low bits of this message's number; of padding, of the last message before it.
    number: u64,
    is_message: bool,
}

/// The record at `position`; `None` if nothing is committed there. Records never wrap, so their length is bounded
/// by that.
pub(super) fn step<R: Load>(region: &R, position: u64) -> Result<Option<Step>, Corrupt> {
    let to_end = region.capacity() - (position & (region.capacity() - 1));
    let message = |len, number| {
        Ok(Some(Step {
            end: position + footprint(len),
            number,
            is_message: true,
        }))
    };
    // Acquire: if another producer died after committing this, its payload is seen by who reads it
    // after us.
    match Record::decode(region.load_word(position, Ordering::Acquire)) {
        Record::Vacant => Ok(None),
        Record::Message { len, sequence } if footprint(len.into()) <= to_end => {
            message(len.into(), sequence)
        }
        Record::Loaned { sequence } if footprint(TICKET_LEN) <= to_end => {
            message(TICKET_LEN, sequence)
        }
        Record::Padding { len, sequence } if u64::from(len) + WORD == to_end => {
            // The message that the padding was committed with starts the region.
            match Record::decode(region.load_word(position + to_end, Ordering::Acquire)) {
                Record::Message {
                    sequence: behind, ..
                }
                | Record::Loaned { sequence: behind }
                    if behind == sequence =>
                {
                    Ok(Some(Step {
                        end: position + to_end,
                        number: sequence.wrapping_sub(1) & SEQUENCE_MASK,
                        is_message: false,
                    }))
                }
                _ => Err(Corrupt),
            }
        }
        _ => Err(Corrupt),
    }
}
