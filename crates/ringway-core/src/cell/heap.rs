//! A cell ring on the heap, whose participants live and die as they are told: for tests and fuzzing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::consumer::Consumer;
use super::member::{Member, Refused, Seat};
use super::producer::Producer;
use super::{Cells, Rivals, new_word};
use crate::layout::participant::{ASLEEP, AWAKE, CLOSED, EPOCH, LIVENESS, Role, slot_offset};
use crate::layout::{Geometry, Kind, Shape};
use crate::region::Region;
use crate::region::memory::{Heap, Memory};
use crate::sync::Primitives;
use crate::sys::futex::{OWNER_DIED, WAITERS};

/// The ring's key: no payload of a test decodes to a word under it.
pub(crate) const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a live holder's liveness word is.
const HELD: u32 = WAITERS | 1;

/// A ring, and what its participants are.
#[derive(Clone, Debug)]
pub(crate) struct HeapCells {
    heap: Arc<Heap>,
    kind: Kind,
    geometry: Geometry,
    cell_len: u32,
    overwrite: bool,
}

impl HeapCells {
    /// An empty ring with `each` slots in every role that the kind has many of. `None` if there is no such
    /// ring, or no memory.
    pub(crate) fn new(kind: Kind, each: u32, cells: u64, cell_len: u32) -> Option<Self> {
        let capacity = cells.checked_mul(cell_len.into())?;
        let participants = kind.participants(each)?;
        let geometry = Geometry::new(kind, Shape::Cells(cell_len), participants, capacity)?;
        let heap = Heap::new(geometry)?;
        let region = heap.region();
        for cell in 0..cells {
            let position = cell * u64::from(cell_len);
            region.store_word(position, new_word(KEY), Ordering::Relaxed);
        }
        Some(Self {
            heap,
            kind,
            geometry,
            cell_len,
            overwrite: false,
        })
    }

    /// The same ring, whose producers overwrite the oldest message.
    pub(crate) fn overwriting(mut self) -> Self {
        self.overwrite = true;
        self
    }

    pub(crate) fn region(&self) -> Memory {
        self.heap.region()
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The slot of the `nth` participant in a role; wraps.
    fn slot(&self, role: Role, nth: u32) -> u32 {
        let slots = self.geometry.slots(role);
        slots.start + nth % slots.len() as u32
    }

    /// The next participant takes the slot, as [`crate::liveness`] would have it, over any region.
    pub(crate) fn attach<R: Region>(&self, region: R, role: Role, nth: u32) -> Member<R> {
        let slot = self.slot(role, nth);
        let at = slot_offset(slot);
        region.store32(at + LIVENESS, HELD, Ordering::Release);
        region.store32(at + ASLEEP, AWAKE, Ordering::Relaxed);
        region.store32(at + CLOSED, 0, Ordering::Relaxed);
        let epoch = region.load64(at + EPOCH, Ordering::Relaxed).wrapping_add(1);
        region.store64(at + EPOCH, epoch, Ordering::Release);
        let seat = Seat {
            role,
            slot,
            epoch,
            producers: self.geometry.slots(Role::Producer),
            consumers: self.geometry.slots(Role::Consumer),
        };
        let rivals = Rivals {
            claim: self.kind.allows_many(Role::Producer),
            take: self.kind.allows_many(Role::Consumer) || self.overwrite,
            locked: false,
        };
        let primitives = Primitives {
            lock: None,
            bell: None,
        };
        Member::new(
            Cells::new(region, self.cell_len, KEY, rivals),
            seat,
            primitives,
        )
    }

    pub(crate) fn producer(&self, nth: u32) -> Result<Producer<Memory>, Refused> {
        let member = self.attach(self.region(), Role::Producer, nth);
        Producer::join(member, self.overwrite)
    }

    pub(crate) fn consumer(&self, nth: u32) -> Result<Consumer<Memory>, Refused> {
        Consumer::join(self.attach(self.region(), Role::Consumer, nth))
    }

    /// The holder of the slot dies. Its handle is not to be used again.
    pub(crate) fn kill(&self, role: Role, nth: u32) {
        self.leave(role, nth, OWNER_DIED | WAITERS);
    }

    /// The holder of the slot leaves. Its handle is not to be used again.
    pub(crate) fn detach(&self, role: Role, nth: u32) {
        self.leave(role, nth, 0);
    }

    fn leave(&self, role: Role, nth: u32, word: u32) {
        let offset = slot_offset(self.slot(role, nth)) + LIVENESS;
        self.region().store32(offset, word, Ordering::Release);
    }
}
