//! Whom the producer waits for, and what those are told that it does not wait for.

use std::time::{Duration, Instant};

use super::{ALL, Ring};
use crate::error::{RecvError, SendError};
use crate::memory::layout::broadcast::allowed;
use crate::memory::layout::record::WORD;
use crate::memory::region::memory::Memory;
use crate::rings::broadcast::join::is_whole;
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{EvictAfter, Policy, Start};
use crate::testing::broadcasts::HeapBroadcast;
use crate::waiting::{WaitOptions, WaitStrategy};

const CAPACITY: u64 = 1024;

/// Sends until there is no room, and returns how many there are then.
fn fill(producer: &mut Producer<Memory>) -> u64 {
    while producer.try_number().is_ok() {
        assert!(producer.sent() < 10_000);
    }
    assert_eq!(producer.try_number(), Err(SendError::Full));
    producer.sent()
}

#[test]
fn a_blocking_consumer_loses_nothing_and_the_slowest_sets_the_pace() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let mut slow = ring.consumer(1, Policy::Block, Start::Oldest);
    let mut fast = ring.consumer(2, Policy::Block, Start::Oldest);
    let full = fill(&mut producer);
    // All of the ring but the stop word's place.
    assert_eq!(full, CAPACITY / 16 - 1);
    assert_eq!(fast.all_numbers().0.len() as u64, full);
    assert_eq!(producer.try_number(), Err(SendError::Full));
    assert_eq!(slow.try_number(), Ok(0));
    producer.numbers(1);
    assert_eq!(producer.try_number(), Err(SendError::Full));
    assert_eq!(slow.all_numbers().0, (1..=full).collect::<Vec<_>>());
    // Again from the middle of a lap, where its end is not that of the room.
    producer.numbers(CAPACITY / 16 / 3);
    for consumer in [&mut slow, &mut fast] {
        consumer.all_numbers();
    }
    let first = producer.sent();
    assert_eq!(fill(&mut producer), first + full);
    assert_eq!(
        slow.all_numbers().0,
        (first..first + full).collect::<Vec<_>>()
    );
}

#[test]
fn without_consumers_the_producer_goes_on() {
    let ring = Ring::new(CAPACITY, 3);
    ring.producer().numbers(10_000);
}

#[test]
fn the_dead_and_those_that_left_hold_nobody_up() {
    for end in [HeapBroadcast::kill, HeapBroadcast::leave] {
        let ring = Ring::new(CAPACITY, 3);
        let mut producer = ring.producer();
        let _dead = ring.consumer(1, Policy::Block, Start::Oldest);
        let mut alive = ring.consumer(2, Policy::Block, Start::Oldest);
        let full = fill(&mut producer);
        end(&ring, 1);
        assert_eq!(producer.try_number(), Err(SendError::Full), "one lives");
        assert_eq!(alive.all_numbers().0.len() as u64, full);
        producer.numbers(full);
        assert_eq!(alive.all_numbers().0.len() as u64, full);
    }
}

/// The sum of what it got and what it was told that it missed is all there was, in order.
#[test]
fn a_lossy_consumer_holds_nobody_up_and_is_told_what_it_missed() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
    let (mut got, mut missed, mut next) = (0, 0, 0);
    for round in 0..200 {
        producer.numbers(1 + round * 37 % 150);
        loop {
            match lossy.try_number() {
                Ok(number) => {
                    assert_eq!(number, next);
                    (got, next) = (got + 1, next + 1);
                }
                Err(RecvError::Lagged { missed: more }) => {
                    (missed, next) = (missed + more, next + more);
                    let behind = producer.sent() - lossy.number();
                    // Not at the edge, and not at the tail.
                    assert!((8..=32).contains(&behind), "{behind} behind");
                }
                Err(error) => {
                    assert_eq!(error, RecvError::Empty);
                    break;
                }
            }
        }
        assert_eq!(got + missed, producer.sent());
        assert_eq!((lossy.received(), lossy.missed()), (got, missed));
    }
    assert!(got > 0 && missed > 0, "{got} and {missed}");
}

/// Also where messages are as long as they can be, and padding lies before them, it goes on at one that is there.
#[test]
fn who_is_overtaken_by_long_messages_goes_on_at_one_of_them() {
    for len in (0..=504).step_by(8) {
        for between in 0..4 {
            let ring = Ring::new(1024, 3);
            let mut producer = ring.producer();
            let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
            let mut bytes = [0; 512];
            for round in 0..60 {
                (0..between).for_each(|_| producer.try_send(b"short").unwrap());
                producer.try_send(&vec![round; len]).unwrap();
                if round % 10 == 9
                    && let Err(error) = lossy.recv_into(&mut bytes, None)
                {
                    assert!(
                        matches!(error, RecvError::Lagged { missed: 1.. }),
                        "{error}"
                    );
                    assert!(lossy.number() < producer.sent(), "{len} {between} {round}");
                    while lossy.recv_into(&mut bytes, None).is_ok() {}
                    assert_eq!(lossy.number(), producer.sent());
                }
            }
        }
    }
}

