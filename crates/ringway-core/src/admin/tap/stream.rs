//! The messages of a stream ring that wait.

use super::{MOST_LOOKS, MOST_RESTARTS, Seen, Tap, in_slab};
use crate::memory::layout::Corrupt;
use crate::memory::layout::control::{HEAD, RECEIVED};
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, WORD, footprint};

pub(super) fn look(tap: &mut Tap, see: &mut impl FnMut(Seen)) -> Result<(), Corrupt> {
    let capacity = tap.view.header().geometry.capacity();
    let mut restarts = 0;
    let mut begun = None;
    for _ in 0..MOST_LOOKS {
        let head = head(tap)?;
        let position = tap.next.map_or(head, |(position, _)| position.max(head));
        // A consumer that goes on and on must not keep this look from its end.
        if position - *begun.get_or_insert(position) > capacity {
            return Ok(());
        }
        let to_end = capacity - (position & (capacity - 1));
        // Any number of a message in the ring is less far from this than numbers take to come again.
        let number = |record: Record| {
            let received = tap.control(RECEIVED) & (u64::MAX >> 2);
            record.number(received + (1 << 29)).unwrap_or(received)
        };
        let record = Record::decode(tap.word(position));
        // What it is, and where the next one is.
        let found = match record {
            Record::Vacant => None,
            Record::Message { len, .. } if footprint(len.into()) <= to_end => {
                let number = number(record);
                let seen = tap.copy(Some(number), position + WORD, len.into());
                Some((Some(seen), footprint(len.into())))
            }
            Record::Loaned { .. } if footprint(TICKET_LEN) <= to_end => {
                Some((Some(in_slab(Some(number(record)))), footprint(TICKET_LEN)))
            }
            Record::Padding { len, .. } if u64::from(len) + WORD == to_end => Some((None, to_end)),
            _ if self::head(tap)? > position => None,
            _ => return Err(Corrupt),
        };
        if self::head(tap)? > position {
            // Overtaken: it may be anything.
            restarts += 1;
            if restarts > MOST_RESTARTS {
                return Ok(());
            }
            continue;
        }
        let Some((seen, len)) = found else {
            let expected = tap.next.map_or(0, |(_, number)| number);
            tap.next = Some((position, expected));
            return Ok(());
        };
        let mut expected = tap.next.map(|(_, number)| number);
        if let Some(seen) = seen {
            let number = seen.number.unwrap_or(0);
            if let Some(expected) = expected.filter(|expected| *expected > 0) {
                tap.missed = tap.missed.saturating_add(number.saturating_sub(expected));
            }
            expected = Some(number.saturating_add(1));
            see(seen);
        }
        tap.next = Some((position + len, expected.unwrap_or(0)));
    }
    Ok(())
}

fn head(tap: &Tap) -> Result<u64, Corrupt> {
    match tap.control(HEAD) {
        head if head.is_multiple_of(WORD) && head <= u64::MAX / 4 => Ok(head),
        _ => Err(Corrupt),
    }
}
