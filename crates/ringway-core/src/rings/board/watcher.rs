//! Who reads whatever changes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::reader::copy;
use super::sleeper::Sleeper;
use super::{ANY_CHANGE, Slate, directory};
use crate::error::GetError;
use crate::memory::layout::board::ENTRY_LEN;
use crate::memory::region::Region;
use crate::rings::message::EAGER_POLLS;
use crate::waiting::{PeersEnd, WaitOptions, Waited};

/// Reads all entries, each value once and the latest only.
#[derive(Debug)]
pub(crate) struct Watcher<R: Region> {
    sleeper: Sleeper<R>,
    /// The number of the last value read of each entry.
    seen: Vec<u64>,
    /// Where the next look begins, so that none is passed over for others that change all the time.
    next: u32,
    /// Where the number of the first entry is.
    numbers: usize,
    /// Which one changed last: where something is to be expected next.
    last: u32,
}

/// How many entries are looked at between two looks at the one that changed last.
const STRETCH: u32 = 4;

impl<R: Region> Watcher<R> {
    pub(crate) fn new(region: R, slate: Slate) -> Self {
        Self {
            sleeper: Sleeper::new(region, slate, ANY_CHANGE),
            seen: vec![0; slate.entries as usize],
            next: 0,
            numbers: slate.entry(0).number(),
            last: 0,
        }
    }

    /// Reads a value that is newer than the last one read of its entry, if there is one: its key, and its number.
    pub(crate) fn newer(&mut self, room: &mut Vec<u8>) -> Result<Option<(Vec<u8>, u64)>, GetError> {
        if self.sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let Sleeper { region, slate, .. } = &self.sleeper;
        for step in 0..slate.entries {
            let index = (self.next + step) % slate.entries;
            let entry = slate.entry(index);
            let seen = &mut self.seen[index as usize];
            // SAFETY: of the slate, which is of the region's geometry.
            if let Some(copied) = unsafe { copy(region, &entry, *seen, room)? } {
                let number = copied.number;
                *seen = number;
                self.next = (index + 1) % slate.entries;
                // Its writer has written the key before its first value.
                let key = directory::key(region, entry).ok_or(GetError::Corrupt)?;
                return Ok(Some((key, number)));
            }
        }
        Ok(None)
    }

    /// The next entry of those in `among` that has changed since the last look, which is not read.
    pub(crate) fn changed(&mut self, among: &Range<u32>) -> Result<Option<u32>, GetError> {
        if self.sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let from = self.next.clamp(among.start, among.end);
        let found = self.first_changed(from..among.end);
        Ok(found.or_else(|| self.first_changed(among.start..from)))
    }

    #[inline]
    fn first_changed(&mut self, among: Range<u32>) -> Option<u32> {
        let region = &self.sleeper.region;
        let all = self.seen.get_mut(among.start as usize..among.end as usize);
        for (index, seen) in among.zip(all?) {
            // Acquire: who reads the value afterwards reads this one or a later one.
            let at = self.numbers + index as usize * ENTRY_LEN;
            let number = region.load64(at, Ordering::Acquire);
            if number > *seen {
                *seen = number;
                (self.next, self.last) = (index + 1, index);
                return Some(index);
            }
        }
        None
    }

    /// The same in steps, for who looks without a pause: some of the entries, and the one that changed last. Who is asked there again at once need not wait until
    /// all others have been looked at; and these come in their turn, however often that one changes.
    #[inline]
    fn glance(&mut self, among: &Range<u32>) -> Option<u32> {
        if self.next < among.start || self.next >= among.end {
            self.next = among.start;
        }
        let stretch = self.next..among.end.min(self.next + STRETCH);
        self.next = stretch.end;
        if let Some(found) = self.first_changed(stretch) {
            return Some(found);
        }
        let next = self.next;
        let last = self.last..self.last + 1;
        let found = (among.contains(&self.last)).then(|| self.first_changed(last));
        self.next = next;
        found.flatten()
    }

    /// The same, waiting for one; `None`: it would sleep, and was told to arm instead.
    pub(crate) fn changed_or_armed(
        &mut self,
        among: &Range<u32>,
        wait: &WaitOptions,
    ) -> Result<Option<u32>, GetError> {
        loop {
            if wait.how.spins() {
                if self.sleeper.region.is_forked() {
                    return Err(GetError::Forked);
                }
                if let Some(index) = (0..EAGER_POLLS / 2).find_map(|_| self.glance(among)) {
                    return Ok(Some(index));
                }
            }
            if let Some(index) = self.changed(among)? {
                return Ok(Some(index));
            }
            let Self { sleeper, seen, .. } = self;
            let ready = |sleeper: &mut Sleeper<R>, _| {
                among.clone().any(|index| {
                    let number = sleeper.slate.entry(index).number();
                    sleeper.region.load64(number, Ordering::Acquire) > seen[index as usize]
                })
            };
            match wait.wait(sleeper, PeersEnd::IsNoEnd, ready) {
                Waited::Ready => {}
                Waited::Armed => return Ok(None),
                Waited::Interrupted => return Err(GetError::Interrupted),
                Waited::TimedOut => return Err(GetError::TimedOut),
                Waited::Forsaken => return Err(GetError::Removed),
            }
        }
    }

    /// Reads a newer value of any entry, waiting for one.
    pub(crate) fn wait_newer(
        &mut self,
        wait: &WaitOptions,
        room: &mut Vec<u8>,
    ) -> Result<(Vec<u8>, u64), GetError> {
        loop {
            if let Some(found) = self.newer_or_armed(wait, room)? {
                return Ok(found);
            }
        }
    }

    /// The same; `None`: it would sleep, and was told to arm instead.
    pub(crate) fn newer_or_armed(
        &mut self,
        wait: &WaitOptions,
        room: &mut Vec<u8>,
    ) -> Result<Option<(Vec<u8>, u64)>, GetError> {
        loop {
            if let Some(found) = self.newer(room)? {
                return Ok(Some(found));
            }
            if !self.news_or_armed(wait)? {
                return Ok(None);
            }
        }
    }

    /// Waits until there is a value that was not read yet. `false`: it would sleep, and was told to arm instead.
    pub(crate) fn news_or_armed(&mut self, wait: &WaitOptions) -> Result<bool, GetError> {
        if self.sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let Self { sleeper, seen, .. } = self;
        let ready = |sleeper: &mut Sleeper<R>, _| {
            let numbers = sleeper.slate.all().map(|(_, entry)| {
                let region = &sleeper.region;
                region.load64(entry.number(), Ordering::Acquire)
            });
            numbers.zip(&*seen).any(|(number, seen)| number > *seen)
        };
        match wait.wait(sleeper, PeersEnd::IsNoEnd, ready) {
            Waited::Ready => Ok(true),
            Waited::Armed => Ok(false),
            Waited::Interrupted => Err(GetError::Interrupted),
            Waited::TimedOut => Err(GetError::TimedOut),
            Waited::Forsaken => Err(GetError::Removed),
        }
    }

    /// The memory that it reads.
    pub(crate) fn region(&self) -> &R {
        &self.sleeper.region
    }

    /// As of a [`Sleeper`].
    pub(crate) fn whereabouts(&self) -> Arc<AtomicUsize> {
        self.sleeper.whereabouts()
    }
}
