//! The ring behaves as a queue that several share, whatever they do in whatever order, and whoever dies.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::cell::consumer::Consumer;
use crate::cell::heap::HeapCells;
use crate::cell::producer::Producer;
use crate::error::{RecvError, SendError};
use crate::layout::Kind;
use crate::layout::participant::Role;
use crate::region::Region;
use crate::region::memory::Memory;

const MANY: u32 = 3;
const CELLS: u64 = 8;

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Claim(usize),
    /// Commits a part of what is claimed.
    Commit(usize),
    Abort,
    /// Some messages, and whether they are committed.
    Batch(Vec<usize>, bool),
    Receive,
    /// Takes up to so many messages and looks at them.
    Take(u64),
    Release,
    GiveBack,
    /// Dies with what it has; another takes its place.
    Die(Role),
}

fn step() -> impl Strategy<Value = Step> {
    let len = 2_usize..=250;
    let role = prop::sample::select(vec![Role::Producer, Role::Consumer]);
    // To die takes a system call, which Miri does not know.
    let deaths = u32::from(!cfg!(miri));
    prop_oneof![
        4 => len.clone().prop_map(Step::Send),
        2 => len.clone().prop_map(Step::Claim),
        2 => len.clone().prop_map(Step::Commit),
        1 => Just(Step::Abort),
        2 => (prop::collection::vec(2_usize..=80, 0..6), any::<bool>())
            .prop_map(|(lens, commits)| Step::Batch(lens, commits)),
        4 => Just(Step::Receive),
        3 => (1_u64..6).prop_map(Step::Take),
        3 => Just(Step::Release),
        1 => Just(Step::GiveBack),
        deaths => role.prop_map(Step::Die),
    ]
}

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
    is: Is,
    /// Whether it was taken before.
    again: bool,
}

struct World {
    ring: HeapCells,
    producers: Vec<Producer<Memory>>,
    consumers: Vec<Consumer<Memory>>,
    queue: VecDeque<Message>,
    made: u16,
    overwritten: Vec<u64>,
}

impl World {
    fn new(kind: Kind, overwrite: bool) -> Self {
        let mut ring = HeapCells::new(kind, MANY, CELLS, 64).unwrap();
        if overwrite {
            ring = ring.overwriting();
        }
        let many = |role| ring.geometry().slots(role).len();
        let producers: Vec<_> = (0..many(Role::Producer))
            .map(|nth| ring.producer(nth as u32).unwrap())
            .collect();
        let consumers = (0..many(Role::Consumer))
            .map(|nth| ring.consumer(nth as u32).unwrap())
            .collect();
        Self {
            overwritten: vec![0; producers.len()],
            ring,
            producers,
            consumers,
            queue: VecDeque::new(),
            made: 0,
        }
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.made += 1;
        let bytes = self.made.to_le_bytes();
        (0..len).map(|at| bytes[at % 2]).collect()
    }

    /// What a producer had claimed and not committed is gone.
    fn unclaim(&mut self, nth: usize) {
        self.queue
            .retain(|message| message.is != Is::ClaimedBy(nth));
    }

