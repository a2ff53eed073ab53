//! The messages of a broadcast ring, received or not, that are not overwritten yet.

use super::{MOST_LOOKS, MOST_RESTARTS, Seen, Tap, in_slab};
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::{LIMIT, NO_WAYPOINT, WAYPOINTS, waypoint_offset};
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, SEQUENCE_MASK, WORD, footprint};

/// Positions and numbers beyond that nobody reaches.
const MOST: u64 = u64::MAX / 4;

pub(super) fn look(tap: &mut Tap, see: &mut impl FnMut(Seen)) -> Result<(), Corrupt> {
    let capacity = tap.view.header().geometry.capacity();
    let mut restarts = 0;
    let mut begun = None;
    for _ in 0..MOST_LOOKS {
        let is_first = tap.next.is_none();
        let Some((position, number)) = tap.next.or_else(|| oldest(tap)) else {
            // Each waypoint was overtaken while it was looked at: the next look finds others.
            return Ok(());
        };
        if position - *begun.get_or_insert(position) > capacity {
            return Ok(());
        }
        let to_end = capacity - (position & (capacity - 1));
        let is_it = |sequence| sequence == number & SEQUENCE_MASK;
        let found = match Record::decode(tap.word(position)) {
            Record::Vacant => Ok(None),
            Record::Message { len, sequence }
                if is_it(sequence) && footprint(len.into()) <= to_end =>
            {
                let seen = tap.copy(Some(number), position + WORD, len.into());
                Ok(Some((Some(seen), footprint(len.into()))))
            }
            Record::Loaned { sequence } if is_it(sequence) && footprint(TICKET_LEN) <= to_end => {
                Ok(Some((Some(in_slab(Some(number))), footprint(TICKET_LEN))))
            }
            Record::Padding { len, sequence }
                if is_it(sequence) && u64::from(len) + WORD == to_end =>
            {
                Ok(Some((None, to_end)))
            }
            _ => Err(Corrupt),
        };
        if floor(tap) > position {
            // Overtaken: it may be anything. On at the oldest place from which one can walk.
            restarts += 1;
            let Some(next) = oldest(tap).filter(|(next, _)| *next > position) else {
                return Ok(());
            };
            if !is_first {
                let missed = next.1.saturating_sub(number);
                tap.missed = tap.missed.saturating_add(missed);
            }
            tap.next = Some(next);
            begun = None;
            if restarts > MOST_RESTARTS {
                return Ok(());
            }
            continue;
        }
        let Some((seen, len)) = found? else {
            tap.next = Some((position, number));
            return Ok(());
        };
        let number = number + u64::from(seen.is_some());
        tap.next = Some((position + len, number));
        if let Some(seen) = seen {
            see(seen);
        }
    }
    Ok(())
}

/// What lies before that may be overwritten at any moment; what was copied from there or behind, before this was asked, was whole.
fn floor(tap: &Tap) -> u64 {
    let capacity = tap.view.header().geometry.capacity();
    tap.control(LIMIT).saturating_sub(capacity)
}

/// The oldest place from which one can walk: the first message's, or a waypoint.
fn oldest(tap: &Tap) -> Option<(u64, u64)> {
    let participants = tap.view.header().geometry.participants();
    let waypoints = (0..WAYPOINTS).filter_map(|index| {
        let at = waypoint_offset(participants, index);
        let position = tap.control(at);
        let number = tap.control(at + 8);
        // Positions grow, so one that is the same is of the same waypoint.
        let is_whole = tap.control(at) == position && position != NO_WAYPOINT;
        let is_place = position.is_multiple_of(WORD) && position <= MOST && number <= MOST;
        (is_whole && is_place).then_some((position, number))
    });
    let mut places: Vec<_> = waypoints.collect();
    places.push((0, 0));
    let floor = floor(tap);
    places.into_iter().filter(|(at, _)| *at >= floor).min()
}
