//! Rings with a lock: under it words are changed by a load and a store, so whatever anybody does outside
//! the lock must be its owner's alone. Rings with bells instead of the eventcount's futex.

use super::deaths::{a_consumer_dies_with, a_producer_dies_beside_another, at_every_change};
use super::sleep::{a_producer_sleeps_at, two_consumers_sleep_at};
use super::*;

fn locked(producers: u32, consumers: u32) -> Ring {
    Ring::new(producers, consumers).with_lock()
}

/// Two producers claim, commit and abort while a consumer takes and frees.
#[test]
fn two_producers_and_a_consumer() {
    model(2, || {
        let ring = locked(2, 1);
        ring.advance(3);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut one, 9, SHORT).unwrap();
        let aborting = thread::spawn(move || {
            one.abort();
            try_send(&mut one, 1, SHORT).unwrap();
        });
        let sending = thread::spawn(move || try_send(&mut two, 2, SHORT).unwrap());
        let mut values = Vec::from_iter(some(try_receive(&mut consumer)));
        aborting.join().unwrap();
        sending.join().unwrap();
        values.extend(rest(&mut consumer));
        assert_eq!(sorted(values), [1, 2]);
    });
}

/// Two consumers take and free while a producer claims what they free.
#[test]
fn two_consumers_and_a_producer() {
    model(2, || {
        let ring = locked(1, 2);
        let mut producer = ring.producer(0);
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        fill(&mut producer);
        let receiving = thread::spawn(move || receive(&mut one).unwrap());
        let sending = thread::spawn(move || send(&mut producer, 5).unwrap());
        let mut values = vec![receive(&mut two).unwrap(), receiving.join().unwrap()];
        sending.join().unwrap();
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2, 3, 4, 5]);
    });
}

/// The holder of the lock dies, wherever: the next one repairs.
#[test]
fn a_producer_dies() {
    at_every_change(2, |changes| {
        a_producer_dies_beside_another(&locked(2, 1), changes)
    });
}

#[test]
fn a_consumer_dies() {
    a_consumer_dies_with(2, || locked(1, 2), &[LONG], 1);
}

#[test]
fn a_consumer_dies_with_a_run() {
    a_consumer_dies_with(2, || locked(1, 2), &[SHORT, SHORT], 2);
}

/// Who repairs under the lock dies as well, and so on.
#[test]
fn a_repairer_dies() {
    at_every_change(2, |changes| {
        let ring = locked(1, 3);
        let mut first = ring.consumer(0);
        let (mut victim, mut other) = (ring.consumer(1), ring.consumer(2));
        deaths::sent_and_closed(&ring, &[SHORT, SHORT]);
        // TAKEN, still under the lock.
        first.member.region().dies_after(1);
        assert!(!lives(|| first.take(2, None)));
        ring.kill(1);
        victim.member.region().dies_after(changes);
        let dying = dying(ring, 2, move || try_receive(&mut victim));
        let (values, end) = receive_all(&mut other);
        assert_eq!(end, RecvError::Closed);
        let lived = dying.join().unwrap();
        let values = sorted(values);
        assert!(
            [&[1, 2][..], &[1], &[2]].contains(&&values[..]),
            "{values:?}"
        );
        lived
    });
}

/// Two consumers asleep, each on its own bell, and a message for each.
#[test]
fn two_consumers_sleep_on_bells() {
    model(2, || {
        two_consumers_sleep_at(&Ring::of_cells(8, 1, 2).all_attached().with_bells());
    });
}

/// A consumer asleep on its bell, and two messages, one behind the other.
#[test]
fn a_consumer_sleeps_on_its_bell() {
    model(0, || {
        let ring = Ring::new(1, 2).with_bells();
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(1));
        let sending = thread::spawn(move || {
            send(&mut producer, 1).unwrap();
            send(&mut producer, 2).unwrap();
        });
        assert_eq!(receive(&mut consumer), Ok(1));
        assert_eq!(receive(&mut consumer), Ok(2));
        sending.join().unwrap();
    });
}

/// A producer asleep on its bell, and room from either of two consumers.
#[test]
fn a_producer_sleeps_on_its_bell() {
    model(1, || {
        a_producer_sleeps_at(&Ring::new(1, 2).with_bells());
    });
}

/// A producer dies after any change, with bells: watchers ring them.
#[test]
fn a_producer_dies_with_bells() {
    at_every_change(2, |changes| {
        a_producer_dies_beside_another(&Ring::new(2, 1).with_bells(), changes)
    });
}
