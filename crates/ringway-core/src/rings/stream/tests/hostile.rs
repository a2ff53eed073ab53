//! A peer that rewrites the segment while we work, made worst: every read of shared memory gives
//! another value. Nothing may panic, leave the region, or run on.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{push, receive_into, send};
use crate::error::RecvError;
use crate::memory::layout::Geometry;
use crate::memory::layout::record::{Record, VACANT};
use crate::memory::region::Region;
use crate::memory::region::memory::Heap;
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::testing::liar::Liar;
use crate::waiting::{WaitOptions, WaitStrategy};

const CAPACITY: u64 = 256;

fn liar(seed: u64) -> Liar {
    let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
    Liar::new(heap.region(), seed, |random, truth| {
        Record::message((random >> 56) as u32, truth & 7)
    })
}

/// A word that is there whenever we ask whether to look, and never when we look, cannot keep us beyond a
/// deadline.
#[test]
fn a_flickering_word_cannot_hold_up_a_receive() {
    for how in [
        WaitStrategy::Spin,
        WaitStrategy::default(),
        WaitStrategy::Park,
    ] {
        let liar = liar(0);
        liar.flicker.set(Some((VACANT, Record::message(8, 0))));
        let mut consumer = Consumer::resume(liar).unwrap();
        consumer.region.state.set(0);
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            consumer.peek_until(&WaitOptions::new(how).until(Some(deadline))),
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
        let Ok(mut producer) = Producer::resume(liar(seed)) else { return Ok(()) };
        let mut pending = None;
        for len in lens {
            if len % 2 == 0 {
                if send(&mut producer, &vec![0xff; len], None).is_ok() {
                    pending = None;
                }
            } else {
                let _ = push(&mut producer, &mut pending, &vec![0xff; len]);
            }
        }
    }

    #[test]
    fn a_consumer_bears_it(seed: u64, records: Vec<u8>) {
        let liar = liar(seed);
        for (at, byte) in records.iter().enumerate() {
            let word = Record::message(u32::from(*byte) / 4, at as u64);
            liar.truth.store_word(u64::from(*byte) & !7, word, Ordering::Relaxed);
        }
        let Ok(mut consumer) = Consumer::resume(liar) else { return Ok(()) };
        for nth in 0..60 {
            if nth % 3 == 0 {
                if let Ok(len) = receive_into(&mut consumer, &mut [0; 100], None) {
                    assert!(len <= 100);
                }
                continue;
            }
            let Ok(found) = consumer.take(None) else { continue };
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
