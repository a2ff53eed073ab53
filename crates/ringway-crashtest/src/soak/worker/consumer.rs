//! Who receives.

use std::time::{Duration, Instant};

use ringway::{Receiver, RecvError, Ring};
use ringway_testing::messages::{Random, SIGNATURE_LEN, claimed_signature, is_signed};

use super::{Task, execute, fork_listener, is_due, max_message, rest, some_wait, take_place};
use crate::soak::journal::{Entry, Journal, Signature, Step};

/// A consumer has at most so many messages at once.
const MOST_HELD: u64 = 8;

pub(super) struct Consumer<'a> {
    ring: Ring,
    receiver: Option<Receiver>,
    journal: &'a Journal,
    random: Random,
    max: usize,
    place_is_free: bool,
}

/// Why there was nothing to receive.
enum Pause {
    /// Not now.
    Short,
    /// No producer is there.
    NoProducer,
}

impl<'a> Consumer<'a> {
    pub(super) fn attach(ring: Ring, task: &Task, journal: &'a Journal) -> Result<Self, String> {
        let mut consumer = Self {
            max: max_message(&ring),
            ring,
            receiver: None,
            journal,
            random: Random(task.seed),
            place_is_free: task.place_is_free,
        };
        consumer.take_place()?;
        Ok(consumer)
    }

    fn take_place(&mut self) -> Result<(), String> {
        self.journal.begin(Step::Attaching);
        let receiver = take_place(self.place_is_free, || self.ring.receiver())?;
        self.receiver = Some(receiver.with_wait(some_wait(&mut self.random)));
        Ok(())
    }

    /// Receives until there is nothing more, and nobody who could send more, once it is told to stop.
    pub(super) fn work(mut self) -> Result<(), String> {
        loop {
            let stops = !rest(self.journal, &mut self.random);
            match self.receive_some() {
                Ok(()) => {}
                Err(error) => match pause_of(error)? {
                    Pause::NoProducer if stops => break,
                    Pause::NoProducer => self.await_producer()?,
                    Pause::Short => {}
                },
            }
            self.do_something_rare(stops)?;
        }
        self.leave();
        Ok(())
    }

    fn do_something_rare(&mut self, stops: bool) -> Result<(), String> {
        if is_due(&mut self.random, 2000) {
            self.leave();
            self.take_place()?;
        }
        if is_due(&mut self.random, 3000) {
            fork_listener(self.journal, &mut self.random, self.receiver.as_mut())?;
        }
        if !stops && is_due(&mut self.random, 20_000) {
            execute(self.journal)?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.journal.begin(Step::Leaving);
        match self.receiver.take() {
            Some(receiver) if self.random.below(3) == 0 => receiver.close(),
            receiver => drop(receiver),
        }
    }

    fn await_producer(&mut self) -> Result<(), String> {
        self.journal.begin(Step::AwaitingPeer);
        let Some(receiver) = &mut self.receiver else {
            return Err("not attached".to_owned());
        };
        // The last producer may be about to leave, and nobody will come after it.
        let soon = Instant::now() + Duration::from_millis(20);
        match receiver.wait_for_peer_deadline(soon) {
            Ok(()) | Err(RecvError::TimedOut) => Ok(()),
            Err(error) => Err(format!("waiting for a producer: {error:?}")),
        }
    }

    /// Receives some messages in some way.
    fn receive_some(&mut self) -> Result<(), Failure> {
        let way = self.random.below(12);
        let soon = Duration::from_micros(self.random.below(1000));
        let most = 1 + self.random.below(MOST_HELD);
        let gives_back = self.random.below(16) == 0;
        let Some(receiver) = &mut self.receiver else {
            return Err(Failure::Problem("not attached".to_owned()));
        };
        let (journal, max) = (self.journal, self.max);
        journal.take_up_to(0);
        match way {
            0..2 => {
                journal.begin(Step::Receiving);
                receiver.wait()?;
                journal.begin(Step::ReceivingSeveral);
                receive_backlog(receiver, journal, max, most, gives_back)
            }
            2..4 => {
                journal.begin(Step::Receiving);
                receiver.wait()?;
                journal.begin(Step::ReceivingSeveral);
                drain(receiver, journal, max, most)
            }
            4..7 => {
                journal.begin(Step::ReceivingInPlace);
                journal.take_up_to(1);
                let message = match way {
                    4 => receiver.recv_in_place()?,
                    5 => receiver.recv_in_place_deadline(Instant::now() + soon)?,
                    _ => receiver.try_recv_in_place()?,
                };
                let signature = signature(&message.to_vec(), max)?;
                journal.write(Entry::Received(signature));
                journal.take_up_to(0);
                if gives_back {
                    journal.write(Entry::GivingBack);
                    message.give_back();
                } else {
                    journal.write(Entry::Releasing);
                    message.release();
                    journal.write(Entry::Released);
                }
                Ok(())
            }
            _ => {
                journal.begin(Step::ReceivingCopy);
                copy(journal, max, |buffer| match way {
                    7 => receiver.try_recv_into(buffer),
                    8 => receiver.recv_into_deadline(buffer, Instant::now() + soon),
                    _ => receiver.recv_into(buffer),
                })
            }
        }
    }
}

/// Why nothing was received.
pub(super) enum Failure {
    /// The ring's answer.
    Ring(RecvError),
    /// A message that is not whole, say.
    Problem(String),
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        Self::Ring(error)
    }
}

