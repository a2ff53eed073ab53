//! mmap(2), madvise(2), mincore(2) and mlock(2).
//!
//! Where the kernel chooses the place, memmap2 maps and unmaps. It knows no fixed address, no shared memory without a file,
//! and no memory that it did not map itself, as a System V segment is: those are here.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::sys::mman::{self, MapFlags, MmapAdvise, ProtFlags};

/// Reserves `len` bytes of private, zeroed memory that costs nothing until it is touched.
pub(crate) fn reserve(len: usize) -> Result<MmapRaw, Errno> {
    let reserved = MmapOptions::new().len(len).no_reserve_swap().map_anon();
    reserved.map(MmapRaw::from).map_err(errno)
}

/// Maps `len` bytes of `fd`, shared, where the kernel likes.
pub(crate) fn map_shared(len: usize, fd: BorrowedFd<'_>) -> Result<MmapRaw, Errno> {
    let mapped = MmapOptions::new().len(len).map_raw(fd.as_raw_fd());
    mapped.map_err(errno)
}

/// Maps `len` bytes of `fd`, which nobody is meant to access, where the kernel likes: only to keep the open file. A child
/// of `fork` has no such mapping, and must not unmap what it finds there.
pub(crate) fn map_for_its_file(len: usize, fd: BorrowedFd<'_>) -> Result<MmapRaw, Errno> {
    let mapped = MmapOptions::new()
        .len(len)
        .map_raw_read_only(fd.as_raw_fd());
    let mapped = mapped.map_err(errno)?;
    mapped.advise(Advice::DontFork).map_err(errno)?;
    Ok(mapped)
}

/// The kernel's error; memmap2 has no others for a length that is not 0.
fn errno(error: std::io::Error) -> Errno {
    Errno::try_from(error).unwrap_or(Errno::EINVAL)
}

/// Maps `len` bytes of shared memory without a name, zeroed, which costs nothing until it is touched.
pub(crate) fn share(len: NonZeroUsize) -> Result<NonNull<c_void>, Errno> {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: without an address the kernel picks a free range; nothing of ours is replaced.
    unsafe { mman::mmap_anonymous(None, len, protection, flags) }
}

/// Leaves the range out of a child of `fork`.
///
/// # Safety
/// Nothing in a child may use the range.
pub(crate) unsafe fn keep_from_children(address: NonNull<c_void>, len: usize) -> Result<(), Errno> {
    // SAFETY: this process keeps the range.
    unsafe { mman::madvise(address, len, MmapAdvise::MADV_DONTFORK) }
}

/// Maps `len` bytes of `fd`, shared, in place of what is reserved at `address`.
///
/// # Safety
/// `address .. address + len` must lie in a range from [`reserve`] that nothing else uses.
pub(crate) unsafe fn map_at(
    address: NonZeroUsize,
    len: NonZeroUsize,
    fd: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    // SAFETY: the caller owns the range that MAP_FIXED replaces.
    unsafe { mman::mmap(Some(address), len, protection, flags, fd, 0) }.map(drop)
}

