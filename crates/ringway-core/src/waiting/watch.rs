//! What a sleeper watches: words, at the values with which it may sleep.

/// An event, and perhaps one word more.
#[derive(Debug)]
pub(crate) struct Watch {
    words: [(usize, u32); 2],
    len: usize,
}

impl Watch {
    /// The event that the sleeper has said that it sleeps on, as it was then.
    pub(crate) fn of(event: usize, value: u32) -> Self {
        Self {
            words: [(event, value), (0, 0)],
            len: 1,
        }
    }

    /// The same, and another word as it was then.
    pub(crate) fn and(self, offset: usize, value: u32) -> Self {
        let [event, _] = self.words;
        Self {
            words: [event, (offset, value)],
            len: 2,
        }
    }

    /// Offset and value of each.
    pub(crate) fn words(&self) -> &[(usize, u32)] {
        &self.words[..self.len]
    }
}
