//! A producer flat out, and consumers of each policy on threads of their own.

use std::thread;
use std::time::Duration;

use super::Ring;
use crate::error::RecvError;
use crate::rings::broadcast::{EvictAfter, Policy, Start};
use crate::waiting::{WaitOptions, WaitStrategy};

const CAPACITY: u64 = 4096;

/// A message of which each byte follows from its number.
fn message(number: u64) -> Vec<u8> {
    let len = 8 + (number % 40) as usize;
    (0..len).map(|at| (number as usize + at) as u8).collect()
}

#[test]
fn nothing_is_torn_and_nothing_that_is_not_told_of_is_missing() {
    let messages = if cfg!(miri) { 200 } else { 200_000 };
    let policies = [
        Policy::Block,
        Policy::Block,
        Policy::Lossy,
        Policy::Lossy,
        Policy::Evict(EvictAfter::Bytes(2048)),
    ];
    let ring = Ring::new(CAPACITY, policies.len() as u32);
    // One that has failed is waited for no longer.
    let wait = WaitOptions::new(WaitStrategy::default()).within(Duration::from_secs(60));
    let mut producer = ring.producer();
    thread::scope(|scope| {
        for (slot, policy) in (1..).zip(policies) {
            let mut consumer = ring.consumer(slot, policy, Start::Oldest);
            scope.spawn(move || {
                let mut buffer = [0; 64];
                let (mut next, mut got) = (0, 0);
                loop {
                    match consumer.recv_into(&mut buffer, Some(&wait)) {
                        Ok(len) => {
                            assert_eq!(buffer[..len], message(next), "{policy:?}: {next}");
                            (next, got) = (next + 1, got + 1);
                        }
                        Err(RecvError::Lagged { missed }) if policy == Policy::Lossy => {
                            next += missed;
                        }
                        Err(RecvError::Evicted) if matches!(policy, Policy::Evict(_)) => return,
                        Err(RecvError::Closed) => break,
                        Err(error) => panic!("{policy:?}: {error}"),
                    }
                }
                assert_eq!(next, messages, "{policy:?}");
                if policy == Policy::Block {
                    assert_eq!(got, messages);
                }
            });
        }
        for number in 0..messages {
            let message = message(number);
            if !producer.send_at_once(&message) {
                producer.send(&message, Some(&wait)).unwrap();
            }
        }
        producer.close();
        ring.leave(0);
        producer.announce();
    });
}
