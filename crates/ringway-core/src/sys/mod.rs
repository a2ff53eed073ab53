//! Every operating-system call that needs `unsafe`: one file per facility, named as its man page.

pub(crate) mod ftok;
pub(crate) mod futex;
pub(crate) mod getrandom;
pub(crate) mod membarrier;
pub(crate) mod mmap;
pub(crate) mod robust_list;
pub(crate) mod shmget;
pub(crate) mod unix;

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system; it takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
