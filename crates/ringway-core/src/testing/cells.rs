//! A cell ring on the heap, whose participants live and die as they are told: for tests and fuzzing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::memory::layout::cell::{Code, Word};
use crate::memory::layout::control::{
    CLAIM_HINT, CONSUMERS_CHANGED, DATA_EVENT, HEAD, MOVEMENTS, PRODUCERS_CHANGED, SPACE_EVENT,
    TAKE_HINT,
};
use crate::memory::layout::participant::{
    ASLEEP, AWAKE, CLOSED, EPOCH, LIVENESS, Role, sight_offset, slot_offset,
};
#[cfg(test)]
use crate::memory::layout::pool::Slabs;
use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::Region;
use crate::memory::region::memory::{Heap, Memory};
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::member::{Member, Refused, SlotInfo};
use crate::rings::cell::producer::Producer;
use crate::rings::cell::{Cells, Contention};
use crate::rings::pool::Pool;
use crate::sys::futex::{OWNER_DIED, WAITERS};
use crate::testing::scripted::{Script, Scripted};
use crate::waiting::sync::{Bell, Lock, Primitives};

/// The ring's key: no payload of a test decodes to a word under it.
pub(crate) const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a live holder's liveness word is.
pub(crate) const HELD: u32 = WAITERS | 1;
/// What that of one that died is.
pub(crate) const DEAD: u32 = WAITERS | OWNER_DIED;

/// The epochs of a slot that words and slabs tell begin anew soon after.
const LATE_EPOCH: u64 = (1 << 24) - 2;

/// What a ring is like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Who takes part.
    pub kind: Kind,
    /// Participants in every role that the kind has many of.
    pub each: u32,
    /// How many cells.
    pub cells: u64,
    /// Bytes of a cell.
    pub cell_len: u32,
    /// How often the ring has been used up before.
    pub lap: u64,
    /// Whether its other counters are about to begin anew: epochs, wake-ups, comings and goings.
    pub late: bool,
    /// Whether the oldest message makes room for a new one.
    pub overwrite: bool,
    /// Whether a lock excludes the participants from each other.
    pub lock: bool,
    /// Whether each participant sleeps on a bell of its own.
    pub bell: bool,
    /// Whether the dead are certain to be done, so that the living store where they own.
    pub settles: bool,
}

/// How a participant leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// In order, and nobody of its role shall be waited for.
    Closing,
    /// In order.
    Silently,
    /// By death.
    Dying,
}

/// A ring, and what its participants are.
#[derive(Clone, Debug)]
pub(crate) struct HeapCells {
    heap: Arc<Heap>,
    geometry: Geometry,
    pub(crate) setup: Setup,
    /// What the lock and the bells answer.
    pub(crate) script: Arc<Script>,
}

impl HeapCells {
    /// An empty ring. `None` if there is no such ring, or no memory.
    pub(crate) fn of(setup: Setup) -> Option<Self> {
        let capacity = setup.cells.checked_mul(setup.cell_len.into())?;
        let participants = setup.kind.participants(setup.each)?;
        let shape = Shape::Cells(setup.cell_len);
        let geometry = Geometry::new(setup.kind, shape, participants, capacity)?;
        Self::with_geometry(setup, geometry)
    }

    /// The same ring, that nobody has used yet, with slabs.
    #[cfg(test)]
    pub(crate) fn with_slabs(&self, slabs: Slabs) -> Option<Self> {
        Self::with_geometry(self.setup, self.geometry.with_slabs(slabs))
    }

    /// An empty ring that lies like this.
    pub(crate) fn with_geometry(setup: Setup, geometry: Geometry) -> Option<Self> {
        let heap = Heap::new(geometry)?;
        let region = heap.region();
        let ring = Self {
            heap,
            geometry,
            setup,
            script: Arc::default(),
        };
        ring.use_up(setup.lap)?;
        if setup.late {
            for word in [
                DATA_EVENT,
                SPACE_EVENT,
                CONSUMERS_CHANGED,
                PRODUCERS_CHANGED,
                MOVEMENTS,
            ] {
                region.store32(word, u32::MAX - 3, Ordering::Relaxed);
            }
            for slot in 0..geometry.participants() {
                let epoch = slot_offset(slot) + EPOCH;
                region.store64(epoch, LATE_EPOCH, Ordering::Relaxed);
            }
        }
        Some(ring)
    }

    /// Makes an empty ring one that has been used up so often. `None` if that is too often.
    pub(crate) fn use_up(&self, laps: u64) -> Option<()> {
        let Setup {
            cells, cell_len, ..
        } = self.setup;
        let region = self.region();
        let word = Code::new(KEY, cells).encode(Word::free(laps));
        for cell in 0..cells {
            region.store_word(cell * u64::from(cell_len), word, Ordering::Relaxed);
        }
        for place in [HEAD, CLAIM_HINT, TAKE_HINT] {
            region.store64(place, laps.checked_mul(cells)?, Ordering::Relaxed);
        }
        Some(())
    }

    /// An empty ring of sync futex.
    #[cfg(test)]
    pub(crate) fn new(kind: Kind, each: u32, cells: u64, cell_len: u32) -> Option<Self> {
        Self::of(Setup {
            kind,
            each,
            cells,
            cell_len,
            lap: 0,
            late: false,
            overwrite: false,
            lock: false,
            bell: false,
            settles: false,
        })
    }

