//! Closing and dying end the waits of others, after what was sent before.

use super::deaths::at_every_change;
use super::*;
use crate::presence::Peer;
use crate::waiting::Blocked;

/// The last producer sends and closes while a consumer sleeps.
#[test]
fn the_producer_closes() {
    model(1, || {
        let ring = Ring::new(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        let sending = thread::spawn(move || {
            send(&mut producer, 1).unwrap();
            ring.close(&mut producer);
        });
        assert_eq!(receive_all(&mut consumer), (vec![1], RecvError::Closed));
        sending.join().unwrap();
    });
}

/// The last producer dies while two consumers sleep: the kernel wakes one, who wakes the other.
#[test]
fn the_producer_dies() {
    model(2, || {
        let ring = Ring::new(1, 2);
        drop(ring.producer(0));
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        let receiving = thread::spawn(move || receive(&mut one));
        let dying = thread::spawn(move || ring.kill(0));
        assert_eq!(receive(&mut two), Err(RecvError::PeerDied));
        assert_eq!(receiving.join().unwrap(), Err(RecvError::PeerDied));
        dying.join().unwrap();
    });
}

/// While a consumer holds the last message it may come back; the others learn of the end when it is
/// released.
#[test]
fn the_last_message_is_released() {
    model(0, || {
        let (ring, mut producer, [mut one, mut two]) = with_a_message_taken();
        ring.close(&mut producer);
        let releasing = thread::spawn(move || one.release());
        assert_eq!(receive(&mut two), Err(RecvError::Closed));
        releasing.join().unwrap();
    });
}

/// The same, while the producer is closing.
#[test]
fn the_last_message_is_released_at_the_end() {
    model(1, || {
        let (ring, mut producer, [mut one, mut two]) = with_a_message_taken();
        let closing = thread::spawn(move || ring.close(&mut producer));
        let releasing = thread::spawn(move || one.release());
        assert_eq!(receive(&mut two), Err(RecvError::Closed));
        releasing.join().unwrap();
        closing.join().unwrap();
    });
}

/// The same, while the producer is dying.
#[test]
fn the_last_message_is_released_at_a_death() {
    model(1, || {
        let (ring, _producer, [mut one, mut two]) = with_a_message_taken();
        let dying = thread::spawn(move || ring.kill(0));
        let releasing = thread::spawn(move || one.release());
        assert_eq!(receive(&mut two), Err(RecvError::PeerDied));
        releasing.join().unwrap();
        dying.join().unwrap();
    });
}

/// A producer that sleeps for room is woken by the death of its consumer.
#[test]
fn the_consumer_dies() {
    model(0, || {
        let ring = Ring::new(1, 1);
        let mut producer = ring.producer(0);
        drop(ring.consumer(0));
        fill(&mut producer);
        let dying = thread::spawn(move || ring.kill(1));
        assert_eq!(send(&mut producer, 5), Err(SendError::PeerDied));
        dying.join().unwrap();
    });
}

/// A producer that sleeps for room is woken when its consumer closes.
#[test]
fn the_consumer_closes() {
    model(0, || {
        let ring = Ring::new(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        fill(&mut producer);
        let closing = thread::spawn(move || {
            consumer.close();
            ring.leave(1);
            consumer.member.announce(Role::Consumer);
        });
        assert_eq!(send(&mut producer, 5), Err(SendError::Closed));
        closing.join().unwrap();
    });
}

/// A consumer that sleeps before anybody is there learns of a producer that attaches and dies, also if it
/// dies before it has told anybody.
#[test]
fn a_producer_comes_and_dies_at_once() {
    model(0, || {
        let ring = Ring::empty(2, 1);
        ring.attach(2);
        let mut consumer = ring.consumer(0);
        let coming = thread::spawn(move || {
            ring.attach(0);
            ring.kill(0);
        });
        assert_eq!(receive(&mut consumer), Err(RecvError::PeerDied));
        coming.join().unwrap();
    });
}

/// Wherever it dies, what it had committed is received first.
#[test]
fn a_producer_comes_and_dies() {
    at_every_change(1, |changes| {
        let ring = Ring::empty(2, 1);
        ring.attach(2);
        let mut consumer = ring.consumer(0);
        let coming = thread::spawn(move || {
            ring.attach(0);
            let lived = lives(|| {
                let member = ring.member(Role::Producer, 0);
                member.region().dies_after(changes);
                let mut producer = Producer::join(member, false).unwrap();
                send(&mut producer, 1).unwrap();
            });
            ring.kill(0);
            lived
        });
        let (values, end) = receive_all(&mut consumer);
        let lived = coming.join().unwrap();
        assert!(values == [1] || values.is_empty() && !lived);
        assert_eq!(end, RecvError::PeerDied);
        lived
    });
}

/// One who comes while another goes to sleep, and dies while it takes a wake-up away.
#[test]
fn a_newcomer_dies_with_a_wake_up() {
    at_every_change(1, |changes| {
        let ring = Ring::empty(2, 1);
        ring.attach(0);
        ring.attach(2);
        let (mut other, mut consumer) = (ring.producer(0), ring.consumer(0));
        let coming = thread::spawn(move || {
            ring.attach(1);
            let member = ring.member(Role::Producer, 1);
            member.region().dies_after(changes);
            let lived = lives(|| Producer::join(member, false));
            ring.kill(1);
            send(&mut other, 1).unwrap();
            lived
        });
        assert_eq!(receive(&mut consumer), Ok(1));
        coming.join().unwrap()
    });
}

/// One producer closes, and the last one leaves without closing: at no moment is that the end.
#[test]
fn the_last_producer_detaches() {
    model(0, || {
        let ring = Ring::new(2, 1);
        let (mut first, last) = (ring.producer(0), ring.producer(1));
        let consumer = ring.consumer(0);
        let leaving = thread::spawn(move || {
            ring.close(&mut first);
            last.member.reopen();
            ring.leave(1);
            last.member.announce(Role::Producer);
        });
        assert_ne!(consumer.member.peer(), Peer::Closed);
        leaving.join().unwrap();
        assert_eq!(consumer.member.peer(), Peer::Absent);
    });
}
