//! A broadcast ring on the heap, whose participants live and die as they are told: for tests and fuzzing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::memory::layout::broadcast::allowed;
use crate::memory::layout::participant::{EPOCH, sight_offset, slot_offset};
#[cfg(test)]
use crate::memory::layout::pool::Slabs;
use crate::memory::layout::{Corrupt, Geometry};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::broadcast::producer::Producer;
use crate::sys::futex::{OWNER_DIED, WAITERS};

/// A ring, and what its participants are.
#[derive(Debug)]
pub(crate) struct HeapBroadcast {
    heap: Arc<Heap>,
    pub(crate) participants: u32,
    policies: u8,
}

impl HeapBroadcast {
    /// An empty ring. `None` if there is no such ring, or no memory.
    pub(crate) fn new(capacity: u64, consumers: u32) -> Option<Self> {
        Self::of(Geometry::broadcast(capacity, consumers)?, consumers)
    }

    /// One with slabs.
    #[cfg(test)]
    pub(crate) fn with_slabs(capacity: u64, consumers: u32, slabs: Slabs) -> Option<Self> {
        let geometry = Geometry::broadcast(capacity, consumers)?;
        Self::of(geometry.with_slabs(slabs), consumers)
    }

    fn of(geometry: Geometry, consumers: u32) -> Option<Self> {
        Some(Self {
            heap: Heap::new(geometry)?,
            participants: 1 + consumers,
            policies: allowed::ALL,
        })
    }

    #[cfg(test)]
    pub(crate) fn allowing(self, policies: u8) -> Self {
        Self { policies, ..self }
    }

    pub(crate) fn region(&self) -> Memory {
        self.heap.region()
    }

    /// What keepers do; returns the epoch.
    pub(crate) fn attach(&self, slot: u32) -> u64 {
        let region = self.region();
        let at = slot_offset(slot) + EPOCH;
        let epoch = region.load64(at, Ordering::Relaxed).wrapping_add(1);
        region.store64(at, epoch, Ordering::Release);
        self.see(slot, WAITERS | 1);
        epoch
    }

    /// What a keeper or the kernel does at the end.
    pub(crate) fn leave(&self, slot: u32) {
        self.see(slot, 0);
    }

    pub(crate) fn kill(&self, slot: u32) {
        self.see(slot, WAITERS | OWNER_DIED);
    }

    /// Says so to all.
    pub(crate) fn see(&self, slot: u32, word: u32) {
        for other in 0..self.participants {
            let at = sight_offset(self.participants, slot, other);
            self.region().store32(at, word, Ordering::Release);
        }
    }

    /// The next producer, in memory that it sees so.
    pub(crate) fn produce<R: Region>(&self, region: R) -> Result<Producer<R>, Corrupt> {
        self.attach(0);
        Producer::resume(region, self.participants, self.policies)
    }
}

impl<R: Region> Producer<R> {
    /// As `Sender::try_send` does.
    pub(crate) fn try_send(&mut self, message: &[u8]) -> Result<(), crate::error::SendError> {
        match self.send_at_once(message) {
            true => Ok(()),
            false => self.send(message, None),
        }
    }
}
