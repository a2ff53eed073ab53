//! Any sequence of operations by a producer and its consumers, who come, go, die and come again, also by their names: each
//! gets all messages, whole and in order, but those that it is told of and its policy allows it to miss; and nobody holds the producer up
//! who may not.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::broadcast::{EvictAfter, Policy, Start};
use ringway_core::verify::BroadcastRing;
use ringway_core::{RecvError, SendError};
use ringway_fuzz::broadcast::Wish;

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Send(u16),
    SendSoon(u16),
    Claim(u16, Option<u16>),
    Batch(Vec<u8>, bool),
    Drained,
    EndProducer(bool, bool),
    Join(u8, Wish),
    Leave(u8, bool),
    Receive(u8),
    ReceiveSoon(u8),
    Look(u8, u8, u8),
}

/// What is known of a consumer.
struct Known {
    policy: Policy,
    name: Option<String>,
    /// The number of the next message that it gets, or is told to have missed.
    next: u64,
    /// Whether it may be told that it was overtaken: at first, if what it wanted was gone.
    may_lag: bool,
}

struct World {
    ring: BroadcastRing,
    capacity: u64,
    /// Bytes of each message that was sent.
    sent: Vec<usize>,
    longest: u64,
    consumers: Vec<Option<Known>>,
    names: BTreeMap<String, u64>,
}

/// Message `number`, of so many bytes.
fn message(number: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number as usize * 31 + at) as u8)
        .collect()
}

