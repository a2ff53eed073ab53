//! A message that is handed out in pieces as it arrives.

use super::Reassembler;
use crate::event::Lost;

/// Which message is handed out in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    None,
    /// The next to begin.
    Next,
    Of(u64),
}

/// A piece of a message that is handed out as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who sent it.
    pub sender: u64,
    /// Which of the sender's messages it is.
    pub message: u64,
    /// Bytes of the whole message, if the sender knew.
    pub total: Option<u64>,
    /// Whether it ends the message.
    pub last: bool,
}

impl Reassembler {
    /// Hands out a message in pieces, as they arrive, whatever its length: the one that has been in flight
    /// for the longest, or the next to begin. Fetch the [piece](Self::piece) after each frame.
    pub fn stream(&mut self) {
        if self.stream != Stream::None {
            return;
        }
        let partials = self.partials();
        let oldest = partials.min_by_key(|(_, partial)| partial.began);
        let Some((id, partial)) = oldest else {
            self.stream = Stream::Next;
            return;
        };
        let (before, after) = (partial.account(false), partial.account(true));
        self.stream = Stream::Of(id);
        self.bytes = self.bytes - before + after;
    }

    /// Gives up what [`stream`](Self::stream) began: nothing more of that message is handed out.
    pub fn end_stream(&mut self) {
        match self.stream {
            Stream::None => {}
            Stream::Next => self.stream = Stream::None,
            Stream::Of(id) => drop(self.take_partial(id)),
        }
        self.stream_lost = None;
    }

    /// Puts what has arrived of the message that is handed out in pieces into `bytes`, whose memory takes
    /// a piece to come. If the message is lost, that is said here, and once.
    pub fn piece(&mut self, bytes: &mut Vec<u8>) -> Option<Result<Piece, Lost>> {
        if let Some(lost) = self.stream_lost.take() {
            return Some(Err(lost));
        }
        let Stream::Of(sender) = self.stream else {
            return None;
        };
        let partial = self.partial(sender)?;
        if !partial.complete && partial.is_taken() {
            return None;
        }
        let piece = Piece {
            sender,
            message: partial.message,
            total: partial.total,
            last: partial.complete,
        };
        let before = partial.capacity();
        partial.take(bytes);
        let after = partial.capacity();
        self.bytes = self.bytes - before + after;
        if piece.last {
            self.take_partial(sender);
        }
        Some(Ok(piece))
    }

    /// Whether there is a piece, or that message is lost.
    pub(crate) fn has_piece(&self) -> bool {
        let streamed = match self.stream {
            Stream::Of(id) => self.senders.get(&id),
            _ => None,
        };
        let partial = streamed.and_then(|sender| sender.partial.as_ref());
        self.stream_lost.is_some()
            || partial.is_some_and(|partial| partial.complete || !partial.is_taken())
    }
}
