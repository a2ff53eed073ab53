//! The cell ring over heap memory, with a peer that writes into it between any two accesses of the others.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::RecvError;
use crate::memory::layout::cell::{Code, LEN_AT, Owner, State, Word};
use crate::memory::layout::control::{CLAIM_HINT, DATA_EVENT, HEAD, SPACE_EVENT, TAKE_HINT};
use crate::memory::layout::participant::{
    ASLEEP, EPOCH, LIVENESS, MESSAGES, OVERWRITTEN, Role, SIGHT_LEN, sight_offset, slot_offset,
};
use crate::memory::region::memory::Memory;
use crate::memory::region::{Load, Region};
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::producer::Producer;
use crate::testing::cells::{DEAD, HELD, HeapCells, KEY, Leaving, Setup, say_of};
use crate::testing::meddled::{Meddled, Meddler};
use crate::testing::queue::{HOW, Step};
use crate::waiting::WaitOptions;

/// What a hostile peer writes. Numbers of words, cells, slots and states wrap.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Flips bits of one of the 64-bit words that participants read outside of the cells.
    Flip(usize, u64),
    /// Adds to one of them.
    Add(usize, u64),
    /// Flips bits of a word of the data region.
    FlipData(u64, u64),
    /// What looks like the control word of a cell.
    Word {
        /// Which cell.
        cell: u64,
        /// What its record goes through.
        state: usize,
        /// Whose it is.
        slot: u32,
        /// In the epoch that the slot is in, and so many more.
        epochs: u64,
        /// Its cells.
        extent: u64,
        /// In the lap that `HEAD` is in, and so many more.
        laps: u64,
    },
    /// The description of a record: its bytes, and its cells.
    Describe(u64, u32, u32),
    /// Who is in a slot: nobody, one who lives, one who died. It has been taken so often since.
    Slot(u32, u8, u64),
    /// The lock's last holder died; who wants the lock next does not get it in time; lock and bells are
    /// destroyed.
    Lock(u8),
}

/// Until when an operation may wait. (Not long: there is nobody to wait for.)
fn soon() -> WaitOptions<'static> {
    HOW.within(Duration::from_micros(50))
}

/// Words outside of the cells and the slots.
const WORDS: [usize; 5] = [HEAD, CLAIM_HINT, TAKE_HINT, DATA_EVENT, SPACE_EVENT];
/// Words of a slot.
const SLOT_WORDS: [usize; 5] = [LIVENESS, EPOCH, ASLEEP, MESSAGES, OVERWRITTEN];

const STATES: [State; 8] = [
    State::Free,
    State::Claimed,
    State::Full,
    State::Taken,
    State::Returned,
    State::Freeing,
    State::Aborted,
    State::HeldOver,
];

impl Write {
    fn offset(word: usize, slots: u32) -> usize {
        let (words, in_slots) = (WORDS.len(), slots as usize * SLOT_WORDS.len());
        let nth = word % (words + in_slots + (slots * slots) as usize);
        if let Some(sight) = nth.checked_sub(words + in_slots) {
            return sight_offset(slots, 0, 0) + sight * SIGHT_LEN;
        }
        WORDS.get(nth).copied().unwrap_or_else(|| {
            let nth = nth - words;
            slot_offset((nth / SLOT_WORDS.len()) as u32) + SLOT_WORDS[nth % SLOT_WORDS.len()]
        })
    }

    fn make(self, ring: &HeapCells, memory: &Memory) {
        let order = Ordering::Relaxed;
        let slots = ring.geometry().participants();
        let Setup {
            cells, cell_len, ..
        } = ring.setup;
        let position = |cell: u64| cell % cells * u64::from(cell_len);
        let epoch = |slot: u32| slot_offset(slot % slots) + EPOCH;
        match self {
            Self::Flip(word, bits) => {
                let at = Self::offset(word, slots);
                memory.store64(at, memory.load64(at, order) ^ bits, order);
            }
            Self::Add(word, more) => {
                let at = Self::offset(word, slots);
                memory.store64(at, memory.load64(at, order).wrapping_add(more), order);
            }
            Self::FlipData(word, bits) => {
                let at = word.wrapping_mul(8);
                memory.store_word(at, memory.load_word(at, order) ^ bits, order);
            }
            Self::Word {
                cell,
                state,
                slot,
                epochs,
                extent,
                laps,
            } => {
                let lap = (memory.load64(HEAD, order) / cells).wrapping_add(laps);
                let epoch = memory.load64(epoch(slot), order).wrapping_add(epochs);
                let state = STATES[state % STATES.len()];
                let word = Word::free(lap);
                let word = match state.is_owned() {
                    true => word.become_owned(state, Owner::new(slot % slots, epoch)),
                    false => word.become_nobodys(state),
                };
                let word = word.with_extent(1 + extent % (cells / 2));
                memory.store_word(position(cell), Code::new(KEY, cells).encode(word), order);
            }
            Self::Describe(cell, len, extent) => {
                let description = u64::from(len) | u64::from(extent) << 32;
                memory.store_word(position(cell) + LEN_AT, description, order);
            }
            Self::Slot(slot, liveness, epochs) => {
                let word = [0, HELD, DEAD][usize::from(liveness) % 3];
                say_of(memory, ring.geometry(), slot % slots, word);
                let at = epoch(slot);
                memory.store64(at, memory.load64(at, order).wrapping_add(epochs), order);
            }
            Self::Lock(what) => match what % 8 {
                0..4 => ring.script.die(),
                4..7 => ring.script.delay(),
                _ => ring.script.destroy(),
            },
        }
    }
}

