//! The broadcast ring over heap memory, with a peer that writes into it between any two accesses of the others.
//!
//! ```
//! use ringway_core::broadcast::Subscription;
//! use ringway_core::verify::BroadcastRing;
//!
//! let mut ring = BroadcastRing::new(256).ok_or("there is memory")?;
//! ring.join(0, &Subscription::new(), &[])?;
//! ring.send(b"hello", &[])?;
//! assert_eq!(ring.receive(0, &[]), Ok(b"hello".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api::subscription::Subscription;
use crate::error::{RecvError, SendError};
use crate::memory::layout::broadcast::{
    BOUND, CURSOR, Holds, LIMIT, NAME_HOLDER, NAME_KEY, NAME_LEN, NAMES, NUMBER, Phase, STATE,
    State, WAYPOINT_LEN, WAYPOINTS, name_offset, state_offset, waypoint_offset,
};
use crate::memory::layout::control::{DATA_EVENT, PRODUCER_CLOSED, SENT, SPACE_EVENT, TAIL};
use crate::memory::layout::participant::{
    EPOCH, LIVENESS, MESSAGES, OVERWRITTEN, SIGHT_LEN, sight_offset, slot_offset,
};
use crate::memory::layout::record::Record;
use crate::memory::region::memory::Memory;
use crate::memory::region::{Load, Region};
use crate::rings::broadcast::consumer::Consumer;
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{Refused, Wish};
use crate::sys::futex::{OWNER_DIED, WAITERS};
use crate::testing::broadcasts::HeapBroadcast;
use crate::testing::meddled::{Meddled, Meddler};
use crate::waiting::{WaitOptions, WaitStrategy};

/// What a hostile peer writes. Numbers of words and slots wrap.
#[derive(Clone, Copy, Debug)]
pub enum BroadcastWrite {
    /// One of the words outside of the data becomes this.
    Set(usize, u64),
    /// Adds to one of them.
    Add(usize, u64),
    /// Adds to where a consumer stands, and to how far the producer may go: less in bytes than a lap.
    Cursor(u32, u64),
    /// A word of the data becomes this.
    SetData(u64, u64),
    /// What looks like a record: where, its bytes, its number beside that of the next message.
    Record(u64, u32, u64),
    /// The state of a slot's holder, of its epoch and so many more.
    State(u32, ForgedPhase, u64),
    /// Who is in a slot: nobody, one who lives, one who died.
    Life(u32, u8),
}

/// What a forged state says.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ForgedPhase {
    /// It looks for its place, and holds the producer up.
    Joining,
    /// It holds the producer up.
    Active,
    /// It holds the producer up to its bound.
    Bounded,
    /// It was evicted.
    Evicted,
}

/// The last one has the mark of a producer that closed as well.
const WORDS: [usize; 5] = [TAIL, SENT, LIMIT, DATA_EVENT, SPACE_EVENT];
const SLOT_WORDS: [usize; 8] = [
    LIVENESS,
    EPOCH,
    MESSAGES,
    OVERWRITTEN,
    CURSOR,
    STATE,
    NUMBER,
    BOUND,
];
/// Of a name's entry: its key, holder, number and what was shown.
const NAME_WORDS: usize = 4;

/// Where the word is that has this number.
fn offset(nth: usize, slots: u32) -> usize {
    let in_slots = slots as usize * SLOT_WORDS.len();
    let sights = (slots * slots) as usize;
    let waypoints = WAYPOINTS * WAYPOINT_LEN / 8;
    let parts = [WORDS.len(), in_slots, sights, waypoints, NAMES * NAME_WORDS];
    let mut nth = nth % parts.iter().sum::<usize>();
    for (part, len) in parts.iter().enumerate() {
        if nth >= *len {
            nth -= len;
            continue;
        }
        let per_slot = SLOT_WORDS.len();
        return match part {
            0 => WORDS[nth],
            1 => slot_offset((nth / per_slot) as u32) + SLOT_WORDS[nth % per_slot],
            2 => sight_offset(slots, 0, 0) + nth * SIGHT_LEN,
            3 => waypoint_offset(slots, 0) + 8 * nth,
            _ => name_offset(slots, nth / NAME_WORDS) + 8 * (nth % NAME_WORDS),
        };
    }
    TAIL
}

