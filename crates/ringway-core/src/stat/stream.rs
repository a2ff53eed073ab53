//! What went through a stream ring.

use super::{ParticipantStat, Traffic, is_there};
use crate::layout::control::{CONSUMER_CLOSED, HEAD, PRODUCER_CLOSED, RECEIVED, SENT, TAIL};
use crate::layout::participant::Role;
use crate::layout::pool::TICKET_LEN;
use crate::layout::record::{Record, footprint};
use crate::segment::View;

pub(super) fn traffic(view: &View, slots: &[Option<ParticipantStat>]) -> Traffic {
    let geometry = view.header().geometry;
    let load64 = |offset| view.load64(offset).unwrap_or(0);
    let load32 = |offset| view.load32(offset).unwrap_or(0);
    let capacity = geometry.capacity();
    let record = |position: u64| {
        let offset = geometry.data_offset() + (position & (capacity - 1));
        Record::decode(load64(offset as usize))
    };
    // Head before tail: the difference can then only be too large, and is cut.
    let head = load64(HEAD) & !7;
    let mut received = load64(RECEIVED);
    let (mut tail, mut sent) = (load64(TAIL) & !7, load64(SENT));
    // A side that died in an operation may have left its counters behind or ahead of the records, which
    // tell the truth once nobody changes them.
    if !is_there(slots, Role::Consumer) {
        received = record(head).number(received).unwrap_or(received);
    }
    if !is_there(slots, Role::Producer) {
        tail = tail.max(head);
        loop {
            let found = record(tail);
            match end_of(found, tail, capacity) {
                Some(next) if next - head <= capacity => tail = next,
                _ => break,
            }
            sent = sent.saturating_add(u64::from(matches!(
                found,
                Record::Message { .. } | Record::Loaned { .. }
            )));
        }
    }
    Traffic {
        used_bytes: tail.saturating_sub(head).min(capacity),
        sent: sent.max(received),
        received,
        overwritten: 0,
        producer_closed: load32(PRODUCER_CLOSED) != 0,
        consumer_closed: load32(CONSUMER_CLOSED) != 0,
    }
}

/// Messages from the head to the stop word.
pub(super) fn undelivered(view: &View) -> Option<u64> {
    let geometry = view.header().geometry;
    let capacity = geometry.capacity();
    let head = view.load64(HEAD)?;
    if !head.is_multiple_of(8) || head > u64::MAX / 2 {
        return None;
    }
    let (mut at, mut messages) = (head, 0);
    loop {
        let offset = geometry.data_offset() + (at & (capacity - 1));
        let record = Record::decode(view.load64(offset as usize)?);
        match record {
            Record::Vacant => return Some(messages),
            Record::Message { .. } | Record::Loaned { .. } => messages += 1,
            _ => {}
        }
        at = end_of(record, at, capacity).filter(|end| end - head < capacity)?;
    }
}

/// Where the record behind this one starts. Records never wrap, so their length is bounded by that.
fn end_of(record: Record, position: u64, capacity: u64) -> Option<u64> {
    let to_end = capacity - (position & (capacity - 1));
    match record {
        Record::Message { len, .. } | Record::Padding { len, .. }
            if footprint(len.into()) <= to_end =>
        {
            position.checked_add(footprint(len.into()))
        }
        Record::Loaned { .. } if footprint(TICKET_LEN) <= to_end => {
            position.checked_add(footprint(TICKET_LEN))
        }
        _ => None,
    }
}
