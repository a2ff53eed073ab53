//! A message that is read as it comes.

use std::io::{self, Read};
use std::time::Instant;

use ringway_core::RecvError;
use ringway_core::transport::MessageSource;

use super::{ChunkReceiver, ChunkRecvError, Patience, check};
use crate::event::Gathered;
use crate::reassemble::Piece;

/// A message of any length, to be read. It needs the memory of two fragments.
///
/// Dropping it before the end drops the rest of the message.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
/// use std::io::Read;
///
/// use ringway::chunk::{ChunkReceiver, ChunkSender};
///
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// ChunkSender::new(ring.sender()?).send(b"hello")?;
/// let mut receiver = ChunkReceiver::new(ring.receiver()?);
/// let mut text = String::new();
/// receiver.stream()?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MessageStream<'a, R: MessageSource> {
    receiver: &'a mut ChunkReceiver<R>,
    deadline: Option<Instant>,
    what: Piece,
    /// The present piece, of which `used` bytes are read.
    bytes: Vec<u8>,
    used: usize,
    /// Bytes of the message that are read.
    taken: u64,
}

impl<'a, R: MessageSource> MessageStream<'a, R> {
    /// Waits for the first piece of a message.
    pub(super) fn begin(
        receiver: &'a mut ChunkReceiver<R>,
        deadline: Option<Instant>,
    ) -> Result<Self, ChunkRecvError> {
        let mut stream = Self {
            receiver,
            deadline,
            what: Piece {
                sender: 0,
                message: 0,
                total: None,
                last: false,
            },
            bytes: Vec::new(),
            used: 0,
            taken: 0,
        };
        loop {
            // What was whole or lost before comes first.
            if let Some(message) = stream.receiver.waiting()? {
                stream.set_whole(message);
                return Ok(stream);
            }
            stream.receiver.reassembler.stream();
            if stream.take_piece()? {
                return Ok(stream);
            }
            stream.wait()?;
        }
    }

    fn set_whole(&mut self, message: Gathered) {
        self.what = Piece {
            sender: message.sender,
            message: message.message,
            total: Some(message.bytes.len() as u64),
            last: true,
        };
        self.bytes = message.bytes;
    }

    fn take_piece(&mut self) -> Result<bool, ChunkRecvError> {
        let piece = self.receiver.reassembler.piece(&mut self.bytes);
        let Some(piece) = piece.transpose().map_err(ChunkRecvError::Lost)? else {
            return Ok(false);
        };
        self.what = piece;
        self.used = 0;
        Ok(true)
    }

    /// Takes a frame in.
    fn wait(&mut self) -> Result<(), ChunkRecvError> {
        let before = self.receiver.received;
        match self.receiver.take_frame(Patience::Until(self.deadline)) {
            // Somebody else's: it is told when this message is done with.
            Err(ChunkRecvError::Frame(error)) => {
                let others = self.receiver.not_a_frame.take();
                let bytes = others.map_or(0, |(_, bytes)| bytes) + self.receiver.received - before;
                self.receiver.not_a_frame = Some((error, bytes));
            }
            done => done?,
        }
        if self.receiver.reassembler.has_piece() {
            return Ok(());
        }
        check(self.deadline)
    }

    /// Goes on to the next piece.
    fn advance(&mut self) -> Result<(), ChunkRecvError> {
        while !self.take_piece()? {
            self.wait()?;
        }
        Ok(())
    }

    /// The next bytes of the message, none at its end.
    pub(super) fn next_bytes(&mut self) -> Result<&[u8], ChunkRecvError> {
        while self.used == self.bytes.len() && !self.what.last {
            self.advance()?;
        }
        Ok(&self.bytes[self.used..])
    }

    pub(super) fn consume(&mut self, len: usize) {
        let len = len.min(self.bytes.len() - self.used);
        self.used += len;
        self.taken += len as u64;
    }

    /// Sets until when to wait for the rest; `None` is never.
    pub fn set_deadline(&mut self, deadline: impl Into<Option<Instant>>) {
        self.deadline = deadline.into();
    }

    /// Who sent the message: the sender's attachment to the transport.
    pub fn sender(&self) -> u64 {
        self.what.sender
    }

    /// Which of the sender's messages it is.
    pub fn message(&self) -> u64 {
        self.what.message
    }

    /// Its length in bytes, if the sender knew.
    pub fn total(&self) -> Option<u64> {
        self.what.total
    }

    /// Bytes that were read.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

impl<R: MessageSource> Read for MessageStream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.next_bytes().map_err(|error| {
            let kind = match &error {
                ChunkRecvError::Transport(RecvError::TimedOut) => io::ErrorKind::TimedOut,
                _ => io::ErrorKind::UnexpectedEof,
            };
            io::Error::new(kind, error)
        })?;
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: MessageSource> Drop for MessageStream<'_, R> {
    fn drop(&mut self) {
        self.receiver.reassembler.end_stream();
    }
}
