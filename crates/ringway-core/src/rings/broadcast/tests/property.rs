//! Whatever is sent, in whatever pieces, with whatever consumers: each gets what its policy promises.

use proptest::prelude::*;

use super::Ring;
use crate::error::{RecvError, SendError};
use crate::rings::broadcast::{EvictAfter, Policy, Start};

const CAPACITY: u64 = 512;
const CONSUMERS: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Batch(Vec<usize>),
    Join(u32, Policy, Start),
    Leave(u32, bool),
    Receive(u32, usize),
    Restart,
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Block),
        Just(Policy::Lossy),
        (0_u64..600).prop_map(|bytes| Policy::Evict(EvictAfter::Bytes(bytes))),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Oldest),
        Just(Start::Latest),
        (0_u64..40).prop_map(Start::Last),
        (0_u64..200).prop_map(Start::Number),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let slot = || 1..=CONSUMERS;
    prop_oneof![
        6 => (0_usize..100).prop_map(Step::Send),
        1 => prop_oneof![prop::collection::vec(0_usize..60, 1..5), prop::collection::vec(0_usize..20, 1..60)].prop_map(Step::Batch),
        2 => (slot(), policy(), start()).prop_map(|(slot, policy, start)| Step::Join(slot, policy, start)),
        1 => (slot(), any::<bool>()).prop_map(|(slot, dies)| Step::Leave(slot, dies)),
        6 => (slot(), 1_usize..10).prop_map(|(slot, most)| Step::Receive(slot, most)),
        1 => Just(Step::Restart),
    ]
}

/// What message `number` is, of so many bytes.
fn message(number: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number as usize * 31 + at) as u8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 1024 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn everybody_gets_what_its_policy_promises(steps in prop::collection::vec(step(), 1..120)) {
        let ring = Ring::new(CAPACITY, CONSUMERS);
        let mut producer = ring.producer();
        let mut sent: Vec<usize> = Vec::new();
        let mut consumers: Vec<_> = (0..=CONSUMERS).map(|_| None).collect();
        let mut buffer = [0; 256];
        for step in steps {
            match step {
                Step::Send(len) => match producer.try_send(&message(sent.len() as u64, len)) {
                    Ok(()) => sent.push(len),
                    Err(error) => {
                        prop_assert_eq!(error, SendError::Full);
                        let blocks = |one: &Option<(_, Policy, _)>| matches!(one, Some((_, Policy::Block, _)));
                        prop_assert!(consumers.iter().any(blocks), "nobody holds it up");
                    }
                },
                Step::Batch(lens) => {
                    let mut laid = Vec::new();
                    for len in lens {
                        let number = (sent.len() + laid.len()) as u64;
                        if producer.push(&message(number, len)).is_ok() {
                            laid.push(len);
                        }
                    }
                    prop_assert_eq!(producer.commit_batch(), laid.len() as u64);
                    sent.extend(laid);
                }
                Step::Join(slot, policy, start) => {
                    if consumers[slot as usize].is_none() {
                        let consumer = ring.consumer(slot, policy, start);
                        // From here on it loses none that it is not told of.
                        let next = consumer.number() - consumer.missed();
                        consumers[slot as usize] = Some((consumer, policy, next));
                    }
                }
                Step::Leave(slot, dies) => {
                    if consumers[slot as usize].take().is_some() {
                        if dies { ring.kill(slot) } else { ring.leave(slot) }
                    }
                }
                Step::Receive(slot, most) => {
                    let Some((consumer, policy, next)) = &mut consumers[slot as usize] else { continue };
                    for _ in 0..most {
                        match consumer.recv_into(&mut buffer, None) {
                            Ok(len) => {
                                prop_assert_eq!(len, sent[*next as usize]);
                                prop_assert_eq!(&buffer[..len], &message(*next, len)[..]);
                                *next += 1;
                            }
                            Err(RecvError::Lagged { missed }) => *next += missed,
                            Err(RecvError::Evicted) => {
                                prop_assert!(matches!(policy, Policy::Evict(_)));
                                break;
                            }
                            Err(error) => {
                                prop_assert_eq!(error, RecvError::Empty);
                                prop_assert_eq!(*next, sent.len() as u64);
                                break;
                            }
                        }
                    }
                }
                Step::Restart => {
                    ring.kill(0);
                    producer = ring.producer();
                    prop_assert_eq!(producer.sent(), sent.len() as u64);
                }
            }
        }
        // All that a blocking consumer was not told of before comes yet.
        for (mut consumer, policy, mut next) in consumers.into_iter().flatten() {
            if policy == Policy::Block {
                loop {
                    match consumer.recv_into(&mut buffer, None) {
                        Ok(_) => next += 1,
                        Err(RecvError::Lagged { missed }) => next += missed,
                        Err(_) => break,
                    }
                }
                prop_assert_eq!(next, sent.len() as u64);
            }
        }
    }
}
