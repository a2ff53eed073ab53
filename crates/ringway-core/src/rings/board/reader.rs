//! Who reads an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::short::{Short, Words};
use super::sleeper::Sleeper;
use super::{ANY_CHANGE, Entry, Slate};
use crate::error::GetError;
use crate::memory::region::Region;
use crate::rings::message::EAGER_POLLS;
use crate::waiting::{Look, PeersEnd, WaitOptions, Waited};

/// How often a value is copied before a reader gives up.
pub(crate) const ATTEMPTS: u32 = if cfg!(loom) { 2 } else { 128 };
/// After how many of them it gives its processor to others in between.
const EAGER: u32 = 16;

/// Where a value is copied to.
pub(crate) trait Room {
    /// Room for so many bytes; `None` if it is not for so many.
    fn of(&mut self, len: usize) -> Option<&mut [u8]>;
    /// Puts a short value there, which its writer has tagged, the first `len` bytes of some words. `false` if there is no room for so many.
    fn put(&mut self, words: &Words, len: usize, _tag: u16) -> bool {
        let Some(bytes) = self.of(len) else {
            return false;
        };
        bytes.copy_from_slice(&words.as_flattened()[..len]);
        true
    }
}

impl Room for Vec<u8> {
    fn of(&mut self, len: usize) -> Option<&mut [u8]> {
        self.resize(len, 0);
        Some(self)
    }
}

/// A place for values of that length.
pub(crate) struct Exactly<'a>(pub(crate) &'a mut [u8]);

impl Room for Exactly<'_> {
    fn of(&mut self, len: usize) -> Option<&mut [u8]> {
        (self.0.len() == len).then_some(&mut *self.0)
    }
}

/// Copies the value of `entry` if its number is higher than `seen`, and returns the number.
#[inline]
pub(crate) fn copy(
    region: &impl Region,
    entry: Entry,
    seen: u64,
    room: &mut impl Room,
) -> Result<Option<u64>, GetError> {
    for attempt in 0..ATTEMPTS {
        // Acquire pairs with the release in `set`: the bytes are there (E1).
        let number = region.load64(entry.number(), Ordering::Acquire);
        if number <= seen {
            return Ok(None);
        }
        let len = region.load64(entry.length(number), Ordering::Relaxed);
        if let Some(short) = Short::of(len) {
            match short.copy(region, entry, number, room) {
                Some(copied) => return copied.map(|()| Some(number)),
                None => give_way(attempt),
            }
            continue;
        }
        let fits = len <= entry.buffer_len;
        let copied = fits.then(|| match room.of(len as usize) {
            Some(bytes) => {
                region.read(entry.buffer(number), bytes);
                Ok(Some(number))
            }
            None => Err(GetError::WrongLength { len: len as usize }),
        });
        // (E2) Pairs with the release fence in `set`: if the copy has anything of the value after the next, this load sees that
        // it has begun.
        region.copied_fence();
        let begun = region.load64(entry.begun(), Ordering::Relaxed);
        if begun.wrapping_sub(number) <= 1 {
            return copied.unwrap_or(Err(GetError::Corrupt));
        }
        give_way(attempt);
    }
    Err(GetError::Changing)
}

#[cold]
fn give_way(attempt: u32) {
    match attempt < EAGER {
        true => std::hint::spin_loop(),
        false => std::thread::yield_now(),
    }
}

/// A reader of the entry with a key, which may not be there yet.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    sleeper: Sleeper<R>,
    key: Box<[u8]>,
    /// The number of the last value that was read.
    seen: u64,
}

