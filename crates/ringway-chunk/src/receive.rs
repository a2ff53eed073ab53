//! The receiving handle.

mod polling;
mod stream;

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use ringway_core::RecvError;
use ringway_core::os::deadline_after;
use ringway_core::transport::{MessageSource, ReceivedMessage};

pub use stream::MessageStream;

use crate::event::{Event, Gathered, Lost, Why};
use crate::frame::{FrameError, HEADER_LEN};
use crate::progress::Progress;
use crate::reassemble::{Limits, Reassembler};

/// Where it cannot be known who lives, or how much of the dead there is in the transport, a message of which nothing came while so many fragments of others did
/// makes room for others when they need it.
const STALLED: u64 = 4096;

/// Receives messages of any length.
///
/// A fragment is acknowledged as soon as it is copied, so there is no giving back: what is received is received. If this process dies, the messages of which
/// it has received a part are lost; the next receiver reports each once, as [`Why::Orphan`].
///
/// A sender that dies in the midst of a message while others live is noticed when all that it had sent is
/// received, also while this handle waits, if the transport knows who lives.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
/// use ringway::chunk::{ChunkReceiver, ChunkSender};
///
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// ChunkSender::new(ring.sender()?).send(b"hello")?;
/// let mut receiver = ChunkReceiver::new(ring.receiver()?);
/// assert_eq!(receiver.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
/// It can be sent to another thread if what carries its messages can, as the receivers of rings, queues and channels can. None of them can
/// be shared.
#[derive(Debug)]
pub struct ChunkReceiver<R: MessageSource> {
    source: R,
    reassembler: Reassembler,
    /// Bytes that the transport gave so far, and at which to look again who lives.
    received: u64,
    next_look: u64,
    /// Senders that did not live any more at the last look.
    gone: Vec<u64>,
    /// The last that came while a message was streamed, and was not told yet; and the bytes of all such.
    not_a_frame: Option<(FrameError, u64)>,
}

/// Why there is no message.
#[non_exhaustive]
pub enum ChunkRecvError {
    /// A message is lost. Receive again for the next.
    Lost(Lost),
    /// What came is no fragment; it is released. Receive again for the next.
    Frame(FrameError),
    /// The transport has none. When it has ended, all messages that were in flight have been reported.
    Transport(RecvError),
    /// The message could not be written to where it should go; the rest of it is dropped.
    Write(io::Error),
}

impl fmt::Display for ChunkRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => lost.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Write(error) => write!(
                f,
                "message given up, as it cannot be written: {error}; have it sent again",
            ),
        }
    }
}

/// Its name and its text, which a failed `main` or `unwrap` shows.
impl fmt::Debug for ChunkRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Lost(_) => "Lost",
            Self::Frame(_) => "Frame",
            Self::Transport(_) => "Transport",
            Self::Write(_) => "Write",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for ChunkRecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost(lost) => Some(lost),
            Self::Frame(error) => Some(error),
            Self::Transport(error) => Some(error),
            Self::Write(error) => Some(error),
        }
    }
}

/// A message that was handed on in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Who sent it: the sender's attachment to the transport.
    pub sender: u64,
    /// Which of the sender's messages it was.
    pub message: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// How long to wait for a frame.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Option<Instant>),
}

impl<R: MessageSource> ChunkReceiver<R> {
    /// Receives from `source`, within the default [`Limits`].
    pub fn new(source: R) -> Self {
        Self::with_limits(source, Limits::default())
    }

