//! The gate: how far the producer may go for the sake of those that hold it up.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Producer;
use crate::error::SendError;
use crate::memory::layout::broadcast::{
    BOUND, Bound, Holds, LIMIT, Phase, State, WAYPOINTS, allowed, cursor_offset, state_offset,
};
use crate::memory::layout::participant::{EPOCH, slot_offset};
use crate::memory::region::Region;
use crate::presence::Liveness;
use crate::rings::broadcast::records::Place;
use crate::rings::broadcast::waypoints;

/// How long a newcomer whose bound is in bytes may hold the producer up before it has found its place.
const GRACE: Duration = Duration::from_millis(100);

/// A consumer that stands in the way, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    slot: u32,
    state: u64,
    cursor: u64,
}

/// What the producer is in need of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Room up to there.
    Room(u64),
    /// That all have passed the end of this record, whose slab it wants back.
    Slab(u64),
}

impl Need {
    /// How far the producer may write then.
    fn reach(self, capacity: u64) -> u64 {
        match self {
            Self::Room(need) => need,
            Self::Slab(end) => end.saturating_add(capacity),
        }
    }
}

/// A consumer that lives and holds the producer up.
struct Holder {
    seen: Obstacle,
    state: State,
}

impl<R: Region> Producer<R> {
    /// Does what there is to do before the record at `from`, which needs the room up to `need`: as a rule once in a stride.
    #[cold]
    #[inline(never)]
    pub(super) fn raise(&mut self, from: Place, need: u64) -> Result<(), SendError> {
        // A message at the tail never needs more. A batch that did would overwrite its own beginning, and all that
        // others could still read.
        let most = self.tail + self.capacity;
        if need > most {
            return Err(SendError::Full);
        }
        let next = from.position + self.stride;
        if need > self.granted {
            self.obtain(next.max(need).min(most), Need::Room(need))?;
        }
        // Not farther, also where more is granted or the message is longer: what was reserved may be given up, or become
        // less, and what comes then has to have its waypoints.
        let limit = next.min(self.granted);
        self.batch_limit = limit;
        if from.position == self.tail {
            self.set_limit(limit);
            if waypoints::is_due(self.waypoint.0, self.stride, from, need) {
                self.set_waypoint(from);
            }
        } else {
            let record = (from, need);
            waypoints::note(&mut self.laid, self.waypoint.0, self.stride, record);
        }
        Ok(())
    }

    /// Has all granted that was passed by those that hold the producer up, as far as a record's end, and tells whether that is so now.
    pub(super) fn obtain_slab(&mut self, end: u64) -> Result<(), SendError> {
        let need = Need::Slab(end);
        match need.reach(self.capacity) {
            // As a record ends at the tail at the latest, this is a capacity ahead of it at most.
            reach if reach > self.granted => self.obtain(reach, need),
            _ => Ok(()),
        }
    }

    /// Has what it needs granted at least, and `target` if those allow it that hold the producer up.
    fn obtain(&mut self, target: u64, wanted: Need) -> Result<(), SendError> {
        let need = wanted.reach(self.capacity);
        let reach = self.look(wanted)?;
        if reach < need {
            return self.refuse();
        }
        let target = target.min(reach);
        // What may be overwritten from here on, for newcomers and for those that nobody waits for. Never less than what was
        // used: a message that was begun and not committed may have been written up to there.
        self.announce_limit(target);
        // (B4) Pairs with the fence in `join`: of a newcomer's JOINING and this limit, at least one is seen by the other side.
        self.region.full_fence();
        let reach = self.look(wanted)?;
        let granted = target.min(reach);
        if granted < target {
            self.announce_limit(granted);
        }
        // (B3) Pairs with the read fence of who copies first and looks afterwards (`Consumer::check`): what is written from here on
        // is read by nobody who does not see the limit, and that it was evicted.
        self.region.claim_fence();
        self.granted = granted;
        self.set_limit(self.limit.min(granted));
        self.used = self.used.max(granted);
        if granted < need {
            return self.refuse();
        }
        (self.blocked_since, self.patience, self.obstacle) = (None, None, None);
        Ok(())
    }

    fn announce_limit(&self, limit: u64) {
        // Relaxed: the fences order it.
        self.region
            .store64(LIMIT, limit.max(self.used), Ordering::Relaxed);
    }

    /// There is no room.
    fn refuse(&mut self) -> Result<(), SendError> {
        self.blocked_since.get_or_insert_with(Instant::now);
        Err(SendError::Full)
    }

    /// Whether what it needs is there now, or a reason to try.
    pub(super) fn has_room(&mut self, wanted: Need) -> bool {
        let need = wanted.reach(self.capacity);
        self.look(wanted).is_ok_and(|reach| reach >= need) || self.corrupt
    }

    /// How far those let the producer go that live and hold it up. Who has held it up for too long is evicted if it
    /// stands in the way of `need`.
    fn look(&mut self, need: Need) -> Result<u64, SendError> {
        let mut nearest = u64::MAX;
        (self.obstacle, self.patience) = (None, None);
        for slot in self.consumers() {
            let Some(holder) = self.holder(slot)? else {
                continue;
            };
            let reach = self.reach_of(&holder, need);
            if reach < nearest {
                nearest = reach;
                self.obstacle = Some(holder.seen);
            }
        }
        Ok(nearest)
    }