fn pause_of(failure: Failure) -> Result<Pause, String> {
    match failure {
        Failure::Ring(RecvError::Empty | RecvError::TimedOut) => Ok(Pause::Short),
        Failure::Ring(RecvError::Closed | RecvError::PeerDied) => Ok(Pause::NoProducer),
        Failure::Ring(error) => Err(format!("receiving: {error:?}")),
        Failure::Problem(problem) => Err(problem),
    }
}

fn signature(message: &[u8], max: usize) -> Result<Signature, Failure> {
    match claimed_signature(message) {
        Some(signature) if is_signed(message, max) => Ok(signature),
        claimed => {
            let len = message.len();
            let start: Vec<_> = message.iter().take(64).collect();
            let problem = format!("a torn message of {len} bytes, {claimed:?}: {start:02x?}");
            Err(Failure::Problem(problem))
        }
    }
}

/// Receives by a call that releases what it copied. The copy is where it is seen after a death: one that
/// is whole may have been released.
pub(super) fn copy(
    journal: &Journal,
    max: usize,
    receive: impl FnOnce(&mut [u8]) -> Result<usize, RecvError>,
) -> Result<(), Failure> {
    // SAFETY: this worker's journal, and the only place where its buffer is used.
    let buffer = unsafe { journal.buffer() };
    buffer[..SIGNATURE_LEN].fill(u8::MAX);
    journal.take_up_to(1);
    journal.begin_copy();
    let outcome = receive(buffer);
    if let Ok(len) = outcome {
        journal.write(Entry::Copied(signature(&buffer[..len], max)?));
    }
    journal.end_copy();
    journal.take_up_to(0);
    outcome.map(drop).map_err(Failure::from)
}

/// Shows message after message, each taken when the one before it is written down.
fn receive_backlog(
    receiver: &mut Receiver,
    journal: &Journal,
    max: usize,
    most: u64,
    gives_back: bool,
) -> Result<(), Failure> {
    let mut backlog = receiver.backlog();
    for _ in 0..most {
        journal.take_up_to(1);
        match backlog.next_message()? {
            Some(message) => {
                let signature = signature(&message.to_vec(), max)?;
                journal.write(Entry::Received(signature));
            }
            None => break,
        }
    }
    journal.take_up_to(0);
    if gives_back {
        journal.write(Entry::GivingBack);
        drop(backlog);
    } else {
        journal.write(Entry::Releasing);
        backlog.release();
        journal.write(Entry::Released);
    }
    Ok(())
}

/// Takes up to `most` messages together, so that some are taken of which nothing is written down yet. Who
/// dies in here may have released all: which message is shown last, only the call knows.
fn drain(receiver: &mut Receiver, journal: &Journal, max: usize, most: u64) -> Result<(), Failure> {
    let mut problem = None;
    let mut left = most;
    journal.write(Entry::Releasing);
    journal.take_up_to(left);
    let outcome = receiver.drain(most as usize, |message| {
        match signature(&message.to_vec(), max) {
            Ok(signature) => journal.write(Entry::Received(signature)),
            Err(torn) => problem = Some(torn),
        }
        left -= 1;
        journal.take_up_to(left);
    });
    if let Some(torn) = problem {
        return Err(torn);
    }
    journal.write(Entry::Released);
    journal.take_up_to(0);
    outcome.map(drop).map_err(Failure::from)
}
