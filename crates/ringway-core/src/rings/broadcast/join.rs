//! How a consumer comes: its name, its place, and the producer's consent.

use std::sync::atomic::Ordering;

use super::consumer::Consumer;
use super::names::Named;
use super::records::{self, Place};
use super::{Policy, Start, waypoints};
use crate::memory::layout::broadcast::{
    BOUND, CURSOR, Holds, LIMIT, NUMBER, Phase, State, state_offset,
};
use crate::memory::layout::control::SPACE_EVENT;
use crate::memory::layout::participant::slot_offset;
use crate::memory::region::Region;
use crate::waiting::eventcount;

/// How often to look for a place, if the producer overtakes those that were found; and when to be content with the next
/// message.
const ATTEMPTS: usize = if cfg!(loom) { 3 } else { 64 };
const MODEST: usize = ATTEMPTS / 2;

/// What a newcomer wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) policy: Policy,
    pub(crate) start: Start,
    pub(crate) name: Option<&'a str>,
}

/// Why it does not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The segment contradicts itself.
    Corrupt,
    /// The dead cannot be settled.
    Unsettled,
    /// Somebody alive has the name.
    NameTaken,
    /// All names are other ones'.
    NoName,
}

/// What helps it to find its place.
#[derive(Clone, Copy, Debug)]
struct Known {
    participants: u32,
    /// Where its name was to go on.
    kept: Option<u64>,
    /// Whether it begins with the next message, and misses what it wanted: it was overtaken again and again.
    is_modest: bool,
}

/// Where it begins, and how many messages it asked for that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begin {
    place: Place,
    missed: u64,
}

impl<R: Region> Consumer<R> {
    /// Comes, as the holder of a slot with that epoch, whom all see. `participants` is how many slots there are.
    pub(crate) fn join(
        region: R,
        participants: u32,
        (slot, epoch): (u32, u64),
        wish: &Wish<'_>,
    ) -> Result<Self, Refused> {
        let named = match wish.name {
            Some(name) => Some(Named::take(&region, participants, (slot, epoch), name)?),
            None => None,
        };
        let next = match &named {
            Some(named) => named.next(&region)?,
            None => None,
        };
        let start = next.map_or(wish.start, Start::Number);
        let (holds, bound) = wish.policy.parts();
        let joining = State {
            epoch,
            holds,
            phase: Phase::Joining,
        };
        let at = slot_offset(slot);
        // Relaxed: released by the state.
        region.store64(at + BOUND, bound.encode(), Ordering::Relaxed);
        region.store64(
            state_offset(slot),
            joining.encode(),
            // Release pairs with the acquire in `Producer::holder` (B5).
            Ordering::Release,
        );
        // (B4) Pairs with the fence in `Producer::raise`: either the producer's second look sees that somebody is joining, or the
        // limit that is read from here on is the new one.
        region.full_fence();
        let kept = named.as_ref().map(|named| named.position(&region));
        let begin = find_begin(&region, participants, start, kept)?;
        let Begin { place, missed } = begin;
        // Relaxed: released by the state.
        region.store64(at + CURSOR, place.position, Ordering::Relaxed);
        region.store64(at + NUMBER, place.number, Ordering::Relaxed);
        let active = State {
            phase: Phase::Active,
            ..joining
        };
        // It fails if the producer did not wait for so long.
        let is_active = region
            .replace64(state_offset(slot), joining.encode(), active.encode())
            .is_ok();
        if let Some(named) = &named {
            named.note(&region, place);
        }
        // The producer may wait for this.
        eventcount::notify(&region, SPACE_EVENT);
        Ok(Self::at(
            region,
            participants,
            slot,
            (holds, active.encode()),
            place,
            missed,
            named,
        )
        .evicted(!is_active && holds == Holds::Bounded))
    }
}

