//! Memory into which somebody else writes between any two accesses, when it is told to: for fuzzing, and
//! for tests that count accesses.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::memory::region::memory::Memory;
use crate::memory::region::pane::Place;
use crate::memory::region::{At, Change, Load, Of, Region, RingName};
use crate::sys::futex::{MonotonicTime, Wake};

/// What the meddler does to the memory.
type Deed = Box<dyn FnOnce(&Memory)>;

/// Who writes, and the clock by which it does: the accesses of all who share the memory.
#[derive(Default)]
pub(crate) struct Meddler {
    accesses: Cell<u64>,
    /// Together with the access before which each is done, in order.
    deeds: RefCell<VecDeque<(u64, Deed)>>,
    /// When the first of them is, or there have been too many accesses.
    due: Cell<u64>,
}

impl std::fmt::Debug for Meddler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let accesses = self.accesses.get();
        f.debug_struct("Meddler")
            .field("accesses", &accesses)
            .finish_non_exhaustive()
    }
}

impl Meddler {
    /// Nothing that one operation does takes so many accesses, in the rings that are tested.
    const MOST: u64 = 1 << 20;

    /// An operation begins: it has to end.
    pub(crate) fn begin(&self) {
        self.deeds.borrow_mut().clear();
        self.accesses.set(0);
        self.due.set(Self::MOST);
    }

    /// Has something done before the access that comes `after` so many others since the operation began.
    pub(crate) fn plan(&self, after: u64, deed: Deed) {
        let mut deeds = self.deeds.borrow_mut();
        let at = deeds.partition_point(|(when, _)| *when <= after);
        deeds.insert(at, (after, deed));
        self.due.set(self.due.get().min(after));
    }

    #[inline]
    fn meddle(&self, memory: &Memory) {
        let access = self.accesses.get();
        self.accesses.set(access + 1);
        if access >= self.due.get() {
            self.do_all_due(access, memory);
        }
    }

    #[cold]
    fn do_all_due(&self, access: u64, memory: &Memory) {
        assert!(access < Self::MOST, "an operation without an end");
        while let Some(deed) = self.next_deed(access) {
            deed(memory);
        }
    }

    fn next_deed(&self, access: u64) -> Option<Deed> {
        let mut deeds = self.deeds.borrow_mut();
        let due = deeds.front().map_or(Self::MOST, |(when, _)| *when);
        self.due.set(due);
        if due > access {
            return None;
        }
        deeds.pop_front().map(|(_, deed)| deed)
    }
}

/// One participant's view of the memory. Nobody sleeps: all who could wake it do what they do before or
/// after it, so a sleep times out at once.
#[derive(Debug)]
pub(crate) struct Meddled {
    memory: Memory,
    meddler: Rc<Meddler>,
    settles: bool,
}

impl Meddled {
    pub(crate) fn new(memory: Memory, meddler: &Rc<Meddler>, settles: bool) -> Self {
        Self {
            memory,
            meddler: Rc::clone(meddler),
            settles,
        }
    }

    #[inline]
    fn truth(&self) -> &Memory {
        self.meddler.meddle(&self.memory);
        &self.memory
    }
}

impl Load for Meddled {
    fn capacity(&self) -> u64 {
        self.memory.capacity()
    }
    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.truth().load32(offset, order)
    }
    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        self.truth().load64(offset, order)
    }
    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        self.truth().load_word(position, order)
    }
    fn load_slab(&self, index: u32) -> u64 {
        self.truth().load_slab(index)
    }
}

impl Region for Meddled {
    type Pane = Place;

    unsafe fn pane(&self, place: &Place) -> Place {
        *place
    }

    type Spot<'a> = At<'a, Self>;

    fn spot(&self, position: u64) -> At<'_, Self> {
        At(self, position)
    }

    type Control<'a> = Of<'a, Self>;

    fn control(&self) -> Of<'_, Self> {
        Of(self)
    }

    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.truth().store32(offset, value, order);
    }
    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        self.truth().store64(offset, value, order);
    }
    fn set32(&self, offset: usize, bits: u32) -> u32 {
        self.truth().set32(offset, bits)
    }
    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.truth().replace32(offset, current, new)
    }
    fn add32(&self, offset: usize, more: u32) {
        self.truth().add32(offset, more);
    }
    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.truth().replace64(offset, current, new)
    }
    fn mask64(&self, offset: usize, bits: u64) -> u64 {
        self.truth().mask64(offset, bits)
    }
    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.truth().store_word(position, word, order);
    }
    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        self.truth().replace_word(position, current, new)
    }
    fn write(&self, position: u64, bytes: &[u8]) {
        self.truth().write(position, bytes);
    }
    fn read(&self, position: u64, bytes: &mut [u8]) {
        self.truth().read(position, bytes);
    }
    fn pointer(&self, position: u64) -> *mut u8 {
        self.memory.pointer(position)
    }
    fn replace_slab(&self, index: u32, current: u64, new: u64) -> Result<(), u64> {
        self.truth().replace_slab(index, current, new)
    }
    fn write_slab(&self, at: u64, bytes: &[u8]) {
        self.truth().write_slab(at, bytes);
    }
    fn read_slab(&self, at: u64, bytes: &mut [u8]) {
        self.truth().read_slab(at, bytes);
    }
    fn slab_pointer(&self, at: u64) -> *mut u8 {
        self.memory.slab_pointer(at)
    }
    fn prefetch(&self, position: u64, pace: &mut u64) {
        self.memory.prefetch(position, pace);
    }
    fn prefetch_to_write(&self, position: u64) {
        self.memory.prefetch_to_write(position);
    }
    fn claim_fence(&self) {
        self.memory.claim_fence();
    }
    fn publish_fence(&self) {
        self.memory.publish_fence();
    }
    fn sleep_fence(&self) {
        self.memory.sleep_fence();
    }
    fn wait_on(
        _: &[(&Self, &[(usize, u32)])],
        _: &[(&AtomicU32, u32)],
        _: Option<MonotonicTime>,
    ) -> Wake {
        Wake::TimedOut
    }
    fn wake(&self, _: usize) {}
    fn change_and_wake(&self, offset: usize, change: Change) -> bool {
        self.truth().change_and_wake(offset, change)
    }
    /// The dead here are handles that are not used any more.
    fn settle(&self) -> bool {
        true
    }
    fn settles(&self) -> bool {
        self.settles
    }
    fn name(&self) -> Option<&dyn RingName> {
        self.memory.name()
    }
    fn is_forked(&self) -> bool {
        self.memory.is_forked()
    }
    fn process(&self) -> u64 {
        self.memory.process()
    }
}
