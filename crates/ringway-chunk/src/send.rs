//! The sending handle.

mod polling;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice, Read};
use std::time::{Duration, Instant};

use ringway_core::SendError;
use ringway_core::os::deadline_after;
use ringway_core::transport::{MessageRoom, MessageSink};

pub use polling::Sending;

use crate::frame::{HEADER_LEN, Header};
use crate::progress::Progress;
use crate::split::Splitter;

/// Fragments are no longer, header included, unless asked for: the receiver begins the sooner. (Measured through a ring
/// of 1 MiB, 64 KiB and 256 KiB make the same rate.)
const MOST_FRAGMENT: usize = 64 << 10;
/// Shorter fragments are not worth it where the transport carries longer ones.
const LEAST_FRAGMENT: usize = 8 << 10;
/// What a ring adds to a message, at most, if eight fragments shall fill it without a rest.
const RECORD: usize = 64;

/// Sends messages of any length.
///
/// A message that is given up half way, because of an error, a deadline or a panic, is aborted with a frame
/// that says so, if there is room for it; otherwise the sender's next message or its leaving says it.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
/// use ringway::chunk::ChunkSender;
///
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// let mut sender = ChunkSender::new(ring.sender()?);
/// sender.send(b"short or long")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
/// It can be sent to another thread if what carries its messages can, as the senders of rings, queues and channels can. None of them can
/// be shared: threads that send side by side have a handle each, and messages of several are told apart on the other side.
#[derive(Debug)]
pub struct ChunkSender<S: MessageSink> {
    sink: S,
    /// Bytes of a fragment's payload; 0 if the transport carries none.
    fragment_len: usize,
    next_message: u64,
    /// For what is read from elsewhere.
    buffer: Vec<u8>,
}

/// Why a message was not sent, or not all of it.
#[non_exhaustive]
pub enum ChunkSendError {
    /// The transport failed.
    Transport {
        /// Why.
        error: SendError,
        /// Bytes of the message that were sent before; it is lost to the receiver.
        sent: u64,
    },
    /// Several receivers share the transport, and would each get a part of the message.
    SharedOut {
        /// The longest message that goes in one fragment, in bytes.
        max: usize,
    },
    /// The transport's messages are too short for fragments.
    TransportTooSmall {
        /// The longest that it carries, in bytes.
        max: usize,
    },
    /// What was to be sent could not be read.
    Read(io::Error),
    /// What was to be sent ended early.
    TooShort {
        /// Bytes that it was said to have.
        said: u64,
        /// Bytes that it had.
        found: u64,
    },
}

impl fmt::Display for ChunkSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport { error, sent } => {
                write!(f, "message given up after {sent} bytes: {error}")
            }
            Self::SharedOut { max } => write!(
                f,
                "several receivers share this transport, and each would get some of the fragments: \
                 send messages of up to {max} bytes, or use a ring with one consumer (spsc or mpsc)",
            ),
            Self::TransportTooSmall { max } => write!(
                f,
                "this transport carries messages of up to {max} bytes, and a fragment takes \
                 {HEADER_LEN} and its payload: create it for longer ones",
            ),
            Self::Read(error) => {
                write!(
                    f,
                    "message given up, as what to send cannot be read: {error}"
                )
            }
            Self::TooShort { said, found } => write!(
                f,
                "message given up: {said} bytes were to be sent and there are {found}; say None if \
                 the length is not known",
            ),
        }
    }
}

/// Its name and its text, which a failed `main` or `unwrap` shows.
impl fmt::Debug for ChunkSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Transport { .. } => "Transport",
            Self::SharedOut { .. } => "SharedOut",
            Self::TransportTooSmall { .. } => "TransportTooSmall",
            Self::Read(_) => "Read",
            Self::TooShort { .. } => "TooShort",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for ChunkSendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport { error, .. } => Some(error),
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

impl<S: MessageSink> ChunkSender<S> {
    /// Sends through `sink`, in fragments of which several fit into the transport.
    pub fn new(sink: S) -> Self {
        let max = sink.max_message_len();
        let frame = (max / 4).saturating_sub(RECORD);
        let frame = frame.max(max.min(LEAST_FRAGMENT)).min(MOST_FRAGMENT);
        // Numbers go on from somewhere, so that another handle that goes on with the same sender does not
        // seem to repeat what this one sent.
        let next_message = RandomState::new().build_hasher().finish();
        Self {
            sink,
            fragment_len: payload_of(frame),
            next_message,
            buffer: Vec::new(),
        }
    }