    /// The holder of `slot`, if it lives and may hold the producer up.
    fn holder(&self, slot: u32) -> Result<Option<Holder>, SendError> {
        let region = &self.region;
        let liveness = self.outlook().liveness(region, slot);
        if liveness == Liveness::Absent {
            return Ok(None);
        }
        // Acquire pairs with the releases in `join`: the cursor belongs to the state (B5).
        let word = region.load64(state_offset(slot), Ordering::Acquire);
        let epoch = region.load64(slot_offset(slot) + EPOCH, Ordering::Acquire);
        let Some(state) = State::decode(word).filter(|state| state.is_of(epoch)) else {
            // One that has just come; it will read the limit, or be seen by the next look.
            return Ok(None);
        };
        let may_hold = match state.holds {
            Holds::Always => self.policies & allowed::BLOCK != 0,
            Holds::Bounded => self.policies & allowed::EVICT != 0,
            Holds::Never => false,
        };
        if !may_hold || state.phase == Phase::Evicted {
            return Ok(None);
        }
        if liveness == Liveness::Dead {
            // One that is dying may still read, and hand on what it reads.
            if !region.settle() {
                return Err(SendError::Unsettled);
            }
            // If it fails, somebody else has taken the slot.
            let _ = region.replace64(state_offset(slot), word, 0);
            return Ok(None);
        }
        // Acquire pairs with the release in `Consumer::release`: all before it has been read (B2).
        let cursor = region.load64(cursor_offset(slot), Ordering::Acquire);
        Ok(Some(Holder {
            seen: Obstacle {
                slot,
                state: word,
                cursor,
            },
            state,
        }))
    }

    /// How far `holder` lets the producer go.
    fn reach_of(&mut self, holder: &Holder, wanted: Need) -> u64 {
        let need = wanted.reach(self.capacity);
        let Obstacle {
            slot,
            state: word,
            cursor,
        } = holder.seen;
        // One that looks for its place has read a limit that is not before this one, or will be seen by the second look.
        let is_joining = holder.state.phase == Phase::Joining;
        let reach = match is_joining {
            true => self.granted,
            false => cursor.saturating_add(self.capacity),
        };
        if holder.state.holds == Holds::Always {
            return reach;
        }
        let bound = self
            .region
            .load64(slot_offset(slot) + BOUND, Ordering::Relaxed);
        let longest = match Bound::decode(bound) {
            Bound::Bytes(bytes) if !is_joining => {
                // One that has all is not behind; and one that holds the slab that is wanted back is so far behind as one
                // that fills the ring.
                let reach = match wanted {
                    Need::Room(_) if cursor < self.tail => {
                        cursor.saturating_add(bytes.min(self.capacity))
                    }
                    Need::Room(_) | Need::Slab(_) => reach,
                };
                return match reach < need && self.evict(slot, word) {
                    true => u64::MAX,
                    false => reach,
                };
            }
            Bound::Bytes(_) => GRACE,
            Bound::Nanoseconds(time) => Duration::from_nanos(time),
        };
        if reach >= need {
            return reach;
        }
        // It begins to wait with this.
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= longest && self.evict(slot, word) {
            return u64::MAX;
        }
        let until = since.checked_add(longest);
        self.patience = [self.patience, until].into_iter().flatten().min();
        reach
    }

    /// Passes a consumer over from now on; whether it still was what it had been.
    fn evict(&self, slot: u32, word: u64) -> bool {
        let Some(state) = State::decode(word) else {
            return false;
        };
        let evicted = State {
            phase: Phase::Evicted,
            ..state
        };
        self.region
            .replace64(state_offset(slot), word, evicted.encode())
            .is_ok()
    }

    /// Whether who stood in the way has moved, left or died. Cheap enough to spin on.
    pub(super) fn obstacle_has_changed(&self) -> bool {
        let Some(seen) = self.obstacle else {
            return true;
        };
        let region = &self.region;
        // Relaxed: a reason to look, nothing more.
        region.load64(cursor_offset(seen.slot), Ordering::Relaxed) != seen.cursor
            || region.load64(state_offset(seen.slot), Ordering::Relaxed) != seen.state
            || self.outlook().liveness(region, seen.slot) != Liveness::Alive
    }

    /// Whether all consumers that live have released all that was committed.
    pub(super) fn is_drained(&mut self) -> bool {
        self.obstacle = None;
        for slot in self.consumers() {
            let region = &self.region;
            let word = region.load64(state_offset(slot), Ordering::Acquire);
            let epoch = region.load64(slot_offset(slot) + EPOCH, Ordering::Acquire);
            let state = State::decode(word).filter(|state| state.is_of(epoch));
            let counts = state.is_some_and(|state| state.phase != Phase::Evicted)
                && self.outlook().liveness(region, slot) == Liveness::Alive;
            let cursor = region.load64(cursor_offset(slot), Ordering::Acquire);
            let is_joining = state.is_some_and(|state| state.phase == Phase::Joining);
            if counts && (is_joining || cursor < self.tail) {
                self.obstacle = Some(Obstacle {
                    slot,
                    state: word,
                    cursor,
                });
                return false;
            }
        }
        true
    }

    /// Sets those of a batch, which is committed.
    pub(super) fn set_laid(&mut self) {
        for nth in 0..self.laid.len() {
            self.set_waypoint(self.laid[nth]);
        }
        self.laid.clear();
    }

    /// Sets a waypoint. All before it is committed.
    pub(super) fn set_waypoint(&mut self, place: Place) {
        let index = (self.waypoint.1 + 1) % WAYPOINTS;
        waypoints::set(&self.region, self.participants, index, place);
        self.waypoint = (place.position, index);
    }
}
