//! What a ring that is open tells a handle of its participants.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::address::Address;
use crate::error::Error;
use crate::memory::layout::Geometry;
use crate::memory::layout::participant::{OVERWRITTEN, Role, slot_offset};
use crate::memory::map::Map;
use crate::memory::region::RingName as _;
use crate::presence::Outlook;
use crate::presence::participant;
use crate::store::anchor::Anchor;

/// A ring that is open, to look at. It attaches to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) map: Arc<Map>,
    pub(crate) address: Address,
    pub(crate) geometry: Geometry,
    /// [`Ring::nonce`](crate::Ring::nonce)
    pub(crate) nonce: u128,
    /// Whether its creator relies on other processes' `membarrier`.
    pub(crate) settles: bool,
    /// By what to ask for its name, if it had one.
    pub(crate) anchor: Option<Arc<Anchor>>,
}

impl Known {
    /// How many processes ever attached in `role`.
    pub(crate) fn ever(&self, role: Role) -> u64 {
        let slots = self.geometry.slots(role);
        slots.fold(0, |sum, slot| {
            sum.saturating_add(participant::ever(&self.map, slot))
        })
    }

    /// Messages that were ever overwritten, or held too long.
    pub(crate) fn overwritten(&self) -> u64 {
        let slots = 0..self.geometry.participants();
        slots.fold(0, |sum: u64, slot| {
            let word = self.map.word64(slot_offset(slot) + OVERWRITTEN);
            // Acquire: with what a message's sender has counted before it sent that.
            sum.saturating_add(word.map_or(0, |word| word.load(Ordering::Acquire)))
        })
    }

    /// Whether a producer's attachment still lives, as `me` sees it.
    pub(crate) fn is_attached(&self, me: Outlook, id: u64) -> bool {
        let slots = self.geometry.slots(Role::Producer);
        let settles = self.settles;
        participant::is_attached(&self.map, me, slots, id, settles)
    }

    /// The most bytes of messages that can lie in the ring and its slabs.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.geometry.capacity() + self.geometry.slabs().bytes()
    }

    /// Whether the ring has lost its name ([`Ring::is_removed`](crate::Ring::is_removed)).
    pub(crate) fn is_removed(&self) -> Result<bool, Error> {
        match &self.anchor {
            Some(anchor) => anchor.is_removed(),
            None => Ok(false),
        }
    }
}