    /// Sets how many bytes of a message go in one fragment: as near to `len` as the transport allows.
    #[must_use]
    pub fn with_fragment_len(mut self, len: usize) -> Self {
        let most = self.sink.max_message_len().saturating_sub(HEADER_LEN);
        let most = most.min(u32::MAX as usize);
        self.fragment_len = len.max(1).min(most);
        self
    }

    /// Bytes of a message that go in one fragment. Messages up to this length go at once.
    pub fn fragment_len(&self) -> usize {
        self.fragment_len
    }

    /// Sends a message of any length if there is room for all of it now. If there is room for a part only, that is sent
    /// and given up; so this is for messages of one [fragment](Self::fragment_len) above all.
    ///
    /// # Errors
    /// [`ChunkSendError`], with [`SendError::Full`] for want of room.
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), ChunkSendError> {
        self.send_whole(message, None)
    }

    /// Sends a message of any length, waiting for room.
    ///
    /// # Errors
    /// [`ChunkSendError`].
    pub fn send(&mut self, message: &[u8]) -> Result<(), ChunkSendError> {
        self.send_whole(message, Some(None))
    }

    /// Sends a message of any length, waiting for room for at most `timeout` in all.
    ///
    /// # Errors
    /// [`ChunkSendError`], with [`SendError::TimedOut`] when the time has passed.
    pub fn send_timeout(
        &mut self,
        message: &[u8],
        timeout: Duration,
    ) -> Result<(), ChunkSendError> {
        self.send_whole(message, Some(deadline_after(timeout)))
    }

    /// Sends a message of any length, waiting for room until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_deadline(
        &mut self,
        message: &[u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), ChunkSendError> {
        self.send_whole(message, Some(deadline.into()))
    }

    /// `until`: to wait, and until when.
    fn send_whole(
        &mut self,
        message: &[u8],
        until: Option<Option<Instant>>,
    ) -> Result<(), ChunkSendError> {
        let fragment_len = self.usable_fragment_len()?;
        if message.len() > fragment_len {
            self.refuse_if_shared_out()?;
        }
        let mut outgoing = self.begin(Some(message.len() as u64));
        let mut rest = message;
        loop {
            let (part, behind) = rest.split_at(rest.len().min(fragment_len));
            outgoing.send(part, behind.is_empty(), until)?;
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    /// Sends what `reader` gives as one message: `len` bytes, or all there is if that is `None`. It is read
    /// fragment by fragment, and `progress` is told after each. Waits for room. Returns the bytes that were sent.
    ///
    /// # Errors
    /// [`ChunkSendError`].
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
    /// use ringway::chunk::{ChunkReceiver, ChunkSender};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let mut sender = ChunkSender::new(ring.sender()?);
    /// let file = &b"what is in a file"[..];
    /// assert_eq!(sender.send_from(file, None, |progress| println!("{progress:?}"))?, 17);
    /// assert_eq!(ChunkReceiver::new(ring.receiver()?).recv()?, b"what is in a file");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_from(
        &mut self,
        reader: impl Read,
        len: Option<u64>,
        progress: impl FnMut(Progress),
    ) -> Result<u64, ChunkSendError> {
        self.send_from_deadline(reader, len, None, progress)
    }

    /// The same, waiting for room for at most `timeout` in all; for the reader it waits however long that takes.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_from_timeout(
        &mut self,
        reader: impl Read,
        len: Option<u64>,
        timeout: Duration,
        progress: impl FnMut(Progress),
    ) -> Result<u64, ChunkSendError> {
        self.send_from_deadline(reader, len, deadline_after(timeout), progress)
    }

    /// The same, waiting for room until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_from_deadline(
        &mut self,
        mut reader: impl Read,
        len: Option<u64>,
        deadline: impl Into<Option<Instant>>,
        mut progress: impl FnMut(Progress),
    ) -> Result<u64, ChunkSendError> {
        let fragment_len = self.usable_fragment_len()?;
        if len.is_some_and(|len| len > fragment_len as u64) {
            self.refuse_if_shared_out()?;
        }
        let room = len.map_or(fragment_len, |len| {
            usize::try_from(len).map_or(fragment_len, |len| len.min(fragment_len))
        });
        let deadline = deadline.into();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(room, 0);
        let sent = self.send_through(&mut buffer, &mut reader, len, deadline, &mut progress);
        self.buffer = buffer;
        sent
    }

    fn send_through(
        &mut self,
        buffer: &mut [u8],
        reader: &mut impl Read,
        len: Option<u64>,
        deadline: Option<Instant>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<u64, ChunkSendError> {
        let shared_out = self.sink.is_shared_out();
        let max = self.fragment_len;
        let mut outgoing = self.begin(len);
        loop {
            let sent = outgoing.splitter.sent();
            let wanted = match len {
                Some(len) => (len - sent).min(buffer.len() as u64) as usize,
                None => buffer.len(),
            };
            let filled = fill(reader, &mut buffer[..wanted]).map_err(ChunkSendError::Read)?;
            let last = match len {
                Some(said) if filled < wanted => {
                    let found = sent + filled as u64;
                    return Err(ChunkSendError::TooShort { said, found });
                }
                Some(len) => sent + filled as u64 == len,
                None => filled < wanted,
            };
            if shared_out && !last {
                return Err(ChunkSendError::SharedOut { max });
            }
            outgoing.send(&buffer[..filled], last, Some(deadline))?;
            let done = outgoing.splitter.sent();
            progress(Progress { done, total: len });
            if last {
                return Ok(done);
            }
        }
    }

    fn usable_fragment_len(&self) -> Result<usize, ChunkSendError> {
        let max = self.sink.max_message_len();
        match self.fragment_len {
            0 => Err(ChunkSendError::TransportTooSmall { max }),
            len => Ok(len),
        }
    }

    fn refuse_if_shared_out(&self) -> Result<(), ChunkSendError> {
        let max = self.fragment_len;
        match self.sink.is_shared_out() {
            true => Err(ChunkSendError::SharedOut { max }),
            false => Ok(()),
        }
    }

    fn begin(&mut self, total: Option<u64>) -> Outgoing<'_, S> {
        let sender = self.sink.sender_id();
        Outgoing {
            splitter: Splitter::new(sender, self.next_message, total),
            sink: &mut self.sink,
            next_message: &mut self.next_message,
        }
    }

    /// The transport.
    pub fn get_ref(&self) -> &S {
        &self.sink
    }

    /// The transport. What is sent there by other means must not look like a fragment.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The transport.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

