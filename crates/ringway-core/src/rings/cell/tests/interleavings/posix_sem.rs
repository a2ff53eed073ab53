//! The lock of sync posix-sem: the word that says who has it, and the semaphore that the others sleep on.

use loom::cell::UnsafeCell;
use loom::sync::Arc as LoomArc;

use super::deaths::{a_consumer_dies_with, a_producer_dies_beside_another, at_every_change};
use super::primitives::Counted;
use super::*;
use crate::waiting::sync::posix_sem::Lock as PosixSem;
use crate::waiting::sync::{Acquired, Lock as _};

impl Ring {
    /// The lock as the process has it that holds `slot`, and that has `region`.
    pub(super) fn posix_sem(&self, region: &Model, slot: u32) -> PosixSem<Model, Counted> {
        let epoch = region.load64(slot_offset(slot) + EPOCH, Ordering::Relaxed);
        let tokens = Counted {
            counter: self.counter.clone().expect("a ring with semaphores"),
            process: region.of_the_same_process(),
        };
        let participants = self.producers + self.consumers;
        let region = region.of_the_same_process();
        PosixSem::new(region, tokens, participants, slot, epoch)
    }
}

fn ring(producers: u32, consumers: u32) -> Ring {
    Ring::new(producers, consumers).with_posix_sem()
}

/// What the lock guards; loom panics if two are at it, or one does not see what the last one did.
#[derive(Clone)]
struct Guarded(LoomArc<UnsafeCell<u32>>);

// SAFETY: loom finds accesses that nothing orders; that is what it is there for.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Self {
        Self(LoomArc::new(UnsafeCell::new(0)))
    }

    fn add(&self) {
        // SAFETY: whether nobody else is at it, is what the models find out.
        self.0.with_mut(|number| unsafe { *number += 1 });
    }
}

/// Holds the lock once; whether its last holder had died.
fn hold(lock: &PosixSem<Model, Counted>, guarded: &Guarded) -> bool {
    let acquired = lock.acquire(None).unwrap();
    guarded.add();
    if acquired == Acquired::AfterDeath {
        lock.mark_consistent();
    }
    lock.release();
    acquired == Acquired::AfterDeath
}

/// One after the other, and everybody comes to it.
#[test]
fn three_contend() {
    model(1, || {
        let ring = ring(2, 1);
        let guarded = Guarded::new();
        let contend = |slot| {
            let (lock, guarded) = (ring.posix_sem(&ring.model.clone(), slot), guarded.clone());
            thread::spawn(move || hold(&lock, &guarded))
        };
        let others = [contend(0), contend(1)];
        let lock = ring.posix_sem(&ring.model.clone(), 2);
        assert!(!hold(&lock, &guarded));
        for other in others {
            assert!(!other.join().unwrap());
        }
        // Nobody has it.
        assert!(!hold(&lock, &guarded));
    });
}

/// Wherever the holder dies, the others come to it, and the first of them is told if it had the lock.
#[test]
fn the_holder_dies() {
    at_every_change(1, |changes| {
        let ring = ring(2, 1);
        let guarded = Guarded::new();
        let region = ring.model.clone();
        region.dies_after(changes);
        let (lock, at) = (ring.posix_sem(&region, 0), guarded.clone());
        let victim = dying(ring.clone(), 0, move || hold(&lock, &at));
        let (lock, at) = (ring.posix_sem(&ring.model.clone(), 1), guarded.clone());
        let other = thread::spawn(move || hold(&lock, &at));
        let lock = ring.posix_sem(&ring.model.clone(), 2);
        let mut told = usize::from(hold(&lock, &guarded));
        told += usize::from(other.join().unwrap());
        let lived = victim.join().unwrap();
        // Somebody who comes when all is over is told, if nobody was.
        told += usize::from(hold(&lock, &guarded));
        // To die without the lock is no death to be told of: before it is taken, and when it is free again.
        assert!(told <= 1, "told {told} times");
        lived
    });
}

/// It had the lock for certain: somebody is told, and one alone.
#[test]
fn the_holder_dies_with_the_lock() {
    model(1, || {
        let ring = ring(2, 1);
        let guarded = Guarded::new();
        let region = ring.model.clone();
        let (lock, at) = (ring.posix_sem(&region, 0), guarded.clone());
        let victim = dying(ring.clone(), 0, move || {
            let acquired = lock.acquire(None).unwrap();
            assert_eq!(acquired, Acquired::Clean);
            at.add();
            region.dies_after(0);
            lock.release();
        });
        let (lock, at) = (ring.posix_sem(&ring.model.clone(), 1), guarded.clone());
        let other = thread::spawn(move || hold(&lock, &at));
        assert!(!victim.join().unwrap());
        let lock = ring.posix_sem(&ring.model.clone(), 2);
        let told = [hold(&lock, &guarded), other.join().unwrap()];
        let told = told.into_iter().filter(|told| *told).count();
        assert_eq!(told, 1);
    });
}

/// Rings with this very lock: who dies with it is repaired after.
#[test]
fn a_producer_dies() {
    at_every_change(2, |changes| {
        a_producer_dies_beside_another(&ring(2, 1), changes)
    });
}

#[test]
fn a_consumer_dies() {
    a_consumer_dies_with(2, || ring(1, 2), &[LONG], 1);
}
