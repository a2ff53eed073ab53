//! The ring behaves as a queue, whatever is done to it in whatever order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{commit, push, receive_into, send};
use crate::error::{RecvError, SendError};
use crate::memory::layout::Geometry;
use crate::memory::layout::record::footprint;
use crate::memory::region::Region;
use crate::memory::region::memory::{Heap, Memory};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;

const CAPACITY: u64 = 256;

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    /// Claim, write, commit a part of it.
    Shorten(usize, usize),
    /// Claim, write, and do not commit.
    Abort(usize),
    Batch(Vec<usize>),
    Receive,
    /// Into a buffer of that length.
    ReceiveInto(usize),
    /// Look at a message and leave it.
    Keep,
    Drain(usize),
    /// The process dies and another takes the role.
    NextProducer,
    NextConsumer,
}

fn step() -> impl Strategy<Value = Step> {
    let len = 0_usize..=130;
    prop_oneof![
        4 => len.clone().prop_map(Step::Send),
        1 => (len.clone(), len.clone()).prop_map(|(len, part)| Step::Shorten(len, part)),
        1 => len.clone().prop_map(Step::Abort),
        2 => prop::collection::vec(0_usize..=40, 0..6).prop_map(Step::Batch),
        2 => Just(Step::Receive),
        4 => (0_usize..=200).prop_map(Step::ReceiveInto),
        1 => Just(Step::Keep),
        2 => (1_usize..6).prop_map(Step::Drain),
        1 => Just(Step::NextProducer),
        1 => Just(Step::NextConsumer),
    ]
}

struct World {
    heap: std::sync::Arc<Heap>,
    producer: Producer<Memory>,
    consumer: Consumer<Memory>,
    queue: VecDeque<Vec<u8>>,
    sent: u8,
}

impl World {
    fn new() -> Self {
        let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
        let producer = Producer::resume(heap.region()).unwrap();
        let consumer = Consumer::resume(heap.region()).unwrap();
        Self {
            heap,
            producer,
            consumer,
            queue: VecDeque::new(),
            sent: 0,
        }
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1);
        (0..len)
            .map(|at| self.sent.wrapping_add(at as u8))
            .collect()
    }

    /// What an error on sending has to be.
    fn check_refusal(&self, len: usize, error: SendError) {
        let max = self.producer.max_len() as usize;
        if len > max {
            assert_eq!(error, SendError::TooLarge { len, max });
            return;
        }
        assert_eq!(error, SendError::Full);
        // Never full while record, stop word and the worst padding fit.
        let used: u64 = self
            .queue
            .iter()
            .map(|message| footprint(message.len() as u64))
            .sum();
        let worst = 2 * footprint(len as u64);
        assert!(used + worst > CAPACITY / 2, "full with {used} bytes used");
    }

    fn send(&mut self, len: usize, part: Option<usize>) {
        let message = self.payload(len);
        let Some(part) = part else {
            match send(&mut self.producer, &message, None) {
                Ok(()) => self.queue.push_back(message),
                Err(error) => self.check_refusal(len, error),
            }
            return;
        };
        match self.producer.reserve(len, None) {
            Ok(reservation) => {
                self.producer.region.write(reservation.payload(), &message);
                let part = part.min(len);
                commit(&mut self.producer, reservation, part as u64);
                self.queue.push_back(message[..part].to_vec());
            }
            Err(error) => self.check_refusal(len, error),
        }
    }

    fn batch(&mut self, lens: &[usize]) {
        let mut pending = None;
        let mut batch = Vec::new();
        for len in lens {
            let message = self.payload(*len);
            if push(&mut self.producer, &mut pending, &message).is_err() {
                break;
            }
            batch.push(message);
        }
        if let Some(pending) = pending {
            self.producer.commit(pending);
        }
        self.queue.extend(batch);
    }

    fn receive_into(&mut self, room: usize) {
        let mut buffer = vec![0; room];
        let front = self.queue.front().map(Vec::as_slice);
        match receive_into(&mut self.consumer, &mut buffer, None) {
            Ok(len) => {
                assert_eq!(Some(&buffer[..len]), front);
                self.queue.pop_front();
            }
            Err(RecvError::BufferTooSmall { len }) => {
                assert!(len > room);
                assert_eq!(Some(len), front.map(<[u8]>::len));
            }
            Err(error) => {
                assert_eq!(error, RecvError::Empty);
                assert!(front.is_none());
            }
        }
    }

    fn receive(&mut self, keep: bool) {
        match self.consumer.take(None) {
            Ok(found) => {
                let mut message = vec![0; found.len];
                self.consumer.region.read(found.payload, &mut message);
                assert_eq!(Some(&message), self.queue.front());
                if !keep {
                    self.consumer.release(&found, 1);
                    self.queue.pop_front();
                }
            }
            Err(error) => {
                assert_eq!(error, RecvError::Empty);
                assert!(self.queue.is_empty());
            }
        }
    }

    fn drain(&mut self, most: usize) {
        let Ok(mut last) = self.consumer.take(None) else {
            assert!(self.queue.is_empty());
            return;
        };
        let mut count = 0;
        loop {
            let mut message = vec![0; last.len];
            self.consumer.region.read(last.payload, &mut message);
            assert_eq!(message, self.queue[count]);
            count += 1;
            match self.consumer.peek_behind(&last, count as u64).unwrap() {
                Some(next) if count < most => last = next,
                _ => break,
            }
        }
        assert!(count == most || count == self.queue.len());
        self.consumer.release(&last, count as u64);
        self.queue.drain(..count);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send(len) => self.send(*len, None),
            Step::Shorten(len, part) => self.send(*len, Some(*part)),
            Step::Abort(len) => {
                if let Ok(reservation) = self.producer.reserve(*len, None) {
                    self.producer
                        .region
                        .write(reservation.payload(), &vec![0xff; *len]);
                }
            }
            Step::Batch(lens) => self.batch(lens),
            Step::Receive => self.receive(false),
            Step::ReceiveInto(room) => self.receive_into(*room),
            Step::Keep => self.receive(true),
            Step::Drain(most) => self.drain(*most),
            Step::NextProducer => self.producer = Producer::resume(self.heap.region()).unwrap(),
            Step::NextConsumer => self.consumer = Consumer::resume(self.heap.region()).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ring_is_a_queue(steps in prop::collection::vec(step(), 1..if cfg!(miri) { 30 } else { 200 })) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        while !world.queue.is_empty() {
            world.receive(false);
        }
    }
}