const _: () = assert!(PRODUCER_CLOSED == SPACE_EVENT + 4);
const _: () = assert!(NAME_KEY == 0 && NAME_HOLDER == 8 && 8 * NAME_WORDS <= NAME_LEN);

impl BroadcastWrite {
    fn make(self, ring: &HeapBroadcast, memory: &Memory) {
        let order = Ordering::Relaxed;
        let slots = ring.participants;
        let add = |at: usize, more| {
            let word = memory.load64(at, order).wrapping_add(more);
            memory.store64(at, word, order);
        };
        match self {
            Self::Set(nth, word) => memory.store64(offset(nth, slots), word, order),
            Self::Add(nth, more) => add(offset(nth, slots), more),
            Self::Cursor(slot, more) => {
                let more = more % memory.capacity() / 8 * 8;
                add(slot_offset(slot % slots) + CURSOR, more);
                add(LIMIT, more);
            }
            Self::SetData(nth, word) => memory.store_word(nth.wrapping_mul(8), word, order),
            Self::Record(nth, len, numbers) => {
                let number = memory.load64(SENT, order).wrapping_add(numbers);
                let word = Record::message(len, number);
                memory.store_word(nth.wrapping_mul(8), word, order);
            }
            Self::State(slot, phase, epochs) => {
                let slot = slot % slots;
                let epoch = memory.load64(slot_offset(slot) + EPOCH, order);
                let (phase, holds) = match phase {
                    ForgedPhase::Joining => (Phase::Joining, Holds::Always),
                    ForgedPhase::Active => (Phase::Active, Holds::Always),
                    ForgedPhase::Bounded => (Phase::Active, Holds::Bounded),
                    ForgedPhase::Evicted => (Phase::Evicted, Holds::Bounded),
                };
                let state = State {
                    epoch: epoch.wrapping_add(epochs),
                    holds,
                    phase,
                };
                memory.store64(state_offset(slot), state.encode(), order);
            }
            Self::Life(slot, life) => {
                let word = [0, WAITERS | 1, WAITERS | OWNER_DIED][usize::from(life) % 3];
                ring.see(slot % slots, word);
            }
        }
    }
}

/// Writes, each with how many accesses of the operation come before it.
type Writes<'a> = &'a [(u64, BroadcastWrite)];

/// A broadcast ring with a producer, places for consumers, and the peer.
///
/// Whatever is written: each operation returns, and gives an error or a message that fits the ring. As long as nothing is, the ring
/// keeps its promises.
#[derive(Debug)]
pub struct BroadcastRing {
    ring: Arc<HeapBroadcast>,
    meddler: Rc<Meddler>,
    producer: Option<Producer<Meddled>>,
    consumers: Vec<Option<Consumer<Meddled>>>,
}

impl BroadcastRing {
    /// How many consumers it has place for.
    pub const CONSUMERS: usize = 3;

    /// An empty ring. `None` unless `capacity` is a power of two from 64 bytes on for which there is memory.
    pub fn new(capacity: u64) -> Option<Self> {
        let ring = HeapBroadcast::new(capacity, Self::CONSUMERS as u32)?;
        Some(Self {
            ring: Arc::new(ring),
            meddler: Rc::default(),
            producer: None,
            consumers: (0..Self::CONSUMERS).map(|_| None).collect(),
        })
    }

    /// The longest message.
    pub fn max_len(&self) -> usize {
        crate::memory::layout::record::max_payload(self.ring.region().capacity()) as usize
    }

    fn begin(&self, writes: Writes<'_>) {
        self.meddler.begin();
        for &(after, write) in writes {
            let ring = Arc::clone(&self.ring);
            let deed = move |memory: &Memory| write.make(&ring, memory);
            self.meddler.plan(after, Box::new(deed));
        }
    }

    fn region(&self) -> Meddled {
        Meddled::new(self.ring.region(), &self.meddler, true)
    }

