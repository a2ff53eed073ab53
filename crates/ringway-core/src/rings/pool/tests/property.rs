//! Whatever participants do in whatever order, and whoever dies: each message arrives whole and once, what is kept
//! stays as it is, and all slabs come back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::slabs;
use crate::api::receiving::Receiving;
use crate::api::sending::{Claimed, Sending};
use crate::error::{RecvError, SendError};
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::Holder;
use crate::memory::region::Region;
use crate::rings::message::MessageRef;
use crate::rings::pool::{self, Loan};
use crate::testing::pool::HeapPool;

/// Longer messages go into slabs.
const COPY_LIMIT: usize = 32;

#[derive(Clone, Debug)]
enum Step {
    Send(u32, usize),
    Claim(u32, usize),
    Commit(u32, usize),
    Abort(u32),
    Receive(u32),
    Hold(u32),
    Release(u32),
    GiveBack(u32),
    /// Take so many, one behind the other, and release them together.
    Drain(u32, u64),
    Detach(u32),
    Drop(u32),
    KillProducer(u32),
    KillConsumer(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_u32..2;
    let len = prop_oneof![8_usize..60, 8_usize..9000];
    prop_oneof![
        6 => (who.clone(), len.clone()).prop_map(|(who, len)| Step::Send(who, len)),
        2 => (who.clone(), len.clone()).prop_map(|(who, len)| Step::Claim(who, len)),
        2 => (who.clone(), len).prop_map(|(who, len)| Step::Commit(who, len)),
        1 => who.clone().prop_map(Step::Abort),
        4 => who.clone().prop_map(Step::Receive),
        2 => who.clone().prop_map(Step::Hold),
        2 => who.clone().prop_map(Step::Release),
        1 => who.clone().prop_map(Step::GiveBack),
        2 => (who.clone(), 1_u64..5).prop_map(|(who, most)| Step::Drain(who, most)),
        3 => who.clone().prop_map(Step::Detach),
        2 => who.clone().prop_map(Step::Drop),
        1 => who.clone().prop_map(Step::KillProducer),
        1 => who.prop_map(Step::KillConsumer),
    ]
}

/// A message that knows its number.
fn message(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; len];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

struct Producer {
    sending: Sending,
    claimed: Option<(Claimed, u64, usize)>,
}

struct Consumer {
    receiving: Receiving,
    me: Holder,
    held: Option<(MessageRef, u64)>,
    kept: Vec<(Loan, u64)>,
}

struct World {
    ring: HeapPool,
    producers: [Option<Producer>; 2],
    consumers: [Option<Consumer>; 2],
    /// What was sent and not acknowledged: number and length.
    queue: BTreeMap<u64, usize>,
    lens: BTreeMap<u64, usize>,
    next: u64,
    roles: u32,
}

impl World {
    fn new(ring: HeapPool) -> Self {
        let roles = ring.geometry().slots(Role::Producer).len() as u32;
        Self {
            ring,
            producers: [None, None],
            consumers: [None, None],
            queue: BTreeMap::new(),
            lens: BTreeMap::new(),
            next: 0,
            roles,
        }
    }

    fn producer(&mut self, who: u32) -> &mut Producer {
        let who = who % self.roles;
        let ring = &self.ring;
        self.producers[who as usize].get_or_insert_with(|| {
            let mut sending = ring.producer(who).unwrap();
            sending.set_copy_limit(COPY_LIMIT);
            Producer {
                sending,
                claimed: None,
            }
        })
    }

    fn consumer(&mut self, who: u32) -> &mut Consumer {
        let who = who % self.roles;
        let ring = &self.ring;
        self.consumers[who as usize].get_or_insert_with(|| {
            let (receiving, me) = ring.consumer(who).unwrap();
            Consumer {
                receiving,
                me,
                held: None,
                kept: Vec::new(),
            }
        })
    }

    fn number(&mut self, len: usize) -> (u64, Vec<u8>) {
        self.next += 1;
        self.lens.insert(self.next, len);
        (self.next, message(self.next, len))
    }

    fn check(&self, bytes: &[u8]) -> u64 {
        let number = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        let len = self.lens[&number];
        assert_eq!(bytes, message(number, len), "message {number}");
        number
    }

    fn acknowledge(&mut self, number: u64) {
        assert!(self.queue.remove(&number).is_some(), "{number} again");
    }

    fn read(&mut self, who: u32, found: &MessageRef) -> u64 {
        let receiving = &self.consumer(who).receiving;
        let mut bytes = vec![0; found.len];
        let at = receiving.locate(found);
        if found.is_loaned() {
            receiving
                .region()
                .read_slab(at & !pool::IN_SLAB, &mut bytes);
        } else {
            receiving.region().read(at, &mut bytes);
        }
        self.check(&bytes)
    }

