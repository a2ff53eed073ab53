//! A death after any change of the segment loses nothing, doubles nothing that was acknowledged, tears
//! nothing, and blocks nobody.

use super::*;
use crate::testing::model;

pub(super) fn at_every_change(relief: usize, body: impl Fn(u32) -> bool + Sync + Send + 'static) {
    model::at_every_change(|body| model(relief, body), body);
}

/// A producer dies, while another sends and a consumer sleeps: what it committed arrives, what it did not
/// is out of the way.
pub(super) fn a_producer_dies_beside_another(ring: &Ring, changes: u32) -> bool {
    let (mut victim, mut other) = (ring.producer(0), ring.producer(1));
    let mut consumer = ring.consumer(0);
    victim.member.region().dies_after(changes);
    let dying = dying(ring.clone(), 0, move || send(&mut victim, 1));
    let sending = thread::spawn(move || send(&mut other, 2).unwrap());
    let mut values = vec![receive(&mut consumer).unwrap()];
    sending.join().unwrap();
    let lived = dying.join().unwrap();
    values.extend(rest(&mut consumer));
    let values = sorted(values);
    assert!(values == [1, 2] || values == [2] && !lived, "{values:?}");
    lived
}

#[test]
fn a_producer_dies() {
    at_every_change(2, |changes| {
        a_producer_dies_beside_another(&Ring::new(2, 1), changes)
    });
}

/// Another process has taken the dead one's slot, and nobody takes it for the owner of what was claimed.
#[test]
fn a_successor_in_the_same_slot() {
    model(2, || {
        let ring = Ring::new(2, 1);
        let (mut victim, mut other) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut victim, 9, SHORT).unwrap();
        send(&mut other, 1).unwrap();
        let succeeding = thread::spawn(move || {
            ring.kill(0);
            ring.attach(0);
            drop(ring.producer(0));
        });
        assert_eq!(receive(&mut consumer), Ok(1));
        succeeding.join().unwrap();
    });
}

/// A batch of a producer that dies arrives whole or not at all.
#[test]
fn a_producer_dies_in_a_batch() {
    a_producer_dies_in_a_batch_of(|| Ring::of_cells(8, 1, 1).all_attached());
}

/// The same where the batch has to move to more cells.
#[test]
fn a_producer_dies_in_a_batch_that_grows() {
    a_producer_dies_in_a_batch_of(|| Ring::new(1, 1));
}

fn a_producer_dies_in_a_batch_of(ring: fn() -> Ring) {
    at_every_change(1, move |changes| {
        let ring = ring();
        let (mut victim, mut consumer) = (ring.producer(0), ring.consumer(0));
        victim.member.region().dies_after(changes);
        let dying = dying(ring, 0, move || send_batch(&mut victim, &[1, 2]));
        let (values, end) = receive_all(&mut consumer);
        let lived = dying.join().unwrap();
        assert_eq!(end, RecvError::PeerDied);
        assert!(
            values == [1, 2] || values.is_empty() && !lived,
            "{values:?}"
        );
        lived
    });
}

/// Messages of a producer that has closed, `1..`, for consumers who take them to the end.
pub(super) fn sent_and_closed(ring: &Ring, lens: &[usize]) {
    let mut producer = ring.producer(0);
    for (value, len) in (1..).zip(lens) {
        try_send(&mut producer, value, *len).unwrap();
    }
    ring.close(&mut producer);
}

/// A consumer dies while another sleeps for what it holds: that one gets it, unless it was acknowledged.
pub(super) fn a_consumer_dies_with(
    relief: usize,
    ring: fn() -> Ring,
    lens: &'static [usize],
    most: u64,
) {
    at_every_change(relief, move |changes| {
        let ring = ring();
        let (mut victim, mut other) = (ring.consumer(0), ring.consumer(1));
        sent_and_closed(&ring, lens);
        victim.member.region().dies_after(changes);
        let dying = thread::spawn(move || {
            let mut taken = Vec::new();
            let lived = lives(|| drain_into(&mut taken, &mut victim, most));
            ring.kill(1);
            (lived, taken)
        });
        let (received, end) = receive_all(&mut other);
        assert_eq!(end, RecvError::Closed);
        let (lived, taken) = dying.join().unwrap();
        let again = received
            .iter()
            .filter(|value| taken.contains(value))
            .count();
        // What was taken together is acknowledged together.
        assert!(
            again == 0 || again == taken.len() && !lived,
            "{taken:?}, {received:?}"
        );
        let all = taken.iter().filter(|value| !received.contains(value));
        let all = sorted(all.chain(&received).copied());
        assert!(
            all.into_iter().eq(1..=lens.len() as u64),
            "{taken:?}, {received:?}"
        );
        lived
    });
}