    /// The producer, another one if it found the ring corrupt.
    fn producer(&mut self) -> Result<&mut Producer<Meddled>, SendError> {
        if self.producer.is_none() {
            let region = self.region();
            let made = self.ring.produce(region);
            self.producer = Some(made.map_err(|_| SendError::Corrupt)?);
        }
        self.producer.as_mut().ok_or(SendError::Corrupt)
    }

    /// Keeps a handle only as long as it has not found the ring corrupt.
    fn sent<T>(&mut self, outcome: Result<T, SendError>) -> Result<T, SendError> {
        if matches!(outcome, Err(SendError::Corrupt)) {
            self.producer = None;
        }
        outcome
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    /// As [`Sender::try_send`](crate::Sender::try_send).
    pub fn send(&mut self, message: &[u8], writes: Writes<'_>) -> Result<(), SendError> {
        self.begin(writes);
        let outcome = self.producer().and_then(|one| one.try_send(message));
        self.sent(outcome)
    }

    /// Sends a message, waiting for room a moment.
    ///
    /// # Errors
    /// As [`Sender::send_deadline`](crate::Sender::send_deadline).
    pub fn send_soon(&mut self, message: &[u8], writes: Writes<'_>) -> Result<(), SendError> {
        self.begin(writes);
        let wait = WaitOptions::new(WaitStrategy::Park).within(Duration::ZERO);
        let outcome = self
            .producer()
            .and_then(|one| one.send(message, Some(&wait)));
        self.sent(outcome)
    }

    /// Claims room for a message, writes it, and commits its first `len` bytes; `None` aborts.
    ///
    /// # Errors
    /// As [`Sender::try_claim`](crate::Sender::try_claim).
    pub fn claim(
        &mut self,
        message: &[u8],
        len: Option<usize>,
        writes: Writes<'_>,
    ) -> Result<(), SendError> {
        self.begin(writes);
        let outcome = self.producer().and_then(|producer| {
            let reservation = producer.reserve(message.len(), None)?;
            producer.region.write(reservation.payload(), message);
            if let Some(len) = len {
                producer.commit(reservation, len.min(message.len()) as u64);
            }
            Ok(())
        });
        self.sent(outcome)
    }

    /// Lays the messages one behind the other up to the first that is refused, and, if `commits`, commits them together.
    /// How many were laid.
    pub fn batch(&mut self, messages: &[Vec<u8>], commits: bool, writes: Writes<'_>) -> usize {
        self.begin(writes);
        let Ok(producer) = self.producer() else {
            return 0;
        };
        let laid = messages
            .iter()
            .take_while(|message| producer.push(message).is_ok());
        let laid = laid.count();
        match commits {
            true => assert_eq!(producer.commit_batch(), laid as u64),
            false => producer.abort(),
        }
        laid
    }

    /// Whether all consumers that live have released all.
    pub fn is_drained(&mut self, writes: Writes<'_>) -> bool {
        self.begin(writes);
        let wait = WaitOptions::new(WaitStrategy::Park).within(Duration::ZERO);
        let outcome = self.producer().and_then(|one| one.drained_until(&wait));
        outcome.is_ok()
    }

    /// The producer ends, and another one comes with the next message.
    pub fn end_producer(&mut self, closes: bool, dies: bool, writes: Writes<'_>) {
        self.begin(writes);
        if let Some(producer) = self.producer.take() {
            if closes {
                producer.close();
            }
            match dies {
                true => self.ring.kill(0),
                false => self.ring.leave(0),
            }
            producer.announce();
        }
    }

    /// A consumer comes, in place of the one that was there. With how many messages it wanted to begin, and how many of
    /// these are gone.
    ///
    /// # Errors
    /// Why it could not.
    pub fn join(
        &mut self,
        who: usize,
        subscription: &Subscription,
        writes: Writes<'_>,
    ) -> Result<(u64, u64), &'static str> {
        self.leave(who, false, &[]);
        self.begin(writes);
        let slot = 1 + (who % Self::CONSUMERS) as u32;
        let (start, policy, name) = subscription.parts();
        let wish = Wish {
            policy,
            start,
            name,
        };
        let epoch = self.ring.attach(slot);
        let joined = Consumer::join(self.region(), self.ring.participants, (slot, epoch), &wish);
        let joined = joined.map_err(|refused| match refused {
            Refused::Corrupt => "corrupt",
            Refused::Unsettled => "unsettled",
            Refused::NameTaken => "its name is taken",
            Refused::NoName => "all names are taken",
        });
        if joined.is_err() {
            self.ring.leave(slot);
        }
        let joined = joined?;
        let begun = (joined.number(), joined.missed());
        self.consumers[who % Self::CONSUMERS] = Some(joined);
        Ok(begun)
    }

