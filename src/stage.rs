//! A stage of a pipeline: one message in, one message out, exactly once.
//!
//! A [`Stage`] has a receiver of one ring and a sender to another. It receives, sends and releases as one step that a restart resumes;
//! a [`StageError`] says which part of the step did not succeed.

use std::fmt;
use std::time::{Duration, Instant};

use ringway_core::os::deadline_after;
use ringway_core::{
    Error, ErrorKind, Message, Receiver, RecvError, Ring, SendError, Sender, WaitStrategy,
};

/// A stage of a pipeline: takes a message of one ring, sends one message made of it to another, and releases the first,
/// as one step. Whatever instruction its process is killed at, the next [`Stage`] on the same two rings goes on such that
/// each message that came in has gone out exactly once, in order.
///
/// The two rings keep the books themselves. A step sends before it releases, so the messages that were ever
/// [sent](Sender::sent) into the output are as many as were ever [received](Receiver::received) from the input, or one
/// more:
///
/// | the process dies | sent - received | the next stage |
/// |---|---|---|
/// | before the message is sent | 0 | takes the one that came in again, and does the work anew |
/// | after that, before the message that came in is released | 1 | releases that one, and does not do the work again |
/// | after that | 0 | takes the next |
///
/// So both rings must be the stage's alone: nobody else sends into the output or receives from the input. Both are made
/// for it; where one is made anew, so is the other. They are rings of kind [`Spsc`](crate::Kind::Spsc) with sync
/// [`Futex`](crate::SyncKind::Futex) that do not overwrite: these count each message, whoever dies. What the work does
/// besides (in files, in other systems) may be done once more after a death; [`Message::redelivered`] tells.
///
/// A stage that is dropped leaves as a [`Sender`] does that is dropped; [`leave`](Self::leave) is for one that goes on in
/// another process.
///
/// It can be sent to another thread (`Send`) and not be shared with one, as the two handles in it.
///
/// ```
/// use ringway::stage::Stage;
///
/// let (input, output) = (ringway::at("memfd:")?.create()?, ringway::at("memfd:")?.create()?);
/// let (mut source, mut sink) = (input.sender()?, output.receiver()?);
/// let mut stage = Stage::new(&input, &output)?;
///
/// fn shout(message: &ringway::Message<'_>) -> Result<Vec<u8>, std::convert::Infallible> {
///     Ok(message.to_vec().to_ascii_uppercase())
/// }
/// source.send(b"abc")?;
/// stage.step(shout)?;
/// assert_eq!(sink.recv()?, b"ABC");
/// stage.leave();
///
/// // As one does that is killed between the two: sent, and not released.
/// source.send(b"def")?;
/// let mut sender = output.sender()?;
/// sender.send(b"DEF")?;
/// sender.leave();
///
/// // The next one goes on with the message behind it.
/// source.send(b"ghi")?;
/// let mut stage = Stage::new(&input, &output)?;
/// stage.step(shout)?;
/// assert_eq!((sink.recv()?, sink.recv()?), (b"DEF".to_vec(), b"GHI".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stage {
    receiver: Receiver,
    sender: Sender,
}

/// Why a step was not made. The message that came in, if there was one, is the next step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StageError<E> {
    /// There is no message to take.
    Receive(RecvError),
    /// What the work has made could not be sent.
    Send(SendError),
    /// The work has failed.
    Work(E),
}

impl<E: fmt::Display> fmt::Display for StageError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Work(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for StageError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Receive(error) => Some(error),
            Self::Send(error) => Some(error),
            Self::Work(error) => Some(error),
        }
    }
}

impl Stage {
    /// Attaches to both rings, and goes on where the last stage on them stopped, whatever stopped it.
    ///
    /// # Errors
    /// Those of [`Ring::receiver`] and [`Ring::sender`]; [`ErrorKind::Unsupported`] if one of the rings does not count each
    /// message; [`ErrorKind::Incompatible`] if so many messages were received and sent as no stage has left: the rings
    /// were used otherwise, or only one of them was made anew.
    pub fn new(input: &Ring, output: &Ring) -> Result<Self, Error> {
        for ring in [input, output] {
            // One without cells is of kind spsc and sync futex, and does not overwrite.
            if ring.cell_len().is_some() {
                let problem = "each death may leave it a message short in its counts, and a stage goes by them";
                return Err(refused(ErrorKind::Unsupported, ring, problem)
                    .remedy("make it with kind spsc and sync futex, and without overwriting"));
            }
        }
        let mut receiver = input.receiver()?;
        let sender = output.sender()?;
        let (received, sent) = (receiver.received(), sender.sent());
        let refusal = match sent.checked_sub(received) {
            Some(0) => None,
            Some(1) => skip_first(&mut receiver).err().map(|error| {
                let problem = format!("the message that was sent on is not there: {error}");
                refused(ErrorKind::Corrupt, input, problem).remedy("make both rings anew")
            }),
            _ => {
                let output = output.address();
                let problem = format!(
                    "{received} messages were received from it and {sent} sent to {output}, which must be as many or \
                     one more"
                );
                let error = refused(ErrorKind::Incompatible, input, problem);
                Some(
                    error.remedy("make both rings anew, and let nobody else receive or send there"),
                )
            }
        };
        if let Some(error) = refusal {
            sender.leave();
            return Err(error);
        }
        Ok(Self { receiver, sender })
    }

    /// How blocked calls wait, on both sides.
    #[must_use]
    pub fn with_wait(self, how: WaitStrategy) -> Self {
        Self {
            receiver: self.receiver.with_wait(how),
            sender: self.sender.with_wait(how),
        }
    }

