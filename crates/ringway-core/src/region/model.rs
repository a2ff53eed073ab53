//! A region for loom: every word is one of loom's atomics, and the futex is a lock and a condition
//! variable, which is what the kernel's is to its callers.

use std::collections::BTreeMap;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};

use super::Region;
use crate::layout::control::{HEAD, RECEIVED, SENT, TAIL};
use crate::stream::{CONSUMER, PRODUCER, Side};
use crate::sys::futex::{MonotonicTime, OWNER_DIED, WAITERS, Wake};

/// What a live holder's liveness word is.
const HELD: u32 = WAITERS | 1;

struct Words {
    control32: BTreeMap<usize, AtomicU32>,
    control64: BTreeMap<usize, AtomicU64>,
    data: Vec<AtomicU64>,
    /// One for each word of data: loom panics if payload is written while it may still be read, or
    /// read before it is sure to be written.
    races: Vec<UnsafeCell<()>>,
}

/// What sleeps and wakes: one for all rings of a model.
struct Kernel {
    lock: Mutex<()>,
    sleepers: Condvar,
}

// SAFETY: the cells hold nothing; they are there for loom to find unordered accesses.
unsafe impl std::marker::Sync for Words {}
// SAFETY: as for Sync.
unsafe impl Send for Words {}

/// A handle to the model's memory, as each process has one.
#[derive(Clone)]
pub(crate) struct Model {
    words: Arc<Words>,
    kernel: Arc<Kernel>,
}

impl Model {
    /// A ring of `capacity` bytes whose sides are both attached.
    pub(crate) fn attached(capacity: usize) -> Self {
        let model = Self::empty(capacity);
        model.attach(PRODUCER);
        model.attach(CONSUMER);
        model
    }

    /// A ring of `capacity` bytes to which nobody is attached.
    pub(crate) fn empty(capacity: usize) -> Self {
        let control32 = [PRODUCER, CONSUMER]
            .into_iter()
            .flat_map(|side| [side.event, side.closed, side.liveness])
            .map(|offset| (offset, AtomicU32::new(0)))
            .collect();
        let control64 = [TAIL, SENT, HEAD, RECEIVED]
            .into_iter()
            .map(|offset| (offset, AtomicU64::new(0)))
            .collect();
        let data = (0..capacity / 8).map(|_| AtomicU64::new(0)).collect();
        let races = (0..capacity / 8).map(|_| UnsafeCell::new(())).collect();
        let words = Words {
            control32,
            control64,
            data,
            races,
        };
        Self {
            words: Arc::new(words),
            kernel: Arc::new(Kernel {
                lock: Mutex::new(()),
                sleepers: Condvar::new(),
            }),
        }
    }

    /// What the keeper does when a process attaches.
    pub(crate) fn attach(&self, side: Side) {
        self.words.control32[&side.liveness].store(HELD, Ordering::Release);
    }

    /// What the kernel does when a process dies.
    pub(crate) fn kill(&self, side: Side) {
        self.words.control32[&side.liveness].swap(OWNER_DIED | WAITERS, Ordering::AcqRel);
        self.wake(side.liveness);
    }

    fn data(&self, position: u64) -> &AtomicU64 {
        &self.words.data[self.index(position)]
    }

    fn race(&self, position: u64) -> &UnsafeCell<()> {
        &self.words.races[self.index(position)]
    }

    fn index(&self, position: u64) -> usize {
        position as usize / 8 % self.words.data.len()
    }
}

impl Region for Model {
    fn capacity(&self) -> u64 {
        self.words.data.len() as u64 * 8
    }

    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.words.control32[&offset].load(order)
    }

    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.words.control32[&offset].store(value, order);
    }

    fn swap32(&self, offset: usize, value: u32, order: Ordering) -> u32 {
        self.words.control32[&offset].swap(value, order)
    }

    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        self.words.control64[&offset].load(order)
    }

    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        self.words.control64[&offset].store(value, order);
    }

    fn raise32(&self, offset: usize) {
        self.words.control32[&offset].fetch_add(1, Ordering::Release);
    }

    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.words.control64[&offset]
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        self.data(position).load(order)
    }

    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.data(position).store(word, order);
    }

    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        self.data(position)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// Payloads of whole words only. Relaxed: it is the ring's business to order them.
    fn write(&self, position: u64, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "models send whole words");
        for (position, word) in (position..).step_by(8).zip(words) {
            self.race(position).with_mut(|_| ());
            self.data(position)
                .store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
    }

    fn read(&self, position: u64, bytes: &mut [u8]) {
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (position, word) in (position..).step_by(8).zip(words) {
            self.race(position).with(|_| ());
            *word = self.data(position).load(Ordering::Relaxed).to_le_bytes();
        }
    }

    fn pointer(&self, _: u64) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn prefetch(&self, _: u64, _: &mut u64) {}

    fn prefetch_to_write(&self, _: u64) {}

    fn claim_fence(&self) {
        fence(Ordering::Release);
    }

    fn publish_fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn sleep_fence(&self) {
        fence(Ordering::SeqCst);
    }

    /// All rings of a model have one kernel.
    fn wait_on(rings: &[(&Self, &[(usize, u32)])], _: Option<MonotonicTime>) -> Wake {
        let kernel = rings[0].0.kernel.lock.lock().unwrap();
        let unchanged = |(model, words): &(&Self, &[(usize, u32)])| {
            words.iter().all(|(offset, value)| {
                model.words.control32[offset].load(Ordering::Acquire) == *value
            })
        };
        if rings.iter().all(unchanged) {
            drop(rings[0].0.kernel.sleepers.wait(kernel).unwrap());
        }
        Wake::Check
    }

    fn wake(&self, _: usize) {
        let _kernel = self.kernel.lock.lock().unwrap();
        self.kernel.sleepers.notify_all();
    }

    fn settle(&self) {
        fence(Ordering::SeqCst);
    }

    fn settles(&self) -> bool {
        true
    }

    fn is_forked(&self) -> bool {
        false
    }
}
