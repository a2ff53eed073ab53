//! Messages as tasks: tried until one succeeds, and set aside when it was tried often enough.
//!
//! A [`TaskReceiver`] has a receiver, and a sender to where the *dead letters* go: messages that were delivered so often that whoever had
//! them failed, or died, each time. A message of which the count of deliveries says more is not shown any more. It is sent to the dead
//! letters, and then acknowledged, in this order. So it is never in neither place:
//!
//! | the process dies, or is stopped | among the dead letters | in its ring | afterwards |
//! |---|---|---|---|
//! | before the copy is committed | no | yes | a death: the next receiver sends it there. A stop: it is this receiver's meanwhile, as any message |
//! | after that, before it is acknowledged | yes | yes | a death: the next receiver sends it there *once more*, and [counts](TaskReceiver::moved_again) that. A stop: nobody else gets it |
//! | after that | yes | no | |
//!
//! So a death repeats at most the one dead letter that was on its way, and none is lost. A copy carries no mark: what comes out of the dead
//! letters is what went into the ring, byte for byte, and can be sent back there. Who must tell a repetition has to know it by the message itself.

use std::borrow::{Borrow, BorrowMut};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::api::receiver::Receiver;
use crate::api::ring::Ring;
use crate::api::sender::Sender;
use crate::api::transport::{MessageRoom, MessageSink, MessageSource, ReceivedMessage};
use crate::error::{Error, ErrorKind, RecvError, SendError};
use crate::memory::layout::Kind;
use crate::waiting::deadline_after;

/// A receiver that sets messages aside which were delivered often enough in vain.
///
/// [`Receiver::with_dead_letters`] makes one. A message comes as often as `after` says to whatever receiver has its turn; it counts as tried when it
/// was delivered and not acknowledged, because the work has failed or its process has died. Then it is sent to the dead letters and
/// acknowledged, by the receiver that would have had it next, and that one goes on with the next message. So a message that kills
/// whoever has it does not come for ever.
///
/// All receivers that share the messages should have the same dead letters and the same `after`. Messages are tried one by one: taken by the
/// dozen, as [`Receiver::drain`] does, all would count as tried where one was.
///
/// # When there is no room among the dead letters
/// Then it waits, as a sender does, and holds the message meanwhile. A call that must not wait so long gives the message back, and says why
/// ([`TaskError::DeadLetters`]); nothing is lost.
///
/// # Deaths
/// A process that dies after it has sent a message to the dead letters and before it could acknowledge it leaves it in both places. The next
/// receiver sends it there once more ([`moved_again`](Self::moved_again)): each death repeats at most one dead letter, and loses none.
///
/// # Several rings
/// A [`WaitSet`](crate::wait::WaitSet) waits for several of these, as it does for receivers; [`WaitSet::due`](crate::wait::WaitSet::due) tells them in the order in which they were
/// added, so the most urgent first if they were added so. `examples/17_work_queues.rs` has both.
///
/// ```
/// # use ringway_core as ringway;
/// let (jobs, dead) = (ringway::Builder::new("memfd:")?.create()?, ringway::Builder::new("memfd:")?.create()?);
/// let mut sender = jobs.sender()?;
/// sender.send(b"7")?;
/// sender.send(b"seven")?;
/// sender.send(b"8")?;
///
/// let mut tasks = jobs.receiver()?.with_dead_letters(&dead, 3)?;
/// let mut sum = 0;
/// for _ in 0..5 {
///     let done = tasks.process(|task| {
///         let number: u64 = String::from_utf8_lossy(&task.to_vec()).parse()?;
///         sum += number;
///         Ok::<_, std::num::ParseIntError>(())
///     })?;
///     println!("{done:?}"); // Ok, three times an error, Ok
/// }
/// assert_eq!((sum, tasks.moved()), (15, 1));
/// assert_eq!(dead.receiver()?.recv()?, b"seven");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TaskReceiver<R = Receiver, S = Sender> {
    receiver: R,
    dead_letters: S,
    after: u32,
    moved: u64,
    moved_again: u64,
}

