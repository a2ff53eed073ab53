//! Reading a message from the front to the back, a block at a time.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use crossbeam_utils::CachePadded;

use crate::api::view::MessageView;

/// Bytes of a block: so few that it stays in the nearest cache beside what is on its way, so many that a
/// call for each costs little. Blocks of a page were slower where measured.
const BLOCK: usize = 2048;

/// Reads a message where it lies: made by [`Message::reader`](crate::Message::reader),
/// [`MessageView::reader`] and [`DetachedMessage::reader`](crate::message::DetachedMessage::reader).
///
/// [`fill_buf`](BufRead::fill_buf) copies a block of 2 KiB into the reader itself, and has the processor fetch
/// those behind it meanwhile. What is seen is private memory, which no peer can change any more; and all
/// of a long message is looked at with neither `unsafe` nor a buffer of its length.
///
/// No call fails, and [`Read::read`] into 2 KiB or more goes there at once.
///
/// ```
/// # use ringway_core as ringway;
/// use std::io::BufRead;
///
/// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
/// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
/// sender.send(&[1; 1 << 20])?;
///
/// let message = receiver.recv_in_place()?;
/// let mut reader = message.reader();
/// let mut sum = 0;
/// loop {
///     let block = reader.fill_buf()?;
///     if block.is_empty() {
///         break;
///     }
///     sum += block.iter().map(|&byte| u64::from(byte)).sum::<u64>();
///     let len = block.len();
///     reader.consume(len);
/// }
/// assert_eq!(sum, 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MessageReader<'a> {
    source: Source<'a>,
    /// Bytes of the message that lie before what is still to be fetched.
    fetched: usize,
    /// Of the block, what has not been consumed.
    unread: Range<usize>,
    /// On whole lines, so that a copy stores each once.
    block: CachePadded<[u8; BLOCK]>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Where peers may write.
    Shared(MessageView<'a>),
    /// Memory of this process, which is shown as it is.
    Private(&'a [u8]),
}

impl<'a> MessageView<'a> {
    /// Reads the message from the front to the back, a block at a time.
    pub fn reader(self) -> MessageReader<'a> {
        MessageReader::of_shared(self)
    }
}

impl<'a> MessageReader<'a> {
    pub(crate) fn of_shared(view: MessageView<'a>) -> Self {
        Self::new(Source::Shared(view))
    }

    pub(crate) fn of_private(bytes: &'a [u8]) -> Self {
        Self::new(Source::Private(bytes))
    }

    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            fetched: 0,
            unread: 0..0,
            block: CachePadded::new([0; BLOCK]),
        }
    }

    /// Bytes that have not been read.
    pub fn remaining(&self) -> usize {
        let len = match &self.source {
            Source::Shared(view) => view.len(),
            Source::Private(bytes) => bytes.len(),
        };
        len - self.fetched + self.unread.len()
    }
}

impl BufRead for MessageReader<'_> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let view = match &self.source {
            Source::Shared(view) => view,
            Source::Private(bytes) => return Ok(&bytes[self.fetched..]),
        };
        if self.unread.is_empty() {
            let len = view.read_ahead(self.fetched, &mut *self.block);
            self.fetched += len;
            self.unread = 0..len;
        }
        Ok(&self.block[self.unread.clone()])
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        match &self.source {
            Source::Shared(_) => self.unread.start += amount.min(self.unread.len()),
            Source::Private(bytes) => self.fetched += amount.min(bytes.len() - self.fetched),
        }
    }
}

impl Read for MessageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Source::Shared(view) = &self.source
            && self.unread.is_empty()
            && buffer.len() >= BLOCK
        {
            let len = view.read_at(self.fetched, buffer);
            self.fetched += len;
            return Ok(len);
        }
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