    fn take(&mut self, who: u32) -> Option<(MessageRef, u64)> {
        match self.consumer(who).receiving.take(1, None) {
            Ok(found) => {
                let number = self.read(who, &found);
                assert!(self.queue.contains_key(&number), "{number} again");
                Some((found, number))
            }
            Err(RecvError::Empty | RecvError::PeerDied | RecvError::Closed) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn check_refusal(error: SendError) {
        let is_full = matches!(error, SendError::Full | SendError::PeerDied);
        assert!(
            is_full || matches!(error, SendError::TooLarge { .. }),
            "{error}"
        );
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Send(who, len) => {
                self.act(&Step::Abort(who));
                let (number, bytes) = self.number(len);
                match self.producer(who).sending.send(&bytes, None) {
                    Ok(()) => drop(self.queue.insert(number, len)),
                    Err(error) => Self::check_refusal(error),
                }
            }
            Step::Claim(who, len) => {
                self.act(&Step::Abort(who));
                let (number, bytes) = self.number(len);
                let producer = self.producer(who);
                match producer.sending.claim(len, None) {
                    Ok(claimed) => {
                        producer.sending.write_at(&claimed, 0, &bytes);
                        producer.claimed = Some((claimed, number, len));
                    }
                    Err(error) => Self::check_refusal(error),
                }
            }
            Step::Commit(who, most) => {
                let producer = self.producer(who);
                if let Some((claimed, number, len)) = producer.claimed.take() {
                    let len = len.min(most);
                    producer.sending.commit(claimed, len as u64);
                    self.lens.insert(number, len);
                    self.queue.insert(number, len);
                }
            }
            Step::Abort(who) => {
                let producer = self.producer(who);
                producer.claimed = None;
                producer.sending.abort();
            }
            Step::Receive(who) => {
                self.act(&Step::GiveBack(who));
                let mut buffer = [0; 9000];
                if let Ok(len) = self.consumer(who).receiving.recv_into(&mut buffer, None) {
                    let number = self.check(&buffer[..len]);
                    self.acknowledge(number);
                }
            }
            Step::Hold(who) => {
                self.act(&Step::GiveBack(who));
                let held = self.take(who);
                self.consumer(who).held = held;
            }
            Step::Release(who) => {
                if let Some((found, number)) = self.consumer(who).held.take() {
                    assert_eq!(self.read(who, &found), number);
                    self.consumer(who).receiving.release(&found, 1);
                    self.acknowledge(number);
                }
            }
            Step::GiveBack(who) => {
                let consumer = self.consumer(who);
                consumer.held = None;
                consumer.receiving.give_back();
            }
            Step::Drain(who, most) => self.drain(who, most),
            Step::Detach(who) => {
                self.act(&Step::GiveBack(who));
                if let Some((found, number)) = self.take(who) {
                    let consumer = self.consumer(who);
                    let loan = consumer.receiving.detach(&found).unwrap();
                    assert_eq!(loan.is_some(), found.is_loaned());
                    consumer.kept.extend(loan.map(|loan| (loan, number)));
                    self.acknowledge(number);
                }
            }
            Step::Drop(who) => {
                let consumer = self.consumer(who);
                let me = consumer.me;
                if !consumer.kept.is_empty() {
                    let (loan, number) = consumer.kept.remove(0);
                    let mut bytes = vec![0; loan.len as usize];
                    self.ring.region().read_slab(loan.at, &mut bytes);
                    assert_eq!(self.check(&bytes), number, "what was kept");
                    pool::free(&self.ring.region(), me, &loan);
                }
            }
            Step::KillProducer(who) => {
                self.ring.kill(Role::Producer, who % self.roles);
                self.producers[(who % self.roles) as usize] = None;
            }
            Step::KillConsumer(who) => {
                self.ring.kill(Role::Consumer, who % self.roles);
                self.consumers[(who % self.roles) as usize] = None;
            }
        }
    }

    fn drain(&mut self, who: u32, most: u64) {
        self.act(&Step::GiveBack(who));
        let Some((mut last, first)) = self.take(who) else {
            return;
        };
        let mut numbers = vec![first];
        for nth in 1..most {
            let next = self
                .consumer(who)
                .receiving
                .take_behind(&last, nth, most - nth);
            let Some(found) = next.unwrap() else { break };
            numbers.push(self.read(who, &found));
            last = found;
        }
        let count = numbers.len() as u64;
        self.consumer(who).receiving.release(&last, count);
        numbers
            .into_iter()
            .for_each(|number| self.acknowledge(number));
    }

    /// All die; who comes after them gets what was not acknowledged, and finds all slabs free.
    fn end(&mut self) {
        for who in 0..self.roles {
            self.act(&Step::KillProducer(who));
            self.act(&Step::KillConsumer(who));
        }
        self.act(&Step::Abort(0));
        while let Some((found, number)) = self.take(0) {
            self.consumer(0).receiving.release(&found, 1);
            self.acknowledge(number);
        }
        assert!(self.queue.is_empty(), "lost: {:?}", self.queue);
        // A message of the dead that was on its way when the producer came is released now.
        self.act(&Step::KillConsumer(0));
        self.act(&Step::KillProducer(0));
        self.act(&Step::Abort(0));
        assert_eq!(self.ring.held(), 0, "slabs that nobody holds any more");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn of_a_stream(steps in prop::collection::vec(step(), 1..if cfg!(miri) { 30 } else { 200 })) {
        let mut world = World::new(HeapPool::stream(256, slabs()).unwrap());
        steps.iter().for_each(|step| world.act(step));
        world.end();
    }

    #[test]
    fn of_cells(
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 30 } else { 200 }),
        settles: bool,
    ) {
        let mut world = World::new(HeapPool::cells(8, 64, slabs(), settles).unwrap());
        steps.iter().for_each(|step| world.act(step));
        world.end();
    }
}
