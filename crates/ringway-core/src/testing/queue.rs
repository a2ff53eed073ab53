//! A cell ring, and beside it the queue that it has to be: whatever several participants do in whatever
//! order, and whoever dies. For property tests and fuzzing.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::cells::{HeapCells, Leaving, Setup};
use crate::error::{RecvError, SendError};
use crate::memory::layout::cell::CELL_HEADER;
use crate::memory::layout::participant::{OVERWRITTEN, Role, slot_offset};
use crate::memory::region::{Load, Region};
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::producer::Producer;
use crate::testing::meddled::{Meddled, Meddler};
use crate::waiting::{WaitOptions, WaitStrategy};

/// Lengths of messages, so that each can be told from those around it.
pub(crate) const LENS: Range<usize> = 2..512;

/// What a participant does. Lengths are in bytes.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends if there is room.
    Send(usize),
    /// Sends, and would wait for room.
    SendUntil(usize),
    /// Claims so much.
    Claim(usize),
    /// Commits so much of what is claimed.
    Commit(usize),
    /// Gives up what is claimed.
    Abort,
    /// Lays messages behind each other, and commits them, or not.
    Batch(Vec<usize>, bool),
    /// Would wait until all that it sent is released.
    Drained,
    /// Receives into a buffer of so many bytes.
    Receive(usize),
    /// The same, and would wait for a message.
    ReceiveUntil(usize),
    /// Looks whether there is a message.
    Ready,
    /// Takes up to so many messages, and looks at them.
    Take(u64),
    /// Releases what was taken.
    Release,
    /// Gives back what was taken.
    GiveBack,
    /// Leaves with what it has; another one takes its place.
    Leave(Role, Leaving),
}

/// Waits with all the steps that there are before a sleep, which takes no time here.
pub(crate) const HOW: WaitOptions<'static> =
    WaitOptions::new(WaitStrategy::Adaptive(std::time::Duration::ZERO));

/// What a message is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    ClaimedBy(usize),
    There,
    TakenBy(usize),
}

#[derive(Debug)]
struct Message {
    payload: Vec<u8>,
    /// Its cells.
    extent: u64,
    is: Is,
    /// Whether it was taken before.
    again: bool,
    /// The handle that sent it, if that is still there.
    by: Option<usize>,
    /// Whether a consumer holds it though producers have come round: it does not come again.
    over: bool,
}

/// The ring and the queue. Panics when they differ.
#[derive(Debug)]
pub struct Queue {
    ring: HeapCells,
    meddler: Rc<Meddler>,
    producers: Vec<Producer<Meddled>>,
    consumers: Vec<Consumer<Meddled>>,
    queue: VecDeque<Message>,
    made: u16,
    overwritten: Vec<u64>,
    /// Messages that all who ever were there overwrote, or held too long.
    lost: u64,
    /// Where the claims were.
    claimed: Vec<Option<u64>>,
    /// Who is away just now, and how.
    away: Option<(Role, Leaving)>,
}

impl Queue {
    /// A ring with participants in all its places. `None` if there is no such ring.
    pub fn new(setup: Setup) -> Option<Self> {
        let ring = HeapCells::of(setup)?;
        let count = |role| ring.geometry().slots(role).len();
        let counts = [Role::Producer, Role::Consumer].map(count);
        let mut world = Self {
            meddler: Rc::default(),
            producers: Vec::new(),
            consumers: Vec::new(),
            queue: VecDeque::new(),
            made: 0,
            overwritten: vec![0; counts[0]],
            lost: 0,
            claimed: vec![None; counts[0]],
            away: None,
            ring,
        };
        world.producers = (0..counts[0]).map(|nth| world.producer(nth)).collect();
        world.consumers = (0..counts[1]).map(|nth| world.consumer(nth)).collect();
        Some(world)
    }

    fn region(&self) -> Meddled {
        self.meddler.begin();
        Meddled::new(self.ring.region(), &self.meddler, self.ring.setup.settles)
    }

    fn producer(&self, nth: usize) -> Producer<Meddled> {
        let producer = self.ring.produce(self.region(), nth as u32);
        producer.expect("a sound ring")
    }

    fn consumer(&self, nth: usize) -> Consumer<Meddled> {
        let consumer = self.ring.consume(self.region(), nth as u32);
        consumer.expect("a sound ring")
    }

