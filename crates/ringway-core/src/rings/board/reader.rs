//! Who reads an entry.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytemuck::Pod;

use super::short::{Short, Words};
use super::sleeper::Sleeper;
use super::{ANY_CHANGE, Entry, Slate, length_field};
use crate::error::GetError;
use crate::memory::layout::board::{BEGUN, NUMBER};
use crate::memory::region::Region;
use crate::memory::region::pane::Pane;
use crate::rings::message::EAGER_POLLS;
use crate::waiting::{Look, PeersEnd, WaitOptions, Waited};

/// How often a value is copied before a reader gives up.
pub(crate) const ATTEMPTS: u32 = if cfg!(loom) { 2 } else { 128 };
/// After how many of them it gives its processor to others in between.
const EAGER: u32 = 16;

/// Where one of a board's buffers is.
pub(crate) type Buffer<R> = <<R as Region>::Pane as Pane<R>>::Buffer;

/// What a value is copied to.
pub(crate) trait Room {
    /// What there is afterwards.
    type Copy;
    /// Copies the value in a buffer of `entry`, which is said to have `len` bytes. `None` if there is no room for a value of
    /// that length, or the buffer has none. What others write meanwhile it may copy as well: whoever calls this finds out.
    ///
    /// # Safety
    /// The buffer is one of that entry's in that region.
    unsafe fn copy<R: Region>(
        &mut self,
        region: &R,
        entry: &Entry,
        buffer: Buffer<R>,
        len: u64,
    ) -> Option<Self::Copy>;
    /// Puts a short value there, which its writer has tagged, the first `len` bytes of some words. `None` if there is no room for so many.
    fn put(&mut self, words: &Words, len: usize, tag: u16) -> Option<Self::Copy>;
}

/// Gets the length of the value.
impl Room for Vec<u8> {
    type Copy = ();

    #[inline(always)]
    unsafe fn copy<R: Region>(
        &mut self,
        region: &R,
        entry: &Entry,
        buffer: Buffer<R>,
        len: u64,
    ) -> Option<()> {
        if len > entry.buffer_len {
            return None;
        }
        let len = len as usize;
        self.clear();
        if self.capacity() < len {
            grow(self, len);
        }
        // SAFETY: so many bytes lie in the entry's buffer, and there is room for them, just checked. All are written.
        unsafe {
            R::Pane::read(region, buffer, self.as_mut_ptr(), len);
            self.set_len(len);
        }
        Some(())
    }

    fn put(&mut self, words: &Words, len: usize, _tag: u16) -> Option<()> {
        self.clear();
        self.extend_from_slice(&words.as_flattened()[..len]);
        Some(())
    }
}

#[cold]
#[inline(never)]
fn grow(bytes: &mut Vec<u8>, len: usize) {
    bytes.reserve(len);
}

/// A value of that type.
pub(crate) struct Value<T>(PhantomData<T>);

impl<T> Value<T> {
    pub(crate) fn room() -> Self {
        Self(PhantomData)
    }
}

impl<T: Pod> Room for Value<T> {
    type Copy = T;

    #[inline(always)]
    unsafe fn copy<R: Region>(
        &mut self,
        region: &R,
        entry: &Entry,
        buffer: Buffer<R>,
        len: u64,
    ) -> Option<T> {
        let fits = len == size_of::<T>() as u64 && entry.has_room(len);
        // SAFETY: so many bytes lie in the entry's buffer, just checked.
        fits.then(|| unsafe { R::Pane::read_value(region, buffer) })
    }

    fn put(&mut self, words: &Words, len: usize, _tag: u16) -> Option<T> {
        let bytes = &words.as_flattened()[..len];
        bytemuck::try_pod_read_unaligned(bytes).ok()
    }
}

/// A value that was copied, and where it was found.
pub(crate) struct Copied<T: Room, R: Region> {
    pub(crate) number: u64,
    copy: T::Copy,
    len: u64,
    buffer: Buffer<R>,
}

/// Copies the value of `entry` if its number is higher than `seen`.
///
/// # Safety
/// The entry is one of a board with the geometry of that region.
#[inline]
pub(crate) unsafe fn copy<T: Room, R: Region>(
    region: &R,
    entry: &Entry,
    seen: u64,
    room: &mut T,
) -> Result<Option<Copied<T, R>>, GetError> {
    // SAFETY: passed on, and it is used here only.
    let pane = unsafe { region.pane(&entry.place) };
    for attempt in 0..ATTEMPTS {
        // Acquire pairs with the release in `publish`: the bytes are there (E1).
        let number = pane.load64(region, NUMBER, Ordering::Acquire);
        if number <= seen {
            return Ok(None);
        }
        let len = pane.load64(region, length_field(number), Ordering::Relaxed);
        let buffer = pane.buffer(number);
        if let Some(short) = Short::of(len) {
            match short.copy(region, *entry, number, room) {
                Some(copied) => {
                    return Ok(Some(Copied {
                        number,
                        copy: copied?,
                        len: NONE,
                        buffer,
                    }));
                }
                None => give_way(attempt),
            }
            continue;
        }
        // SAFETY: it is the entry's.
        let copied = unsafe { room.copy(region, entry, buffer, len) };
        // (E2) Pairs with the release fence in `publish`: if the copy has anything of the value after the next, this load sees that
        // it has begun.
        region.copied_fence();
        let begun = pane.load64(region, BEGUN, Ordering::Relaxed);
        if begun.wrapping_sub(number) <= 1 {
            return Ok(Some(Copied {
                number,
                copy: copied.ok_or_else(|| misfit(entry, len))?,
                len,
                buffer,
            }));
        }
        give_way(attempt);
    }
    Err(GetError::Changing)
}