    /// A consumer leaves, or dies, if it is there. The number of the first message that it had not released.
    pub fn leave(&mut self, who: usize, dies: bool, writes: Writes<'_>) -> Option<u64> {
        self.begin(writes);
        let slot = 1 + (who % Self::CONSUMERS) as u32;
        let consumer = self.consumers[who % Self::CONSUMERS].take()?;
        match dies {
            true => self.ring.kill(slot),
            false => self.ring.leave(slot),
        }
        Some(consumer.number())
    }

    fn consume<T>(
        &mut self,
        who: usize,
        writes: Writes<'_>,
        act: impl FnOnce(&mut Consumer<Meddled>) -> Result<T, RecvError>,
    ) -> Result<T, RecvError> {
        self.begin(writes);
        let place = &mut self.consumers[who % Self::CONSUMERS];
        let outcome = place.as_mut().map_or(Err(RecvError::Empty), act);
        if matches!(outcome, Err(RecvError::Corrupt)) {
            self.leave(who, false, &[]);
        }
        outcome
    }

    /// A consumer receives the next message.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv); `Empty` where nobody is.
    pub fn receive(&mut self, who: usize, writes: Writes<'_>) -> Result<Vec<u8>, RecvError> {
        let mut buffer = vec![0; self.max_len()];
        let len = self.consume(who, writes, |one| one.recv_into(&mut buffer, None))?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// A consumer waits for the next message a moment, and receives it.
    ///
    /// # Errors
    /// As [`Receiver::recv_deadline`](crate::Receiver::recv_deadline); `Empty` where nobody is.
    pub fn receive_soon(&mut self, who: usize, writes: Writes<'_>) -> Result<Vec<u8>, RecvError> {
        let mut buffer = vec![0; self.max_len()];
        let wait = WaitOptions::new(WaitStrategy::Park).within(Duration::ZERO);
        let len = self.consume(who, writes, |one| one.recv_into(&mut buffer, Some(&wait)))?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// What a consumer sees of the next messages, up to `most`; it releases the first `releases` of them.
    ///
    /// # Errors
    /// As [`Receiver::drain`](crate::Receiver::drain); `Empty` where nobody is.
    pub fn look(
        &mut self,
        who: usize,
        most: usize,
        releases: usize,
        writes: Writes<'_>,
    ) -> Result<Vec<Vec<u8>>, RecvError> {
        let capacity = self.ring.region().capacity();
        self.consume(who, writes, |consumer| {
            let mut seen = Vec::new();
            let mut last = None;
            while seen.len() < most {
                let nth = seen.len() as u64;
                let found = match &last {
                    None => consumer.peek().map(Some),
                    Some(last) => consumer.peek_behind(last, nth),
                };
                let found = match found {
                    Ok(found) => found,
                    Err(error) if seen.is_empty() => return Err(error),
                    Err(_) => break,
                };
                let Some(found) = found else { break };
                assert!(found.len as u64 <= capacity, "{} bytes", found.len);
                consumer.show(nth);
                seen.push(match consumer.copied(&found) {
                    Some(copy) => copy.to_vec(),
                    None => {
                        let mut bytes = vec![0; found.len];
                        consumer.region.read(found.payload, &mut bytes);
                        bytes
                    }
                });
                last = Some(found);
            }
            if releases > 0 {
                consumer.release_first(releases.min(seen.len()) as u64);
            }
            Ok(seen)
        })
    }

    /// The number of a consumer's next message, and how many it missed; `None` where nobody is.
    pub fn place(&self, who: usize) -> Option<(u64, u64)> {
        let consumer = self.consumers[who % Self::CONSUMERS].as_ref()?;
        Some((consumer.number(), consumer.missed()))
    }
}
