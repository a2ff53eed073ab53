//! A peer that rewrites the segment while we work, made worst: every read of shared memory gives another value. Nothing may
//! panic, leave the region, or run on.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ALL, Ring};
use crate::error::RecvError;
use crate::memory::layout::record::{Record, VACANT};
use crate::memory::region::Region;
use crate::rings::broadcast::consumer::Consumer;
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{EvictAfter, Policy, Start, Wish};
use crate::testing::liar::Liar;
use crate::waiting::{WaitOptions, WaitStrategy};

const CAPACITY: u64 = 256;

fn liar(seed: u64) -> Liar {
    let ring = Ring::new(CAPACITY, 3);
    for slot in 0..4 {
        ring.attach(slot);
    }
    Liar::new(ring.region(), seed, |random, truth| {
        Record::message((random >> 56) as u32, truth & 7)
    })
}

fn wish(seed: u64) -> Wish<'static> {
    let policies = [
        Policy::Block,
        Policy::Lossy,
        Policy::Evict(EvictAfter::Bytes(64)),
        Policy::Evict(EvictAfter::Waiting(Duration::ZERO)),
    ];
    let starts = [
        Start::Oldest,
        Start::Latest,
        Start::Last(3),
        Start::Number(2),
    ];
    Wish {
        policy: policies[(seed % 4) as usize],
        start: starts[(seed / 4 % 4) as usize],
        name: (seed / 16).is_multiple_of(2).then_some("name"),
    }
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
        liar.flicker.set(Some((VACANT, VACANT)));
        let wish = wish(0);
        let mut consumer = Consumer::join(liar, 4, (1, 1), &wish).unwrap();
        let word = Record::message(8, 0);
        consumer.region.flicker.set(Some((VACANT, word)));
        consumer.region.state.set(0);
        let deadline = Instant::now() + Duration::from_millis(5);
        let wait = WaitOptions::new(how).until(Some(deadline));
        assert_eq!(consumer.peek_until(&wait), Err(RecvError::TimedOut));
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
        let Ok(mut producer) = Producer::resume(liar(seed), 4, ALL) else { return Ok(()) };
        let deadline = Some(Instant::now() + Duration::from_millis(1));
        let wait = WaitOptions::new(WaitStrategy::Park).until(deadline);
        for len in lens {
            match len % 3 {
                0 => drop(producer.send(&vec![0xff; len], None)),
                1 => drop(producer.send(&vec![0xff; len], Some(&wait))),
                _ => drop(producer.push(&vec![0xff; len])),
            }
            if len % 5 == 0 {
                producer.commit_batch();
            }
        }
        let _ = producer.drained_until(&wait);
    }

    #[test]
    fn a_consumer_bears_it(seed: u64, records: Vec<u8>) {
        let liar = liar(seed);
        for (at, byte) in records.iter().enumerate() {
            let word = Record::message(u32::from(*byte) / 4, at as u64);
            liar.truth.store_word(u64::from(*byte) & !7, word, Ordering::Relaxed);
        }
        let Ok(mut consumer) = Consumer::join(liar, 4, (1, 1), &wish(seed)) else { return Ok(()) };
        for nth in 0..60 {
            let Ok(found) = consumer.peek() else { continue };
            assert!(found.len as u64 <= CAPACITY);
            match consumer.copied(&found) {
                Some(copy) => assert_eq!(copy.len(), found.len),
                None => consumer.region.read(found.payload, &mut vec![0; found.len]),
            }
            let behind = consumer.peek_behind(&found, 1);
            match behind {
                Ok(Some(last)) if nth % 2 == 0 => consumer.release(&last, 2),
                _ if nth % 5 == 0 => consumer.release_first(1),
                _ => consumer.release(&found, 1),
            }
        }
    }
}
