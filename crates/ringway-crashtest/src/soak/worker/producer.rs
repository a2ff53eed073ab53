//! Who sends.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::{Kind, Ring, SendError, Sender};
use ringway_testing::messages::{Random, sign};

use super::{Task, execute, fork_bystander, is_due, max_message, rest, some_wait, take_place};
use crate::soak::journal::{Journal, Step};

/// A batch has at most so many messages.
const MOST_IN_BATCH: u64 = 6;

pub(super) struct Producer<'a> {
    ring: Ring,
    sender: Option<Sender>,
    journal: &'a Journal,
    random: Random,
    name: u32,
    /// The number of the next message.
    number: u64,
    max: usize,
    message: Vec<u8>,
    place_is_free: bool,
}

impl<'a> Producer<'a> {
    pub(super) fn attach(ring: Ring, task: &Task, journal: &'a Journal) -> Result<Self, String> {
        let mut producer = Self {
            max: max_message(&ring),
            ring,
            sender: None,
            journal,
            random: Random(task.seed),
            name: task.name,
            number: 0,
            message: Vec::new(),
            place_is_free: task.place_is_free,
        };
        producer.take_place()?;
        if producer.ring.kind() == Kind::Broadcast {
            // Of all producers together, whoever comes.
            producer.number = producer.sender()?.sent();
            journal.begin_turn(producer.number, producer.number);
        }
        Ok(producer)
    }

    fn take_place(&mut self) -> Result<(), String> {
        self.journal.begin(Step::Attaching);
        let sender = take_place(self.place_is_free, || self.ring.sender())?;
        self.sender = Some(sender.with_wait(some_wait(&mut self.random)));
        Ok(())
    }

    pub(super) fn work(mut self) -> Result<(), String> {
        while rest(self.journal, &mut self.random) {
            self.send_some()?;
            if is_due(&mut self.random, 2000) {
                self.leave();
                self.take_place()?;
                let (number, found) = (self.number, self.sender()?.sent());
                if self.ring.kind() == Kind::Broadcast && found != number {
                    return Err(format!(
                        "it left before message {number}, and finds {found}"
                    ));
                }
            }
            if is_due(&mut self.random, 3000) {
                let sender = self.sender.as_mut();
                fork_bystander(self.journal, &mut self.random, || {
                    match sender.map(|sender| sender.try_send(b"")) {
                        Some(Err(SendError::Forked)) => Ok(()),
                        other => Err(format!("a forked child sends: {other:?}")),
                    }
                })?;
            }
            if is_due(&mut self.random, 20_000) {
                execute(self.journal)?;
            }
        }
        self.leave();
        Ok(())
    }

    fn leave(&mut self) {
        self.journal.begin(Step::Leaving);
        let closes = self.random.below(2) == 0;
        match self.sender.take() {
            Some(sender) if closes => sender.close(),
            Some(sender) => sender.leave(),
            None => {}
        }
    }

    fn sender(&mut self) -> Result<&mut Sender, String> {
        self.sender
            .as_mut()
            .ok_or_else(|| "not attached".to_owned())
    }

    /// Sends the next message, or the next few, in some way; or none, if the time was too short.
    fn send_some(&mut self) -> Result<(), String> {
        sign(&mut self.message, self.name, self.number, self.max);
        let way = self.random.below(12);
        if way < 2 {
            let aborts = self.random.below(8) == 0;
            return self.send_batch(aborts);
        }
        let soon = Duration::from_micros(self.random.below(1000));
        let (journal, max) = (self.journal, self.max);
        journal.begin(match way {
            2..6 => Step::SendingInPlace,
            _ => Step::Sending,
        });
        journal.intend(self.number + 1);
        let message = std::mem::take(&mut self.message);
        let (front, rest) = message.split_at(message.len() / 3);
        let sender = self.sender()?;
        let outcome = match way {
            2 => abort_then_claim_more(sender, &message, max),
            3 => sender.claim(message.len()).map(|mut claim| {
                claim.write_at(front.len(), rest);
                claim.write_at(0, front);
                claim.commit();
            }),
            4 => sender.try_claim(message.len()).map(|mut claim| {
                claim.write_at(0, &message);
                claim.commit();
            }),
            5 => sender.send_vectored(&[IoSlice::new(front), IoSlice::new(rest)]),
            6 => sender.try_send(&message),
            7 => sender.send_deadline(&message, Instant::now() + soon),
            _ => sender.send(&message),
        };
        self.message = message;
        self.end_send(outcome)?;
        if is_due(&mut self.random, 1000) {
            self.journal.begin(Step::AwaitingDrained);
            match self.sender()?.wait_until_drained() {
                Ok(()) | Err(SendError::PeerDied | SendError::Closed) => {}
                Err(error) => return Err(format!("waiting until drained: {error:?}")),
            }
        }
        Ok(())
    }

    fn end_send(&mut self, outcome: Result<(), SendError>) -> Result<(), String> {
        match outcome {
            Ok(()) => {
                self.number += 1;
                self.journal.acknowledge(self.number);
                Ok(())
            }
            Err(error) => {
                self.journal.intend(self.number);
                self.go_on_after(error)
            }
        }
    }

    /// Nothing was sent, because of this.
    fn go_on_after(&mut self, error: SendError) -> Result<(), String> {
        match error {
            SendError::Full | SendError::TimedOut => {}
            // The consumers will have successors: they end when all producers have.
            SendError::PeerDied | SendError::Closed => {
                self.journal.begin(Step::AwaitingPeer);
                if let Err(error) = self.sender()?.wait_for_peer() {
                    return Err(format!("waiting for a consumer: {error:?}"));
                }
            }
            error => return Err(format!("sending message {}: {error:?}", self.number)),
        }
        Ok(())
    }

    /// All of a batch or nothing is sent, also by one that dies.
    fn send_batch(&mut self, aborts: bool) -> Result<(), String> {
        self.journal.begin(Step::SendingBatch);
        let (name, number, max) = (self.name, self.number, self.max);
        let most = 1 + self.random.below(MOST_IN_BATCH);
        let mut message = std::mem::take(&mut self.message);
        let journal = self.journal;
        let mut batch = self.sender()?.batch();
        let mut refused = None;
        let mut count = 0;
        while count < most {
            sign(&mut message, name, number + count, max);
            if let Err(error) = batch.push(&message) {
                refused = Some(error);
                break;
            }
            count += 1;
        }
        if aborts {
            drop(batch);
            self.message = message;
            return Ok(());
        }
        journal.intend(number + count);
        let committed = batch.commit();
        self.message = message;
        if committed != count {
            return Err(format!("a batch of {count} has sent {committed}"));
        }
        self.number += count;
        self.journal.acknowledge(self.number);
        match refused {
            Some(error) if count == 0 && error != SendError::Full => self.go_on_after(error),
            Some(SendError::Full | SendError::PeerDied | SendError::Closed) | None => Ok(()),
            Some(error) => Err(format!("pushing into a batch: {error:?}")),
        }
    }
}

fn abort_then_claim_more(sender: &mut Sender, message: &[u8], max: usize) -> Result<(), SendError> {
    let mut claim = sender.claim(max / 4)?;
    claim.write_at(0, b"nobody sees this");
    claim.abort();
    let mut claim = sender.claim((message.len() + 200).min(max))?;
    claim.write_at(0, message);
    claim.commit_len(message.len());
    Ok(())
}
