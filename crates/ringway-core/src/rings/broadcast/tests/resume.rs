//! Producers that follow others, wherever those died.

use std::sync::atomic::Ordering;

use super::Ring;
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::{LIMIT, NO_WAYPOINT, WAYPOINTS, waypoint_offset};
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

/// A producer that died after the commit of a batch, before or within any of its waypoints, leaves them to the next one, also if that
/// dies as well.
#[test]
fn the_next_producer_sets_the_waypoints_of_a_batch() {
    const SLOTS: u32 = 4;
    let words = |ring: &Ring| {
        let all = (0..WAYPOINTS).map(|index| waypoint_offset(SLOTS, index));
        let both = all.flat_map(|at| [at, at + 8]).chain([TAIL, SENT]);
        let region = ring.region();
        both.map(|at| (at, region.load64(at, Ordering::Relaxed)))
            .collect::<Vec<_>>()
    };
    for before in [0, 3, 200, 1001] {
        for set in 0..18 {
            let ring = Ring::new(CAPACITY, SLOTS - 1);
            let region = ring.region();
            let mut producer = ring.producer();
            producer.numbers(before);
            let mut number = before;
            while producer.push(&number.to_le_bytes()).is_ok() {
                number += 1;
            }
            let laid = words(&ring);
            producer.commit_batch();
            ring.kill(0);
            // It came to set so many; the next one may be half written. It never came to TAIL and SENT.
            let new = words(&ring);
            let mut changed: Vec<_> = (0..WAYPOINTS)
                .filter(|nth| laid[2 * nth] != new[2 * nth])
                .collect();
            changed.sort_unstable_by_key(|nth| new[2 * nth].1);
            let cut = changed
                .iter()
                .skip(set)
                .flat_map(|nth| [2 * nth, 2 * nth + 1]);
            for word in cut.chain([2 * WAYPOINTS, 2 * WAYPOINTS + 1]) {
                region.store64(laid[word].0, laid[word].1, Ordering::Relaxed);
            }
            if let Some(nth) = changed.get(set) {
                region.store64(laid[2 * nth].0, NO_WAYPOINT, Ordering::Relaxed);
            }
            let cut = words(&ring);
            for _ in 0..3 {
                ring.producer();
                ring.kill(0);
                // Nor did that one.
                for &(at, word) in cut.iter().filter(|(at, _)| [TAIL, SENT].contains(at)) {
                    region.store64(at, word, Ordering::Relaxed);
                }
            }
            let mut last = ring.producer();
            assert_eq!(last.sent(), number);
            last.numbers(6);
            let oldest = ring.consumer(1, Policy::Lossy, Start::Oldest);
            let found = last.sent() - oldest.number();
            let most = CAPACITY / 16;
            assert!(found >= most * 12 / 16, "{before} {set}: {found}");
            let mut consumer = ring.consumer(2, Policy::Block, Start::Oldest);
            let all = oldest.number()..last.sent();
            assert_eq!(consumer.all_numbers().0, all.collect::<Vec<_>>());
        }
    }
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
    // A record whose number would lie before the first.
    ring.region().store64(TAIL, 5 * 16, Ordering::Relaxed);
    ring.region().store64(SENT, 0, Ordering::Relaxed);
    let resumed = Producer::resume(ring.region(), 4, super::ALL);
    assert_eq!(resumed.err(), Some(Corrupt));
}
