//! unix(7): descriptors that travel through a Unix socket (SCM_RIGHTS).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// What was received together.
pub(crate) struct Received {
    /// Bytes written to the buffer; 0 when the peer has closed the socket.
    pub(crate) len: usize,
    /// The descriptors, close-on-exec.
    pub(crate) files: Vec<OwnedFd>,
}

/// Sends `bytes` with `file` attached. Returns how many bytes were sent.
pub(crate) fn send(
    socket: &UnixStream,
    bytes: &[u8],
    file: BorrowedFd<'_>,
) -> Result<usize, Errno> {
    let files = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&files)];
    let iov = [IoSlice::new(bytes)];
    loop {
        // A peer that is gone is an error and no signal.
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(socket.as_raw_fd(), &iov, &rights, flags, None) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Receives into `bytes`, with the descriptors attached.
pub(crate) fn receive(socket: &UnixStream, bytes: &mut [u8]) -> Result<Received, Errno> {
    // Room for as many descriptors as one message can carry (SCM_MAX_FD), and for credentials that
    // the socket may be set to pass: what a peer sends is always taken whole, and closed.
    let mut control = nix::cmsg_space!([i32; 253], libc::ucred, [u8; 256]);
    let mut iov = [IoSliceMut::new(bytes)];
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    let mut files = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just made these descriptors for us; nobody else knows them.
            files.extend(
                numbers
                    .iter()
                    .map(|&fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    let len = message.bytes;
    Ok(Received { len, files })
}