impl<R: Region> Reader<R> {
    pub(crate) fn new(region: R, slate: Slate, key: &[u8]) -> Self {
        Self {
            sleeper: Sleeper::new(region, slate, ANY_CHANGE),
            key: key.into(),
            seen: 0,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The number of the last value that was read; 0 before the first.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Who has the role of the entry, by the id of its attachment, and whether it lives; `None` if nobody has.
    pub(crate) fn writer(&mut self) -> Option<(u64, bool)> {
        let entry = self.sleeper.entry_of(&self.key)?;
        let owner = self.sleeper.owner(entry)?;
        Some((owner, self.sleeper.lives(owner)))
    }

    /// Reads the value, whether it was read before or not; `None` if there is none yet.
    #[inline]
    pub(crate) fn get(&mut self, room: &mut impl Room) -> Result<Option<u64>, GetError> {
        self.newer_than(0, room)
    }

    /// Reads the value if it is newer than the last one that was read.
    #[inline]
    pub(crate) fn get_if_newer(&mut self, room: &mut impl Room) -> Result<Option<u64>, GetError> {
        self.newer_than(self.seen, room)
    }

    #[inline]
    fn newer_than(&mut self, seen: u64, room: &mut impl Room) -> Result<Option<u64>, GetError> {
        if self.sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let Some(entry) = self.sleeper.entry_of(&self.key) else {
            return Ok(None);
        };
        let read = copy(&self.sleeper.region, entry, seen, room)?;
        self.seen = read.unwrap_or(self.seen);
        Ok(read)
    }

    /// Waits for a newer value than the last one that was read, and reads it. Each death of a writer is told once.
    pub(crate) fn wait_newer(
        &mut self,
        wait: &WaitOptions,
        room: &mut impl Room,
    ) -> Result<u64, GetError> {
        loop {
            if let Some(number) = self.newer_or_armed(wait, room)? {
                return Ok(number);
            }
        }
    }

    /// The same; `None`: it would sleep, and was told to arm instead.
    pub(crate) fn newer_or_armed(
        &mut self,
        wait: &WaitOptions,
        room: &mut impl Room,
    ) -> Result<Option<u64>, GetError> {
        loop {
            if let Some(number) = self.get_if_newer(room)? {
                return Ok(Some(number));
            }
            if !self.news_or_armed(wait)? {
                return Ok(None);
            }
        }
    }

    /// Waits until there is a newer value. Each death of a writer is told once. `false`: it would sleep, and was told to arm instead.
    pub(crate) fn news_or_armed(&mut self, wait: &WaitOptions) -> Result<bool, GetError> {
        if self.sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let Self { sleeper, key, seen } = self;
        let has_newer = |sleeper: &mut Sleeper<R>, _| {
            let entry = sleeper.entry_of(key);
            let number = entry.map(|entry| {
                let region = &sleeper.region;
                region.load64(entry.number(), Ordering::Acquire)
            });
            number > Some(*seen)
        };
        match wait.wait(sleeper, PeersEnd::EndsIt, has_newer) {
            Waited::Ready => {}
            Waited::Armed => return Ok(false),
            Waited::Interrupted => return Err(GetError::Interrupted),
            Waited::TimedOut => return Err(GetError::TimedOut),
            Waited::Forsaken => return Err(GetError::Removed),
        }
        if let Some(dead) = sleeper.dead_writer() {
            // What it had published, it has published. Without `membarrier` a last value may come a little later.
            let _ = sleeper.region.settle();
            if !has_newer(sleeper, Look::Last) {
                sleeper.mourned = dead;
                return Err(GetError::WriterDied);
            }
        }
        Ok(true)
    }

    /// Whether there is a newer value, looking often and without a pause: what is on its way arrives within that time, and no clock is read.
    #[inline]
    pub(crate) fn is_newer_soon(&self) -> bool {
        let Some(entry) = self.sleeper.entry else {
            return false;
        };
        let region = &self.sleeper.region;
        // Relaxed: it is loaded again when the value is read.
        (0..4 * EAGER_POLLS).any(|_| region.load64(entry.number(), Ordering::Relaxed) > self.seen)
    }

    /// Passes over a short value that can be read no more, as the next one has been begun: whoever does that may have died.
    pub(crate) fn pass_over_half_written(&mut self) {
        let Some(entry) = self.sleeper.entry_of(&self.key) else {
            return;
        };
        let region = &self.sleeper.region;
        let number = region.load64(entry.number(), Ordering::Acquire);
        let is_short = Short::of(region.load64(entry.length(number), Ordering::Relaxed)).is_some();
        if is_short && region.load64(entry.short_begun(), Ordering::Relaxed) != number {
            self.seen = self.seen.max(number);
        }
    }

    /// What the entry's writer has marked.
    pub(crate) fn mark(&mut self) -> Option<u64> {
        let entry = self.sleeper.entry_of(&self.key)?;
        Some(self.sleeper.region.load64(entry.mark(), Ordering::Acquire))
    }

    /// The same behind all that this process has said: a writer whose mark is not here yet hears that, when it looks after its mark. `None`: that cannot be made
    /// sure.
    pub(crate) fn mark_behind_all(&mut self) -> Option<u64> {
        // (E6) Pairs with the fence in `set_mark`.
        let settled = self.sleeper.region.settle();
        settled.then(|| self.mark()).flatten()
    }

    /// The memory that it reads.
    pub(crate) fn region(&self) -> &R {
        &self.sleeper.region
    }

    /// As of a [`Sleeper`].
    pub(crate) fn whereabouts(&self) -> Arc<AtomicUsize> {
        self.sleeper.whereabouts()
    }

    /// As of a [`Sleeper`].
    pub(crate) fn share_whereabouts(&mut self, whereabouts: Arc<AtomicUsize>) {
        self.sleeper.share_whereabouts(whereabouts);
    }
}
