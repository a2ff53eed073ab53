//! Producers that overwrite wait for nobody: what others hold is carried over, whatever its owner does meanwhile.

use super::deaths::at_every_change;
use super::*;
use crate::memory::layout::participant::OVERWRITTEN;
use crate::memory::region::Load;

fn ring(producers: u32, consumers: u32) -> Ring {
    let mut ring = Ring::empty(producers, consumers);
    ring.overwrite = true;
    ring.all_attached()
}

/// Messages that all have overwritten or held too long.
fn overwritten(ring: &Ring) -> u64 {
    let slots = 0..ring.producers + ring.consumers;
    let counters = slots.map(|slot| slot_offset(slot) + OVERWRITTEN);
    counters
        .map(|at| ring.model.load64(at, Ordering::Relaxed))
        .sum()
}

/// The oldest message is overwritten, or read: never both, and never by halves.
#[test]
fn the_oldest_is_overwritten_or_read() {
    model(0, || {
        let ring = ring(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        fill(&mut producer);
        let reading = thread::spawn(move || {
            let read = receive(&mut consumer).unwrap();
            (consumer, read)
        });
        try_send(&mut producer, 5, SHORT).unwrap();
        let (mut consumer, read) = reading.join().unwrap();
        let lost = 5 - 1 - rest(&mut consumer).len() as u64;
        assert_eq!(producer.overwritten(), lost);
        assert!(read == 1 || read == 2 && lost == 1);
    });
}

/// A consumer releases, or gives back, what it holds while a producer comes round to it.
fn a_consumer_lets_go(lens: &'static [usize], sent: &'static [usize], gives_back: bool) {
    model(1, move || {
        let ring = ring(1, 1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        for (value, len) in (1..).zip(lens) {
            try_send(&mut producer, value, *len).unwrap();
        }
        let found = consumer.take(1, None).unwrap();
        let letting_go = thread::spawn(move || {
            assert_eq!(read(&consumer, found), 1);
            match gives_back {
                true => consumer.give_back(),
                false => drop(consumer.release()),
            }
            consumer
        });
        let first = lens.len() as u64 + 1;
        for (value, len) in (first..).zip(sent) {
            try_send(&mut producer, value, *len).unwrap();
        }
        let mut consumer = letting_go.join().unwrap();
        let values = rest(&mut consumer);
        assert!(values.is_sorted(), "{values:?}");
        let last = (lens.len() + sent.len()) as u64;
        assert_eq!(values.last(), Some(&last));
        assert!(gives_back || !values.contains(&1));
        let received = values.len() as u64 + u64::from(!gives_back);
        assert_eq!(overwritten(&ring) + received, last, "{values:?}");
        // All cells can be had again.
        for value in 11..=14 {
            try_send(&mut producer, value, SHORT).unwrap();
        }
        assert_eq!(rest(&mut consumer).last(), Some(&14));
    });
}

#[test]
fn a_consumer_releases_what_is_carried_over() {
    a_consumer_lets_go(&[SHORT; CELLS], &[SHORT, SHORT], false);
}

#[test]
fn a_consumer_releases_a_long_message_that_is_carried_over() {
    a_consumer_lets_go(&[LONG, SHORT, SHORT], &[SHORT], false);
}

#[test]
fn a_consumer_gives_back_what_is_carried_over() {
    a_consumer_lets_go(&[SHORT; CELLS], &[SHORT], true);
}

/// A producer commits, or gives up, what it has claimed while another comes round to it.
fn a_producer_lets_go(len: usize, commits: bool) {
    model(1, move || {
        let ring = ring(2, 1);
        let (mut slow, mut producer) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut slow, 10, len).unwrap();
        // The ring is full.
        let cells = if len == LONG { 2 } else { 1 };
        let before = CELLS as u64 - cells;
        for value in 1..=before {
            try_send(&mut producer, value, SHORT).unwrap();
        }
        let letting_go = thread::spawn(move || match commits {
            true => slow.commit(len as u64),
            false => slow.abort(),
        });
        try_send(&mut producer, 5, SHORT).unwrap();
        letting_go.join().unwrap();
        let values = rest(&mut consumer);
        let others: Vec<_> = values.iter().copied().filter(|value| *value < 10).collect();
        assert!(
            others.is_sorted() && others.last() == Some(&5),
            "{values:?}"
        );
        let sent = before + 1 + u64::from(commits);
        assert_eq!(overwritten(&ring) + values.len() as u64, sent, "{values:?}");
    });
}

#[test]
fn a_producer_commits_what_is_carried_over() {
    a_producer_lets_go(SHORT, true);
}

#[test]
fn a_producer_commits_a_long_message_that_is_carried_over() {
    a_producer_lets_go(LONG, true);
}

#[test]
fn a_producer_gives_up_what_is_carried_over() {
    a_producer_lets_go(SHORT, false);
}

/// A consumer sleeps behind a claim until a producer comes round to that.
#[test]
fn a_consumer_sleeps_behind_a_claim_that_is_carried_over() {
    model(1, || {
        let ring = ring(2, 1);
        let (mut slow, mut producer) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut slow, 10, SHORT).unwrap();
        for value in 1..=3 {
            try_send(&mut producer, value, SHORT).unwrap();
        }
        let sending = thread::spawn(move || try_send(&mut producer, 4, SHORT).unwrap());
        let first = receive(&mut consumer).unwrap();
        assert!(first == 1 || first == 2, "{first}");
        sending.join().unwrap();
    });
}