/// Bytes that a message takes in the ring.
fn footprint(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

impl World {
    fn next_message(&mut self, len: usize) -> Vec<u8> {
        self.longest = self.longest.max(footprint(len));
        message(self.sent.len() as u64, len)
    }

    /// Whether somebody may keep `bytes` more from being sent.
    fn may_hold(&self, bytes: u64) -> bool {
        let holds = |known: &&Known| match known.policy {
            Policy::Block => true,
            Policy::Evict(EvictAfter::Waiting(time)) => !time.is_zero(),
            _ => false,
        };
        let behind = |known: &Known| {
            let messages = &self.sent[known.next as usize..];
            messages.iter().map(|len| footprint(*len)).sum::<u64>()
        };
        let holders = self.consumers.iter().flatten().filter(holds);
        let most = holders.map(behind).max();
        most.is_some_and(|most| most + self.longest + bytes + 8 > self.capacity)
    }

    fn check_refusal(&self, len: usize, error: SendError) {
        let max = self.ring.max_len();
        match len > max {
            true => assert_eq!(error, SendError::TooLarge { len, max }),
            false => {
                assert!(matches!(error, SendError::Full | SendError::TimedOut));
                assert!(self.may_hold(footprint(len)), "nobody holds it up");
            }
        }
    }

    fn produce(&mut self, step: &Step) {
        match step {
            Step::Send(len) | Step::SendSoon(len) => {
                let message = self.next_message((*len).into());
                let outcome = match step {
                    Step::Send(_) => self.ring.send(&message, &[]),
                    _ => self.ring.send_soon(&message, &[]),
                };
                match outcome {
                    Ok(()) => self.sent.push(message.len()),
                    Err(error) => self.check_refusal(message.len(), error),
                }
            }
            Step::Claim(len, commits) => {
                let message = self.next_message((*len).into());
                let commits = commits.map(|len| usize::from(len).min(message.len()));
                match (self.ring.claim(&message, commits, &[]), commits) {
                    (Ok(()), Some(len)) => self.sent.push(len),
                    (Ok(()), None) => {}
                    (Err(error), _) => self.check_refusal(message.len(), error),
                }
            }
            Step::Batch(lens, commits) => {
                let first = self.sent.len() as u64;
                let numbers = first..;
                let messages: Vec<_> = numbers
                    .zip(lens)
                    .map(|(number, len)| message(number, (*len).into()))
                    .collect();
                let all = lens.iter().map(|len| footprint((*len).into()));
                self.longest = self.longest.max(all.max().unwrap_or(0));
                let laid = self.ring.batch(&messages, *commits, &[]);
                if *commits {
                    self.sent
                        .extend(lens[..laid].iter().map(|len| usize::from(*len)));
                }
            }
            Step::Drained => {
                let sent = self.sent.len() as u64;
                let is_drained = self.ring.is_drained(&[]);
                let consumers = self.consumers.iter().enumerate();
                let known = consumers.filter_map(|(who, known)| Some((who, known.as_ref()?)));
                if is_drained {
                    // One that was evicted counts no more, and does not know it yet. What one has missed it need not receive.
                    let sure = known.filter(|(_, one)| !matches!(one.policy, Policy::Evict(_)));
                    for (who, _) in sure {
                        assert_eq!(self.ring.place(who).map(|(number, _)| number), Some(sent));
                    }
                } else {
                    assert!(known.into_iter().any(|(_, one)| one.next < sent));
                }
            }
            Step::EndProducer(closes, dies) => {
                self.ring.end_producer(*closes, *dies, &[]);
                // The next one comes at once.
                assert!(self.ring.claim(b"", None, &[]).is_ok() || self.may_hold(8));
            }
            _ => {}
        }
    }

    fn join(&mut self, who: usize, wish: Wish) {
        self.leave(who, false);
        let (sent, policy, name) = (self.sent.len() as u64, wish.policy(), wish.name());
        let joined = self.ring.join(who, &wish.subscription(), &[]);
        let is_taken = self
            .consumers
            .iter()
            .flatten()
            .any(|known| known.name.is_some() && known.name == name);
        let Ok((number, missed)) = joined else {
            assert!(is_taken, "{joined:?}");
            return;
        };
        assert!(!is_taken, "two have a name");
        let begun = number - missed;
        let kept = name.as_ref().and_then(|name| self.names.get(name));
        match (kept, wish.start()) {
            (Some(kept), _) => assert_eq!(begun, *kept),
            (None, Start::Latest) => assert_eq!(begun, sent),
            (None, Start::Last(count)) => assert_eq!(begun, sent.saturating_sub(count)),
            (None, Start::Number(number)) => assert_eq!(begun, number.min(sent)),
            (None, _) => assert!(begun <= sent),
        }
        self.consumers[who] = Some(Known {
            policy,
            name,
            next: begun,
            may_lag: missed > 0,
        });
    }

    fn leave(&mut self, who: usize, dies: bool) {
        let left = self.ring.leave(who, dies, &[]);
        if let Some(known) = self.consumers[who].take()
            && let (Some(name), Some(next)) = (known.name, left)
        {
            self.names.insert(name, next);
        }
    }

    /// What a consumer must be told that got nothing.
    fn check_nothing(&mut self, who: usize, error: RecvError) {
        let sent = self.sent.len() as u64;
        let Some(known) = &mut self.consumers[who] else {
            assert_eq!(error, RecvError::Empty);
            return;
        };
        match error {
            RecvError::Lagged { missed } => {
                assert!(known.may_lag || known.policy == Policy::Lossy);
                known.next += missed;
                known.may_lag = false;
                assert!(known.next <= sent);
            }
            RecvError::Evicted => assert!(matches!(known.policy, Policy::Evict(_))),
            error => {
                let expected = [RecvError::Empty, RecvError::TimedOut];
                assert!(expected.contains(&error), "{error:?}");
                assert_eq!(known.next, sent);
            }
        }
    }

    fn consume(&mut self, step: &Step) {
        let (Step::Receive(who) | Step::ReceiveSoon(who) | Step::Look(who, ..)) = step else {
            return;
        };
        let who = usize::from(*who) % BroadcastRing::CONSUMERS;
        let seen = match step {
            Step::Receive(_) => self.ring.receive(who, &[]).map(|one| (vec![one], 1)),
            Step::ReceiveSoon(_) => self.ring.receive_soon(who, &[]).map(|one| (vec![one], 1)),
            Step::Look(_, most, releases) => {
                let seen = self
                    .ring
                    .look(who, usize::from(*most) % 9, (*releases).into(), &[]);
                seen.map(|seen| {
                    let released = seen.len().min((*releases).into());
                    (seen, released)
                })
            }
            _ => return,
        };
        match seen {
            Err(error) => self.check_nothing(who, error),
            Ok((seen, released)) => {
                let Some(known) = &mut self.consumers[who] else {
                    assert!(seen.is_empty());
                    return;
                };
                for (number, bytes) in (known.next..).zip(&seen) {
                    assert_eq!(bytes, &message(number, self.sent[number as usize]));
                }
                known.next += released as u64;
            }
        }
        if let (Some(known), Some((number, _))) = (&self.consumers[who], self.ring.place(who)) {
            assert!(known.next <= number);
        }
    }
}

fuzz_target!(|input: Input| {
    let capacity = 64 << (input.capacity_log2 % 6);
    let Some(ring) = BroadcastRing::new(capacity) else {
        return;
    };
    let mut world = World {
        ring,
        capacity,
        sent: Vec::new(),
        longest: 0,
        consumers: (0..BroadcastRing::CONSUMERS).map(|_| None).collect(),
        names: BTreeMap::new(),
    };
    for step in &input.steps {
        match step {
            Step::Join(who, wish) => {
                world.join(usize::from(*who) % BroadcastRing::CONSUMERS, *wish);
            }
            Step::Leave(who, dies) => {
                world.leave(usize::from(*who) % BroadcastRing::CONSUMERS, *dies);
            }
            Step::Receive(_) | Step::ReceiveSoon(_) | Step::Look(..) => world.consume(step),
            step => world.produce(step),
        }
    }
    // All that is left comes, or is told to be gone.
    for who in 0..BroadcastRing::CONSUMERS as u8 {
        for _ in 0..=2 * world.sent.len() {
            world.consume(&Step::Receive(who));
        }
        let known = &world.consumers[usize::from(who)];
        if let Some(known) = known
            .as_ref()
            .filter(|known| !matches!(known.policy, Policy::Evict(_)))
        {
            assert_eq!(known.next, world.sent.len() as u64);
        }
    }
});
