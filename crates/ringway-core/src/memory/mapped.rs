//! A whole segment, mapped by itself where the kernel likes.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use memmap2::MmapRaw;
use nix::errno::Errno;

use crate::sys::{mmap, shmget};

/// An address range. Unmapped (a System V segment: detached) when dropped.
#[derive(Debug)]
pub(crate) struct Mapped {
    range: Range,
    /// Bytes that may be accessed.
    len: usize,
}

#[derive(Debug)]
enum Range {
    File(MmapRaw),
    Sysv(Attachment),
}

/// A System V segment, attached. Detached when dropped.
#[derive(Debug)]
struct Attachment(NonNull<c_void>);

// SAFETY: an address range that belongs to no thread; all access is by atomics or by copies that allow
// for races.
unsafe impl Send for Attachment {}
// SAFETY: as for Send.
unsafe impl Sync for Attachment {}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: what hands out addresses of this range lives no longer than `self`.
        unsafe { shmget::detach(self.0) }
    }
}

impl Mapped {
    /// Maps `len` bytes of a file that has so many. `page` is the file system's.
    pub(crate) fn file(file: BorrowedFd<'_>, len: u64, page: usize) -> Result<Self, Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::EOVERFLOW)?;
        // Huge pages are mapped and unmapped whole.
        let whole = len.checked_next_multiple_of(page).ok_or(Errno::EOVERFLOW)?;
        let range = Range::File(mmap::map_shared(whole, file)?);
        Ok(Self { range, len })
    }

    /// Attaches the System V segment `id`, whatever it is, and says what that is.
    pub(crate) fn sysv(id: i32) -> Result<(Self, shmget::Status), Errno> {
        Self::attached(id, shmget::attach(id)?)
    }

    /// The same, but nothing may be written.
    pub(crate) fn sysv_to_read(id: i32) -> Result<(Self, shmget::Status), Errno> {
        Self::attached(id, shmget::attach_to_read(id)?)
    }

    fn attached(id: i32, base: NonNull<c_void>) -> Result<(Self, shmget::Status), Errno> {
        let range = Range::Sysv(Attachment(base));
        // While it is attached, no other segment has this id: so this is its length.
        let status = shmget::status(id)?;
        let len = status.len;
        Ok((Self { range, len }, status))
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> NonNull<c_void> {
        match &self.range {
            // SAFETY: nothing is mapped at address 0.
            Range::File(map) => unsafe { NonNull::new_unchecked(map.as_mut_ptr().cast()) },
            Range::Sysv(attachment) => attachment.0,
        }
    }

    /// How many bytes may be accessed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where a `T` at `offset` begins, if it lies in the segment and is aligned.
    pub(crate) fn place<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let fits = offset.is_multiple_of(align_of::<T>())
            && offset.checked_add(size_of::<T>())? <= self.len;
        // SAFETY: in bounds, just checked.
        fits.then(|| unsafe { self.base().byte_add(offset) }.cast())
    }
}
