//! Who receives from a broadcast ring.

use std::time::{Duration, Instant};

use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::{Receiver, RecvError, Ring};
use ringway_testing::messages::{Random, claimed_signature, is_signed};
use serde::{Deserialize, Serialize};

use super::{Task, fork_listener, is_due, max_message, rest, some_wait, take_place};
use crate::soak::journal::{Journal, Order, Step};

/// It looks at so many messages at once at most.
const MOST_AT_ONCE: u64 = 6;

/// How it takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::soak) enum Ear {
    Block,
    /// The same, with a name of that number.
    Named(u32),
    Lossy,
    /// May be evicted when it is so many bytes behind.
    Behind(u64),
    /// May be evicted when the producer has waited for a moment.
    Held,
}

impl Ear {
    fn subscription(self) -> Subscription {
        let moment = Duration::from_micros(500);
        match self {
            Self::Block => Subscription::new(),
            Self::Named(number) => Subscription::new().name(format!("listener-{number}")),
            Self::Lossy => Subscription::new().policy(Policy::Lossy),
            Self::Behind(bytes) => {
                Subscription::new().policy(Policy::Evict(EvictAfter::Bytes(bytes)))
            }
            Self::Held => Subscription::new().policy(Policy::Evict(EvictAfter::Waiting(moment))),
        }
    }
}

pub(super) struct Listener<'a> {
    ring: Ring,
    receiver: Option<Receiver>,
    ear: Ear,
    journal: &'a Journal,
    random: Random,
    /// By what all messages are signed.
    who: u32,
    max: usize,
    /// The number of the next message, once it is known.
    next: Option<u64>,
    place_is_free: bool,
    buffer: Vec<u8>,
}

impl<'a> Listener<'a> {
    pub(super) fn attach(
        ring: Ring,
        ear: Ear,
        task: &Task,
        journal: &'a Journal,
    ) -> Result<Self, String> {
        let max = max_message(&ring);
        let mut listener = Self {
            receiver: None,
            ear,
            journal,
            random: Random(task.seed),
            who: task.name,
            next: None,
            place_is_free: task.place_is_free,
            buffer: vec![0; max],
            max,
            ring,
        };
        listener.take_place()?;
        Ok(listener)
    }

    /// Subscribes, again from where it stood.
    fn take_place(&mut self) -> Result<(), String> {
        self.journal.begin(Step::Attaching);
        let wish = match self.next {
            Some(next) => self.ear.subscription().start(Start::Number(next)),
            None => self.ear.subscription(),
        };
        let receiver = take_place(self.place_is_free, || self.ring.subscribe(&wish))?;
        let mut receiver = receiver.with_wait(some_wait(&mut self.random));
        let missed = receiver.lost();
        let begun = receiver.next_number().unwrap_or_default() - missed;
        match self.next {
            None => self.journal.begin_turn(begun, begun + missed),
            Some(next) if next == begun => self.journal.intend(next + missed),
            Some(next) => return Err(format!("it left before {next}, and begins with {begun}")),
        }
        // What is gone is told first.
        if missed > 0 {
            match receiver.try_recv_into(&mut []) {
                Err(RecvError::Lagged { missed: told }) if told == missed => {}
                other => return Err(format!("{missed} are gone, and it is told {other:?}")),
            }
        }
        self.note(begun + missed);
        self.receiver = Some(receiver);
        Ok(())
    }

    fn leave(&mut self) {
        self.journal.begin(Step::Leaving);
        self.receiver = None;
    }

    /// Receives until the producer has closed, once it is told to stop.
    pub(super) fn work(mut self) -> Result<(), String> {
        loop {
            let stops = !rest(self.journal, &mut self.random);
            if let Err(error) = self.receive_some() {
                let is_over = self.go_on_after(error)?;
                if is_over && stops {
                    break;
                }
            }
            if is_due(&mut self.random, 2000) {
                self.leave();
                self.take_place()?;
            }
            if is_due(&mut self.random, 3000) {
                fork_listener(self.journal, &mut self.random, self.receiver.as_mut())?;
            }
        }
        self.leave();
        Ok(())
    }

    /// It has released all messages up to this number.
    fn note(&mut self, next: u64) {
        self.next = Some(next);
        self.journal.acknowledge(next);
        self.journal.intend(next);
    }

