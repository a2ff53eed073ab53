//! A message that has arrived in part.

use crate::frame::Header;

/// Allocated beyond what has arrived, at most this times as much.
const AHEAD: u64 = 2;

/// A message in the midst of arriving.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) message: u64,
    pub(super) total: Option<u64>,
    /// Initialised memory; the message's bytes are the first `filled`.
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes before those in the buffer, which a stream has taken.
    taken: u64,
    /// The last fragment has come.
    pub(super) complete: bool,
    /// The count of frames when it began, and when it last grew.
    pub(super) began: u64,
    pub(super) grew: u64,
}

impl Partial {
    /// `buffer` may hold anything.
    pub(super) fn new(header: &Header, buffer: Vec<u8>, now: u64) -> Self {
        Self {
            message: header.message,
            total: header.total,
            buffer,
            filled: 0,
            taken: 0,
            complete: false,
            began: now,
            grew: now,
        }
    }

    /// Bytes that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.taken + self.filled as u64
    }

    /// Bytes of memory that it has.
    pub(super) fn capacity(&self) -> u64 {
        self.buffer.capacity() as u64
    }

    /// Bytes that count against the limit: a message that is let in may come whole.
    pub(super) fn account(&self, streams: bool) -> u64 {
        match self.total {
            Some(total) if !streams => total.max(self.capacity()),
            _ => self.capacity(),
        }
    }

    /// How much memory to have for `len` bytes more, if what there is does not do: `most` at most.
    /// Both what to have by preference and what at least.
    pub(super) fn wants(&self, len: usize, most: u64, streams: bool) -> Option<(u64, u64)> {
        let least = self.filled as u64 + len as u64;
        if least <= self.capacity() {
            return None;
        }
        let ahead = if streams { 1 } else { AHEAD };
        let limit = self.total.unwrap_or(most).min(most);
        Some((least.saturating_mul(ahead).min(limit).max(least), least))
    }

    /// Has memory for `capacity` bytes. `false` if the system has none.
    pub(super) fn reserve(&mut self, capacity: u64) -> bool {
        let Ok(capacity) = usize::try_from(capacity) else {
            return false;
        };
        // What lies behind the filled part is nothing that need be moved.
        self.buffer.truncate(self.filled);
        let more = capacity.saturating_sub(self.filled);
        self.buffer.try_reserve_exact(more).is_ok()
    }

    /// Where the next `len` bytes go, which are within the capacity.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.filled + len;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }

    /// Takes the bytes in the room in.
    pub(super) fn grow(&mut self, header: &Header, now: u64) {
        self.filled += header.len as usize;
        self.complete = header.is_last();
        self.grew = now;
    }

    /// The whole message.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.buffer.truncate(self.filled);
        self.buffer
    }

    /// Whether all that has arrived was taken.
    pub(super) fn is_taken(&self) -> bool {
        self.filled == 0
    }

    /// Swaps what has arrived for memory.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) {
        std::mem::swap(&mut self.buffer, bytes);
        bytes.truncate(self.filled);
        self.taken += self.filled as u64;
        self.filled = 0;
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}