/// A consumer dies with what it holds while a producer comes round to it.
#[test]
fn a_consumer_dies_with_what_is_carried_over() {
    model(1, || {
        let ring = ring(1, 2);
        let mut producer = ring.producer(0);
        let (mut victim, mut other) = (ring.consumer(0), ring.consumer(1));
        fill(&mut producer);
        victim.take(1, None).unwrap();
        let killer = ring.clone();
        let dying = thread::spawn(move || killer.kill(1));
        try_send(&mut producer, 5, SHORT).unwrap();
        try_send(&mut producer, 6, SHORT).unwrap();
        dying.join().unwrap();
        let values = rest(&mut other);
        assert!(
            values.is_sorted() && values.last() == Some(&6),
            "{values:?}"
        );
        // The next one to attach finds what nobody else came upon.
        drop(ring.consumer(0));
        assert_eq!(overwritten(&ring) + values.len() as u64, 6, "{values:?}");
    });
}

/// A consumer dies at any point of releasing what a producer comes round to.
#[test]
fn a_consumer_dies_while_it_releases() {
    at_every_change(2, |changes| {
        let ring = ring(1, 2);
        let mut producer = ring.producer(0);
        let (mut victim, mut other) = (ring.consumer(0), ring.consumer(1));
        try_send(&mut producer, 1, LONG).unwrap();
        try_send(&mut producer, 2, SHORT).unwrap();
        try_send(&mut producer, 3, SHORT).unwrap();
        victim.take(1, None).unwrap();
        victim.member.region().dies_after(changes);
        let dying = dying(ring.clone(), 1, move || victim.release());
        try_send(&mut producer, 4, SHORT).unwrap();
        let lived = dying.join().unwrap();
        try_send(&mut producer, 5, SHORT).unwrap();
        let values = rest(&mut other);
        assert!(
            values.is_sorted() && values.ends_with(&[4, 5]),
            "{values:?}"
        );
        assert!(!values.contains(&1) || !lived);
        for value in 11..=14 {
            try_send(&mut producer, value, SHORT).unwrap();
        }
        assert_eq!(rest(&mut other), [11, 12, 13, 14]);
        lived
    });
}

/// A producer dies at any point of overwriting, while another does the same.
#[test]
fn a_producer_dies_while_it_overwrites() {
    at_every_change(2, |changes| {
        let ring = ring(2, 1);
        let (mut victim, mut other) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        try_send(&mut other, 1, LONG).unwrap();
        try_send(&mut other, 2, SHORT).unwrap();
        try_send(&mut other, 3, SHORT).unwrap();
        victim.member.region().dies_after(changes);
        let dying = dying(ring.clone(), 0, move || {
            try_send(&mut victim, 10, SHORT).unwrap();
        });
        try_send(&mut other, 4, SHORT).unwrap();
        let lived = dying.join().unwrap();
        try_send(&mut other, 5, SHORT).unwrap();
        let values = rest(&mut consumer);
        assert!(values.contains(&10) || !lived);
        let others: Vec<_> = values.iter().copied().filter(|value| *value < 10).collect();
        assert!(
            others.is_sorted() && others.ends_with(&[4, 5]),
            "{values:?}"
        );
        lived
    });
}

/// Two producers overwrite at once.
#[test]
fn two_producers_overwrite() {
    model(1, || {
        let ring = ring(2, 1);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        fill(&mut one);
        let sending = thread::spawn(move || try_send(&mut one, 5, SHORT).unwrap());
        try_send(&mut two, 10, LONG).unwrap();
        sending.join().unwrap();
        let values = rest(&mut consumer);
        assert!(values.contains(&5) && values.contains(&10), "{values:?}");
        assert_eq!(overwritten(&ring) + values.len() as u64, 6, "{values:?}");
    });
}