#[test]
fn a_consumer_dies() {
    a_consumer_dies_with(1, || Ring::new(1, 2), &[SHORT], 1);
}

#[test]
fn a_consumer_dies_with_a_long_message() {
    a_consumer_dies_with(1, || Ring::new(1, 2), &[LONG], 1);
}

#[test]
fn a_consumer_dies_with_a_run() {
    a_consumer_dies_with(2, || Ring::new(1, 2), &[SHORT, SHORT], 2);
}

/// Two at once give back what a dead consumer had taken together, while one of them already takes it all.
#[test]
fn two_repair_at_once() {
    model(2, || {
        let ring = Ring::new(1, 3);
        let mut victim = ring.consumer(0);
        let (mut one, mut two) = (ring.consumer(1), ring.consumer(2));
        sent_and_closed(&ring, &[SHORT, SHORT]);
        victim.take(2, None).unwrap();
        ring.kill(1);
        let other = thread::spawn(move || [try_receive(&mut one), try_receive(&mut one)]);
        let mut values = Vec::from_iter(some(try_receive(&mut two)));
        values.extend(other.join().unwrap().into_iter().filter_map(some));
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2]);
    });
}

/// One who gives back what a dead consumer had taken together dies as well, while another does the same.
#[test]
fn a_repairer_dies() {
    at_every_change(2, |changes| {
        let ring = Ring::new(1, 3);
        let mut first = ring.consumer(0);
        let (mut victim, mut other) = (ring.consumer(1), ring.consumer(2));
        sent_and_closed(&ring, &[SHORT, SHORT]);
        first.take(2, None).unwrap();
        ring.kill(1);
        victim.member.region().dies_after(changes);
        let dying = dying(ring, 2, move || try_receive(&mut victim));
        let mut values = Vec::from_iter(some(try_receive(&mut other)));
        let lived = dying.join().unwrap();
        let (left, end) = receive_all(&mut other);
        assert_eq!(end, RecvError::Closed);
        values.extend(left);
        let values = sorted(values);
        assert!(
            [&[1, 2][..], &[1], &[2]].contains(&&values[..]),
            "{values:?}"
        );
        lived
    });
}

/// A consumer dies at any point of freeing a long message: the producer that waits for its cells gets
/// them, if the message was acknowledged, or else another consumer gets the message.
#[test]
fn a_consumer_dies_while_it_frees() {
    at_every_change(2, |changes| {
        let ring = Ring::new(1, 2);
        let mut producer = ring.producer(0);
        let (mut victim, mut other) = (ring.consumer(0), ring.consumer(1));
        try_send(&mut producer, 1, LONG).unwrap();
        try_send(&mut producer, 2, LONG).unwrap();
        victim.take(1, None).unwrap();
        victim.member.region().dies_after(changes);
        let lived = lives(|| victim.release());
        ring.kill(1);
        let sending = thread::spawn(move || send_long(&mut producer, 3, LONG).unwrap());
        let mut values = Vec::new();
        while !values.contains(&3) {
            values.push(receive(&mut other).unwrap());
        }
        // What comes again comes when nothing else is there.
        assert!(
            [&[2, 3][..], &[1, 2, 3], &[2, 1, 3]].contains(&&values[..]),
            "{values:?}"
        );
        sending.join().unwrap();
        lived
    });
}

/// A consumer that takes a dead one's FREEING over dies as well.
#[test]
fn a_repairer_dies_while_it_frees() {
    at_every_change(2, |changes| {
        let ring = Ring::new(1, 3);
        let mut producer = ring.producer(0);
        let mut first = ring.consumer(0);
        try_send(&mut producer, 1, LONG).unwrap();
        try_send(&mut producer, 2, LONG).unwrap();
        first.take(1, None).unwrap();
        // FREEING, and nothing free yet.
        first.member.region().dies_after(1);
        assert!(!lives(|| first.release()));
        ring.kill(1);
        let member = ring.member(Role::Consumer, 2);
        member.region().dies_after(changes);
        let joining = dying(ring.clone(), 2, move || Consumer::join(member));
        let at_once = try_send(&mut producer, 3, LONG);
        let lived = joining.join().unwrap();
        if at_once.is_err() {
            try_send(&mut producer, 3, LONG).unwrap();
        }
        assert_eq!(rest(&mut ring.consumer(2)), [2, 3]);
        lived
    });
}
