//! Nobody sleeps through what it waits for. All sleep at once (`WaitStrategy::Park`); a lost wake-up is a
//! deadlock.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::Waker;

use super::*;
use crate::waiting::several::{Call, wait_for_any};

/// Two consumers asleep on one event, and one message for each.
#[test]
fn two_consumers_sleep() {
    model(2, || {
        two_consumers_sleep_at(&Ring::of_cells(8, 1, 2).all_attached());
    });
}

pub(super) fn two_consumers_sleep_at(ring: &Ring) {
    let mut producer = ring.producer(0);
    let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
    let receiving = thread::spawn(move || receive(&mut one).unwrap());
    let sending = thread::spawn(move || send_batch(&mut producer, &[1, 2]));
    let values = [receive(&mut two).unwrap(), receiving.join().unwrap()];
    assert_eq!(sorted(values), [1, 2]);
    sending.join().unwrap();
}

/// One consumer, asleep, and one message.
#[test]
fn a_consumer_sleeps() {
    model(0, || {
        let ring = Ring::new(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        let sending = thread::spawn(move || send(&mut producer, 1).unwrap());
        assert_eq!(receive(&mut consumer), Ok(1));
        sending.join().unwrap();
    });
}

/// The same under a kernel that does not wake and clear in one step.
#[test]
fn an_old_kernel_wakes_two_consumers() {
    model(2, || {
        let mut ring = Ring::of_cells(8, 1, 2);
        ring.model = ring.model.under_an_old_kernel();
        two_consumers_sleep_at(&ring.all_attached());
    });
}

/// A producer asleep on a full ring is woken by whoever releases the oldest message, which may not be the
/// first that is released.
#[test]
fn a_producer_sleeps_until_either_consumer_releases() {
    model(2, || {
        a_producer_sleeps_at(&Ring::new(1, 2));
    });
}

pub(super) fn a_producer_sleeps_at(ring: &Ring) {
    let mut producer = ring.producer(0);
    fill(&mut producer);
    let releasing = [0, 1].map(|nth| {
        let mut consumer = ring.consumer(nth);
        let found = consumer.take(1, None).unwrap();
        thread::spawn(move || {
            // In place: whoever writes there next has to come behind it.
            consumer.member.region().read(found.payload, &mut [0; 8]);
            consumer.release()
        })
    });
    send(&mut producer, 5).unwrap();
    for thread in releasing {
        thread.join().unwrap();
    }
}

/// Two producers asleep on a full ring.
#[test]
fn two_producers_sleep() {
    model(2, || {
        let ring = Ring::new(2, 1);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        fill(&mut one);
        let sending = thread::spawn(move || send(&mut one, 5).unwrap());
        let other = thread::spawn(move || send(&mut two, 6).unwrap());
        assert_eq!(receive(&mut consumer), Ok(1));
        assert_eq!(receive(&mut consumer), Ok(2));
        sending.join().unwrap();
        other.join().unwrap();
    });
}

/// A consumer asleep behind a claim is woken when it is aborted and something lies behind it.
#[test]
fn a_consumer_sleeps_behind_a_claim() {
    model(0, || {
        let ring = Ring::new(2, 1);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut one, 9, SHORT).unwrap();
        send(&mut two, 1).unwrap();
        let aborting = thread::spawn(move || one.abort());
        assert_eq!(receive(&mut consumer), Ok(1));
        aborting.join().unwrap();
    });
}

/// A consumer asleep gets what another one gives back.
#[test]
fn a_message_is_given_back() {
    model(0, || {
        let (_ring, _producer, [mut one, mut two]) = with_a_message_taken();
        let giving = thread::spawn(move || one.give_back());
        assert_eq!(receive(&mut two), Ok(1));
        giving.join().unwrap();
    });
}

/// A producer sleeps until all that it sent is released.
#[test]
fn drained() {
    model(0, || {
        let ring = Ring::new(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        send(&mut producer, 1).unwrap();
        let receiving = thread::spawn(move || receive(&mut consumer).unwrap());
        assert_eq!(producer.drained_until(&WaitOptions::PARK), Ok(()));
        assert_eq!(receiving.join().unwrap(), 1);
    });
}

/// A consumer of two rings sleeps on both at once.
#[test]
fn either_of_two_rings() {
    model(1, || {
        let one = Ring::new(1, 1);
        let mut two = Ring::new(1, 1);
        two.model = two.model.beside(&one.model);
        let mut producers = [one.producer(0), two.producer(0)];
        let mut consumers = [one.consumer(0), two.consumer(0)];
        let sending = thread::spawn(move || send(&mut producers[1], 1).unwrap());
        let [first, second] = &mut consumers;
        let (word, interrupted) = (AtomicU32::new(0), AtomicBool::new(false));
        let call = Call {
            word: &word,
            interrupted: &interrupted,
            waker: Waker::noop(),
        };
        let mut both = [first, second];
        let due = wait_for_any(&mut both, |one| &mut **one, 0, &call, &WaitOptions::PARK);
        assert_eq!(due, Ok(1));
        assert_eq!(try_receive(second), Ok(1));
        sending.join().unwrap();
    });
}