    /// One participant does one thing; which one in its role, `who` says, and wraps.
    pub fn act(&mut self, who: usize, step: &Step) {
        self.meddler.begin();
        match step {
            Step::Leave(role, leaving) => self.leave(*role, who, *leaving),
            Step::Receive(_)
            | Step::ReceiveUntil(_)
            | Step::Ready
            | Step::Take(_)
            | Step::Release
            | Step::GiveBack => self.consume(who % self.consumers.len(), step),
            _ => self.produce(who % self.producers.len(), step),
        }
        assert!(!self.ring.script.is_held(), "the lock was kept");
        self.claimed = self.producers.iter().map(Producer::claimed_at).collect();
    }

    /// All give up and give back what they have, and somebody receives the rest.
    pub fn finish(mut self) {
        for nth in 0..self.producers.len() {
            self.act(nth, &Step::Abort);
        }
        for nth in 0..self.consumers.len() {
            self.act(nth, &Step::GiveBack);
        }
        while !self.queue.is_empty() {
            self.act(0, &Step::Receive(LENS.end));
        }
        self.act(0, &Step::Drained);
        self.act(0, &Step::Receive(LENS.end));
        let slots = 0..self.ring.geometry().participants();
        let counters = slots.map(|slot| slot_offset(slot) + OVERWRITTEN);
        let region = self.ring.region();
        let counted: u64 = counters
            .map(|at| region.load64(at, Ordering::Relaxed))
            .sum();
        assert_eq!(counted, self.lost);
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.made += 1;
        let bytes = self.made.to_le_bytes();
        let len = len.clamp(LENS.start, LENS.end);
        (0..len).map(|at| bytes[at % 2]).collect()
    }

    /// What a producer had claimed and not committed is gone.
    fn unclaim(&mut self, nth: usize) {
        self.queue
            .retain(|message| message.is != Is::ClaimedBy(nth));
    }

    fn put_back(&mut self, nth: usize) {
        let before = self.queue.len();
        self.queue
            .retain(|one| !(one.is == Is::TakenBy(nth) && one.over));
        self.lost += (before - self.queue.len()) as u64;
        for message in &mut self.queue {
            if message.is == Is::TakenBy(nth) {
                message.is = Is::There;
                message.again = true;
            }
        }
    }

    /// Takes out what the producer has overwritten: the oldest.
    fn note_overwritten(&mut self, nth: usize) {
        let overwritten = self.producers[nth].overwritten();
        for _ in self.overwritten[nth]..overwritten {
            let oldest = self.queue.iter().position(|one| one.is == Is::There);
            self.queue.remove(oldest.expect("a message to overwrite"));
            self.lost += 1;
        }
        self.overwritten[nth] = overwritten;
        self.note_carried();
    }

    /// What others hold has made way.
    fn note_carried(&mut self) {
        let mut carried: Vec<_> = (0..self.producers.len())
            .filter_map(|nth| {
                let (before, now) = (self.claimed[nth]?, self.producers[nth].claimed_at()?);
                (now != before).then_some((now, nth))
            })
            .collect();
        carried.sort_unstable();
        for (now, nth) in carried {
            self.claimed[nth] = Some(now);
            let queue = std::mem::take(&mut self.queue).into_iter();
            let (its, others): (VecDeque<_>, _) =
                queue.partition(|one| one.is == Is::ClaimedBy(nth));
            self.queue = others;
            self.queue.extend(its);
        }
        for (nth, consumer) in self.consumers.iter().enumerate() {
            let mut taken = self
                .queue
                .iter_mut()
                .filter(|one| one.is == Is::TakenBy(nth));
            for (messages, over) in consumer.carried_over() {
                let run = taken.by_ref().take(messages as usize);
                run.for_each(|message| message.over = over);
            }
        }
    }

    fn check_refusal(&self, nth: usize, len: usize, error: SendError) {
        let max = self.producers[nth].max_len() as usize;
        let alone = self.consumers.len() == 1;
        match error {
            SendError::Closed => {
                assert!(alone && self.away == Some((Role::Consumer, Leaving::Closing)));
            }
            _ if len > max => assert_eq!(error, SendError::TooLarge { len, max }),
            SendError::PeerDied => {
                assert!(alone && self.away == Some((Role::Consumer, Leaving::Dying)));
            }
            SendError::Full | SendError::TimedOut if self.ring.setup.overwrite => {
                let held = self.queue.iter().filter(|one| one.is != Is::There);
                let held: u64 = held.map(|one| one.extent).sum();
                let is_full = held == self.ring.setup.cells || self.extent(len) > 1 && held > 0;
                assert!(is_full, "full where only {held} cells are held");
            }
            SendError::Full | SendError::TimedOut => {
                assert!(!self.queue.is_empty(), "full with nothing in it");
            }
            _ => panic!("{error:?}"),
        }
    }