/// What was found before it was overtaken stays what it was, until it is released.
#[test]
fn what_a_lossy_consumer_has_found_stays_whole() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
    producer.numbers(3);
    let found = lossy.peek().unwrap();
    let behind = lossy.peek_behind(&found, 1).unwrap().unwrap();
    assert_eq!(lossy.copied(&behind), Some(&1_u64.to_le_bytes()[..]));
    producer.numbers(500);
    assert_eq!(lossy.copied(&behind), Some(&1_u64.to_le_bytes()[..]));
    assert_eq!(lossy.peek_behind(&behind, 2), Ok(None), "it was overtaken");
    lossy.release(&behind, 2);
    let Err(RecvError::Lagged { missed }) = lossy.try_number() else {
        panic!("it was overtaken")
    };
    assert_eq!(lossy.number(), 2 + missed);
}

/// What it looked at is not released then, and counts as missed like what lies behind it.
#[test]
fn who_is_overtaken_before_it_releases_is_told_what_it_missed() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
    producer.numbers(3);
    assert_eq!(lossy.try_number(), Ok(0));
    let found = lossy.peek().unwrap();
    // Passed by, and not overwritten yet.
    while is_whole(&ring.region(), found.payload - WORD) {
        producer.numbers(1);
    }
    lossy.release_first(1);
    let Err(RecvError::Lagged { missed }) = lossy.try_number() else {
        panic!("it was overtaken")
    };
    assert_eq!((lossy.received(), lossy.missed()), (1, missed));
    assert_eq!(lossy.try_number(), Ok(1 + missed));
}

#[test]
fn one_that_is_too_many_bytes_behind_is_evicted() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let policy = Policy::Evict(EvictAfter::Bytes(CAPACITY / 2));
    let mut bounded = ring.consumer(1, policy, Start::Oldest);
    for _ in 0..50 {
        producer.numbers(30);
        assert_eq!(bounded.all_numbers().1, RecvError::Empty);
    }
    producer.numbers(100);
    for _ in 0..2 {
        assert_eq!(bounded.all_numbers(), (vec![], RecvError::Evicted));
    }
    // It may come again.
    ring.leave(1);
    let mut again = ring.consumer(1, policy, Start::Latest);
    producer.numbers(10);
    assert_eq!(again.all_numbers().0.len(), 10);
}

/// One message may be longer than what it may be behind: who has all is not behind.
#[test]
fn one_that_keeps_up_is_not_evicted() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let policy = Policy::Evict(EvictAfter::Bytes(0));
    let mut bounded = ring.consumer(1, policy, Start::Oldest);
    for _ in 0..100 {
        producer.try_number().unwrap();
        assert!(bounded.try_number().is_ok());
    }
}

#[test]
fn one_that_makes_the_producer_wait_for_too_long_is_evicted() {
    const LONG: Duration = Duration::from_millis(50);
    for how in [WaitStrategy::Park, WaitStrategy::Spin] {
        let ring = Ring::new(CAPACITY, 3);
        let mut producer = ring.producer();
        let policy = Policy::Evict(EvictAfter::Waiting(LONG));
        let mut bounded = ring.consumer(1, policy, Start::Oldest);
        let full = fill(&mut producer);
        let began = Instant::now();
        let wait = WaitOptions::new(how);
        assert_eq!(
            producer.send(&[0; 8], Some(&wait.within(LONG / 10))),
            Err(SendError::TimedOut)
        );
        producer.send(&full.to_le_bytes(), Some(&wait)).unwrap();
        assert!(began.elapsed() >= LONG - LONG / 5, "{:?}", began.elapsed());
        assert_eq!(bounded.all_numbers(), (vec![], RecvError::Evicted));
    }
}

/// Whoever says all the same that it blocks is not waited for.
#[test]
fn a_ring_may_refuse_policies_that_hold_the_producer_up() {
    let ring = Ring::new(CAPACITY, 3).allowing(ALL & !allowed::BLOCK);
    let mut producer = ring.producer();
    let _disobedient = ring.consumer(1, Policy::Block, Start::Oldest);
    producer.numbers(1000);
}

#[test]
fn all_that_live_are_waited_for_when_the_producer_drains() {
    let ring = Ring::new(CAPACITY, 3);
    let mut producer = ring.producer();
    let wait = WaitOptions::new(WaitStrategy::Park).within(Duration::from_millis(5));
    producer.numbers(10);
    assert_eq!(producer.drained_until(&wait), Ok(()), "there is nobody");
    let mut lossy = ring.consumer(1, Policy::Lossy, Start::Oldest);
    let _dies = ring.consumer(2, Policy::Block, Start::Oldest);
    assert_eq!(producer.drained_until(&wait), Err(SendError::TimedOut));
    assert_eq!(lossy.all_numbers().0.len(), 10);
    let wait = wait.within(Duration::from_millis(5));
    assert_eq!(producer.drained_until(&wait), Err(SendError::TimedOut));
    ring.kill(2);
    let wait = wait.within(Duration::from_secs(10));
    assert_eq!(producer.drained_until(&wait), Ok(()));
}
