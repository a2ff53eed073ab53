//! A peer that writes anything anywhere, before and between the operations of both sides: typed errors,
//! no panic, no access outside of the ring, and an end.

#![no_main]

use std::time::Instant;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::WaitStrategy;
use ringway_core::verify::{HeapConsumer, HeapProducer, HeapRing, Seen};

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    /// The state that the first handles find.
    writes: Vec<Write>,
    steps: Vec<Step>,
}

/// A word that the hostile peer writes.
#[derive(Arbitrary, Debug)]
enum Write {
    Control(u8, u64),
    /// A small position, as most are.
    Position(u8, u16),
    Data(u16, u64),
    /// A record word that looks right: kind, number, length.
    Record(u16, u8, u8, u16),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Write),
    Send(u16),
    SendDeadline(u16),
    Claim(u16, Option<u16>),
    Batch(Vec<u8>, bool),
    Drained,
    CloseProducer,
    NextProducer,
    Receive,
    ReceiveDeadline,
    Peek(u8),
    Drain(u8),
    CloseConsumer,
    NextConsumer,
}

static PAYLOAD: [u8; 1 << 16] = [0xa5; 1 << 16];

fn payload(len: u16) -> &'static [u8] {
    &PAYLOAD[..len.into()]
}

struct World {
    ring: HeapRing,
    producer: Option<HeapProducer>,
    consumer: Option<HeapConsumer>,
}

impl World {
    fn write(&self, write: &Write) {
        match *write {
            Write::Control(at, word) => self.ring.set_control(at.into(), word),
            Write::Position(at, word) => self.ring.set_control(at.into(), word.into()),
            Write::Data(at, word) => self.ring.set_data(at.into(), word),
            Write::Record(at, kind, number, len) => {
                let word = u64::from(kind) << 62 | u64::from(number) << 32 | u64::from(len);
                self.ring.set_data(at.into(), word);
            }
        }
    }

    fn send(&mut self, step: &Step) {
        let Some(producer) = &mut self.producer else {
            return;
        };
        match step {
            Step::Send(len) => {
                let _ = producer.try_send(payload(*len));
            }
            Step::SendDeadline(len) => {
                let _ = producer.send_deadline(payload(*len), WaitStrategy::Park, Instant::now());
            }
            Step::Claim(len, commit) => {
                let _ = producer.claim(payload(*len), commit.map(usize::from));
            }
            Step::Batch(lens, commits) => {
                let messages = lens.iter().map(|len| payload((*len).into()));
                let (laid, _) = producer.batch(messages, *commits);
                assert!(laid <= self.ring.capacity() / 8);
            }
            Step::Drained => {
                let _ = producer.wait_until_drained(WaitStrategy::Park, Instant::now());
            }
            _ => producer.close(),
        }
    }

    fn receive(&mut self, step: &Step) {
        let Some(consumer) = &mut self.consumer else {
            return;
        };
        let check = |len: usize| assert!(len as u64 <= self.ring.capacity());
        let check_all = |seen: Seen| {
            seen.messages
                .iter()
                .for_each(|message| check(message.len()))
        };
        match step {
            Step::Receive => check(consumer.try_recv().map_or(0, |message| message.len())),
            Step::ReceiveDeadline => {
                let received = consumer.recv_deadline(WaitStrategy::Park, Instant::now());
                check(received.map_or(0, |message| message.len()));
            }
            Step::Peek(most) => check_all(consumer.peek((*most).into())),
            Step::Drain(most) => check_all(consumer.drain((*most).into())),
            _ => consumer.close(),
        }
    }
}

fuzz_target!(|input: Input| {
    let capacity = 64 << (input.capacity_log2 % 8);
    let Some(ring) = HeapRing::new(capacity) else {
        return;
    };
    let mut world = World {
        ring,
        producer: None,
        consumer: None,
    };
    for write in &input.writes {
        world.write(write);
    }
    world.producer = world.ring.producer().ok();
    world.consumer = world.ring.consumer().ok();
    for step in &input.steps {
        match step {
            Step::Write(write) => world.write(write),
            Step::NextProducer => world.producer = world.ring.producer().ok(),
            Step::NextConsumer => world.consumer = world.ring.consumer().ok(),
            Step::Send(_)
            | Step::SendDeadline(_)
            | Step::Claim(..)
            | Step::Batch(..)
            | Step::Drained
            | Step::CloseProducer => world.send(step),
            _ => world.receive(step),
        }
    }
});