    /// Receives from `source`.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        Self {
            source,
            reassembler: Reassembler::new(limits),
            received: 0,
            next_look: 0,
            gone: Vec::new(),
            not_a_frame: None,
        }
    }

    /// Takes what there is now, and returns a message if that made one whole.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Empty`] if none is whole yet.
    pub fn try_recv(&mut self) -> Result<Vec<u8>, ChunkRecvError> {
        self.try_recv_gathered().map(|message| message.bytes)
    }

    /// Receives the next message that is whole, waiting for it.
    ///
    /// # Errors
    /// [`ChunkRecvError`]. After [`Lost`](ChunkRecvError::Lost) and [`Frame`](ChunkRecvError::Frame) others
    /// follow.
    pub fn recv(&mut self) -> Result<Vec<u8>, ChunkRecvError> {
        self.recv_deadline(None)
    }

    /// Receives the next message that is whole, waiting for it for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ChunkRecvError> {
        self.recv_deadline(deadline_after(timeout))
    }

    /// Receives the next message that is whole, waiting for it until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, ChunkRecvError> {
        let message = self.recv_gathered_deadline(deadline);
        message.map(|message| message.bytes)
    }

    /// As [`try_recv`](Self::try_recv), with the sender.
    ///
    /// # Errors
    /// The same.
    pub fn try_recv_gathered(&mut self) -> Result<Gathered, ChunkRecvError> {
        loop {
            if let Some(message) = self.waiting()? {
                return Ok(message);
            }
            self.take_frame(Patience::None)?;
        }
    }

    /// As [`recv`](Self::recv), with the sender.
    ///
    /// # Errors
    /// The same.
    pub fn recv_gathered(&mut self) -> Result<Gathered, ChunkRecvError> {
        self.recv_gathered_deadline(None)
    }

    /// As [`recv_timeout`](Self::recv_timeout), with the sender.
    ///
    /// # Errors
    /// The same.
    pub fn recv_gathered_timeout(&mut self, timeout: Duration) -> Result<Gathered, ChunkRecvError> {
        self.recv_gathered_deadline(deadline_after(timeout))
    }

    /// As [`recv_deadline`](Self::recv_deadline), with the sender.
    ///
    /// # Errors
    /// The same.
    pub fn recv_gathered_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Gathered, ChunkRecvError> {
        let deadline = deadline.into();
        loop {
            if let Some(message) = self.waiting()? {
                return Ok(message);
            }
            self.take_frame(Patience::Until(deadline))?;
            if !self.reassembler.has_events() {
                check(deadline)?;
            }
        }
    }

    /// Receives the next message into `writer`, piece by piece as it comes, whatever its length; the
    /// limits are for messages of other senders that come meanwhile. `progress` is told after each piece. Waits for it.
    ///
    /// # Errors
    /// [`ChunkRecvError`]. A part of the message may have been written.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
    /// use ringway::chunk::{ChunkReceiver, ChunkSender};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ChunkSender::new(ring.sender()?).send(b"hello")?;
    /// let mut file = Vec::new();
    /// let mut receiver = ChunkReceiver::new(ring.receiver()?);
    /// let received = receiver.recv_to(&mut file, |progress| println!("{progress:?}"))?;
    /// assert_eq!((received.len, file), (5, b"hello".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_to(
        &mut self,
        writer: impl Write,
        progress: impl FnMut(Progress),
    ) -> Result<Streamed, ChunkRecvError> {
        self.recv_to_deadline(writer, None, progress)
    }

    /// The same, waiting for at most `timeout` for all of it.
    ///
    /// # Errors
    /// As [`recv_to`](Self::recv_to), and [`RecvError::TimedOut`].
    pub fn recv_to_timeout(
        &mut self,
        writer: impl Write,
        timeout: Duration,
        progress: impl FnMut(Progress),
    ) -> Result<Streamed, ChunkRecvError> {
        self.recv_to_deadline(writer, deadline_after(timeout), progress)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_to`](Self::recv_to), and [`RecvError::TimedOut`].
    pub fn recv_to_deadline(
        &mut self,
        mut writer: impl Write,
        deadline: impl Into<Option<Instant>>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Streamed, ChunkRecvError> {
        let mut stream = self.stream_deadline(deadline)?;
        loop {
            let bytes = stream.next_bytes()?;
            let len = bytes.len();
            if len == 0 {
                return Ok(Streamed {
                    sender: stream.sender(),
                    message: stream.message(),
                    len: stream.taken(),
                });
            }
            writer.write_all(bytes).map_err(ChunkRecvError::Write)?;
            stream.consume(len);
            progress(Progress {
                done: stream.taken(),
                total: stream.total(),
            });
        }
    }

    /// Waits for the next message, and hands it out to be read, as it comes, whatever its length.
    ///
    /// # Errors
    /// [`ChunkRecvError`], if there is none. If the message is lost later, reading fails.
    pub fn stream(&mut self) -> Result<MessageStream<'_, R>, ChunkRecvError> {
        MessageStream::begin(self, None)
    }

    /// The same, waiting for at most `timeout` for all of it.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and [`RecvError::TimedOut`].
    pub fn stream_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<MessageStream<'_, R>, ChunkRecvError> {
        MessageStream::begin(self, deadline_after(timeout))
    }

    /// The same, waiting until `deadline` for all of it; `None` is never.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and [`RecvError::TimedOut`].
    pub fn stream_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<MessageStream<'_, R>, ChunkRecvError> {
        MessageStream::begin(self, deadline.into())
    }

    /// Takes the buffer of a message that is done with, for another as long.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.reassembler.recycle(buffer);
    }

    /// A whole message, or a loss, that waits to be told.
    fn waiting(&mut self) -> Result<Option<Gathered>, ChunkRecvError> {
        if let Some((error, _)) = self.not_a_frame.take() {
            return Err(ChunkRecvError::Frame(error));
        }
        match self.reassembler.poll() {
            Some(Event::Message(message)) => Ok(Some(message)),
            Some(Event::Lost(lost)) => Err(ChunkRecvError::Lost(lost)),
            None => Ok(None),
        }
    }

    /// Takes one frame, or finds that messages in flight are lost.
    fn take_frame(&mut self, patience: Patience) -> Result<(), ChunkRecvError> {
        if self.received >= self.next_look {
            self.look();
        }
        match self.try_take_frame() {
            Err(ChunkRecvError::Transport(RecvError::Empty)) => {}
            done => return done,
        }
        // First who lives, then whether the transport is empty: what the dead have sent comes first.
        let gone = self.who_is_gone();
        if !gone.is_empty() {
            match self.try_take_frame() {
                Err(ChunkRecvError::Transport(RecvError::Empty)) => {}
                done => return done,
            }
            if self.source.is_drained() {
                for sender in &gone {
                    self.reassembler.lose(*sender, Why::SenderGone);
                }
                return Ok(());
            }
        }
        let Patience::Until(deadline) = patience else {
            return Err(ChunkRecvError::Transport(RecvError::Empty));
        };
        if !self.reassembler.is_idle() {
            // Those that are gone already have something behind a message that is being written.
            let live = self.reassembler.in_flight().map(|one| one.sender);
            let live: Vec<u64> = live.filter(|sender| !gone.contains(sender)).collect();
            if self.source.wait_while_attached_deadline(&live, deadline) {
                return Ok(());
            }
        }
        let error = match self.source.receive_deadline(deadline) {
            Ok(message) => return take(&mut self.reassembler, &mut self.received, message),
            Err(error) => error,
        };
        self.ended(error)
    }

    fn try_take_frame(&mut self) -> Result<(), ChunkRecvError> {
        let error = match self.source.try_receive() {
            Ok(message) => return take(&mut self.reassembler, &mut self.received, message),
            Err(error) => error,
        };
        self.ended(error)
    }

    /// When all is received and nobody is there who could go on, what is in flight is lost.
    fn ended(&mut self, error: RecvError) -> Result<(), ChunkRecvError> {
        let over = matches!(
            error,
            RecvError::Closed | RecvError::PeerDied | RecvError::Removed
        );
        if !over || self.reassembler.is_idle() {
            return Err(ChunkRecvError::Transport(error));
        }
        let senders: Vec<u64> = self.reassembler.in_flight().map(|one| one.sender).collect();
        for sender in senders {
            self.reassembler.lose(sender, Why::SenderGone);
        }
        Ok(())
    }

    /// The senders of messages in flight that do not live any more.
    fn who_is_gone(&self) -> Vec<u64> {
        let in_flight = self.reassembler.in_flight().map(|one| one.sender);
        in_flight
            .filter(|sender| self.source.is_attached(*sender) == Some(false))
            .collect()
    }

    /// The look while busy. Who was gone when the transport had a whole capacity more to give has nothing in
    /// it any more.
    fn look(&mut self) {
        if self.reassembler.is_idle() {
            return;
        }
        for sender in std::mem::take(&mut self.gone) {
            self.reassembler.lose(sender, Why::SenderGone);
        }
        if let Some(capacity) = self.source.capacity() {
            self.gone = self.who_is_gone();
            self.next_look = self.received.saturating_add(capacity);
        } else {
            self.next_look = self.received.saturating_add(HEADER_LEN as u64 * STALLED);
            self.drop_stalled();
        }
    }

    /// Where it cannot be known who lives, or what of the dead is still in the transport, makes room for others at the
    /// cost of who is likely dead.
    fn drop_stalled(&mut self) {
        if !self.reassembler.has_refused() {
            return;
        }
        let idlest = self.reassembler.in_flight().max_by_key(|one| one.idle);
        if let Some(one) = idlest
            && one.idle >= STALLED
            && self.source.is_attached(one.sender) != Some(true)
        {
            self.reassembler.lose(one.sender, Why::Stalled);
        }
    }

    /// What is in flight, and what it takes.
    pub fn reassembler(&self) -> &Reassembler {
        &self.reassembler
    }

    /// Bytes that were taken out of the transport and not handed on: of other messages than the last, which came in
    /// between. They are lost with this receiver.
    pub fn undelivered(&self) -> u64 {
        let no_frames = self.not_a_frame.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.reassembler.held() + no_frames
    }

    /// The transport.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// The transport. What is received there by other means is missing here.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The transport. What was received of messages in flight is dropped.
    pub fn into_inner(self) -> R {
        self.source
    }
}

/// A frame that brings nothing to tell must not keep the caller beyond the deadline.
fn check(deadline: Option<Instant>) -> Result<(), ChunkRecvError> {
    match deadline {
        Some(deadline) if Instant::now() >= deadline => {
            Err(ChunkRecvError::Transport(RecvError::TimedOut))
        }
        _ => Ok(()),
    }
}

/// Copies a frame out of the transport, its header, then its payload to where it belongs, and acknowledges it.
fn take(
    reassembler: &mut Reassembler,
    received: &mut u64,
    message: impl ReceivedMessage,
) -> Result<(), ChunkRecvError> {
    let len = message.len();
    *received = received.saturating_add(len as u64);
    let mut header = [0; HEADER_LEN];
    let copied = message.read_at(0, &mut header);
    let header = header.get(..copied).unwrap_or_default();
    let taken = reassembler.push_with(header, len, |offset, room| {
        message.read_at(HEADER_LEN + offset, room)
    });
    // Also what is no fragment: it would come again for ever.
    message.release();
    taken.map_err(ChunkRecvError::Frame)
}