    fn extent(&self, len: usize) -> u64 {
        (len as u64 + CELL_HEADER).div_ceil(self.ring.setup.cell_len.into())
    }

    fn put(&mut self, payload: Vec<u8>, is: Is, by: usize) {
        self.queue.push_back(Message {
            extent: self.extent(payload.len()),
            payload,
            is,
            again: false,
            by: Some(by),
            over: false,
        });
    }

    fn produce(&mut self, nth: usize, step: &Step) {
        match step {
            Step::Send(len) | Step::SendUntil(len) => {
                let message = self.payload(*len);
                self.unclaim(nth);
                let producer = &mut self.producers[nth];
                let sent = match step {
                    Step::Send(_) => producer.send(&message, None),
                    _ => producer.send(&message, Some(&HOW)),
                };
                let before = self.lost;
                self.note_overwritten(nth);
                match sent {
                    Ok(()) => self.put(message, Is::There, nth),
                    Err(error) => {
                        assert_eq!(self.lost, before, "a refusal discarded something");
                        self.check_refusal(nth, message.len(), error);
                    }
                }
            }
            Step::Claim(len) => {
                let message = self.payload(*len);
                self.unclaim(nth);
                let claimed = self.producers[nth].claim(message.len(), None);
                let before = self.lost;
                self.note_overwritten(nth);
                match claimed {
                    Ok(at) => {
                        self.producers[nth].member.region().write(at, &message);
                        self.put(message, Is::ClaimedBy(nth), nth);
                    }
                    Err(error) => {
                        assert_eq!(self.lost, before, "a refusal discarded something");
                        self.check_refusal(nth, message.len(), error);
                    }
                }
            }
            Step::Commit(part) => self.commit(nth, *part),
            Step::Batch(lens, commits) => self.batch(nth, lens, *commits),
            Step::Drained => self.drained(nth),
            _ => {
                self.unclaim(nth);
                self.producers[nth].abort();
            }
        }
    }

    fn commit(&mut self, nth: usize, part: usize) {
        let own = Is::ClaimedBy(nth);
        let claimed: Vec<_> = self.queue.iter_mut().filter(|one| one.is == own).collect();
        // Batches are committed as such.
        if let [_] = claimed[..] {
            for message in claimed {
                message.payload.truncate(part.max(LENS.start));
                message.is = Is::There;
                self.producers[nth].commit(message.payload.len() as u64);
            }
        }
    }

    fn batch(&mut self, nth: usize, lens: &[usize], commits: bool) {
        self.unclaim(nth);
        self.producers[nth].abort();
        let mut batch = Vec::new();
        for len in lens {
            let message = self.payload(*len);
            let pushed = self.producers[nth].push(&message);
            self.note_overwritten(nth);
            match pushed {
                Ok(()) => batch.push(message),
                Err(error) if batch.is_empty() => {
                    self.check_refusal(nth, message.len(), error);
                    break;
                }
                Err(_) => break,
            }
        }
        let mut is = Is::ClaimedBy(nth);
        // A lone message of a batch would pass for a claim.
        if commits || batch.len() == 1 {
            assert_eq!(self.producers[nth].commit_batch(), batch.len() as u64);
            is = Is::There;
        }
        batch
            .into_iter()
            .for_each(|message| self.put(message, is, nth));
    }

