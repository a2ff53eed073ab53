//! What a sleeper watches: words, each at the value with which it may sleep.

use std::sync::atomic::Ordering;

use crate::region::Region;
use crate::sys::futex::OWNER_DIED;

/// An event and the word of a peer, at most.
const MOST: usize = 2;

/// An event, and in a stream ring the peer's liveness word.
#[derive(Debug)]
pub(crate) struct Watch {
    words: [(usize, u32); MOST],
    len: usize,
}

impl Watch {
    /// The event that the sleeper has said that it sleeps on, as it was then.
    pub(crate) fn of(event: usize, value: u32) -> Self {
        Self {
            words: [(event, value); MOST],
            len: 1,
        }
    }

    /// Adds a word, as it was before the last look: if it changes in between, the kernel refuses to sleep
    /// on the old value.
    pub(crate) fn add(&mut self, offset: usize, value: u32) {
        if let Some(word) = self.words.get_mut(self.len) {
            *word = (offset, value);
            self.len += 1;
        }
    }

    /// Offsets and values.
    pub(crate) fn words(&self) -> &[(usize, u32)] {
        &self.words[..self.len]
    }

    /// The kernel wakes one of those who sleep on the word of one that died; passes it on.
    pub(crate) fn pass_on<R: Region>(&self, region: &R) {
        for &(offset, before) in &self.words()[1..] {
            // Relaxed: what the dead did is looked at elsewhere.
            let now = region.load32(offset, Ordering::Relaxed);
            if now != before && now & OWNER_DIED != 0 {
                region.wake(offset);
            }
        }
    }
}
