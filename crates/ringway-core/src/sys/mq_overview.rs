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

/// Makes a queue for so many messages of up to so many bytes, unless the name is taken. Neither sending nor
/// receiving waits.
pub fn create(name: &CStr, mode: u32, messages: i64, len: i64) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: mq_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = messages as _;
    attributes.mq_msgsize = len as _;
    // SAFETY: a C string, the flags, and the two arguments that O_CREAT asks for.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags, mode, &raw mut attributes) })
}

/// Opens a queue to send and to receive, neither of which waits.
pub fn open(name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a C string and flags that ask for no more arguments.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags) })
}

/// Opens a queue to receive from it, which never waits.
pub fn open_to_receive(name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a C string and flags that ask for no more arguments.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags) })
}

/// Opens a queue to send to it, which never waits.
pub fn open_to_send(name: &CStr) -> Result<OwnedFd, Errno> {
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

/// What a queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Most messages.
    pub max_messages: i64,
    /// Bytes of the longest message.
    pub max_len: i64,
    /// Messages in it now.
    pub messages: i64,
}

/// mq_getattr(3). EBADF for what is no queue.
pub fn attributes(queue: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    // SAFETY: mq_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attributes` is an mq_attr that the kernel may fill.
    Errno::result(unsafe { libc::mq_getattr(queue.as_raw_fd(), &mut attributes) })?;
    Ok(Attributes {
        max_messages: attributes.mq_maxmsg as _,
        max_len: attributes.mq_msgsize as _,
        messages: attributes.mq_curmsgs as _,
    })
}

/// No deadline.
const FOR_EVER: *const libc::timespec = std::ptr::null();

/// mq_send(3). EAGAIN when the queue is full and its descriptor does not block.
///
/// The system call itself: glibc's function is a point of cancellation of threads, which costs up to a tenth of it, on some machines nothing, and for
/// which Rust has no use.
pub fn send_message(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> Result<(), Errno> {
    let (call, queue) = (libc::SYS_mq_timedsend, queue.as_raw_fd());
    let (from, len) = (message.as_ptr(), message.len());
    // SAFETY: `len` bytes to read, which outlive the call, and null for the deadline.
    Errno::result(unsafe { libc::syscall(call, queue, from, len, priority, FOR_EVER) }).map(drop)
}

/// mq_receive(3): bytes and priority of a message. EAGAIN when there is none and the descriptor does not block,
/// EMSGSIZE if `buffer` is shorter than the longest message of the queue. As [`send_message`], no point of cancellation.
pub fn receive_message(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32), Errno> {
    let mut priority: libc::c_uint = 0;
    let (call, queue) = (libc::SYS_mq_timedreceive, queue.as_raw_fd());
    let (to, room) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes at most `room` bytes, and a number; both outlive the call. Null for the deadline.
    let result = unsafe { libc::syscall(call, queue, to, room, &raw mut priority, FOR_EVER) };
    let len = usize::try_from(Errno::result(result)?).map_err(|_| Errno::EIO)?;
    Ok((len, priority))
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
pub fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    Errno::result(unsafe { libc::mq_unlink(name.as_ptr()) }).map(drop)
}