/// A message on its way out. Dropped before its end, it is aborted.
struct Outgoing<'a, S: MessageSink> {
    sink: &'a mut S,
    splitter: Splitter,
    next_message: &'a mut u64,
}

impl<S: MessageSink> Outgoing<'_, S> {
    fn send(
        &mut self,
        part: &[u8],
        last: bool,
        until: Option<Option<Instant>>,
    ) -> Result<(), ChunkSendError> {
        let header = self.splitter.next(part, last);
        let len = HEADER_LEN + part.len();
        let mut write = |room: &mut dyn MessageRoom| header.write_frame(part, room);
        let sent = match until {
            None => self.sink.try_send_with(len, &mut write),
            Some(deadline) => self.sink.send_with_deadline(len, deadline, &mut write),
        };
        self.is_sent(&header, sent)
    }

    fn is_sent(
        &mut self,
        header: &Header,
        sent: Result<(), SendError>,
    ) -> Result<(), ChunkSendError> {
        sent.map_err(|error| ChunkSendError::Transport {
            error,
            sent: self.splitter.sent(),
        })?;
        if !self.splitter.has_begun() {
            *self.next_message = self.next_message.wrapping_add(1);
        }
        self.splitter.advance(header);
        Ok(())
    }
}

impl<S: MessageSink> Drop for Outgoing<'_, S> {
    fn drop(&mut self) {
        if let Some(abort) = self.splitter.abort() {
            let abort: [u8; HEADER_LEN] = Header::encode(&abort, &[]);
            // If there is no room the receiver learns it otherwise.
            let _ = self.sink.try_send_parts(&[IoSlice::new(&abort)]);
        }
    }
}

/// Bytes of payload in a frame of `frame` bytes, such that frames take whole words.
fn payload_of(frame: usize) -> usize {
    let payload = frame.saturating_sub(HEADER_LEN);
    if payload < 8 { payload } else { payload & !7 }
}

/// Reads until `buffer` is full or there is no more.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            // A reader that says more than there was room for is not believed.
            Ok(len) => filled = (filled + len).min(buffer.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
