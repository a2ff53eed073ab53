//! Every interleaving of those who sleep and those who wake, on the eventcount alone: what is published is a number in
//! a word. A lost wake-up is a deadlock.

use std::sync::atomic::Ordering;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::eventcount::{notify, prepare, prepare_for_bell, ring};
use crate::memory::region::{Load, Region};
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::testing::model::{Model, at_every_change, explorer, lives};

/// What is slept on.
const EVENT: usize = CONSUMER.event;
/// How much there is to take.
const THERE: usize = PRODUCER.closed;
/// Whether the one sleeper on a bell sleeps.
const ASLEEP: usize = CONSUMER.closed;

fn model(body: impl Fn() + Sync + Send + 'static) {
    explorer(0).check(body);
}

fn memory() -> Model {
    Model::attached(64)
}

fn publish(region: &Model, count: u32) {
    region.add32(THERE, count);
    notify(region, EVENT);
}

/// Takes one, if there is one.
fn takes(region: &Model) -> bool {
    loop {
        let there = region.load32(THERE, Ordering::Acquire);
        if there == 0 {
            return false;
        }
        if region.replace32(THERE, there, there - 1).is_ok() {
            return true;
        }
    }
}

/// Takes one, and sleeps until there is one.
fn take(region: &Model) {
    loop {
        let prepared = prepare(region, EVENT);
        if takes(region) {
            return;
        }
        region.wait(&[(EVENT, prepared)], None);
    }
}

/// Two are published at once. The second sleeper may set the bit again before the first has reached the kernel.
#[test]
fn two_sleep_and_two_come() {
    model(|| {
        let region = memory();
        let sleepers = [(); 2].map(|()| {
            let region = region.clone();
            thread::spawn(move || take(&region))
        });
        publish(&region, 2);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

/// Two wake at once.
#[test]
fn two_wake() {
    model(|| {
        let region = memory();
        let waking = region.clone();
        let waker = thread::spawn(move || publish(&waking, 1));
        let waking = region.clone();
        let other = thread::spawn(move || publish(&waking, 1));
        take(&region);
        take(&region);
        waker.join().unwrap();
        other.join().unwrap();
    });
}

/// A kernel that does not change and wake in one step.
#[test]
fn an_old_kernel_wakes() {
    model(|| {
        let region = memory().under_an_old_kernel();
        let sleepers = [(); 2].map(|()| {
            let region = region.clone();
            thread::spawn(move || take(&region))
        });
        publish(&region, 1);
        publish(&region, 1);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

/// Somebody stops for good, after any change, having published or not: who sleeps gets what another one publishes.
fn stops(memory: fn() -> Model) {
    at_every_change(model, move |changes| {
        let region = memory();
        let sleeping = region.clone();
        let sleeper = thread::spawn(move || take(&sleeping));
        let victim = region.clone();
        victim.dies_after(changes);
        let lived = lives(|| publish(&victim, 1));
        publish(&region, 1);
        sleeper.join().unwrap();
        lived
    });
}

#[test]
fn a_waker_stops() {
    stops(memory);
}

#[test]
fn a_waker_stops_under_an_old_kernel() {
    stops(|| memory().under_an_old_kernel());
}

/// The bell of the one who sleeps.
type Bell = Arc<(Mutex<bool>, Condvar)>;

fn publish_to(bell: &Bell, region: &Model) {
    region.add32(THERE, 1);
    region.publish_fence();
    ring(region, EVENT, || {
        if region.load32(ASLEEP, Ordering::Relaxed) != 0 {
            region.live();
            *bell.0.lock().unwrap() = true;
            bell.1.notify_one();
        }
    });
}

/// Who rings a bell stops for good, after any change.
#[test]
fn a_ringer_stops() {
    at_every_change(model, |changes| {
        let (region, bell) = (memory(), Bell::default());
        let (sleeping, own) = (region.clone(), Arc::clone(&bell));
        let sleeper = thread::spawn(move || {
            // Twice, so that it may sleep while somebody who has seen it awake says that nobody sleeps.
            for _ in 0..2 {
                loop {
                    sleeping.store32(ASLEEP, 1, Ordering::Release);
                    prepare_for_bell(&sleeping, EVENT);
                    if takes(&sleeping) {
                        sleeping.store32(ASLEEP, 0, Ordering::Relaxed);
                        break;
                    }
                    let mut rung = own.0.lock().unwrap();
                    while !*rung {
                        rung = own.1.wait(rung).unwrap();
                    }
                    *rung = false;
                }
            }
        });
        let victim = region.clone();
        victim.dies_after(changes);
        let lived = lives(|| publish_to(&bell, &victim));
        (0..2).for_each(|_| publish_to(&bell, &region));
        sleeper.join().unwrap();
        lived
    });
}
