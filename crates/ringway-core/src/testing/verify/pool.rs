//! Rings with slabs over heap memory, and a peer that writes into them between the operations of the others.

use std::sync::atomic::Ordering;

use super::Header;
use crate::api::receiving::Receiving;
use crate::api::sending::Sending;
use crate::memory::layout::cell::{CELL_HEADER, Code, LEN_AT, LOANED, State, Word as CellWord};
use crate::memory::layout::control::HEAD;
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::{Holder, TICKET_LEN, Ticket, Word};
use crate::memory::layout::record::{Record, footprint};
use crate::memory::layout::{Geometry, Shape};
use crate::memory::region::memory::Memory;
use crate::memory::region::{Load, Region};
use crate::rings::message::MessageRef;
use crate::rings::pool::{self, IN_SLAB, Loan};
use crate::testing::pool::HeapPool;

/// What a hostile peer writes. Numbers of slabs, slots and records wrap a little beyond what there is.
#[derive(Clone, Copy, Debug)]
pub enum PoolWrite {
    /// Flips bits of a slab's word.
    Flip(u32, u64),
    /// The word of a free slab.
    Free(u32, u32),
    /// The word of a slab that the holder of that slot holds, in its first epochs.
    Held(u32, u32, u8, u32),
    /// A ticket for that slab, in that generation, for so many bytes, in the record so far behind `HEAD`.
    Ticket(u8, u32, u32, u64),
    /// Flips bits of a word of the data region.
    FlipData(u64, u64),
    /// The holder of that slot of producers dies.
    KillProducer(u32),
    /// The holder of that slot of consumers dies.
    KillConsumer(u32),
}

/// What a participant does: of each role there are two at most.
#[derive(Clone, Copy, Debug)]
pub enum PoolStep {
    /// Sends so many bytes, if there is room.
    Send(u32, usize),
    /// Claims so many bytes, and writes them.
    Claim(u32, usize),
    /// Commits so many bytes of them.
    Commit(u32, usize),
    /// Gives them up.
    Abort(u32),
    /// Receives into a buffer of so many bytes.
    Receive(u32, usize),
    /// Takes up to so many messages, reads them, and releases them.
    Drain(u32, u8),
    /// Takes a message, reads it, and keeps it.
    Detach(u32),
    /// Reads the oldest message that it keeps, and gives its slab back.
    Drop(u32),
    /// Another one takes its place.
    NextProducer(u32),
    /// Another one takes its place.
    NextConsumer(u32),
}

/// Nothing longer is sent or received, in bytes.
const MOST: usize = 1 << 14;

struct Producer {
    sending: Sending,
    claimed: Option<crate::api::sending::Claimed>,
}

struct Consumer {
    receiving: Receiving,
    me: Holder,
    kept: Vec<Loan>,
}

/// A ring, its participants, and the peer.
pub struct PoolRing {
    ring: HeapPool,
    memory: Memory,
    producers: [Option<Producer>; 2],
    consumers: [Option<Consumer>; 2],
}

impl PoolRing {
    /// The empty ring that the header describes; `None` if it has more than `most` bytes.
    pub fn of(header: &Header, most: u64) -> Option<Self> {
        let (kind, geometry) = (header.0.kind, header.0.geometry);
        if geometry.total_len() > most {
            return None;
        }
        let ring = HeapPool::of(kind, geometry)?;
        Some(Self {
            memory: ring.region(),
            ring,
            producers: [None, None],
            consumers: [None, None],
        })
    }

    fn geometry(&self) -> &Geometry {
        self.ring.geometry()
    }

    /// The peer writes.
    pub fn write(&self, write: &PoolWrite) {
        let slabs = self.geometry().slabs().count();
        let put = |slab: u32, word: u64| {
            let slab = slab % slabs.max(1);
            let seen = self.memory.load_slab(slab);
            let _ = self.memory.replace_slab(slab, seen, word);
        };
        match *write {
            PoolWrite::Flip(slab, bits) => {
                put(slab, self.memory.load_slab(slab % slabs.max(1)) ^ bits);
            }
            PoolWrite::Free(slab, generation) => put(slab, Word::free(generation).encode()),
            PoolWrite::Held(slab, slot, epoch, generation) => {
                let slot = slot % (self.geometry().participants() + 2);
                let holder = Holder::new(slot, epoch.into());
                put(slab, Word::held(holder, generation).encode());
            }
            PoolWrite::Ticket(nth, slab, generation, len) => {
                let slab = slab % (slabs + 2);
                self.write_ticket(
                    nth.into(),
                    Ticket {
                        slab,
                        generation,
                        len,
                    },
                );
            }
            PoolWrite::FlipData(word, bits) => {
                let at = word.wrapping_mul(8);
                let flipped = self.memory.load_word(at, Ordering::Relaxed) ^ bits;
                self.memory.store_word(at, flipped, Ordering::Relaxed);
            }
            PoolWrite::KillProducer(nth) => self.ring.kill(Role::Producer, nth),
            PoolWrite::KillConsumer(nth) => self.ring.kill(Role::Consumer, nth),
        }
    }

