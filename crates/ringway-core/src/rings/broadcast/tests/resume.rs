//! Producers that follow others, wherever those died.

use std::sync::atomic::Ordering;

use super::Ring;
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::{LIMIT, NO_WAYPOINT, waypoint_offset};
use crate::memory::layout::control::{SENT, TAIL};
use crate::memory::region::{Load, Region};
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{Policy, Start};

const CAPACITY: u64 = 1024;

/// Its counters may be behind by a commit, together or one of them.
#[test]
fn the_next_producer_goes_on_behind_the_last_message() {
    for lost in 0..3 {
        for sent in 0..150_u64 {
            let ring = Ring::new(CAPACITY, 3);
            let region = ring.region();
            let mut producer = ring.producer();
            producer.numbers(sent);
            let words = [TAIL, SENT].map(|at| region.load64(at, Ordering::Relaxed));
            // One message, or a batch of three.
            for _ in 0..1 + 2 * (sent % 2) {
                producer.push(&[0; 20]).unwrap();
            }
            let more = producer.commit_batch();
            // It died before both of them, or between the two.
            for (at, word) in [TAIL, SENT].into_iter().zip(words).take(lost) {
                region.store64(at, word, Ordering::Relaxed);
            }
            ring.kill(0);
            let mut next = ring.producer();
            assert_eq!(next.sent(), sent + more);
            next.try_send(&[7; 30]).unwrap();
            let last = Start::Number(sent + more);
            let mut consumer = ring.consumer(1, Policy::Block, last);
            let mut bytes = [0; 64];
            assert_eq!(consumer.recv_into(&mut bytes, None), Ok(30));
            assert_eq!(consumer.recv_into(&mut bytes, None), Err(RecvError::Empty));
        }
    }
}

/// What was laid and not committed is nobody's; the room that it took is not believed whole, though.
#[test]
fn what_was_not_committed_is_not_sent_and_its_room_is_not_believed() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    producer.numbers(40);
    let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
    assert_eq!(lossy.number(), 0);
    // A long one that comes round, over the first messages.
    producer.push(&[0xee; 480]).unwrap();
    ring.kill(0);
    let mut next = ring.producer();
    assert_eq!(next.sent(), 40);
    next.numbers(1);
    let Err(RecvError::Lagged { missed }) = lossy.try_number() else {
        panic!("they were overwritten")
    };
    assert_eq!(lossy.all_numbers().0, (missed..41).collect::<Vec<_>>());
}

/// A waypoint that its producer died within is none.
#[test]
fn a_half_written_waypoint_is_none() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    producer.numbers(300);
    for index in 0..32 {
        if index != 7 {
            let at = waypoint_offset(4, index);
            ring.region().store64(at, NO_WAYPOINT, Ordering::Relaxed);
        }
    }
    ring.kill(0);
    let mut next = ring.producer();
    for _ in 0..100 {
        next.numbers(10);
        let mut consumer = ring.consumer(1, Policy::Block, Start::Oldest);
        let numbers = consumer.all_numbers().0;
        assert_eq!(
            numbers.last(),
            Some(&(next.sent() - 1)).filter(|_| !numbers.is_empty())
        );
        ring.leave(1);
    }
}

#[test]
fn words_that_no_producer_writes_are_refused() {
    let ring = Ring::new(CAPACITY, 3);
    ring.producer().numbers(10);
    for (at, word) in [
        (TAIL, 7),
        (TAIL, 24),
        (TAIL, !7),
        (SENT, u64::MAX),
        (LIMIT, u64::MAX),
    ] {
        let region = ring.region();
        let before = region.load64(at, Ordering::Relaxed);
        region.store64(at, word, Ordering::Relaxed);
        let resumed = Producer::resume(ring.region(), 4, super::ALL);
        assert_eq!(resumed.err(), Some(Corrupt), "{word} at {at}");
        region.store64(at, before, Ordering::Relaxed);
    }
    assert!(Producer::resume(ring.region(), 4, super::ALL).is_ok());
}