    /// What it does when there was no message, because of this. Whether the producer has closed.
    fn go_on_after(&mut self, error: Failure) -> Result<bool, String> {
        let error = match error {
            Failure::Ring(error) => error,
            Failure::Problem(problem) => return Err(problem),
        };
        let Some(receiver) = &mut self.receiver else {
            return Err("not attached".to_owned());
        };
        let next = self.next.unwrap_or_default();
        match (error, self.ear) {
            (RecvError::Empty | RecvError::TimedOut, _) => Ok(false),
            (RecvError::Closed, _) if self.journal.order() == Order::Stop => Ok(true),
            (RecvError::Closed | RecvError::PeerDied, _) => {
                self.journal.begin(Step::AwaitingPeer);
                let soon = Instant::now() + Duration::from_millis(20);
                match receiver.wait_for_peer_deadline(soon) {
                    Ok(()) | Err(RecvError::TimedOut) => Ok(false),
                    Err(error) => Err(format!("waiting for a producer: {error:?}")),
                }
            }
            // One whom the producer waits for misses what was overwritten before it came, and nothing else.
            (RecvError::Lagged { missed }, Ear::Lossy) => {
                self.note(next + missed);
                Ok(false)
            }
            (RecvError::Evicted, Ear::Behind(_) | Ear::Held) => {
                self.leave();
                self.take_place()?;
                Ok(false)
            }
            (error, ear) => Err(format!("receiving message {next} as {ear:?}: {error:?}")),
        }
    }

    /// Receives some messages in some way.
    fn receive_some(&mut self) -> Result<(), Failure> {
        let way = self.random.below(12);
        let soon = Duration::from_micros(self.random.below(1000));
        let most = 1 + self.random.below(MOST_AT_ONCE);
        let next = self.next.unwrap_or_default();
        let (journal, who, max) = (self.journal, self.who, self.max);
        let Some(receiver) = &mut self.receiver else {
            return Err(Failure::Problem("not attached".to_owned()));
        };
        let buffer = &mut self.buffer;
        let check = |bytes: &[u8], number| check(bytes, who, number, max);
        journal.begin(match way {
            0..4 => Step::Receiving,
            4..8 => Step::ReceivingInPlace,
            _ => Step::ReceivingSeveral,
        });
        match way {
            0..4 => {
                journal.intend(next + 1);
                let len = match way {
                    0 => receiver.try_recv_into(buffer)?,
                    1 => receiver.recv_into_deadline(buffer, Instant::now() + soon)?,
                    _ => receiver.recv_into(buffer)?,
                };
                check(&buffer[..len], next)?;
                self.note(next + 1);
            }
            4..8 => {
                let message = match way {
                    4 => receiver.try_recv_in_place()?,
                    5 => receiver.recv_in_place_deadline(Instant::now() + soon)?,
                    _ => receiver.recv_in_place()?,
                };
                check(&message.to_vec(), next)?;
                // It comes again.
                if way == 7 {
                    return Ok(());
                }
                journal.intend(next + 1);
                message.release();
                self.note(next + 1);
            }
            8 | 9 => {
                journal.intend(next + most);
                receiver.wait()?;
                let (mut count, mut torn) = (0, None);
                let outcome = receiver.drain(most as usize, |message| {
                    let checked = check(&message.to_vec(), next + count);
                    torn = torn.take().or(checked.err());
                    count += 1;
                });
                if let Some(torn) = torn {
                    return Err(torn);
                }
                self.note(next + count);
                outcome?;
            }
            _ => {
                receiver.wait()?;
                let mut backlog = receiver.backlog();
                let mut count = 0;
                while count < most
                    && let Some(message) = backlog.next_message()?
                {
                    check(&message.to_vec(), next + count)?;
                    count += 1;
                }
                if way == 10 {
                    journal.intend(next + count);
                    backlog.release();
                    self.note(next + count);
                }
            }
        }
        Ok(())
    }
}

/// Why nothing was received.
enum Failure {
    Ring(RecvError),
    Problem(String),
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        Self::Ring(error)
    }
}

/// Whether this is message `number`, whole.
fn check(message: &[u8], who: u32, number: u64, max: usize) -> Result<(), Failure> {
    match claimed_signature(message) {
        Some(signature) if signature == (who, number) && is_signed(message, max) => Ok(()),
        claimed => {
            let len = message.len();
            let start: Vec<_> = message.iter().take(64).collect();
            let problem = format!("message {number} has {len} bytes, {claimed:?}: {start:02x?}");
            Err(Failure::Problem(problem))
        }
    }
}
