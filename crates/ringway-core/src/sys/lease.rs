//! fcntl(2), leases: the kernel tells whether a file is open anywhere else, by whatever process in whatever
//! namespace, mappings included.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Not in the libc crate.
const F_SETSIG: libc::c_int = 10;

/// Whether the file is open nowhere but by this descriptor, which must be for reading and writing. EACCES
/// for another user's file without CAP_LEASE, EINVAL where the file system has no leases.
///
/// Who opens it in the very moment, without waiting, gets EAGAIN.
pub(crate) fn is_only_opener(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let fcntl = |command, argument: libc::c_int| {
        // SAFETY: these commands take a number.
        Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
    };
    // What tells of such an opener; programs that do not expect it ignore it.
    fcntl(F_SETSIG, libc::SIGURG)?;
    match fcntl(libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(_) => fcntl(libc::F_SETLEASE, libc::F_UNLCK).map(|_| true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}
