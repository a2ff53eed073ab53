//! Messages that say who sent them, and whose every byte follows from that.

use std::fmt;

/// Who sent a message, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) who: u32,
    pub(super) number: u32,
}

/// Bytes of a short message: with its header less than a cell, less than a line.
pub(super) const SHORT: usize = 16;
/// Bytes of a message of several cells.
pub(super) const LONG: usize = 300;
/// Longer messages go into slabs where there are some.
pub(super) const COPY_LIMIT: usize = 256;

impl Id {
    pub(super) fn bytes(self, len: usize) -> Vec<u8> {
        (0..len).map(|at| self.byte(at, len)).collect()
    }

    fn byte(self, at: usize, len: usize) -> u8 {
        match at {
            0..4 => self.who.to_le_bytes()[at],
            4..8 => self.number.to_le_bytes()[at - 4],
            _ => (self.number as usize * 31 + self.who as usize * 7 + at + len) as u8,
        }
    }

    /// Whose message this is; `None` if it is not whole.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        let word = |at| {
            let bytes = message.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let id = Self {
            who: word(0)?,
            number: word(4)?,
        };
        (message == id.bytes(message.len())).then_some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.who, self.number)
    }
}