    /// The same ring, whose producers overwrite the oldest message.
    #[cfg(test)]
    pub(crate) fn overwriting(mut self) -> Self {
        self.setup.overwrite = true;
        self
    }

    pub(crate) fn region(&self) -> Memory {
        self.heap.region()
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The slot of the `nth` participant in a role; wraps.
    pub(crate) fn slot(&self, role: Role, nth: u32) -> u32 {
        let slots = self.geometry.slots(role);
        slots.start + nth % slots.len() as u32
    }

    /// The next participant takes the slot, as [`crate::presence`] would have it, over any region.
    pub(crate) fn attach<R: Region>(&self, region: R, role: Role, nth: u32) -> Member<R> {
        let slot = self.slot(role, nth);
        let at = slot_offset(slot);
        region.store32(at + ASLEEP, AWAKE, Ordering::Relaxed);
        let epoch = region.load64(at + EPOCH, Ordering::Relaxed).wrapping_add(1);
        region.store64(at + EPOCH, epoch, Ordering::Release);
        say_of(&region, &self.geometry, slot, HELD);
        region.store32(at + CLOSED, 0, Ordering::Relaxed);
        let slot_info = SlotInfo {
            role,
            slot,
            epoch,
            producers: self.geometry.slots(Role::Producer),
            consumers: self.geometry.slots(Role::Consumer),
        };
        let Setup { kind, lock, .. } = self.setup;
        let contention = Contention {
            claim: kind.allows_many(Role::Producer),
            take: kind.allows_many(Role::Consumer) || self.setup.overwrite,
            own: !region.settles() || self.setup.overwrite,
            overwrite: self.setup.overwrite,
            locked: lock,
        };
        let scripted = || Scripted(Arc::clone(&self.script));
        let primitives = Primitives {
            lock: lock.then(|| Box::new(scripted()) as Box<dyn Lock>),
            bell: self
                .setup
                .bell
                .then(|| Arc::new(scripted()) as Arc<dyn Bell>),
        };
        let cells = Cells::new(region, self.setup.cell_len, KEY, contention);
        let pool = Pool::new(self.geometry.slabs(), slot, epoch);
        Member::new(cells, slot_info, primitives).with_pool(pool)
    }

    /// The next producer over any region.
    pub(crate) fn produce<R: Region>(&self, region: R, nth: u32) -> Result<Producer<R>, Refused> {
        let member = self.attach(region, Role::Producer, nth);
        Producer::join(member, self.setup.overwrite)
    }

    /// The next consumer over any region.
    pub(crate) fn consume<R: Region>(&self, region: R, nth: u32) -> Result<Consumer<R>, Refused> {
        Consumer::join(self.attach(region, Role::Consumer, nth))
    }

    #[cfg(test)]
    pub(crate) fn producer(&self, nth: u32) -> Result<Producer<Memory>, Refused> {
        self.produce(self.region(), nth)
    }

    #[cfg(test)]
    pub(crate) fn consumer(&self, nth: u32) -> Result<Consumer<Memory>, Refused> {
        self.consume(self.region(), nth)
    }

    /// A producer leaves as its handle would, or dies.
    pub(crate) fn part_producer<R: Region>(
        &self,
        producer: &mut Producer<R>,
        nth: u32,
        leaving: Leaving,
    ) {
        if leaving == Leaving::Dying {
            return self.kill(Role::Producer, nth);
        }
        producer.abort();
        if leaving == Leaving::Closing {
            producer.close();
        }
        self.leave(Role::Producer, nth);
        producer.member.announce(Role::Producer);
    }

    /// A consumer leaves as its handle would, or dies.
    pub(crate) fn part_consumer<R: Region>(
        &self,
        consumer: &mut Consumer<R>,
        nth: u32,
        leaving: Leaving,
    ) {
        if leaving == Leaving::Dying {
            return self.kill(Role::Consumer, nth);
        }
        consumer.give_back();
        if leaving == Leaving::Closing {
            consumer.close();
        }
        self.leave(Role::Consumer, nth);
        consumer.member.announce(Role::Consumer);
    }

    /// The holder of the slot dies, perhaps with the lock. Its handle is not to be used again.
    pub(crate) fn kill(&self, role: Role, nth: u32) {
        self.script.die();
        self.say(role, nth, DEAD);
    }

    /// The holder of the slot leaves. Its handle is not to be used again.
    pub(crate) fn leave(&self, role: Role, nth: u32) {
        self.say(role, nth, 0);
    }

    fn say(&self, role: Role, nth: u32, word: u32) {
        say_of(&self.region(), &self.geometry, self.slot(role, nth), word);
    }
}

/// Writes into all words that say whether the holder of `slot` lives.
pub(crate) fn say_of<R: Region>(region: &R, geometry: &Geometry, slot: u32, word: u32) {
    let participants = geometry.participants();
    region.store32(slot_offset(slot) + LIVENESS, word, Ordering::Release);
    for watcher in 0..participants {
        let sight = sight_offset(participants, slot, watcher);
        region.store32(sight, word, Ordering::Release);
    }
}
