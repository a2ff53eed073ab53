//! Every interleaving of several processes within loom's bounds, on the code that ships. A lost wake-up
//! shows as a deadlock, a missing release or acquire as a payload that is not there yet or as a race.

mod deaths;
mod delivery;
mod ends;
mod loans;
mod locked;
mod overwriting;
mod posix_sem;
mod primitives;
mod sleep;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::thread::{self, JoinHandle};
use primitives::{Counter, Key, RobustLock, Rope, Tower};

use crate::error::{RecvError, SendError};
use crate::memory::layout::cell::new_word;
use crate::memory::layout::participant::{EPOCH, Role, slot_offset};
use crate::memory::layout::pool::{Class, MIN_SLAB_LEN, Slabs};
use crate::memory::region::{Load, Region};
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::member::{Member, SlotInfo};
use crate::rings::cell::producer::Producer;
use crate::rings::cell::{Cells, Contention};
use crate::rings::message::MessageRef;
use crate::rings::pool::Pool;
use crate::testing::model::{Model, explorer, lives};
use crate::waiting::WaitOptions;
use crate::waiting::sync::Primitives;
use crate::waiting::sync::posix_sem::look_again;

/// Two words of payload: a message of three words takes two cells.
const CELL_LEN: u32 = 32;
/// Cells of a ring, unless told otherwise. Records have up to two.
const CELLS: usize = 4;
/// No payload decodes to anything under it.
const KEY: u64 = 0x5eed_5eed_5eed_5eed;

/// Checks every interleaving with as many preemptions as asked for, less `relief`, for models with many
/// steps.
fn model(relief: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = explorer(relief);
    builder.max_branches = 20_000;
    builder.check(body);
}

/// A ring, and what its processes are.
#[derive(Clone)]
struct Ring {
    model: Model,
    producers: u32,
    consumers: u32,
    overwrite: bool,
    slabs: u32,
    lock: Option<Arc<RobustLock>>,
    bells: Option<Arc<Tower>>,
    /// Where contenders for the lock of sync posix-sem sleep, if the ring has that.
    counter: Option<Arc<Counter>>,
}

impl Ring {
    /// A ring with so many processes in each role, all attached.
    fn new(producers: u32, consumers: u32) -> Self {
        Self::empty(producers, consumers).all_attached()
    }

    fn all_attached(self) -> Self {
        (0..self.producers + self.consumers).for_each(|slot| self.attach(slot));
        self
    }

    fn empty(producers: u32, consumers: u32) -> Self {
        Self::of_cells(CELLS, producers, consumers)
    }

    /// A ring to which nobody is attached.
    fn of_cells(cells: usize, producers: u32, consumers: u32) -> Self {
        Self {
            model: Model::cells(cells, CELL_LEN, producers + consumers, new_word(KEY)),
            producers,
            consumers,
            overwrite: false,
            slabs: 0,
            lock: None,
            bells: None,
            counter: None,
        }
    }

    fn with_slabs(mut self, count: u32) -> Self {
        self.model = self.model.with_slabs(count);
        self.slabs = count;
        self
    }

    fn with_lock(mut self) -> Self {
        self.lock = Some(Arc::default());
        self
    }

    fn with_posix_sem(mut self) -> Self {
        self.counter = Some(Arc::default());
        self
    }

    fn with_bells(mut self) -> Self {
        self.bells = Some(Arc::new(Tower::new(self.producers + self.consumers)));
        self
    }

    fn attach(&self, slot: u32) {
        self.model.attach(slot);
    }

    fn leave(&self, slot: u32) {
        self.model.leave(slot);
    }

    fn kill(&self, slot: u32) {
        self.model.kill(slot);
        if let Some(lock) = &self.lock {
            lock.bury(slot);
        }
        if let Some(counter) = &self.counter {
            // Each of the others has a watcher that looks.
            for _ in 1..self.producers + self.consumers {
                look_again(&**counter, 1);
            }
        }
        if let Some(bells) = &self.bells {
            bells.ring_all();
        }
    }

    fn member(&self, role: Role, slot: u32) -> Member<Model> {
        let consumers = self.producers..self.producers + self.consumers;
        let slot_info = SlotInfo {
            role,
            slot,
            epoch: self
                .model
                .load64(slot_offset(slot) + EPOCH, Ordering::Relaxed),
            producers: 0..self.producers,
            consumers,
        };
        let key = |lock| Box::new(Key { lock, slot }) as _;
        let rope = |tower| Arc::new(Rope { tower, slot }) as _;
        let region = self.model.clone();
        let primitives = Primitives {
            lock: match &self.counter {
                Some(_) => Some(Box::new(self.posix_sem(&region, slot)) as _),
                None => self.lock.clone().map(key),
            },
            bell: self.bells.clone().map(rope),
        };
        let contention = Contention {
            claim: self.producers > 1,
            take: self.consumers > 1 || self.overwrite,
            own: self.overwrite,
            overwrite: self.overwrite,
            locked: primitives.lock.is_some(),
        };
        let cells = Cells::new(region, CELL_LEN, KEY, contention);
        let classes = [Class {
            len: MIN_SLAB_LEN,
            count: self.slabs,
        }];
        let pool = Slabs::new(&classes).and_then(|slabs| Pool::new(&slabs, slot, slot_info.epoch));
        Member::new(cells, slot_info, primitives).with_pool(pool)
    }