/// Why there is no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// There is no message to take.
    Receive(RecvError),
    /// A message that was tried often enough could not be sent to the dead letters. It was given back, and is the next one.
    DeadLetters(SendError),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => error.fmt(f),
            Self::DeadLetters(error) => write!(f, "to the dead letters: {error}"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Receive(error) => Some(error),
            Self::DeadLetters(error) => Some(error),
        }
    }
}

/// How often a message can be tried before it is set aside. It counts its deliveries up to 15: one is that of which it is set aside, and
/// by one more a repetition is known.
pub const TRIES: RangeInclusive<u32> = 1..=13;

/// How long to wait.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Option<Instant>),
}

impl Receiver {
    /// Sends messages that were delivered `after` times and never acknowledged to `ring`, the *dead letters*, instead of showing them once more.
    /// It attaches there as a sender, so where several receivers share the messages, `ring` is one for many senders
    /// ([`Kind::Mpsc`](crate::Kind::Mpsc)).
    ///
    /// # Errors
    /// Those of [`Ring::sender`]; [`ErrorKind::Unsupported`] if `after` is not one of [`TRIES`](crate::tasks::TRIES), or `ring` loses messages
    /// by itself: one that [overwrites the oldest](crate::Builder::overwrite_oldest), or of kind [`Broadcast`](crate::Kind::Broadcast), which loses what nobody is there
    /// to receive; [`ErrorKind::Incompatible`] if `ring` is the receiver's own, or takes only shorter messages.
    pub fn with_dead_letters(self, ring: &Ring, after: u32) -> Result<TaskReceiver, Error> {
        check_dead_letters(Some(&self), ring)?;
        check_tries(ring.address(), after)?;
        Ok(TaskReceiver::new(self, ring.sender()?, after))
    }
}

/// Whether all that `receiver` receives can be kept in `ring`; of one that is no ring's only the ring is looked at.
pub fn check_dead_letters(receiver: Option<&Receiver>, ring: &Ring) -> Result<(), Error> {
    let refused = |kind, problem: &str, remedy: &str| {
        let error = Error::new(kind, "send dead letters to", ring.address(), problem);
        Err(error.remedy(remedy))
    };
    if ring.overwrites() {
        let remedy = "make it without overwriting";
        return refused(
            ErrorKind::Unsupported,
            "it loses its oldest messages",
            remedy,
        );
    }
    if ring.kind() == Kind::Broadcast {
        let problem = "a broadcast ring loses what nobody is there to receive";
        let remedy = "make it with kind mpsc or mpmc";
        return refused(ErrorKind::Unsupported, problem, remedy);
    }
    let Some(receiver) = receiver else {
        return Ok(());
    };
    if ring.nonce() == receiver.known.nonce {
        let problem = "it is the ring that they come from";
        let remedy = "make another ring for them";
        return refused(ErrorKind::Incompatible, problem, remedy);
    }
    let (longest, max) = (longest_message(receiver), ring.max_message_len());
    if max < longest {
        let problem = format!("it takes messages of up to {max} bytes, and some have {longest}");
        let remedy =
            "make it with the slabs of the ring that they come from, and with twice its capacity";
        return refused(ErrorKind::Incompatible, &problem, remedy);
    }
    Ok(())
}

/// The longest message that can come.
pub fn longest_message(receiver: &Receiver) -> u64 {
    receiver.known.geometry.max_message_len()
}

/// Refuses a number of tries that messages cannot count.
pub fn check_tries(at: impl fmt::Display, after: u32) -> Result<(), Error> {
    if TRIES.contains(&after) {
        return Ok(());
    }
    let (least, most) = TRIES.into_inner();
    let problem = format!("messages cannot count {after} tries");
    let error = Error::new(ErrorKind::Unsupported, "send dead letters to", at, problem);
    Err(error.remedy(format!("choose {least} to {most}")))
}

impl TaskReceiver {
    /// Leaves both rings such that others can go on: the dead letters do not end. (Dropping it is for their sender as dropping a [`Sender`].)
    pub fn leave(self) {
        self.dead_letters.leave();
    }
}

impl<R: MessageSource, S: MessageSink> TaskReceiver<R, S> {
    /// The same over any transports. That the dead letters take every message that may come, and keep it, is for the caller to see to.
    ///
    /// # Panics
    /// If `after` is not one of [`TRIES`](crate::tasks::TRIES).
    pub fn new(receiver: R, dead_letters: S, after: u32) -> Self {
        assert!(
            TRIES.contains(&after),
            "messages cannot count {after} tries"
        );
        Self {
            receiver,
            dead_letters,
            after,
            moved: 0,
            moved_again: 0,
        }
    }

