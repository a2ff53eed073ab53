//! Every interleaving of one publisher that changes its mind about who makes the fence, those who come after it, and one who sleeps. A
//! lost wake-up is a deadlock.
//!
//! loom knows no `membarrier`. What that promises is that each publication without a fence, and the look behind it, comes before it or behind
//! it (or was seen, and sees). So here the two are made within a lock, and the sleeper's `membarrier` goes once through that lock; a
//! sleeper that makes none does not.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

use loom::thread;

use super::eventcount::{announce, prepare_for};
use super::publisher::{Publisher, fences};
use crate::memory::region::{Load, Region};
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::testing::model::{Model, at_every_change, explorer, lives};

/// What is slept on.
const EVENT: usize = CONSUMER.event;
/// The number of the last message.
const SENT: usize = PRODUCER.closed;

fn model(body: impl Fn() + Sync + Send + 'static) {
    explorer(0).check(body);
}

fn memory() -> Model {
    Model::attached(64).asymmetric()
}

/// Publishes one message as a stream ring does, by a plain store.
fn publish(region: &mut Model, publisher: &mut Publisher, number: u32) {
    let another = region.clone();
    let step = (!region.fences()).then(|| another.without_a_fence());
    // Who dies in between leaves the lock to others, as ever.
    let published = catch_unwind(AssertUnwindSafe(|| {
        region.store32(SENT, number, Ordering::Release);
        publisher.look(region, EVENT, number.into());
    }));
    drop(step);
    if let Err(death) = published {
        resume_unwind(death);
    }
}

/// Comes to the slot as [`crate::rings::stream::producer::Producer::resume`] does.
fn come(region: &Model) -> Publisher {
    let publisher = Publisher::new(PRODUCER.slot);
    announce(region, EVENT);
    publisher
}

/// Sleeps until the message has come.
fn receive(region: &Model, number: u32) {
    loop {
        let prepared = prepare_for(region, EVENT, PRODUCER.slot);
        if region.load32(SENT, Ordering::Acquire) >= number {
            return;
        }
        region.wait(&[(EVENT, prepared)], None);
    }
}

/// Each message may wake the sleeper, so that the publisher begins to fence, or not, so that it ends to.
#[test]
fn a_publisher_begins_and_ends() {
    model(|| {
        let mut region = memory();
        let sleeping = region.clone();
        let sleeper = thread::spawn(move || (1..=2).for_each(|number| receive(&sleeping, number)));
        let mut publisher = come(&region);
        for number in 1..=4 {
            publish(&mut region, &mut publisher, number);
        }
        sleeper.join().unwrap();
    });
}

/// One that fences has calmed down by the time at which somebody begins to sleep.
#[test]
fn a_publisher_ends() {
    model(|| {
        let mut region = memory();
        let mut publisher = come(&region);
        prepare_for(&region, EVENT, PRODUCER.slot);
        publish(&mut region, &mut publisher, 1);
        assert!(region.fences() && fences(&region, PRODUCER.slot));
        let sleeping = region.clone();
        let sleeper = thread::spawn(move || receive(&sleeping, 4));
        (2..=4).for_each(|number| publish(&mut region, &mut publisher, number));
        sleeper.join().unwrap();
    });
}

/// One that fences leaves or dies, and a successor that does not takes its slot, while somebody begins to sleep.
#[test]
fn a_successor_does_not_fence() {
    model(|| {
        let mut region = memory();
        let mut publisher = come(&region);
        prepare_for(&region, EVENT, PRODUCER.slot);
        publish(&mut region, &mut publisher, 1);
        assert!(fences(&region, PRODUCER.slot));
        let sleeping = region.clone();
        let sleeper = thread::spawn(move || receive(&sleeping, 2));
        let mut next = region.clone();
        next.attach(PRODUCER.slot);
        let mut publisher = come(&next);
        publish(&mut next, &mut publisher, 2);
        sleeper.join().unwrap();
    });
}

/// A publisher dies, after any change, and its successor publishes what it may not have published.
#[test]
fn a_publisher_dies() {
    at_every_change(model, |changes| {
        let region = memory();
        let sleeping = region.clone();
        let sleeper = thread::spawn(move || receive(&sleeping, 3));
        let mut victim = region.clone();
        victim.dies_after(changes);
        let lived = lives(|| {
            let mut publisher = come(&victim);
            (1..=3).for_each(|number| publish(&mut victim, &mut publisher, number));
        });
        let mut next = region.clone();
        if !lived {
            next.kill(PRODUCER.slot);
        }
        next.attach(PRODUCER.slot);
        let mut publisher = come(&next);
        publish(&mut next, &mut publisher, 3);
        sleeper.join().unwrap();
        lived
    });
}
