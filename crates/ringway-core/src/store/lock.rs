//! Locks on a ring's file. The kernel takes them back from the dead, and from who unmaps the ring.
//!
//! | bytes of the file | who has it |
//! |---|---|
//! | before [`FIRST_LOCK`] | [`Sole`]: whoever renews the ring, or removes its name |
//! | from there on, one for each holder of a slot | who lends pointers to slabs ([`memory`](crate::presence::memory)) |
//! | the last but one that a file can have | [`Entry`]: all who may still attach, together |
//! | the last | [`Open`]: all who have the ring open, together; alone, who renews it |
//!
//! [`Sole`], [`Entry`] and [`Open`] belong to the open file, which a mapping keeps open when its descriptor is closed. So as long as any
//! process has the ring mapped, be it a child of `fork` that only inherited it, nobody has [`Open`] alone, in
//! whatever namespace. Who may read the file can take it for reading too, and by that only make others believe that the ring
//! is in use, or keep them from removing it: give nobody the mode to read a ring who shall not do that.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::Error;
use crate::presence::memory::FIRST_LOCK;

use crate::error::Attempt;
use crate::sys::deadline::Deadline;

/// How long another process may hold a lock, in which it does little.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last byte that a file can have. None does.
const LAST: libc::off_t = libc::off_t::MAX - 1;

/// The lock, until dropped.
#[derive(Debug)]
pub(super) struct Sole<'a>(BorrowedFd<'a>);

impl<'a> Sole<'a> {
    /// Takes the lock on a file that is open for writing, or gives up: whoever may write the file could hold
    /// it for ever.
    pub(super) fn take(attempt: Attempt<'_>, file: BorrowedFd<'a>) -> Result<Self, Error> {
        wait_for(attempt, file, &contents(libc::F_WRLCK)).map(|()| Self(file))
    }
}

impl Drop for Sole<'_> {
    /// Here and not by closing: a mapping or a child of `fork` may share the open file.
    fn drop(&mut self) {
        let _ = set(self.0, &contents(libc::F_UNLCK));
    }
}

/// That a ring is open. It stays with the open file, for as long as that is mapped.
pub(super) struct Open;

impl Open {
    /// Says that the ring in `file` is open here, together with others; waits for who has it alone.
    pub(super) fn hold(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<(), Error> {
        match set(file, &last(libc::F_RDLCK)) {
            Ok(()) => Ok(()),
            // A file system without locks, where nobody ever renews a ring.
            Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => Ok(()),
            Err(_) => wait_for(attempt, file, &last(libc::F_RDLCK)),
        }
    }

    /// Whether it is open nowhere else; then nobody opens it until [`hold`](Self::hold) is called or `file` closed.
    pub(super) fn alone(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<bool, Error> {
        match set(file, &last(libc::F_WRLCK)) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(attempt.os("flock cannot lock the file", errno)),
        }
    }

    /// Takes back what [`hold`](Self::hold) said.
    pub(super) fn let_go(file: BorrowedFd<'_>) {
        let _ = set(file, &last(libc::F_UNLCK));
    }

    /// Whether anybody else has it open; `file` may be open for reading only.
    pub(super) fn is_held(file: BorrowedFd<'_>) -> bool {
        let mut lock = last(libc::F_WRLCK);
        match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
            Ok(_) => lock.l_type != libc::F_UNLCK as libc::c_short,
            Err(_) => false,
        }
    }
}

/// That who has a ring open may still attach to it ([`anchor`](super::anchor)).
pub(super) struct Entry;

impl Entry {
    /// Says so, together with others.
    pub(super) fn hold(file: BorrowedFd<'_>) {
        // Where it fails, there are no locks (and `is_others` says so), or somebody else has one that is seen as well.
        let _ = set(file, &lock(libc::F_RDLCK, LAST - 1, 1));
    }

    /// Takes that back.
    pub(super) fn give_up(file: BorrowedFd<'_>) {
        let _ = set(file, &lock(libc::F_UNLCK, LAST - 1, 1));
    }

    /// Whether others say so. "Yes" where nobody can.
    pub(super) fn is_others(file: BorrowedFd<'_>) -> bool {
        let mut lock = lock(libc::F_WRLCK, LAST - 1, 1);
        match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
            Ok(_) => lock.l_type != libc::F_UNLCK as libc::c_short,
            Err(_) => true,
        }
    }
}

fn set(file: BorrowedFd<'_>, lock: &libc::flock) -> Result<(), Errno> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(lock)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn wait_for(attempt: Attempt<'_>, file: BorrowedFd<'_>, lock: &libc::flock) -> Result<(), Error> {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match set(file, lock) {
            Ok(()) => return Ok(()),
            Err(Errno::EAGAIN | Errno::EACCES) if deadline.remaining().is_some() => {
                // fcntl has no lock with a time limit.
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(attempt.timed_out("another process holds a lock on the file"));
            }
            Err(errno) => return Err(attempt.os("flock cannot lock the file", errno)),
        }
    }
}

/// More bytes than a ring can have.
fn contents(kind: libc::c_int) -> libc::flock {
    lock(kind, 0, FIRST_LOCK)
}

fn last(kind: libc::c_int) -> libc::flock {
    lock(kind, LAST, 1)
}

fn lock(kind: libc::c_int, start: libc::off_t, len: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}