/// Why a value of that length was not copied.
#[cold]
fn misfit(entry: &Entry, len: u64) -> GetError {
    match len <= entry.buffer_len {
        true => GetError::WrongLength { len: len as usize },
        false => GetError::Corrupt,
    }
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
pub(crate) struct Reader<R: Region> {
    sleeper: Sleeper<R>,
    key: Box<[u8]>,
    /// The number of the last value that was read; 0 before the first.
    seen: u64,
    /// Its length, as it was then; [`NONE`] before the first, and of a short value.
    len: u64,
    /// Where it was.
    buffer: Buffer<R>,
}

/// No length of a value.
const NONE: u64 = u64::MAX;

impl<R: Region> Reader<R> {
    /// Of a board whose geometry, of which the slate is, is the region's.
    pub(crate) fn new(region: R, slate: Slate, key: &[u8]) -> Self {
        let sleeper = Sleeper::new(region, slate, ANY_CHANGE);
        Self {
            buffer: sleeper.pane.buffer(0),
            sleeper,
            key: key.into(),
            seen: 0,
            len: NONE,
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

    /// Reads the value, whether it was read before or not, and tells its number; `None` if there is none yet.
    ///
    /// The value that was read last lies where it lay then, and has the length that it had. So nothing that is copied waits for
    /// the number, which is there to be compared.
    #[inline(always)]
    pub(crate) fn get<T: Room>(
        &mut self,
        room: &mut T,
    ) -> Result<Option<(u64, T::Copy)>, GetError> {
        let Self {
            sleeper,
            seen,
            len,
            buffer,
            ..
        } = self;
        let Sleeper { region, entry, .. } = &*sleeper;
        // Acquire pairs with the release in `publish`: the bytes are there (E1).
        if sleeper.has_found() && sleeper.number(Ordering::Acquire) == *seen {
            // SAFETY: the buffer is the entry's, by the sleeper.
            let copied = unsafe { room.copy(region, entry, *buffer, *len) };
            // (E2) Pairs with the release fence in `publish`: if the copy has anything of the value after the next, this load sees
            // that the next one was published.
            region.copied_fence();
            if let Some(copied) = copied
                && sleeper.number(Ordering::Relaxed) == *seen
            {
                return Ok(Some((*seen, copied)));
            }
        }
        self.newer_than(0, room)
    }

    /// Reads the value if it is newer than the last one that was read.
    #[inline(always)]
    pub(crate) fn get_if_newer<T: Room>(
        &mut self,
        room: &mut T,
    ) -> Result<Option<(u64, T::Copy)>, GetError> {
        // Relaxed: of that value nothing is read.
        if self.sleeper.has_found() && self.sleeper.number(Ordering::Relaxed) == self.seen {
            return Ok(None);
        }
        self.newer_than(self.seen, room)
    }

    #[inline(never)]
    fn newer_than<T: Room>(
        &mut self,
        than: u64,
        room: &mut T,
    ) -> Result<Option<(u64, T::Copy)>, GetError> {
        let Self { sleeper, key, .. } = self;
        if sleeper.region.is_forked() {
            return Err(GetError::Forked);
        }
        let Some(entry) = sleeper.entry_of(key) else {
            return Ok(None);
        };
        // SAFETY: found by the slate, which is of the region's geometry.
        let Some(copied) = (unsafe { copy(&sleeper.region, &entry, than, room)? }) else {
            return Ok(None);
        };
        self.seen = copied.number;
        self.len = copied.len;
        self.buffer = copied.buffer;
        Ok(Some((copied.number, copied.copy)))
    }

    /// Waits for a newer value than the last one that was read, and reads it. Each death of a writer is told once.
    pub(crate) fn wait_newer<T: Room>(
        &mut self,
        wait: &WaitOptions,
        room: &mut T,
    ) -> Result<(u64, T::Copy), GetError> {
        loop {
            if let Some(read) = self.newer_or_armed(wait, room)? {
                return Ok(read);
            }
        }
    }

    /// The same; `None`: it would sleep, and was told to arm instead.
    pub(crate) fn newer_or_armed<T: Room>(
        &mut self,
        wait: &WaitOptions,
        room: &mut T,
    ) -> Result<Option<(u64, T::Copy)>, GetError> {
        loop {
            if let Some(read) = self.get_if_newer(room)? {
                return Ok(Some(read));
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
        let Self {
            sleeper, key, seen, ..
        } = self;
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
        let sleeper = &self.sleeper;
        // Relaxed: it is loaded again when the value is read.
        let is_newer = || sleeper.number(Ordering::Relaxed) > self.seen;
        sleeper.has_found() && (0..4 * EAGER_POLLS).any(|_| is_newer())
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