    /// Takes the next message, waiting for it, sends what `work` makes of it, waiting for room, and releases it.
    ///
    /// # Errors
    /// [`StageError`]; then nothing was sent, and the message is the next step's. After
    /// [`RecvError::PeerDied`] and [`SendError::PeerDied`] the stage can go on when there is a successor
    /// ([`wait_for_producer`](Self::wait_for_producer), [`wait_for_consumer`](Self::wait_for_consumer)).
    pub fn step<B: AsRef<[u8]>, E>(
        &mut self,
        work: impl FnOnce(&Message<'_>) -> Result<B, E>,
    ) -> Result<(), StageError<E>> {
        let message = self.receiver.recv_in_place();
        pass_on(message, work, |bytes| self.sender.send(bytes))
    }

    /// The same, waiting for at most `timeout` in all, for the message and for room.
    ///
    /// # Errors
    /// As [`step`](Self::step), and [`RecvError::TimedOut`] and [`SendError::TimedOut`].
    pub fn step_timeout<B: AsRef<[u8]>, E>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&Message<'_>) -> Result<B, E>,
    ) -> Result<(), StageError<E>> {
        self.step_deadline(deadline_after(timeout), work)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`step_timeout`](Self::step_timeout).
    pub fn step_deadline<B: AsRef<[u8]>, E>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
        work: impl FnOnce(&Message<'_>) -> Result<B, E>,
    ) -> Result<(), StageError<E>> {
        let deadline = deadline.into();
        let message = self.receiver.recv_in_place_deadline(deadline);
        pass_on(message, work, |bytes| {
            self.sender.send_deadline(bytes, deadline)
        })
    }

    /// The same, if there is a message now, and room for what is made of it.
    ///
    /// # Errors
    /// As [`step`](Self::step), and [`RecvError::Empty`] and [`SendError::Full`].
    pub fn try_step<B: AsRef<[u8]>, E>(
        &mut self,
        work: impl FnOnce(&Message<'_>) -> Result<B, E>,
    ) -> Result<(), StageError<E>> {
        let message = self.receiver.try_recv_in_place();
        pass_on(message, work, |bytes| self.sender.try_send(bytes))
    }

    /// Makes step after step until the stream that comes in has ended. Where a neighbour dies, it waits for the next
    /// one and goes on.
    ///
    /// # Errors
    /// As [`step`](Self::step), but for the deaths of neighbours.
    pub fn run<B: AsRef<[u8]>, E>(
        &mut self,
        mut work: impl FnMut(&Message<'_>) -> Result<B, E>,
    ) -> Result<(), StageError<E>> {
        loop {
            match self.step(&mut work) {
                Ok(()) => {}
                Err(StageError::Receive(RecvError::Closed)) => return Ok(()),
                Err(StageError::Receive(RecvError::PeerDied)) => {
                    match self.wait_for_producer() {
                        // The next step tells.
                        Ok(()) | Err(RecvError::Closed) => {}
                        Err(error) => return Err(StageError::Receive(error)),
                    }
                }
                Err(StageError::Send(SendError::PeerDied)) => {
                    self.wait_for_consumer().map_err(StageError::Send)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`Receiver::wait_for_peer`] of the input.
    ///
    /// # Errors
    /// The same.
    pub fn wait_for_producer(&mut self) -> Result<(), RecvError> {
        self.receiver.wait_for_peer()
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::wait_for_peer_timeout`].
    pub fn wait_for_producer_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        self.receiver.wait_for_peer_timeout(timeout)
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::wait_for_peer_deadline`].
    pub fn wait_for_producer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        self.receiver.wait_for_peer_deadline(deadline)
    }

    /// As [`Sender::wait_for_peer`] of the output.
    ///
    /// # Errors
    /// The same.
    pub fn wait_for_consumer(&mut self) -> Result<(), SendError> {
        self.sender.wait_for_peer()
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::wait_for_peer_timeout`].
    pub fn wait_for_consumer_timeout(&mut self, timeout: Duration) -> Result<(), SendError> {
        self.sender.wait_for_peer_timeout(timeout)
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Sender::wait_for_peer_deadline`].
    pub fn wait_for_consumer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.sender.wait_for_peer_deadline(deadline)
    }

    /// Steps that were ever made on these rings, by this stage and those before it.
    pub fn steps(&self) -> u64 {
        self.receiver.received()
    }

    /// Leaves both rings such that another stage can go on: the stream does not end.
    pub fn leave(self) {
        self.sender.leave();
    }
}

/// Nothing is acknowledged before it is sent on: that is the order in which the books are kept.
fn pass_on<B: AsRef<[u8]>, E>(
    message: Result<Message<'_>, RecvError>,
    work: impl FnOnce(&Message<'_>) -> Result<B, E>,
    send: impl FnOnce(&[u8]) -> Result<(), SendError>,
) -> Result<(), StageError<E>> {
    let message = message.map_err(StageError::Receive)?;
    let bytes = work(&message).map_err(StageError::Work)?;
    send(bytes.as_ref()).map_err(StageError::Send)?;
    message.release();
    Ok(())
}

/// Acknowledges the message that was sent on by one who died before it could.
fn skip_first(receiver: &mut Receiver) -> Result<(), RecvError> {
    // In a slab that this process cannot map, say: nobody needs to read it any more.
    if !receiver.skip_unreadable()? {
        receiver.try_recv_in_place()?.release();
    }
    Ok(())
}

fn refused(kind: ErrorKind, ring: &Ring, problem: impl Into<String>) -> Error {
    Error::new(kind, "make a stage of", ring.address(), problem)
}