    fn put_back(&mut self, nth: usize) {
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
            let oldest = self.queue.pop_front().map(|message| message.is);
            assert_eq!(oldest, Some(Is::There));
        }
        self.overwritten[nth] = overwritten;
    }

    fn check_refusal(&self, nth: usize, len: usize, error: SendError) {
        let max = self.producers[nth].max_len() as usize;
        if len > max {
            assert_eq!(error, SendError::TooLarge { len, max });
            return;
        }
        assert_eq!(error, SendError::Full);
        assert!(!self.queue.is_empty(), "full with nothing in it");
    }

    fn put(&mut self, payload: Vec<u8>, is: Is) {
        self.queue.push_back(Message {
            payload,
            is,
            again: false,
        });
    }

    fn produce(&mut self, nth: usize, step: &Step) {
        match step {
            Step::Send(len) => {
                let message = self.payload(*len);
                self.unclaim(nth);
                let sent = self.producers[nth].try_send(&message);
                self.note_overwritten(nth);
                match sent {
                    Ok(()) => self.put(message, Is::There),
                    Err(error) => self.check_refusal(nth, *len, error),
                }
            }
            Step::Claim(len) => {
                let message = self.payload(*len);
                self.unclaim(nth);
                let claimed = self.producers[nth].claim(*len);
                self.note_overwritten(nth);
                match claimed {
                    Ok(at) => {
                        self.producers[nth].member.region().write(at, &message);
                        self.put(message, Is::ClaimedBy(nth));
                    }
                    Err(error) => self.check_refusal(nth, *len, error),
                }
            }
            Step::Commit(part) => {
                let own = Is::ClaimedBy(nth);
                let claimed: Vec<_> = self.queue.iter_mut().filter(|one| one.is == own).collect();
                // Batches are committed as such.
                if let [_] = claimed[..] {
                    for message in claimed {
                        message.payload.truncate(*part);
                        message.is = Is::There;
                        self.producers[nth].commit(message.payload.len() as u64);
                    }
                }
            }
            Step::Batch(lens, commits) => {
                self.unclaim(nth);
                self.producers[nth].abort();
                let mut batch = Vec::new();
                for len in lens {
                    let message = self.payload(*len);
                    let pushed = self.producers[nth].push(&message);
                    self.note_overwritten(nth);
                    if pushed.is_err() {
                        break;
                    }
                    batch.push(message);
                }
                let mut is = Is::ClaimedBy(nth);
                // A lone message of a batch would pass for a claim.
                if *commits || batch.len() == 1 {
                    assert_eq!(self.producers[nth].commit_batch(), batch.len() as u64);
                    is = Is::There;
                }
                batch.into_iter().for_each(|message| self.put(message, is));
            }
            _ => {
                self.unclaim(nth);
                self.producers[nth].abort();
            }
        }
    }

    /// Somebody got this message: it is the first that can be had, or one that came back.
    fn note_received(&mut self, payload: &[u8], is: Is) {
        let claim = self
            .queue
            .iter()
            .position(|one| matches!(one.is, Is::ClaimedBy(_)));
        let end = claim.unwrap_or(self.queue.len());
        let mut there = self.queue.iter().take(end).enumerate();
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
        let is_end = error == RecvError::PeerDied && self.queue.is_empty();
        assert!(error == RecvError::Empty || is_end, "{error:?}");
        let claim = |one: &&Message| matches!(one.is, Is::ClaimedBy(_));
        let mut reachable = self.queue.iter().take_while(|one| !claim(one));
        assert!(reachable.all(|one| one.is != Is::There), "{:?}", self.queue);
    }

    fn receive(&mut self, nth: usize) {
        self.put_back(nth);
        let mut buffer = [0; 512];
        match self.consumers[nth].try_recv_into(&mut buffer) {
            Ok(len) => {
                self.note_received(&buffer[..len], Is::TakenBy(usize::MAX));
                self.queue.retain(|one| one.is != Is::TakenBy(usize::MAX));
            }
            Err(error) => self.check_nothing(error),
        }
    }

    fn take(&mut self, nth: usize, most: u64) {
        self.put_back(nth);
        let mut found = match self.consumers[nth].take(most) {
            Ok(found) => Some(found),
            Err(error) => return self.check_nothing(error),
        };
        let mut count = 0;
        while let Some(message) = found {
            let mut bytes = vec![0; message.len];
            let consumer = &mut self.consumers[nth];
            consumer.member.region().read(message.payload, &mut bytes);
            count += 1;
            found = consumer.next_held(most - count).unwrap();
            self.note_received(&bytes, Is::TakenBy(nth));
        }
    }

    fn consume(&mut self, nth: usize, step: &Step) {
        match step {
            Step::Receive => self.receive(nth),
            Step::Take(most) => self.take(nth, *most),
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

    fn die(&mut self, role: Role, who: usize) {
        let many = self.ring.geometry().slots(role).len();
        let nth = who % many;
        self.ring.kill(role, nth as u32);
        match role {
            Role::Producer => {
                self.unclaim(nth);
                // Others find what it had claimed.
                self.receive(who % self.consumers.len());
                self.producers[nth] = self.ring.producer(nth as u32).unwrap();
                self.overwritten[nth] = 0;
            }
            Role::Consumer => {
                self.put_back(nth);
                self.consumers[nth] = self.ring.consumer(nth as u32).unwrap();
            }
        }
    }

    fn act(&mut self, who: usize, step: &Step) {
        match step {
            Step::Die(role) => self.die(*role, who),
            Step::Receive | Step::Take(_) | Step::Release | Step::GiveBack => {
                self.consume(who % self.consumers.len(), step);
            }
            _ => self.produce(who % self.producers.len(), step),
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
    fn a_ring_is_a_queue(
        kind in prop::sample::select(Kind::ALL.to_vec()),
        overwrite: bool,
        steps in prop::collection::vec((0_usize..6, step()), 1..if cfg!(miri) { 30 } else { 200 }),
    ) {
        let mut world = World::new(kind, overwrite);
        for (who, step) in &steps {
            world.act(*who, step);
        }
        for nth in 0..world.producers.len() {
            world.act(nth, &Step::Abort);
        }
        for nth in 0..world.consumers.len() {
            world.act(nth, &Step::GiveBack);
        }
        while !world.queue.is_empty() {
            world.receive(0);
        }
    }
}
