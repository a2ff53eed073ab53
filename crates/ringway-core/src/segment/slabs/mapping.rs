//! One slab's segment in this process's address space.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use crate::layout::slab_segment::{CONDEMNED, IDENTITY_LEN, Identity, MAGIC};
use crate::sys::{mmap, shmget};

/// A mapping for reading and writing of a whole segment.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<c_void>,
    /// Bytes that may be read and written.
    len: usize,
    mapped: Mapped,
}

#[derive(Debug)]
enum Mapped {
    /// By mmap, so many bytes.
    Bytes(usize),
    /// By shmat.
    Sysv,
}

// SAFETY: an address range that belongs to no thread; all access is by atomics or by copies that allow
// for races.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

/// The magic is there, or somebody condemned the segment before it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condemned;

impl Mapping {
    /// Maps `len` bytes of a file that has so many. `page` is the file system's.
    pub(super) fn of_file(file: BorrowedFd<'_>, len: u64, page: usize) -> Result<Self, Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::EOVERFLOW)?;
        // Huge pages are mapped and unmapped whole.
        let mapped = len.checked_next_multiple_of(page);
        let mapped = mapped.and_then(NonZeroUsize::new);
        let mapped = mapped.ok_or(Errno::EOVERFLOW)?;
        Ok(Self {
            base: mmap::map_shared(mapped, file)?,
            len,
            mapped: Mapped::Bytes(mapped.get()),
        })
    }

    /// Attaches the System V segment `id`, whatever it is, and says what that is.
    pub(super) fn of_sysv(id: i32) -> Result<(Self, shmget::Status), Errno> {
        let mut mapping = Self {
            base: shmget::attach(id)?,
            len: 0,
            mapped: Mapped::Sysv,
        };
        // While it is attached, no other segment has this id: so this is its length.
        let status = shmget::status(id)?;
        mapping.len = status.len;
        Ok((mapping, status))
    }

    /// Where the byte at `offset` is.
    pub(super) fn pointer(&self, offset: usize) -> Option<*mut u8> {
        // SAFETY: in the mapping, just checked.
        (offset < self.len).then(|| unsafe { self.base.byte_add(offset) }.cast().as_ptr())
    }

    /// Who it says to be behind the first `len` bytes.
    pub(super) fn identity(&self, len: u64) -> Option<Identity> {
        let mut words = [0; IDENTITY_LEN / 8];
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
        unsafe { mmap::populate(self.base, self.at_most(len)) }
    }

    /// Keeps the first `len` bytes in memory (mlock).
    pub(super) fn lock(&self, len: u64) -> Result<(), Errno> {
        // SAFETY: so many bytes are mapped at most.
        unsafe { mmap::lock(self.base, self.at_most(len)) }
    }

    fn at_most(&self, len: u64) -> usize {
        usize::try_from(len).map_or(self.len, |len| len.min(self.len))
    }

    /// The `nth` word behind `len` bytes.
    fn word(&self, len: u64, nth: usize) -> Option<&AtomicU64> {
        let at = usize::try_from(len).ok()?.checked_add(8 * nth)?;
        let fits = at.is_multiple_of(8) && at.checked_add(8)? <= self.len;
        // SAFETY: in bounds and aligned, just checked; the memory is mapped while `self` lives, and all
        // processes access these words atomically.
        fits.then(|| unsafe { AtomicU64::from_ptr(self.base.byte_add(at).cast().as_ptr()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what hands out addresses of this range lives no longer than `self`.
        unsafe {
            match self.mapped {
                Mapped::Bytes(len) => mmap::unmap(self.base, len),
                Mapped::Sysv => shmget::detach(self.base),
            }
        }
    }
}
