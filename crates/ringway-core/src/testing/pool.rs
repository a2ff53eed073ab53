//! Rings with slabs on the heap, whose participants live and die as they are told: for tests and fuzzing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::api::receiving::Receiving;
use crate::api::sending::Sending;
#[cfg(feature = "verify")]
use crate::memory::layout::Shape;
use crate::memory::layout::participant::{EPOCH, Role, slot_offset};
use crate::memory::layout::pool::Holder;
#[cfg(all(test, not(loom)))]
use crate::memory::layout::pool::{Slabs, Word};
use crate::memory::layout::{Geometry, Kind};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::pool::Pool;
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::testing::cells::{DEAD, HELD, HeapCells, Setup, say_of};

/// What all cell rings here have in common.
const SETUP: Setup = Setup {
    kind: Kind::Mpmc,
    each: 2,
    cells: 8,
    cell_len: 64,
    lap: 0,
    late: false,
    overwrite: false,
    lock: false,
    bell: false,
    settles: false,
};

/// A ring with slabs.
#[derive(Debug)]
pub(crate) enum HeapPool {
    Stream(Arc<Heap>, Geometry),
    Cells(HeapCells),
}

impl HeapPool {
    /// An empty ring that lies like this.
    #[cfg(feature = "verify")]
    pub(crate) fn of(kind: Kind, geometry: Geometry) -> Option<Self> {
        let cell_len = match geometry.shape() {
            Shape::Cells(cell_len) => cell_len,
            Shape::Stream => return Some(Self::Stream(Heap::new(geometry)?, geometry)),
            // They have no slabs.
            Shape::Broadcast | Shape::Board(_) => return None,
        };
        let setup = Setup {
            kind,
            cell_len,
            cells: geometry.capacity() / u64::from(cell_len),
            ..SETUP
        };
        HeapCells::with_geometry(setup, geometry).map(Self::Cells)
    }

    /// A stream ring.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn stream(capacity: u64, slabs: Slabs) -> Option<Self> {
        let geometry = Geometry::stream(capacity)?.with_slabs(slabs);
        Some(Self::Stream(Heap::new(geometry)?, geometry))
    }

    /// A cell ring of many producers and many consumers, two of each.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn cells(cells: u64, cell_len: u32, slabs: Slabs, settles: bool) -> Option<Self> {
        let setup = Setup {
            cells,
            cell_len,
            settles,
            ..SETUP
        };
        HeapCells::of(setup)?.with_slabs(slabs).map(Self::Cells)
    }

    pub(crate) fn region(&self) -> Memory {
        match self {
            Self::Stream(heap, _) => heap.region(),
            Self::Cells(ring) => ring.region(),
        }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        match self {
            Self::Stream(_, geometry) => geometry,
            Self::Cells(ring) => ring.geometry(),
        }
    }

    /// The slot of the `nth` participant in a role; wraps.
    pub(crate) fn slot(&self, role: Role, nth: u32) -> u32 {
        let slots = self.geometry().slots(role);
        slots.start + nth % slots.len() as u32
    }

    /// The next producer in its slot. `None` if the ring contradicts itself.
    pub(crate) fn producer(&self, nth: u32) -> Option<Sending> {
        match self {
            Self::Stream(heap, _) => {
                let pool = self.attach_to_stream(Role::Producer);
                let producer = Producer::resume(heap.region()).ok()?;
                Some(Sending::Stream(producer.with_pool(pool)))
            }
            Self::Cells(ring) => ring.produce(ring.region(), nth).ok().map(Sending::Cells),
        }
    }

    /// The next consumer in its slot, and as whom slabs know it. `None` if the ring contradicts itself.
    pub(crate) fn consumer(&self, nth: u32) -> Option<(Receiving, Holder)> {
        let receiving = match self {
            Self::Stream(heap, _) => {
                let pool = self.attach_to_stream(Role::Consumer);
                let consumer = Consumer::resume(heap.region()).ok()?;
                Receiving::Stream(consumer.with_pool(pool))
            }
            Self::Cells(ring) => Receiving::Cells(ring.consume(ring.region(), nth).ok()?),
        };
        let slot = self.slot(Role::Consumer, nth);
        let epoch = self
            .region()
            .load64(slot_offset(slot) + EPOCH, Ordering::Relaxed);
        Some((receiving, Holder::new(slot, epoch)))
    }

    fn attach_to_stream(&self, role: Role) -> Option<Box<Pool>> {
        let (slot, region) = (self.slot(role, 0), self.region());
        let at = slot_offset(slot);
        let epoch = region.load64(at + EPOCH, Ordering::Relaxed).wrapping_add(1);
        region.store64(at + EPOCH, epoch, Ordering::Release);
        say_of(&region, self.geometry(), slot, HELD);
        Pool::new(self.geometry().slabs(), slot, epoch)
    }

    /// The holder of the slot dies. Its handle is not to be used again.
    pub(crate) fn kill(&self, role: Role, nth: u32) {
        say_of(&self.region(), self.geometry(), self.slot(role, nth), DEAD);
    }

    /// How many slabs somebody holds.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn held(&self) -> usize {
        let region = self.region();
        let words = (0..self.geometry().slabs().count()).map(|slab| region.load_slab(slab));
        words
            .filter(|bits| Word::decode(*bits).is_none_or(|word| word.holder.is_some()))
            .count()
    }
}
