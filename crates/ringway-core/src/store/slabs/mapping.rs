//! One slab's segment in this process's address space.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use crate::memory::layout::slab_segment::{CONDEMNED, IDENTITY_WORDS, Identity, MAGIC};
use crate::memory::mapped::Mapped;
use crate::sys::{mmap, shmget};

/// A mapping for reading and writing of a whole segment.
#[derive(Debug)]
pub(super) struct Mapping(Mapped);

/// The magic is there, or somebody condemned the segment before it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condemned;

impl Mapping {
    /// Maps `len` bytes of a file that has so many. `page` is the file system's.
    pub(super) fn of_file(file: BorrowedFd<'_>, len: u64, page: usize) -> Result<Self, Errno> {
        Mapped::file(file, len, page).map(Self)
    }

    /// Attaches the System V segment `id`, whatever it is, and says what that is.
    pub(super) fn of_sysv(id: i32) -> Result<(Self, shmget::Status), Errno> {
        let (mapped, status) = Mapped::sysv(id)?;
        Ok((Self(mapped), status))
    }

    /// Where the byte at `offset` is.
    pub(super) fn pointer(&self, offset: usize) -> Option<*mut u8> {
        self.0.place(offset).map(NonNull::as_ptr)
    }

    /// Who it says to be behind the first `len` bytes.
    pub(super) fn identity(&self, len: u64) -> Option<Identity> {
        let mut words = [0; IDENTITY_WORDS];
        for (nth, word) in (0..).zip(&mut words) {
            // Acquire pairs with the release in `identify`.
            *word = self.word(len, nth)?.load(Ordering::Acquire);
        }
        Identity::decode(words)
    }

    /// Writes who it is, the magic last.
    pub(super) fn identify(&self, identity: &Identity) -> Result<(), Condemned> {
        for (nth, word) in (0..).zip(identity.encode()).skip(1) {
            let target = self.word(identity.len, nth).ok_or(Condemned)?;
            target.store(word, Ordering::Relaxed);
        }
        let magic = self.word(identity.len, 0).ok_or(Condemned)?;
        // One that a creator finds in place is its own.
        match magic.compare_exchange(0, MAGIC, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(_) => Err(Condemned),
        }
    }

    /// Makes sure that its creator, who has not finished it behind `len` bytes, never will. `false` if it has.
    pub(super) fn condemn(&self, len: u64) -> bool {
        let Some(magic) = self.word(len, 0) else {
            return false;
        };
        match magic.compare_exchange(0, CONDEMNED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(found) => found == CONDEMNED,
        }
    }

    /// Touches the pages of the first `len` bytes.
    pub(super) fn populate(&self, len: u64) -> Result<(), Errno> {
        // SAFETY: so many bytes are mapped for writing at most.
        unsafe { mmap::populate(self.0.base(), self.at_most(len)) }
    }

    /// Keeps the first `len` bytes in memory (mlock).
    pub(super) fn lock(&self, len: u64) -> Result<(), Errno> {
        // SAFETY: so many bytes are mapped at most.
        unsafe { mmap::lock(self.0.base(), self.at_most(len)) }
    }

    fn at_most(&self, len: u64) -> usize {
        usize::try_from(len).map_or(self.0.len(), |len| len.min(self.0.len()))
    }

    /// The `nth` word behind `len` bytes.
    fn word(&self, len: u64, nth: usize) -> Option<&AtomicU64> {
        let at = usize::try_from(len).ok()?.checked_add(8 * nth)?;
        let word = self.0.place(at)?;
        // SAFETY: in bounds and aligned, by `place`; the memory is mapped while `self` lives, and all
        // processes access these words atomically.
        Some(unsafe { AtomicU64::from_ptr(word.as_ptr()) })
    }
}