/// A cell ring with handles in all its places, and the peer.
///
/// Whatever is written: each operation returns, and gives an error or a message that fits the ring. A handle
/// that finds the ring corrupt is replaced by a new one.
#[derive(Debug)]
pub struct HostileRing {
    ring: Rc<HeapCells>,
    meddler: Rc<Meddler>,
    producers: Vec<Option<Producer<Meddled>>>,
    consumers: Vec<Option<Consumer<Meddled>>>,
}

impl HostileRing {
    /// An empty ring, that nobody has attached to yet. `None` if there is no such ring.
    pub fn new(setup: Setup) -> Option<Self> {
        let ring = HeapCells::of(setup)?;
        let count = |role| ring.geometry().slots(role).len();
        Some(Self {
            producers: (0..count(Role::Producer)).map(|_| None).collect(),
            consumers: (0..count(Role::Consumer)).map(|_| None).collect(),
            meddler: Rc::default(),
            ring: Rc::new(ring),
        })
    }

    /// A handle takes a step, and when it has made so many accesses to the memory, the peer writes.
    pub fn act(&mut self, who: usize, step: &Step, writes: &[(u64, Write)]) {
        self.meddler.begin();
        for &(after, write) in writes {
            let ring = Rc::clone(&self.ring);
            let deed = move |memory: &Memory| write.make(&ring, memory);
            self.meddler.plan(after, Box::new(deed));
        }
        match step {
            Step::Leave(role, leaving) => self.leave(*role, who, *leaving),
            Step::Receive(_)
            | Step::ReceiveUntil(_)
            | Step::Ready
            | Step::Take(_)
            | Step::Release
            | Step::GiveBack => self.consume(who, step),
            _ => self.produce(who, step),
        }
        assert!(!self.ring.script.is_held(), "the lock was kept");
    }

    fn region(&self) -> Meddled {
        let memory = self.ring.region();
        Meddled::new(memory, &self.meddler, self.ring.setup.settles)
    }

    fn produce(&mut self, who: usize, step: &Step) {
        let nth = who % self.producers.len();
        if self.producers[nth]
            .as_ref()
            .is_none_or(|producer| producer.member.corrupt)
        {
            self.producers[nth] = self.ring.produce(self.region(), nth as u32).ok();
        }
        let Some(producer) = &mut self.producers[nth] else {
            return;
        };
        let message = |len: &usize| vec![0xa5; *len];
        match step {
            Step::Send(len) => drop(producer.send(&message(len), None)),
            Step::SendUntil(len) => drop(producer.send(&message(len), Some(&soon()))),
            Step::Claim(len) => {
                if let Ok(payload) = producer.claim(*len, None) {
                    producer.member.region().write(payload, &message(len));
                }
            }
            Step::Commit(len) => producer.commit(*len as u64),
            Step::Batch(lens, commits) => {
                producer.abort();
                let laid = lens
                    .iter()
                    .take_while(|len| producer.push(&message(len)).is_ok());
                let laid = laid.count() as u64;
                if *commits {
                    let committed = producer.commit_batch();
                    assert!(committed <= laid, "{committed} of {laid}");
                }
            }
            Step::Drained => drop(producer.drained_until(&soon())),
            _ => producer.abort(),
        }
    }

    fn consume(&mut self, who: usize, step: &Step) {
        let nth = who % self.consumers.len();
        if self.consumers[nth]
            .as_ref()
            .is_none_or(|consumer| consumer.member.corrupt)
        {
            self.consumers[nth] = self.ring.consume(self.region(), nth as u32).ok();
        }
        let Some(consumer) = &mut self.consumers[nth] else {
            return;
        };
        let capacity = consumer.member.region().capacity() as usize;
        let check = |received| match received {
            Ok(len) | Err(RecvError::BufferTooSmall { len }) => assert!(len <= capacity),
            Err(_) => {}
        };
        match step {
            Step::Receive(room) => check(consumer.recv_into(&mut vec![0; *room], None)),
            Step::ReceiveUntil(room) => {
                check(consumer.recv_into(&mut vec![0; *room], Some(&soon())));
            }
            Step::Ready => drop(consumer.ready_until(&soon())),
            Step::Take(most) => {
                let mut found = consumer.take(*most, None).ok().filter(|_| *most > 0);
                for left in (0..*most).rev() {
                    let Some(message) = found else { break };
                    check(Ok(message.len));
                    let mut bytes = vec![0; message.len];
                    consumer.member.region().read(message.payload, &mut bytes);
                    found = consumer.next_held(left).ok().flatten();
                }
            }
            Step::Release => drop(consumer.release()),
            _ => consumer.give_back(),
        }
    }

    fn leave(&mut self, role: Role, who: usize, leaving: Leaving) {
        match role {
            Role::Producer => {
                let nth = who % self.producers.len();
                if let Some(mut producer) = self.producers[nth].take() {
                    self.ring.part_producer(&mut producer, nth as u32, leaving);
                }
            }
            Role::Consumer => {
                let nth = who % self.consumers.len();
                if let Some(mut consumer) = self.consumers[nth].take() {
                    self.ring.part_consumer(&mut consumer, nth as u32, leaving);
                }
            }
        }
    }
}