/// Where one begins that wants to begin so, or, if it has a name, at a message that lies at `kept` or a little behind that.
fn find_begin<R: Region>(
    region: &R,
    participants: u32,
    start: Start,
    kept: Option<u64>,
) -> Result<Begin, Refused> {
    for attempt in 0..ATTEMPTS {
        let known = Known {
            participants,
            kept,
            is_modest: attempt >= MODEST,
        };
        if let Some(begin) = try_begin(region, start, known)? {
            return Ok(begin);
        }
    }
    Err(Refused::Corrupt)
}

/// `None`: it was overtaken meanwhile, and has to look again. Who holds the producer up is overtaken by a raise at most that
/// was on its way.
fn try_begin<R: Region>(region: &R, start: Start, known: Known) -> Result<Option<Begin>, Refused> {
    // Relaxed: ordered by the fence before it.
    let limit = region.load64(LIMIT, Ordering::Relaxed);
    let floor = limit.saturating_sub(region.capacity());
    let Some(tail) = records::tail(region) else {
        // Unless that was overwritten meanwhile.
        return match is_whole(region, floor) {
            true => Err(Refused::Corrupt),
            false => Ok(None),
        };
    };
    let wanted = match start {
        Start::Latest => tail.number,
        Start::Oldest => 0,
        Start::Last(count) => tail.number.saturating_sub(count),
        Start::Number(number) => number.min(tail.number),
    };
    let nearest = match wanted < tail.number && !known.is_modest {
        false => tail,
        true => nearest(region, known, floor, tail, wanted),
    };
    let walked = nearest.walk(region, wanted);
    // What was read may have been overwritten meanwhile: the first of it is the first to go.
    if !is_whole(region, nearest.position) {
        return Ok(None);
    }
    let place = walked.map_err(|_| Refused::Corrupt)?;
    let missed = match start {
        Start::Oldest => 0,
        _ => place.number.saturating_sub(wanted),
    };
    Ok(Some(Begin { place, missed }))
}

/// Whether what was read from `position` on cannot have been overwritten.
pub(super) fn is_whole<R: Region>(region: &R, position: u64) -> bool {
    region.copied_fence();
    let limit = region.load64(LIMIT, Ordering::Relaxed);
    limit.saturating_sub(position) <= region.capacity()
}

/// The last place from which one can walk to message `wanted`, or, if that is gone, the first one that is there.
fn nearest<R: Region>(region: &R, known: Known, floor: u64, tail: Place, wanted: u64) -> Place {
    let mut first = tail;
    let mut before: Option<Place> = None;
    let kept = known
        .kept
        .and_then(|kept| kept_place(region, kept, floor, tail));
    for place in waypoints::within(region, known.participants, floor, tail).chain(kept) {
        if place.number < first.number {
            first = place;
        }
        if place.number <= wanted && before.is_none_or(|found| found.number < place.number) {
            before = Some(place);
        }
    }
    before.unwrap_or(first)
}

/// The place that a name keeps, if it is not overwritten.
fn kept_place<R: Region>(region: &R, position: u64, floor: u64, tail: Place) -> Option<Place> {
    if !(floor..tail.position).contains(&position) {
        return None;
    }
    // The record there says its number. What no consumer kept may have any; it leads no farther than the tail.
    let place = Place::at_tail(region, position, tail.number)?;
    (place.number < tail.number && !place.is_vacant(region)).then_some(place)
}

/// Where one that was overtaken goes on: a place some half of the ring behind the tail.
pub(super) fn resume<R: Region>(region: &R, participants: u32) -> Option<Place> {
    let limit = region.load64(LIMIT, Ordering::Relaxed);
    let tail = records::tail(region)?;
    let half = tail.position.saturating_sub(region.capacity() / 2);
    let floor = limit.saturating_sub(region.capacity());
    // The first one from there on, or the last before, if the last message is that long.
    let place = waypoints::within(region, participants, floor, tail)
        .min_by_key(|place| (place.position < half, place.position.abs_diff(half)))
        .unwrap_or(tail);
    is_whole(region, place.position).then_some(place)
}
