//! The lock on a ring's file that whoever renews the ring after a reboot holds, and whoever removes its name.
//! The kernel takes it back from the dead.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::Error;

use super::attempt::Attempt;
use super::deadline::Deadline;

/// How long another process may hold a lock, in which it does little.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lock, until dropped.
#[derive(Debug)]
pub(super) struct Sole<'a>(BorrowedFd<'a>);

impl<'a> Sole<'a> {
    /// Takes the lock on a file that is open for writing, or gives up: whoever may write the file could hold
    /// it for ever.
    pub(super) fn take(attempt: Attempt<'_>, file: BorrowedFd<'a>) -> Result<Self, Error> {
        let deadline = Deadline::after(PATIENCE);
        loop {
            match fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
                Ok(_) => return Ok(Self(file)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::EACCES) if deadline.remaining().is_some() => {
                    // fcntl has no lock with a time limit.
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::EAGAIN | Errno::EACCES) => {
                    return Err(attempt.timed_out("another process holds a lock on the file"));
                }
                Err(errno) => return Err(attempt.os("the file cannot be locked", errno)),
            }
        }
    }
}

impl Drop for Sole<'_> {
    /// Here and not by closing: a mapping or a child of `fork` may share the open file.
    fn drop(&mut self) {
        let _ = fcntl(self.0, FcntlArg::F_OFD_SETLK(&whole(libc::F_UNLCK)));
    }
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
