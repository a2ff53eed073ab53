//! Waypoints: places of records with their numbers, from which one can walk.

use std::sync::atomic::Ordering;

use super::records::{MOST_POSITION, Place};
use crate::memory::layout::broadcast::{NO_WAYPOINT, WAYPOINTS, waypoint_offset};
use crate::memory::layout::record::WORD;
use crate::memory::region::{Load, Region};

/// Sets waypoint `index`. Only the producer does.
pub(super) fn set<R: Region>(region: &R, participants: u32, index: usize, place: Place) {
    let at = waypoint_offset(participants, index);
    // (B6) A reader that sees the new number sees this mark, or the new position: the fence pairs with the one in `get`.
    region.store64(at, NO_WAYPOINT, Ordering::Relaxed);
    region.claim_fence();
    region.store64(at + 8, place.number, Ordering::Relaxed);
    // Release pairs with the acquire in `get`: the number is this position's (B6).
    region.store64(at, place.position, Ordering::Release);
}

/// Whether `place`, whose record goes to `end`, is to be a waypoint, if the last one is at `last`: a stride behind that, or less
/// where the next place would be two. (Then the next one is so much farther, and there are as many as strides.)
pub(super) fn is_due(last: u64, stride: u64, place: Place, end: u64) -> bool {
    let (behind, next) = (
        place.position.saturating_sub(last),
        end.saturating_sub(last),
    );
    behind >= stride || behind > 0 && next >= 2 * stride
}

/// Notes a place within a batch, if it is due behind those that are noted, or behind `last_set`.
pub(super) fn note(laid: &mut Vec<Place>, last_set: u64, stride: u64, (place, end): (Place, u64)) {
    let last = laid.last().map_or(last_set, |last| last.position);
    if is_due(last, stride, place, end) {
        laid.push(place);
    }
}

/// Waypoint `index`; `None` while it is written, and if it is none.
pub(super) fn get<R: Region>(region: &R, participants: u32, index: usize) -> Option<Place> {
    let at = waypoint_offset(participants, index);
    let position = region.load64(at, Ordering::Acquire);
    let number = region.load64(at + 8, Ordering::Relaxed);
    region.copied_fence();
    // Positions grow, so one that is the same is of the same waypoint.
    let is_whole = region.load64(at, Ordering::Relaxed) == position && position != NO_WAYPOINT;
    let is_place =
        position.is_multiple_of(WORD) && position <= MOST_POSITION && number <= MOST_POSITION;
    (is_whole && is_place).then_some(Place { position, number })
}

/// All that lie from `floor` to `last`.
pub(super) fn within<R: Region>(
    region: &R,
    participants: u32,
    floor: u64,
    last: Place,
) -> impl Iterator<Item = Place> {
    let all = (0..WAYPOINTS).filter_map(move |index| get(region, participants, index));
    all.filter(move |place| {
        (floor..=last.position).contains(&place.position) && place.number <= last.number
    })
}

/// The one that was set last, as who only looks finds it: where, and its index.
pub(super) fn newest<R: Load>(region: &R, participants: u32) -> (u64, usize) {
    let position = |index| {
        let position = region.load64(waypoint_offset(participants, index), Ordering::Relaxed);
        (position <= MOST_POSITION).then_some((position, index))
    };
    (0..WAYPOINTS)
        .filter_map(position)
        .max()
        .unwrap_or((0, WAYPOINTS - 1))
}
