//! mq_overview(7): POSIX message queues. On Linux their descriptors are file descriptors.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Opens a queue that holds one message of one byte; made if it is not there. Neither sending nor
/// receiving waits.
pub(crate) fn open_or_create(name: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: mq_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 1;
    // SAFETY: a C string, the flags, and the two arguments that O_CREAT asks for.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags, mode & 0o777, &raw mut attributes) })
}

/// Opens a queue to send to it, which never waits.
pub(crate) fn open_to_send(name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a C string and flags that ask for no more arguments.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags) })
}

fn owned(result: libc::mqd_t) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Most messages, and bytes of one.
pub(crate) fn capacity(queue: BorrowedFd<'_>) -> Result<(i64, i64), Errno> {
    // SAFETY: mq_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attributes` is an mq_attr that the kernel may fill.
    Errno::result(unsafe { libc::mq_getattr(queue.as_raw_fd(), &mut attributes) })?;
    Ok((attributes.mq_maxmsg, attributes.mq_msgsize))
}

/// Sends one byte. EAGAIN when the queue is full.
pub(crate) fn send(queue: BorrowedFd<'_>) -> Result<(), Errno> {
    let byte = 0_u8;
    // SAFETY: one byte to read, which outlives the call.
    let result = unsafe { libc::mq_send(queue.as_raw_fd(), (&raw const byte).cast(), 1, 0) };
    Errno::result(result).map(drop)
}

/// Receives a message of up to one byte. EAGAIN when there is none.
pub(crate) fn receive(queue: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut byte = 0_u8;
    let (fd, to) = (queue.as_raw_fd(), (&raw mut byte).cast());
    // SAFETY: one byte to write; the kernel refuses if a message of the queue may be longer.
    let result = unsafe { libc::mq_receive(fd, to, 1, std::ptr::null_mut()) };
    Errno::result(result).map(drop)
}

/// Removes the name; the queue goes with its last descriptor.
pub(crate) fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    Errno::result(unsafe { libc::mq_unlink(name.as_ptr()) }).map(drop)
}
