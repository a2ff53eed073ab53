//! Many to many: processes that send to one queue, and processes that share what is in it.
//!
//! A message's number is its producer's index above a sequence that grows through all bursts. Every
//! consumer checks each message's words, that each producer's sequences grow, and that they are of
//! this burst; the leader checks that together they received each message exactly once.
//!
//! How many messages a consumer gets is the queue's affair. So that each knows when to stop, and may
//! block, it draws tickets: the right, and the duty, to receive so many more.

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::memory::Shared;
use crate::message;
use crate::track::{LEAD, Tape, Track};

/// Messages of a ticket, and the most that any contestant takes at once.
pub const TICKET: u64 = 64;
/// Bits of a number below the producer's index.
const SEQUENCE_BITS: u32 = 48;
const MOST_PRODUCERS: usize = 16;

/// How many of each there are. The producers are the first members of the team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub producers: usize,
    pub consumers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Producer,
    Consumer,
}

impl Shape {
    /// Of "2:1".
    pub fn parse(text: &str) -> Option<Self> {
        let (producers, consumers) = text.split_once(':')?;
        let count = |text: &str| {
            let count = text.parse().ok()?;
            (1..=MOST_PRODUCERS).contains(&count).then_some(count)
        };
        Some(Self {
            producers: count(producers)?,
            consumers: count(consumers)?,
        })
    }

    pub fn members(self) -> usize {
        self.producers + self.consumers
    }

    fn role(self, member: usize) -> Role {
        if member < self.producers {
            Role::Producer
        } else {
            Role::Consumer
        }
    }

    /// Who runs where: on a processor each, if there are as many. Otherwise producers go round them from
    /// the first, consumers from the second: alone with one other, each is apart from it; with more,
    /// no processor has producers only.
    pub fn placement(self, cpus: &[usize]) -> Vec<usize> {
        let apart = cpus.len() >= self.members();
        let place = |member: usize| match self.role(member) {
            Role::Consumer if !apart => member - self.producers + 1,
            _ => member,
        };
        (0..self.members())
            .map(|member| cpus[place(member) % cpus.len()])
            .collect()
    }
}

/// A queue that several processes send to and several receive from. Calls cover whole ranges, as a
/// [`Lane`](crate::track::Lane)'s do.
pub trait Queue<const W: usize> {
    /// In the leading process, first of all.
    fn make(&mut self);
    /// In every process, when it has been made.
    fn attach(&mut self, role: Role);
    /// In the leading process, when all have attached: takes away the name, if there is one.
    fn unlink(&mut self) {}
    fn send(&mut self, numbers: Range<u64>);
    /// Receives exactly `count` messages, at most a [`TICKET`], and shows each.
    fn receive(&mut self, count: u64, each: impl FnMut(&[u64; W]));
}

/// Words of a contestant's page.
const TICKETS: u64 = 0;
const RECEIVED: u64 = 128;
const SUM: u64 = 136;
const SQUARES: u64 = 144;

/// Flat out, from all producers to all consumers.
pub struct Crowd<Q, const W: usize> {
    queue: Q,
    shape: Shape,
    page: Shared,
    /// By producer, the last sequence that this consumer received.
    last: [u64; MOST_PRODUCERS],
}

impl<const W: usize, Q: Queue<W>> Crowd<Q, W> {
    pub fn new(queue: Q, shape: Shape) -> Self {
        Self {
            queue,
            shape,
            page: Shared::new(4096),
            last: [0; MOST_PRODUCERS],
        }
    }

    /// The sequences that a producer sends in this burst.
    fn share(&self, sequences: &Range<u64>, producer: usize) -> Range<u64> {
        let messages = sequences.end - sequences.start;
        let border =
            |index: usize| sequences.start + messages * index as u64 / self.shape.producers as u64;
        border(producer)..border(producer + 1)
    }

    /// The right to so many more messages of this burst.
    fn draw(&self, end: u64) -> u64 {
        let tickets = self.page.word(TICKETS);
        let drawn = tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next < end).then(|| end.min(next + TICKET))
        });
        drawn.map_or(0, |next| (end - next).min(TICKET))
    }

    fn consume(&mut self, sequences: Range<u64>) {
        let mut shares: [Range<u64>; MOST_PRODUCERS] = Default::default();
        for (producer, share) in shares[..self.shape.producers].iter_mut().enumerate() {
            *share = self.share(&sequences, producer);
        }
        let mut tally = Tally::default();
        loop {
            let count = self.draw(sequences.end);
            if count == 0 {
                break;
            }
            let last = &mut self.last;
            self.queue.receive(count, |found| {
                let number = message::number_of(found[0]);
                message::check(found, number);
                let producer = (number >> SEQUENCE_BITS) as usize % MOST_PRODUCERS;
                let sequence = number & ((1 << SEQUENCE_BITS) - 1);
                if sequence <= last[producer] || !shares[producer].contains(&sequence) {
                    misplaced(producer, sequence, last[producer]);
                }
                last[producer] = sequence;
                tally.add(sequence);
            });
        }
        for (word, amount) in tally.words() {
            self.page.word(word).fetch_add(amount, Ordering::Relaxed);
        }
    }
}

#[cold]
#[inline(never)]
fn misplaced(producer: usize, sequence: u64, last: u64) -> ! {
    panic!("producer {producer}: message {sequence} came after {last}, or in another burst")
}

impl<const W: usize, Q: Queue<W>> Track for Crowd<Q, W> {
    fn start(&mut self, member: usize) {
        if member == LEAD {
            // Numbers begin with 1.
            self.page.word(TICKETS).store(1, Ordering::Relaxed);
            self.queue.make();
        }
    }

    fn join(&mut self, member: usize) {
        self.queue.attach(self.shape.role(member));
    }

    fn unlink(&mut self, member: usize) {
        if member == LEAD {
            self.queue.unlink();
        }
    }

    fn run(&mut self, member: usize, sequences: Range<u64>, _: Tape<'_>) {
        match self.shape.role(member) {
            Role::Producer => {
                let share = self.share(&sequences, member);
                let own = (member as u64) << SEQUENCE_BITS;
                self.queue.send(own + share.start..own + share.end);
            }
            Role::Consumer => self.consume(sequences),
        }
    }

    fn settle(&mut self, sequences: Range<u64>) {
        let mut sent = Tally::default();
        sequences.for_each(|sequence| sent.add(sequence));
        for (word, amount) in sent.words() {
            let received = self.page.word(word).swap(0, Ordering::Relaxed);
            assert_eq!(received, amount, "not every message came exactly once");
        }
    }
}

/// What two collections of distinct sequences differ in, if they differ.
#[derive(Default)]
struct Tally {
    count: u64,
    sum: u64,
    squares: u64,
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, sequence: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(sequence);
        self.squares = self.squares.wrapping_add(sequence.wrapping_mul(sequence));
    }

    fn words(&self) -> [(u64, u64); 3] {
        [
            (RECEIVED, self.count),
            (SUM, self.sum),
            (SQUARES, self.squares),
        ]
    }
}
