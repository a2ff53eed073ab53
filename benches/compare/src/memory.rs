//! Anonymous memory that a process shares with the children it forks.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Shared, zeroed memory. Never unmapped: it lives as long as the processes.
pub struct Shared {
    base: *mut u8,
    len: usize,
}

impl Shared {
    pub fn new(len: usize) -> Self {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "mmap of {len} bytes failed");
        Self {
            base: base.cast(),
            len,
        }
    }

    /// The same in a file, which loses its name: who is forked has it.
    pub fn in_file(path: &Path, len: usize) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .expect("a new file");
        file.set_len(len as u64).expect("room for the file");
        std::fs::remove_file(path).expect("it is there");
        // SAFETY: a new mapping of a file of that length, at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "mmap of {len} bytes failed");
        Self {
            base: base.cast(),
            len,
        }
    }

    /// Touches every page in this process, so that no message pays for a page fault.
    pub fn populate(&self) {
        // SAFETY: the range is the mapping; populating changes no byte of it.
        let result =
            unsafe { libc::madvise(self.base.cast(), self.len, libc::MADV_POPULATE_WRITE) };
        assert_eq!(result, 0, "madvise: {}", std::io::Error::last_os_error());
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// `offset` bytes in.
    #[inline(always)]
    pub fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!((offset as usize) < self.len);
        self.base.wrapping_add(offset as usize)
    }

    /// The word at `offset`, a multiple of 8 inside the mapping.
    #[inline(always)]
    pub fn word(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset as usize + 8 <= self.len);
        // SAFETY: aligned and in bounds, by the contract and layout of every caller; mapped for good.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }
}

/// Polls without a pause before the first: an answer that is on its way arrives within these.
const EAGER_POLLS: u32 = 1000;

#[inline(always)]
pub fn spin_until(mut ready: impl FnMut() -> bool) {
    for _ in 0..EAGER_POLLS {
        if ready() {
            return;
        }
    }
    while !ready() {
        std::hint::spin_loop();
    }
}

/// Polls, with a pause between, before the first offer of the processor.
pub const PATIENT_POLLS: u32 = 128;

/// For processes that share processors: pauses, then yields to whoever else wants to run.
#[inline(always)]
pub fn yield_until(mut ready: impl FnMut() -> bool) {
    let mut polls = 0;
    while !ready() {
        pause_or_yield(polls);
        polls += 1;
    }
}

/// What to do after so many polls in vain.
#[inline(always)]
pub fn pause_or_yield(polls: u32) {
    if polls < PATIENT_POLLS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
