//! pipe(2), as a way to read a mapping whose pages may be missing: where an access would be a signal, a system call
//! that reads from there says EFAULT.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};

/// What fits into an empty pipe on every system.
const ROOM: usize = 4096;

/// A pipe that is empty between two calls.
#[derive(Debug)]
pub(crate) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { out, into })
    }

    /// Copies from `source` to the start of `target`, and returns how many bytes: those up to a page that cannot be
    /// had, and at most [`ROOM`].
    ///
    /// # Safety
    /// `target.len()` bytes from `source` must be a mapping's, whatever is behind it.
    pub(crate) unsafe fn copy(
        &self,
        source: NonNull<c_void>,
        target: &mut [u8],
    ) -> Result<usize, Errno> {
        let len = target.len().min(ROOM);
        // SAFETY: the kernel reads at most `len` bytes, which the caller has mapped.
        let written = unsafe { libc::write(self.into.as_raw_fd(), source.as_ptr(), len) };
        let written = Errno::result(written)? as usize;
        let mut done = 0;
        while done < written {
            match read(&self.out, &mut target[done..written]) {
                Ok(0) => return Err(Errno::EIO),
                Ok(more) => done += more,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }
}
