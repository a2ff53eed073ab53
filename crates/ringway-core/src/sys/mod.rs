//! Every operating-system call that needs `unsafe`: one file per facility, named as its man page.

pub(crate) mod deadline;
pub(crate) mod errno;
pub(crate) mod flock;
pub mod fork;
pub(crate) mod fsopen;
pub mod ftok;
pub(crate) mod futex;
pub mod getrandom;
pub(crate) mod ioctl_iflags;
pub(crate) mod lease;
pub(crate) mod membarrier;
pub(crate) mod mmap;
pub mod mq_overview;
pub mod msgget;
pub mod owner;
pub(crate) mod pid_namespaces;
pub(crate) mod pipe;
pub(crate) mod pthread_create;
pub(crate) mod pthread_mutex;
pub mod pthread_sigmask;
pub mod rename;
pub(crate) mod robust_list;
pub(crate) mod sem_overview;
pub mod semget;
pub(crate) mod shm_overview;
pub(crate) mod shmget;
pub(crate) mod unix;
pub mod unwinding;

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970; 0 by a clock that stands before that.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system; it takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
