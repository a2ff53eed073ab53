//! What a sleeper watches: a word, at the value with which it may sleep.

/// An event.
#[derive(Debug)]
pub(crate) struct Watch([(usize, u32); 1]);

impl Watch {
    /// The event that the sleeper has said that it sleeps on, as it was then.
    pub(crate) fn of(event: usize, value: u32) -> Self {
        Self([(event, value)])
    }

    /// Offset and value.
    pub(crate) fn words(&self) -> &[(usize, u32)] {
        &self.0
    }
}