/// Whether the page at `address` is in memory. Of a page that is not, the caller cannot tell whether it is swapped out,
/// or was never touched. EINVAL unless a page begins there, ENOMEM unless something is mapped there.
pub(crate) fn is_resident(address: NonNull<c_void>) -> Result<bool, Errno> {
    let mut pages = [0u8];
    // SAFETY: mincore touches no page of the range, and writes one byte for each, of which there is one.
    let result = unsafe { libc::mincore(address.as_ptr(), 1, pages.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(pages[0] & 1 == 1)
}

/// Unmaps what [`share`] gave.
///
/// # Safety
/// Nothing may use `address .. address + len` afterwards.
pub(crate) unsafe fn unmap(address: NonNull<c_void>, len: usize) {
    // SAFETY: the caller gives up the range. The only failures are bad arguments, which a range
    // that was mapped does not make.
    let _ = unsafe { mman::munmap(address, len) };
}

/// Makes the range read as zero in a child of `fork`.
/// (memmap2 does not know that advice.)
#[cfg(not(miri))]
pub(crate) fn wipe_on_fork(range: &MmapRaw) -> Result<(), Errno> {
    let address = NonNull::new(range.as_mut_ptr().cast()).ok_or(Errno::EFAULT)?;
    // SAFETY: the whole mapping; this process keeps its contents, a child gets zeroes instead of a copy.
    unsafe { mman::madvise(address, range.len(), MmapAdvise::MADV_WIPEONFORK) }
}

/// Touches every page of the range for writing, so that a lack of memory is an error here and not a
/// signal later.
///
/// # Safety
/// The range must be mapped for writing.
pub(crate) unsafe fn populate(address: NonNull<c_void>, len: usize) -> Result<(), Errno> {
    // Not in nix yet. Linux 5.14 and later.
    // SAFETY: MADV_POPULATE_WRITE faults pages in and changes no contents.
    let result = unsafe { libc::madvise(address.as_ptr(), len, libc::MADV_POPULATE_WRITE) };
    Errno::result(result).map(drop)
}

/// Keeps the range in memory.
///
/// # Safety
/// The range must be mapped.
pub(crate) unsafe fn lock(address: NonNull<c_void>, len: usize) -> Result<(), Errno> {
    // SAFETY: mlock changes where pages may be, not what is in them.
    unsafe { mman::mlock(address, len) }
}

/// Gives the range other pages, whose bytes are zero, for all who have it mapped. Whoever still writes to the old pages
/// themselves, as a device does, writes to what is nobody's. `false` if some of the old ones may still be there.
///
/// # Safety
/// The range must be whole pages of a shared mapping for writing, and its contents must matter to nobody.
pub(crate) unsafe fn renew(address: NonNull<c_void>, len: usize) -> Result<bool, Errno> {
    // SAFETY: the caller has given up the contents.
    let remove = || unsafe { mman::madvise(address, len, MmapAdvise::MADV_REMOVE) };
    let (removed, was_locked) = match remove() {
        // The kernel's word for pages that this process keeps in memory.
        Err(Errno::EINVAL) => {
            // SAFETY: munlock changes where pages may be, not what is in them.
            unsafe { mman::munlock(address, len)? };
            let removed = remove();
            // Or they are pages of another sort.
            (removed, removed != Err(Errno::EINVAL))
        }
        result => (result, false),
    };
    // SAFETY: the same range.
    let is_new = removed.and_then(|()| unsafe { is_absent(address, len) });
    // SAFETY: the same range.
    let there = is_new.and_then(|_| unsafe { populate(address, len) });
    if was_locked {
        // SAFETY: the same range.
        unsafe { lock(address, len)? };
    }
    there.and(is_new)
}

/// Whether the file has none of the range's pages in memory.
///
/// # Safety
/// The range must be whole pages of a mapping.
unsafe fn is_absent(address: NonNull<c_void>, len: usize) -> Result<bool, Errno> {
    /// Pages that are asked for at once.
    const MOST: usize = 1024;
    let page = super::sysconf::page_size();
    let mut found = [0; MOST];
    for at in (0..len).step_by(MOST * page) {
        let part = (len - at).min(MOST * page);
        // SAFETY: within the range; of each page a byte is written, and there is place for so many.
        let result = unsafe {
            let address = address.byte_add(at).as_ptr();
            libc::mincore(address, part, found.as_mut_ptr())
        };
        Errno::result(result)?;
        if found[..part.div_ceil(page)]
            .iter()
            .any(|page| page & 1 != 0)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn address(map: &MmapRaw) -> NonNull<c_void> {
        NonNull::new(map.as_mut_ptr().cast()).unwrap()
    }

    /// What one mapping has at the start of each page.
    fn firsts(map: &MmapRaw, pages: usize) -> Vec<u8> {
        let first = |nth| {
            // SAFETY: within the mapping, which other mappings of the same memory do not write meanwhile.
            unsafe {
                map.as_ptr()
                    .add(nth * super::super::sysconf::page_size())
                    .read()
            }
        };
        (0..pages).map(first).collect()
    }

    #[test]
    fn renewed_pages_are_new_for_all_and_the_others_stay() {
        let page = super::super::sysconf::page_size();
        let len = 4 * page;
        for is_locked in [false, true] {
            let file = memfd_create("renewed", MFdFlags::MFD_CLOEXEC).unwrap();
            nix::unistd::ftruncate(&file, len as i64).unwrap();
            let maps = [(); 2].map(|()| map_shared(len, file.as_fd()).unwrap());
            // SAFETY: whole mappings that nothing else uses.
            unsafe {
                maps[0].as_mut_ptr().write_bytes(7, len);
                if is_locked {
                    lock(address(&maps[0]), len).unwrap();
                }
                let middle = address(&maps[0]).byte_add(page);
                assert_eq!(renew(middle, 2 * page), Ok(true), "locked: {is_locked}");
            }
            for map in &maps {
                assert_eq!(firsts(map, 4), [7, 0, 0, 7], "locked: {is_locked}");
            }
        }
    }

    #[test]
    fn what_cannot_be_renewed_is_no_new_memory() {
        let len = super::super::sysconf::page_size();
        let private = reserve(len).unwrap();
        // SAFETY: a whole mapping that nothing else uses.
        let renewed = unsafe { renew(address(&private), len) };
        assert!(renewed.is_err());
    }
}
