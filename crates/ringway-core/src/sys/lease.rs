//! fcntl(2), leases: the kernel tells whether a file is open anywhere else, by whatever process in whatever
//! namespace, mappings included; and as long as a lease on it lasts, who opens or truncates it waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Not in the libc crate.
const F_SETSIG: libc::c_int = 10;

/// A write lease. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease<F: AsFd>(F);

impl<F: AsFd> Lease<F> {
    /// Takes the lease, unless the file is open anywhere but by this descriptor, which must be for reading and
    /// writing: then `None`. EACCES for another user's file without CAP_LEASE, EINVAL where the file system has no
    /// leases.
    ///
    /// Who opens it from now on, without waiting, gets EAGAIN.
    pub(crate) fn take(file: F) -> Result<Option<Self>, Errno> {
        // What tells of who waits; programs that do not expect it ignore it.
        fcntl(file.as_fd(), F_SETSIG, libc::SIGURG)?;
        match fcntl(file.as_fd(), libc::F_SETLEASE, libc::F_WRLCK) {
            Ok(_) => Ok(Some(Self(file))),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the lease lasts, and nobody waits for its end. The kernel ends the lease of who lets others wait for
    /// longer than /proc/sys/fs/lease-break-time says.
    pub(crate) fn lasts(&self) -> bool {
        fcntl(self.0.as_fd(), libc::F_GETLEASE, 0) == Ok(libc::F_WRLCK)
    }
}

impl<F: AsFd> Drop for Lease<F> {
    fn drop(&mut self) {
        let _ = fcntl(self.0.as_fd(), libc::F_SETLEASE, libc::F_UNLCK);
    }
}

fn fcntl(
    file: BorrowedFd<'_>,
    command: libc::c_int,
    argument: libc::c_int,
) -> Result<libc::c_int, Errno> {
    // SAFETY: these commands take a number.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
}

/// Whether the file is open nowhere but by this descriptor; errors as of [`Lease::take`]. Who opens it in the very
/// moment, without waiting, gets EAGAIN.
pub(crate) fn is_only_opener(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    Lease::take(file).map(|lease| lease.is_some())
}
