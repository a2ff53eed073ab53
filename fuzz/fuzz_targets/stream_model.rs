//! Any sequence of operations by both sides, with either replaced by a new process at any time: the
//! ring is a queue.

#![no_main]

use std::collections::VecDeque;
use std::time::Instant;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::{HeapConsumer, HeapProducer, HeapRing};
use ringway_core::{RecvError, SendError, WaitStrategy};

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
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

struct World {
    ring: HeapRing,
    producer: HeapProducer,
    consumer: HeapConsumer,
    queue: VecDeque<Vec<u8>>,
    sent: u8,
    /// The most bytes that a record was to take so far. Padding is always shorter.
    longest: u64,
    producer_closed: bool,
    consumer_closed: bool,
}

impl World {
    fn new(capacity: u64) -> Self {
        let ring = HeapRing::new(capacity).expect("memory");
        Self {
            producer: ring.producer().expect("an empty ring"),
            consumer: ring.consumer().expect("an empty ring"),
            ring,
            queue: VecDeque::new(),
            sent: 0,
            longest: 0,
            producer_closed: false,
            consumer_closed: false,
        }
    }

    /// The next message, different from those before it.
    fn message(&mut self, len: usize) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1);
        self.longest = self.longest.max(footprint(len));
        (0..len)
            .map(|at| self.sent.wrapping_add(at as u8))
            .collect()
    }

    /// Whether a message of `len` bytes fits in any case: behind what is in the queue, with the
    /// longest padding that there can be and a stop word.
    fn must_fit(&self, len: usize) -> bool {
        let records = self.queue.iter().map(|message| footprint(message.len()));
        records.sum::<u64>() + self.longest + footprint(len) + 8 <= self.ring.capacity()
    }

    /// What an error on sending has to be. `alone` if nothing is laid that is not in the queue.
    fn check_refusal(&self, alone: bool, len: usize, error: SendError) {
        let max = self.producer.max_len() as usize;
        let expected = match len {
            _ if self.consumer_closed => SendError::Closed,
            _ if len > max => SendError::TooLarge { len, max },
            _ => SendError::Full,
        };
        assert_eq!(error, expected);
        assert!(expected != SendError::Full || !alone || !self.must_fit(len));
    }

    /// What became of a message that should be committed with its first `len` bytes, if any.
    fn sent(&mut self, message: &[u8], len: Option<usize>, outcome: Result<(), SendError>) {
        match (outcome, len) {
            (Ok(()), Some(len)) => self.queue.push_back(message[..len].to_vec()),
            (Ok(()), None) => {}
            (Err(error), _) => self.check_refusal(true, message.len(), error),
        }
    }

    fn send(&mut self, step: &Step) {
        match step {
            Step::Send(len) => {
                let message = self.message((*len).into());
                let outcome = self.producer.try_send(&message);
                self.sent(&message, Some(message.len()), outcome);
            }
            Step::SendDeadline(len) => {
                let message = self.message((*len).into());
                let outcome =
                    self.producer
                        .send_deadline(&message, WaitStrategy::Park, Instant::now());
                let outcome = outcome.map_err(|error| match error {
                    SendError::TimedOut => SendError::Full,
                    error => error,
                });
                self.sent(&message, Some(message.len()), outcome);
            }
            Step::Claim(len, commit) => {
                let message = self.message((*len).into());
                let commit = commit.map(|commit| usize::from(commit).min(message.len()));
                let outcome = self.producer.claim(&message, commit);
                self.sent(&message, commit, outcome);
            }
            Step::Batch(lens, commits) => self.batch(lens, *commits),
            Step::Drained => {
                let outcome = self
                    .producer
                    .wait_until_drained(WaitStrategy::Park, Instant::now());
                let expected = match self.consumer_closed {
                    _ if self.queue.is_empty() => Ok(()),
                    true => Err(SendError::Closed),
                    false => Err(SendError::TimedOut),
                };
                assert_eq!(outcome, expected);
            }
            _ => {
                self.producer.close();
                self.producer_closed = true;
            }
        }
    }

    fn batch(&mut self, lens: &[u8], commits: bool) {
        let messages: Vec<_> = lens.iter().map(|len| self.message((*len).into())).collect();
        let slices = messages.iter().map(Vec::as_slice);
        let (laid, outcome) = self.producer.batch(slices, commits);
        let laid = laid as usize;
        if let Err(error) = outcome {
            self.check_refusal(laid == 0, messages[laid].len(), error);
        } else {
            assert_eq!(laid, messages.len());
        }
        if commits {
            self.queue.extend(messages.into_iter().take(laid));
        }
    }

    /// Why there is no message.
    fn nothing(&self) -> RecvError {
        match self.producer_closed {
            true => RecvError::Closed,
            false => RecvError::Empty,
        }
    }

    fn receive(&mut self, step: &Step) {
        match step {
            Step::Receive => {
                let outcome = self.consumer.try_recv();
                let expected = self.queue.pop_front().ok_or(self.nothing());
                assert_eq!(outcome, expected);
            }
            Step::ReceiveDeadline => {
                let outcome = self
                    .consumer
                    .recv_deadline(WaitStrategy::Park, Instant::now());
                let expected = self.queue.pop_front().ok_or(match self.nothing() {
                    RecvError::Empty => RecvError::TimedOut,
                    error => error,
                });
                assert_eq!(outcome, expected);
            }
            Step::Peek(most) | Step::Drain(most) => {
                let most = usize::from(*most);
                let drains = matches!(step, Step::Drain(_));
                let seen = match drains {
                    true => self.consumer.drain(most),
                    false => self.consumer.peek(most),
                };
                let count = most.min(self.queue.len());
                assert_eq!(seen.messages.len(), count);
                assert!(seen.messages.iter().eq(self.queue.iter().take(count)));
                let end = (most > 0 && self.queue.is_empty()).then(|| self.nothing());
                assert_eq!(seen.end, end);
                if drains {
                    self.queue.drain(..count);
                }
            }
            _ => {
                self.consumer.close();
                self.consumer_closed = true;
            }
        }
    }
}

/// Bytes that a message takes in the ring.
fn footprint(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

fuzz_target!(|input: Input| {
    let mut world = World::new(64 << (input.capacity_log2 % 8));
    for step in &input.steps {
        match step {
            // Whoever comes opens again what those before it have closed.
            Step::NextProducer => {
                world.producer = world.ring.producer().expect("a sound ring");
                world.producer_closed = false;
            }
            Step::NextConsumer => {
                world.consumer = world.ring.consumer().expect("a sound ring");
                world.consumer_closed = false;
            }
            Step::Send(_)
            | Step::SendDeadline(_)
            | Step::Claim(..)
            | Step::Batch(..)
            | Step::Drained
            | Step::CloseProducer => world.send(step),
            _ => world.receive(step),
        }
    }
    while !world.queue.is_empty() {
        world.receive(&Step::Receive);
    }
});