    fn write_ticket(&self, nth: u64, ticket: Ticket) {
        let head = self.memory.load64(HEAD, Ordering::Relaxed);
        let store = |at: u64, word| self.memory.store_word(at & !7, word, Ordering::Relaxed);
        let words = ticket.encode();
        match self.geometry().shape() {
            Shape::Stream => {
                let at = head.wrapping_add(nth * footprint(TICKET_LEN));
                for (place, word) in (1..).zip(words) {
                    store(at.wrapping_add(8 * place), word);
                }
                store(at, Record::loaned(nth));
            }
            // Have no slabs.
            Shape::Broadcast | Shape::Board(_) => {}
            Shape::Cells(cell_len) => {
                let cell = head.wrapping_add(nth);
                let at = cell.wrapping_mul(cell_len.into());
                for (place, word) in (0..).zip(words) {
                    store(at.wrapping_add(CELL_HEADER + 8 * place), word);
                }
                store(at.wrapping_add(LEN_AT), LOANED);
                let cells = self.geometry().capacity() / u64::from(cell_len);
                let word = CellWord::free(cell / cells).become_nobodys(State::Full);
                store(
                    at,
                    Code::new(crate::testing::cells::KEY, cells).encode(word),
                );
            }
        }
    }

    fn producer(&mut self, nth: u32) -> Option<&mut Producer> {
        let (ring, place) = (&self.ring, &mut self.producers[nth as usize % 2]);
        if place.is_none() {
            let mut sending = ring.producer(nth % 2)?;
            sending.set_copy_limit(64);
            *place = Some(Producer {
                sending,
                claimed: None,
            });
        }
        place.as_mut()
    }

    fn consumer(&mut self, nth: u32) -> Option<&mut Consumer> {
        let (ring, place) = (&self.ring, &mut self.consumers[nth as usize % 2]);
        if place.is_none() {
            let (receiving, me) = ring.consumer(nth % 2)?;
            *place = Some(Consumer {
                receiving,
                me,
                kept: Vec::new(),
            });
        }
        place.as_mut()
    }

    /// A participant takes a step.
    pub fn act(&mut self, step: &PoolStep) {
        // A stream ring takes whatever record lies within its data: no sender writes one so long, a liar may.
        let geometry = self.geometry();
        let longest = geometry.max_message_len().max(geometry.capacity());
        match *step {
            PoolStep::Send(who, _)
            | PoolStep::Claim(who, _)
            | PoolStep::Commit(who, _)
            | PoolStep::Abort(who) => drop(self.send(who, step)),
            PoolStep::Receive(who, _)
            | PoolStep::Drain(who, _)
            | PoolStep::Detach(who)
            | PoolStep::Drop(who) => drop(self.receive(who, step, longest)),
            PoolStep::NextProducer(who) => self.producers[who as usize % 2] = None,
            PoolStep::NextConsumer(who) => self.consumers[who as usize % 2] = None,
        }
    }

    fn send(&mut self, who: u32, step: &PoolStep) -> Option<()> {
        let producer = self.producer(who)?;
        let bytes = |len: usize| vec![0xa5; len.min(MOST)];
        match *step {
            PoolStep::Send(_, len) => {
                producer.claimed = None;
                producer.sending.abort();
                let _ = producer.sending.send(&bytes(len), None);
            }
            PoolStep::Claim(_, len) => {
                producer.sending.abort();
                producer.claimed = producer.sending.claim(len.min(MOST), None).ok();
                if let Some(claimed) = &producer.claimed {
                    producer.sending.write_at(claimed, 0, &bytes(len));
                }
            }
            PoolStep::Commit(_, len) => {
                let claimed = producer.claimed.take()?;
                producer.sending.commit(claimed, len.min(MOST) as u64);
            }
            _ => {
                producer.claimed = None;
                producer.sending.abort();
            }
        }
        Some(())
    }

    fn receive(&mut self, who: u32, step: &PoolStep, longest: u64) -> Option<()> {
        let consumer = self.consumer(who)?;
        let receiving = &mut consumer.receiving;
        match *step {
            PoolStep::Receive(_, len) => {
                if let Ok(len) = receiving.recv_into(&mut vec![0; len.min(MOST)], None) {
                    assert!(len as u64 <= longest);
                }
            }
            PoolStep::Drain(_, most) => {
                let mut last = receiving.take(most.max(1).into(), None).ok()?;
                read(receiving, &last, longest);
                let mut count = 1;
                while count < u64::from(most) {
                    let next = receiving.take_behind(&last, count, u64::from(most) - count);
                    let Ok(Some(found)) = next else { break };
                    read(receiving, &found, longest);
                    (last, count) = (found, count + 1);
                }
                receiving.release(&last, count);
            }
            PoolStep::Detach(_) => {
                let found = receiving.take(1, None).ok()?;
                read(receiving, &found, longest);
                if let Ok(Some(loan)) = receiving.detach(&found) {
                    consumer.kept.push(loan);
                }
            }
            _ => {
                if !consumer.kept.is_empty() {
                    let loan = consumer.kept.remove(0);
                    let mut bytes = vec![0; (loan.len as usize).min(MOST)];
                    receiving.region().read_slab(loan.at, &mut bytes);
                    pool::free(receiving.region(), consumer.me, &loan);
                }
            }
        }
        Some(())
    }
}

/// Reads a message, wherever it is.
fn read(receiving: &Receiving, found: &MessageRef, longest: u64) {
    assert!(found.len as u64 <= longest, "{found:?}");
    let mut bytes = vec![0; found.len];
    let at = receiving.locate(found);
    if found.is_loaned() {
        receiving.region().read_slab(at & !IN_SLAB, &mut bytes);
    } else {
        receiving.region().read(at, &mut bytes);
    }
}
