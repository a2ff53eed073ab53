//! A peer that rewrites the segment while we work, made worst: every read of shared memory gives
//! another value. Nothing may panic, leave the region, or run on.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::error::RecvError;
use crate::layout::Geometry;
use crate::layout::record::{Record, VACANT};
use crate::region::Region;
use crate::region::memory::{Heap, Memory};
use crate::stream::consumer::Consumer;
use crate::stream::producer::Producer;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::wait::Wait;

const CAPACITY: u64 = 256;

/// Lies at every read: mostly with values that look right.
struct Liar {
    truth: Memory,
    state: Cell<u64>,
    /// Record words are there at every other read only.
    flickers: bool,
}

impl Liar {
    fn new(seed: u64) -> Self {
        let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
        Self {
            truth: heap.region(),
            state: Cell::new(seed | 1),
            flickers: false,
        }
    }

    /// xorshift64.
    fn random(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }

    fn lie(&self, truth: u64) -> u64 {
        if self.flickers {
            return truth;
        }
        let random = self.random();
        match random % 8 {
            0..4 => truth,
            4 => truth.wrapping_add(random >> 60 << 3),
            5 => truth.wrapping_sub(random >> 60 << 3),
            6 => Record::message((random >> 56) as u32, truth & 7),
            _ => self.random(),
        }
    }
}

impl Region for Liar {
    fn capacity(&self) -> u64 {
        self.truth.capacity()
    }
    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.lie(self.truth.load32(offset, order).into()) as u32
    }
    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.truth.store32(offset, value, order);
    }
    fn swap32(&self, offset: usize, value: u32, order: Ordering) -> u32 {
        self.lie(self.truth.swap32(offset, value, order).into()) as u32
    }
    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        self.lie(self.truth.load64(offset, order))
    }
    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        self.truth.store64(offset, value, order);
    }
    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        if self.flickers {
            let reads = self.state.get();
            self.state.set(reads + 1);
            return if reads.is_multiple_of(2) {
                VACANT
            } else {
                Record::message(8, 0)
            };
        }
        self.lie(self.truth.load_word(position, order))
    }
    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.truth.store_word(position, word, order);
    }
    fn write(&self, position: u64, bytes: &[u8]) {
        self.check(position, bytes.len());
        self.truth.write(position, bytes);
    }
    fn read(&self, position: u64, bytes: &mut [u8]) {
        self.check(position, bytes.len());
        self.truth.read(position, bytes);
    }
    fn pointer(&self, position: u64) -> *mut u8 {
        self.truth.pointer(position)
    }
    fn prefetch(&self, position: u64, pace: &mut u64) {
        self.truth.prefetch(position, pace);
    }
    fn set32(&self, offset: usize, bits: u32) -> u32 {
        self.lie(self.truth.set32(offset, bits).into()) as u32
    }
    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.truth.replace32(offset, current, new)
    }
    fn raise32(&self, offset: usize) {
        self.truth.raise32(offset);
    }
    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.truth.replace64(offset, current, new)
    }
    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        self.truth.replace_word(position, current, new)
    }
    fn prefetch_to_write(&self, _: u64) {}
    fn claim_fence(&self) {}
    fn publish_fence(&self) {}
    fn sleep_fence(&self) {}
    fn wait_on(_: &[(&Self, &[(usize, u32)])], _: Option<MonotonicTime>) -> Wake {
        Wake::TimedOut
    }
    fn wake(&self, _: usize) {}
    fn settle(&self) {}
    fn settles(&self) -> bool {
        true
    }
    fn is_forked(&self) -> bool {
        false
    }
}

impl Liar {
    fn check(&self, position: u64, len: usize) {
        assert!(
            position % CAPACITY + len as u64 <= CAPACITY,
            "{len} bytes at {position}"
        );
    }
}

/// A word that is there whenever we ask whether to look, and never when we look, cannot keep us beyond a
/// deadline.
#[test]
fn a_flickering_word_cannot_hold_up_a_receive() {
    for how in [Wait::Spin, Wait::default(), Wait::Park] {
        let mut liar = Liar::new(0);
        liar.flickers = true;
        let mut consumer = Consumer::resume(liar).unwrap();
        consumer.region.state.set(0);
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            consumer.peek_until(how, Some(deadline)),
            Err(RecvError::TimedOut)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 4096 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_producer_bears_it(seed: u64, lens in prop::collection::vec(0_usize..140, 1..60)) {
        let Ok(mut producer) = Producer::resume(Liar::new(seed)) else { return Ok(()) };
        let mut pending = None;
        for len in lens {
            if len % 2 == 0 {
                if let Ok(reservation) = producer.reserve(len) {
                    producer.write_and_commit(reservation, &vec![0xff; len]);
                    pending = None;
                }
            } else if let Ok(reservation) = producer.reserve_behind(&pending, len) {
                producer.region.write(reservation.payload(), &vec![0xff; len]);
                pending = Some(producer.lay(pending, reservation, len as u64));
            }
        }
    }

    #[test]
    fn a_consumer_bears_it(seed: u64, records: Vec<u8>) {
        let liar = Liar::new(seed);
        for (at, byte) in records.iter().enumerate() {
            let word = Record::message(u32::from(*byte) / 4, at as u64);
            liar.truth.store_word(u64::from(*byte) & !7, word, Ordering::Relaxed);
        }
        let Ok(mut consumer) = Consumer::resume(liar) else { return Ok(()) };
        for nth in 0..60 {
            let Ok(found) = consumer.peek() else { continue };
            assert!(found.len as u64 <= CAPACITY);
            let mut bytes = vec![0; found.len];
            consumer.region.read(found.payload, &mut bytes);
            let behind = consumer.peek_behind(&found, 1);
            match behind {
                Ok(Some(last)) if nth % 2 == 0 => consumer.release(&last, 2),
                _ => consumer.release(&found, 1),
            }
        }
    }
}