    /// Receives the next message that was not tried often enough, waiting for it, and lends it to `work`; acknowledges it if that returns
    /// `Ok`. If it returns an error, or panics, the message is given back, and whoever receives next gets it again.
    ///
    /// # Errors
    /// [`TaskError`], with what [`Receiver::recv`] and [`Sender::send`] say. What `work` returns is inside.
    pub fn process<T, E>(
        &mut self,
        work: impl FnOnce(&R::Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        self.process_patiently(Patience::Until(None), work)
    }

    /// The same, waiting for at most `timeout` in all, for the message and for room among the dead letters.
    ///
    /// # Errors
    /// As [`process`](Self::process), and [`RecvError::TimedOut`] and [`SendError::TimedOut`]. What `work` returns is inside.
    pub fn process_timeout<T, E>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&R::Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        self.process_deadline(deadline_after(timeout), work)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`process_timeout`](Self::process_timeout). What `work` returns is inside.
    pub fn process_deadline<T, E>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
        work: impl FnOnce(&R::Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        self.process_patiently(Patience::Until(deadline.into()), work)
    }

    /// The same with a message that is there now, and with the room that is there now.
    ///
    /// # Errors
    /// As [`process`](Self::process), and [`RecvError::Empty`] and [`SendError::Full`]. What `work` returns is inside.
    pub fn try_process<T, E>(
        &mut self,
        work: impl FnOnce(&R::Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        self.process_patiently(Patience::None, work)
    }

    fn process_patiently<T, E>(
        &mut self,
        patience: Patience,
        work: impl FnOnce(&R::Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        loop {
            let message = match patience {
                Patience::None => self.receiver.try_receive(),
                Patience::Until(deadline) => self.receiver.receive_deadline(deadline),
            };
            let message = message.map_err(TaskError::Receive)?;
            let deliveries = message.deliveries();
            if deliveries <= self.after {
                let done = work(&message);
                match done {
                    Ok(_) => message.release(),
                    Err(_) => message.give_back(),
                }
                return Ok(done);
            }
            // Never the other way round: who dies between the two leaves it in both places, and not in none.
            if let Err(error) = copy(&message, &mut self.dead_letters, patience) {
                message.give_back();
                return Err(TaskError::DeadLetters(error));
            }
            message.release();
            self.moved += 1;
            self.moved_again += u64::from(deliveries > self.after + 1);
        }
    }

    /// Messages that this receiver has sent to the dead letters.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// How many of those may have been there already: one that died, or found no room, had tried to send them there before.
    pub fn moved_again(&self) -> u64 {
        self.moved_again
    }

    /// The receiver.
    pub fn get_ref(&self) -> &R {
        &self.receiver
    }

    /// The receiver, to wait with, say.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.receiver
    }

    /// The receiver, and the sender to the dead letters.
    pub fn into_parts(self) -> (R, S) {
        (self.receiver, self.dead_letters)
    }
}

impl<S> Borrow<Receiver> for TaskReceiver<Receiver, S> {
    fn borrow(&self) -> &Receiver {
        &self.receiver
    }
}

impl<S> BorrowMut<Receiver> for TaskReceiver<Receiver, S> {
    fn borrow_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }
}

/// Bytes that are copied at once.
const BLOCK: usize = 4096;

fn copy(
    message: &impl ReceivedMessage,
    sink: &mut impl MessageSink,
    patience: Patience,
) -> Result<(), SendError> {
    let len = message.len();
    let mut write = |room: &mut dyn MessageRoom| {
        let mut block = [0; BLOCK];
        let mut done = 0;
        while done < len {
            let count = message.read_at(done, &mut block);
            room.write_at(done, &block[..count]);
            // No message ends before its length; a loop must end all the same.
            done += count.max(1);
        }
    };
    match patience {
        Patience::None => sink.try_send_with(len, &mut write),
        Patience::Until(deadline) => sink.send_with_deadline(len, deadline, &mut write),
    }
}