    fn drained(&mut self, nth: usize) {
        let drained = self.producers[nth].drained_until(&HOW);
        let claimed = |one: &Message| matches!(one.is, Is::ClaimedBy(_));
        let is_own = |one: &Message| one.by == Some(nth) && !claimed(one);
        match drained {
            Ok(()) => assert!(!self.queue.iter().any(is_own), "{:?}", self.queue),
            Err(SendError::TimedOut) => assert!(!self.queue.is_empty()),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Where the messages end that somebody could have.
    fn reach(&self) -> usize {
        let is_claimed = |one: &Message| matches!(one.is, Is::ClaimedBy(_));
        let claim = self.queue.iter().position(is_claimed);
        claim.unwrap_or(self.queue.len())
    }

    /// Somebody got this message: it is the first that can be had, or one that came back.
    fn note_received(&mut self, payload: &[u8], is: Is) {
        let mut there = self.queue.iter().take(self.reach()).enumerate();
        let found = there.find(|(_, one)| one.is == Is::There && one.payload == payload);
        let at = found.expect("a message that is there").0;
        let mut before = self.queue.iter().take(at).filter(|one| one.is == Is::There);
        assert!(
            before.all(|one| one.again) || self.queue[at].again,
            "out of order"
        );
        self.queue[at].is = is;
    }

    fn check_nothing(&self, error: RecvError) {
        // The end is told when nothing can come back.
        let ends = self.producers.len() == 1 && self.queue.is_empty();
        match error {
            RecvError::Empty | RecvError::TimedOut => {}
            RecvError::Closed => {
                assert!(ends && self.away == Some((Role::Producer, Leaving::Closing)));
            }
            RecvError::PeerDied => {
                assert!(ends && self.away == Some((Role::Producer, Leaving::Dying)));
            }
            _ => panic!("{error:?}"),
        }
        let mut reachable = self.queue.iter().take(self.reach());
        assert!(reachable.all(|one| one.is != Is::There), "{:?}", self.queue);
    }

    fn receive(&mut self, nth: usize, room: usize, waits: bool) {
        self.put_back(nth);
        let mut buffer = vec![0; room];
        let consumer = &mut self.consumers[nth];
        let received = match waits {
            false => consumer.recv_into(&mut buffer, None),
            true => consumer.recv_into(&mut buffer, Some(&HOW)),
        };
        match received {
            Ok(len) => {
                self.note_received(&buffer[..len], Is::TakenBy(usize::MAX));
                self.queue.retain(|one| one.is != Is::TakenBy(usize::MAX));
            }
            Err(RecvError::BufferTooSmall { len }) => {
                assert!(len > room);
                let reach = self.reach();
                let is_it = |one: &&mut Message| one.is == Is::There && one.payload.len() == len;
                let mut count = 0;
                // Which of them it was, nobody says.
                for message in self.queue.iter_mut().take(reach).filter(is_it) {
                    message.again = true;
                    count += 1;
                }
                assert!(count > 0, "no message of {len} bytes is there");
            }
            Err(error) => self.check_nothing(error),
        }
    }

    fn take(&mut self, nth: usize, most: u64) {
        self.put_back(nth);
        let mut found = match self.consumers[nth].take(most, None) {
            Ok(found) => Some(found),
            Err(error) => return self.check_nothing(error),
        };
        let mut count = 0;
        while let Some(message) = found {
            let mut bytes = vec![0; message.len];
            let consumer = &mut self.consumers[nth];
            consumer.member.region().read(message.payload, &mut bytes);
            count += 1;
            found = consumer.next_held(most - count).expect("a sound ring");
            self.note_received(&bytes, Is::TakenBy(nth));
        }
    }

    fn consume(&mut self, nth: usize, step: &Step) {
        match step {
            Step::Receive(room) => self.receive(nth, *room, false),
            Step::ReceiveUntil(room) => self.receive(nth, *room, true),
            Step::Ready => {
                self.put_back(nth);
                match self.consumers[nth].is_ready() {
                    Ok(true) => {
                        let mut reachable = self.queue.iter().take(self.reach());
                        assert!(reachable.any(|one| one.is == Is::There), "{:?}", self.queue);
                    }
                    Ok(false) => self.check_nothing(RecvError::Empty),
                    Err(error) => self.check_nothing(error),
                }
            }
            Step::Take(most) => self.take(nth, *most.max(&1)),
            Step::Release => {
                self.consumers[nth].release();
                self.queue.retain(|one| one.is != Is::TakenBy(nth));
            }
            _ => {
                self.consumers[nth].give_back();
                self.put_back(nth);
            }
        }
    }

    fn leave(&mut self, role: Role, who: usize, leaving: Leaving) {
        let nth = match role {
            Role::Producer => who % self.producers.len(),
            Role::Consumer => who % self.consumers.len(),
        };
        self.part(role, nth, leaving);
        // Others go on meanwhile, and find what it had.
        self.away = Some((role, leaving));
        self.meddler.begin();
        match role {
            Role::Producer => {
                self.receive(who % self.consumers.len(), LENS.end, false);
                self.producers[nth] = self.producer(nth);
                self.overwritten[nth] = 0;
            }
            Role::Consumer => {
                self.produce(who % self.producers.len(), &Step::Send(LENS.start));
                self.consumers[nth] = self.consumer(nth);
            }
        }
        self.away = None;
    }

    fn part(&mut self, role: Role, nth: usize, leaving: Leaving) {
        let slot = nth as u32;
        match role {
            Role::Producer => {
                let producer = &mut self.producers[nth];
                self.ring.part_producer(producer, slot, leaving);
                self.unclaim(nth);
                let own = self.queue.iter_mut().filter(|one| one.by == Some(nth));
                own.for_each(|message| message.by = None);
            }
            Role::Consumer => {
                let consumer = &mut self.consumers[nth];
                self.ring.part_consumer(consumer, slot, leaving);
                self.put_back(nth);
            }
        }
    }
}
