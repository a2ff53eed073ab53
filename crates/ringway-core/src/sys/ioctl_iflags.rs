//! ioctl_iflags(2): flags of a file, as chattr(1) sets them.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Blocks are written in place.
pub(crate) const NO_COW: u32 = 0x0080_0000;

/// The flags. ENOTTY or EOPNOTSUPP where the file system has none.
pub(crate) fn flags(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut flags: libc::c_int = 0;
    // SAFETY: despite its number, which says long, the call writes an int; `flags` outlives it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS as _, &mut flags) };
    Errno::result(result).map(|_| flags as u32)
}

/// Sets them all.
pub(crate) fn set_flags(file: BorrowedFd<'_>, flags: u32) -> Result<(), Errno> {
    let flags = flags as libc::c_int;
    // SAFETY: the call reads an int, which outlives it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS as _, &flags) };
    Errno::result(result).map(drop)
}