    /// The producer in slot `nth`.
    fn producer(&self, nth: u32) -> Producer<Model> {
        Producer::join(self.member(Role::Producer, nth), self.overwrite).unwrap()
    }

    /// The consumer in the `nth` slot behind the producers'.
    fn consumer(&self, nth: u32) -> Consumer<Model> {
        Consumer::join(self.member(Role::Consumer, self.producers + nth)).unwrap()
    }

    /// The producer in slot 0 says that it closes, and leaves.
    fn close(&self, producer: &mut Producer<Model>) {
        producer.close();
        self.leave(0);
        producer.member.announce(Role::Producer);
    }

    /// Sends and receives so many messages of one cell, so that the next ones lie behind them.
    fn advance(&self, messages: u64) {
        let (mut producer, mut consumer) = (self.producer(0), self.consumer(0));
        for value in 0..messages {
            send(&mut producer, value).unwrap();
            assert_eq!(receive(&mut consumer), Ok(value));
        }
    }
}

/// A ring with a producer and two consumers, of which the first has taken the only message, number 1.
fn with_a_message_taken() -> (Ring, Producer<Model>, [Consumer<Model>; 2]) {
    let ring = Ring::new(1, 2);
    let mut producer = ring.producer(0);
    let mut consumers = [0, 1].map(|nth| ring.consumer(nth));
    send(&mut producer, 1).unwrap();
    consumers[0].take(1, None).unwrap();
    (ring, producer, consumers)
}

/// The process in a slot does what it does, in a thread, and is killed then, if it has not died. Whether it
/// lived until then.
fn dying<T>(
    ring: Ring,
    slot: u32,
    process: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<bool> {
    thread::spawn(move || {
        let lived = lives(process);
        ring.kill(slot);
        lived
    })
}

/// A message of one cell.
const SHORT: usize = 8;
/// A message of two cells: its third word lies where the second cell's control word was.
const LONG: usize = 24;

fn payload(value: u64, len: usize) -> Vec<u8> {
    value.to_le_bytes().repeat(len / 8)
}

fn claim(producer: &mut Producer<Model>, value: u64, len: usize) -> Result<(), SendError> {
    let at = producer.claim(len, None)?;
    producer.member.region().write(at, &payload(value, len));
    Ok(())
}

fn try_send(producer: &mut Producer<Model>, value: u64, len: usize) -> Result<(), SendError> {
    producer.send(&payload(value, len), None)
}

fn send(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    send_long(producer, value, SHORT)
}

fn send_long(producer: &mut Producer<Model>, value: u64, len: usize) -> Result<(), SendError> {
    producer.send(&payload(value, len), Some(&WaitOptions::PARK))
}

/// Fills a ring that is empty: with messages 1 to 4.
fn fill(producer: &mut Producer<Model>) {
    (1..=CELLS as u64).for_each(|value| send(producer, value).unwrap());
}

fn send_batch(producer: &mut Producer<Model>, values: &[u64]) {
    for value in values {
        producer.push(&payload(*value, SHORT)).unwrap();
    }
    assert_eq!(producer.commit_batch(), values.len() as u64);
}

/// All words of a message are the same.
fn value_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty() && words.iter().all(|word| *word == words[0]));
    u64::from_le_bytes(words[0])
}

fn read(consumer: &Consumer<Model>, found: MessageRef) -> u64 {
    let mut bytes = vec![0; found.len];
    consumer.member.region().read(found.payload, &mut bytes);
    value_of(&bytes)
}

fn try_receive(consumer: &mut Consumer<Model>) -> Result<u64, RecvError> {
    let mut buffer = [0; LONG];
    let len = consumer.recv_into(&mut buffer, None)?;
    Ok(value_of(&buffer[..len]))
}

fn receive(consumer: &mut Consumer<Model>) -> Result<u64, RecvError> {
    let mut buffer = [0; LONG];
    let len = consumer.recv_into(&mut buffer, Some(&WaitOptions::PARK))?;
    Ok(value_of(&buffer[..len]))
}

/// Takes up to `most` messages together and reads them all.
fn drain(consumer: &mut Consumer<Model>, most: u64) -> Result<Vec<u64>, RecvError> {
    let mut values = Vec::new();
    drain_into(&mut values, consumer, most).map(|()| values)
}

/// The same for a consumer that may die meanwhile.
fn drain_into(
    values: &mut Vec<u64>,
    consumer: &mut Consumer<Model>,
    most: u64,
) -> Result<(), RecvError> {
    let mut found = Some(consumer.take(most, None)?);
    while let Some(message) = found {
        values.push(read(consumer, message));
        found = consumer.next_held(0)?;
    }
    consumer.release();
    Ok(())
}

/// Receives until there will be nothing more.
fn receive_all(consumer: &mut Consumer<Model>) -> (Vec<u64>, RecvError) {
    let mut values = Vec::new();
    loop {
        match receive(consumer) {
            Ok(value) => values.push(value),
            Err(end) => return (values, end),
        }
    }
}

/// A message, or none because there is none.
fn some(received: Result<u64, RecvError>) -> Option<u64> {
    assert_ne!(received, Err(RecvError::Corrupt));
    received.ok()
}

/// What is left in the ring, as a consumer finds it.
fn rest(consumer: &mut Consumer<Model>) -> Vec<u64> {
    std::iter::from_fn(|| some(try_receive(consumer))).collect()
}

fn sorted(values: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    values
}
