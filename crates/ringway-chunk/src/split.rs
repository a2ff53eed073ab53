//! The sender's side of a message, without I/O: which fragment comes next.

use crate::frame::{Header, Place};

/// A message on its way out.
///
/// ```
/// # mod ringway { pub use ringway_chunk as chunk; }
/// use ringway::chunk::{HEADER_LEN, Limits, Reassembler, Splitter};
///
/// let mut splitter = Splitter::new(7, 1, Some(10));
/// let mut reassembler = Reassembler::new(Limits::default());
/// for part in [b"hello ", &b"you!"[..]] {
///     let header = splitter.next(part, false);
///     let frame = [&header.encode(part), part].concat();
///     reassembler.push(&frame)?;
///     splitter.advance(&header);
/// }
/// assert!(splitter.is_done());
/// # Ok::<(), ringway::chunk::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Splitter {
    sender: u64,
    message: u64,
    total: Option<u64>,
    offset: u64,
    done: bool,
}

impl Splitter {
    /// Begins message `message` of `sender`; each is one more than that before. `total` is its length in
    /// bytes, if that is known.
    pub fn new(sender: u64, message: u64, total: Option<u64>) -> Self {
        Self {
            sender,
            message,
            total,
            offset: 0,
            done: false,
        }
    }

    /// The header of the next fragment, of up to 2^32 - 1 bytes. Where the length is known the last
    /// fragment is where it ends; where it is not, `last` says so.
    pub fn next(&self, payload: &[u8], last: bool) -> Header {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let end = self.offset.saturating_add(len.into());
        Header {
            sender: self.sender,
            message: self.message,
            offset: self.offset,
            total: self.total,
            len,
            place: Place::Part {
                last: self.total.map_or(last, |total| end >= total),
            },
        }
    }

    /// Takes note that the fragment was sent.
    pub fn advance(&mut self, sent: &Header) {
        self.offset = sent.end();
        self.done = sent.is_last();
    }

    /// What tells the receiver that no more comes; `None` if nothing was sent, or all.
    pub fn abort(&self) -> Option<Header> {
        let begun = self.offset > 0 && !self.done;
        begun.then_some(Header {
            sender: self.sender,
            message: self.message,
            offset: self.offset,
            total: self.total,
            len: 0,
            place: Place::Abort,
        })
    }

    /// Bytes that were sent.
    pub fn sent(&self) -> u64 {
        self.offset
    }

    /// Whether anything was sent.
    pub fn has_begun(&self) -> bool {
        self.offset > 0 || self.done
    }

    /// Whether the last fragment was sent.
    pub fn is_done(&self) -> bool {
        self.done
    }
}
