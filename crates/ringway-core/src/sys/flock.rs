//! flock(2): a lock on an open file, which goes with its last descriptor. (nix has one that is released
//! when dropped, also in a child of `fork` that only inherited it.)

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Takes the lock together with others. EAGAIN while somebody has it alone.
pub(crate) fn try_shared(file: BorrowedFd<'_>) -> Result<(), Errno> {
    lock(file, libc::LOCK_SH)
}

/// Takes the lock alone. EAGAIN while somebody has it.
pub(crate) fn try_exclusive(file: BorrowedFd<'_>) -> Result<(), Errno> {
    lock(file, libc::LOCK_EX)
}

fn lock(file: BorrowedFd<'_>, how: libc::c_int) -> Result<(), Errno> {
    loop {
        // SAFETY: flock takes numbers only.
        match Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}
