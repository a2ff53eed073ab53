//! fsopen(2), fsmount(2): a file system that is mounted nowhere, to look at it by a descriptor.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const FSOPEN_CLOEXEC: libc::c_long = 1;
const FSCONFIG_CMD_CREATE: libc::c_long = 6;
const FSMOUNT_CLOEXEC: libc::c_long = 1;

/// The root of a file system of `kind`, as this process's namespaces have it. EPERM without
/// CAP_SYS_ADMIN.
pub(crate) fn root_of(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string and a number.
    let context =
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    let fd = context.as_raw_fd();
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: this command takes neither key nor value.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0)
    })?;
    // SAFETY: fsmount takes numbers only.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, 0) })
}

fn descriptor(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
