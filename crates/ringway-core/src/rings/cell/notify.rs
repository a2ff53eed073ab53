//! The participants of a cell ring as those who have to be woken and told.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::memory::layout::control::{
    CONSUMERS_CHANGED, DATA_EVENT, PRODUCERS_CHANGED, SPACE_EVENT,
};
use crate::memory::layout::participant::{
    ASLEEP, AWAKE, CLOSED, FOR_MESSAGE, FOR_ROOM, LIVENESS, Role, slot_offset,
};
use crate::memory::region::Region;
use crate::presence::Liveness;
use crate::waiting::eventcount;
use crate::waiting::sync::Bell;

/// The words of those who play a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoleWords {
    /// What they sleep on.
    pub(super) event: usize,
    /// Raised when one comes or goes.
    pub(super) changed: usize,
    /// What a sleeper of theirs sleeps for.
    pub(super) asleep_for: u32,
}

impl RoleWords {
    pub(super) const fn of(role: Role) -> Self {
        match role {
            Role::Producer => Self {
                event: SPACE_EVENT,
                changed: PRODUCERS_CHANGED,
                asleep_for: FOR_ROOM,
            },
            Role::Consumer => Self {
                event: DATA_EVENT,
                changed: CONSUMERS_CHANGED,
                asleep_for: FOR_MESSAGE,
            },
        }
    }
}

/// Raises what says that somebody who plays `role` came or went.
pub(super) fn change<R: Region>(region: &R, role: Role) {
    region.add32(RoleWords::of(role).changed, 1);
}

/// Forgets that those who held one of `slots` and have left closed. The caller holds one itself. Who comes and closes in
/// between leaves before the caller, and is not the last.
pub(super) fn reopen<R: Region>(region: &R, slots: Range<u32>) {
    for slot in slots {
        let at = slot_offset(slot);
        // Acquire pairs with the release of a leaving holder: its mark does not come behind this.
        let liveness = Liveness::of(region.load32(at + LIVENESS, Ordering::Acquire));
        if liveness == Liveness::Absent {
            // Relaxed: made visible by the caller's own leaving.
            region.store32(at + CLOSED, 0, Ordering::Relaxed);
        }
    }
}

/// Wakes those who play `role`, in `slots`. The caller has published something and made the fence.
pub(super) fn wake<R: Region>(region: &R, bell: Option<&dyn Bell>, slots: Range<u32>, role: Role) {
    let words = RoleWords::of(role);
    let Some(bell) = bell else {
        return eventcount::wake(region, words.event);
    };
    eventcount::ring(region, words.event, || {
        for slot in slots {
            // Nobody but its holder writes it. That is ordered by the event.
            let asleep = slot_offset(slot) + ASLEEP;
            if region.load32(asleep, Ordering::Relaxed) != AWAKE {
                bell.ring(slot);
            }
        }
    });
}

/// Who takes part, for one that tells them something and takes no other part itself.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    pub(super) producers: Range<u32>,
    pub(super) consumers: Range<u32>,
    pub(super) bell: Option<Arc<dyn Bell>>,
}

impl Notifier {
    /// Wakes those who play `role`, if any sleeps. Call it after publishing.
    pub(crate) fn notify<R: Region>(&self, region: &R, role: Role) {
        region.publish_fence();
        if eventcount::is_slept_on(region, RoleWords::of(role).event) {
            let slots = match role {
                Role::Producer => self.producers.clone(),
                Role::Consumer => self.consumers.clone(),
            };
            wake(region, self.bell.as_deref(), slots, role);
        }
    }

    /// Forgets that consumers which have left closed, for one that is about to leave without closing.
    pub(crate) fn reopen<R: Region>(&self, region: &R) {
        reopen(region, self.consumers.clone());
    }

    /// Says that somebody who played `role` is gone.
    pub(crate) fn announce<R: Region>(&self, region: &R, role: Role) {
        change(region, role);
        self.notify(region, Role::Consumer);
        self.notify(region, Role::Producer);
    }
}
