//! Waiting for a name to appear in a directory.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::sys::deadline::Deadline;

/// Watches a directory from its construction on.
pub(super) struct Watch {
    /// Absent when this user has no inotify instance left; then it is looked at from time to time.
    inotify: Option<Inotify>,
}

impl Watch {
    pub(super) fn directory(path: &Path) -> Result<Self, Errno> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let Ok(inotify) = Inotify::init(flags) else {
            return Ok(Self { inotify: None });
        };
        let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        match inotify.add_watch(path, events) {
            Ok(_) => Ok(Self {
                inotify: Some(inotify),
            }),
            Err(errno @ (Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES)) => Err(errno),
            Err(_) => Ok(Self { inotify: None }),
        }
    }

    /// Returns when something appeared since the last call, when the deadline has passed, or earlier.
    pub(super) fn wait(&self, deadline: Deadline) {
        match &self.inotify {
            Some(inotify) => {
                wait_readable(inotify.as_fd(), deadline);
                // What is read is forgotten; whether it was the right name is seen by opening it.
                let _ = inotify.read_events();
            }
            None => pause(deadline),
        }
    }
}

/// Sleeps a little, where the kernel notifies of nothing.
pub(super) fn pause(deadline: Deadline) {
    const INTERVAL: Duration = Duration::from_millis(5);
    std::thread::sleep(
        deadline
            .remaining()
            .map_or(Duration::ZERO, |left| left.min(INTERVAL)),
    );
}

/// Whether `fd` can be read before the deadline has passed.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, deadline: Deadline) -> bool {
    loop {
        let left = deadline.remaining().unwrap_or_default();
        // Rounded up: a wait of zero milliseconds would be none.
        let milliseconds = left.as_nanos().div_ceil(1_000_000);
        let timeout = i32::try_from(milliseconds).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(ready) if ready > 0 => return true,
            Ok(_) | Err(Errno::EINTR) if !left.is_zero() => {}
            _ => return false,
        }
    }
}
