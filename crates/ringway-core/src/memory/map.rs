//! A segment in this process's address space.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::MmapRaw;
use nix::errno::Errno;

use crate::sys::fork::Origin;
use crate::sys::{mmap, page_size, shmget};

/// A mapping for reading and writing. Unmapped (a System V segment: detached) when dropped.
#[derive(Debug)]
pub(crate) struct Map {
    /// What the segment is mapped over. When it goes, so does what lies there.
    reservation: MmapRaw,
    /// Where the segment begins in it. `start + len` bytes are less than it has.
    start: usize,
    len: usize,
    origin: Origin,
}

/// What a segment is mapped from.
pub(crate) enum Source<'a> {
    /// A file, a POSIX object or a memfd.
    Fd(BorrowedFd<'a>),
    /// A System V segment by its id.
    Sysv(i32),
}

impl Map {
    /// Maps `len` bytes. `align` is the page size of the backing (larger for huge pages), a power of
    /// two.
    ///
    /// The segment begins at an *odd* multiple of `align`, where nothing of larger pages can be
    /// mapped: the kernel rounds the length of huge pages up by itself, and what a key or descriptor
    /// stands for may not be what was expected. So it never reaches past the reservation.
    pub(crate) fn new(source: Source<'_>, len: usize, align: usize) -> Result<Self, Errno> {
        let reserved_len = len
            .checked_next_multiple_of(align)
            .and_then(|len| len.checked_add(align.checked_mul(2)?))
            .ok_or(Errno::EOVERFLOW)?;
        let non_zero_len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let origin = Origin::here()?;
        let reservation = mmap::reserve(reserved_len)?;
        let reserved = reservation.as_ptr().addr();
        let aligned = reserved.next_multiple_of(align);
        let is_odd = aligned & align != 0;
        // Less than two `align` into a reservation that is two `align` longer than the segment.
        let start = aligned + if is_odd { 0 } else { align } - reserved;
        let map = Self {
            reservation,
            start,
            len,
            origin,
        };
        // From here on a failure unmaps the reservation, by drop.
        // SAFETY: the whole pages from `base` lie in the reservation, which is only ours.
        unsafe {
            match source {
                Source::Fd(fd) => mmap::map_at(map.base().addr(), non_zero_len, fd)?,
                Source::Sysv(id) => shmget::attach_at(id, map.base().cast())?,
            }
        }
        Ok(map)
    }

    /// The segment's first byte. The next [`len`](Self::len) bytes are mapped.
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: within the reservation, as its field says, and nothing is mapped at address 0.
        unsafe { NonNull::new_unchecked(self.reservation.as_mut_ptr().add(self.start)) }
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether this is the copy of the mapping in a child of `fork`, which must not act as its
    /// parent.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.origin.is_forked()
    }

    /// The process that mapped it.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The 32-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn word32(&self, offset: usize) -> Option<&AtomicU32> {
        let fits = offset.is_multiple_of(4) && offset.checked_add(4)? <= self.len;
        // SAFETY: in bounds and aligned, just checked; the memory is mapped while `self` lives, and
        // all processes access this word atomically.
        fits.then(|| unsafe { AtomicU32::from_ptr(self.base().add(offset).cast().as_ptr()) })
    }

    /// The 64-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn word64(&self, offset: usize) -> Option<&AtomicU64> {
        let fits = offset.is_multiple_of(8) && offset.checked_add(8)? <= self.len;
        // SAFETY: in bounds and aligned, just checked; the memory is mapped while `self` lives, and
        // all processes access this word atomically.
        fits.then(|| unsafe { AtomicU64::from_ptr(self.base().add(offset).cast().as_ptr()) })
    }

    /// Where a `T` at `offset` begins, if it lies in the segment and is aligned.
    pub(crate) fn place<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let fits = offset.is_multiple_of(align_of::<T>())
            && offset.checked_add(size_of::<T>())? <= self.len;
        // SAFETY: in bounds, just checked.
        fits.then(|| unsafe { self.base().add(offset) }.cast())
    }

    /// Touches every page, so that a lack of memory shows now.
    /// Whether the kernel maps it by pages larger than the usual ones, as it tells of each mapping; `None` if it does not.
    pub(crate) fn lies_in_huge_pages(&self) -> Option<bool> {
        let mappings = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let begins = format!("{:x}-", self.base().as_ptr() as usize);
        let size = mappings
            .lines()
            .skip_while(|line| !line.starts_with(&begins))
            .find_map(|line| line.strip_prefix("KernelPageSize:"))?;
        let kilobytes: usize = size.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes << 10 > page_size())
    }

    pub(crate) fn populate(&self) -> Result<(), Errno> {
        // SAFETY: the range is mapped for writing.
        unsafe { mmap::populate(self.base().cast(), self.len) }
    }

    /// Keeps the segment in memory (mlock).
    pub(crate) fn lock(&self) -> Result<(), Errno> {
        // SAFETY: the range is mapped.
        unsafe { mmap::lock(self.base().cast(), self.len) }
    }
}
