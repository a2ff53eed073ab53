//! Waiting for a name to appear in a directory.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::sys::deadline::Deadline;

/// Watches for what appears in a directory; as long as that is not there itself, for what appears above it.
pub(super) struct Watch<'a> {
    directory: &'a Path,
    /// Absent when this user has no inotify instance or watch left; then it is looked at from time to time.
    inotify: Option<Inotify>,
}

/// How long to sleep without a look: of a file system that is mounted over a directory, nobody is notified.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

impl<'a> Watch<'a> {
    pub(super) fn of(directory: &'a Path) -> Self {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        Self {
            directory,
            inotify: Inotify::init(flags).ok(),
        }
    }

    /// What appears from here on ends the next wait. To be called before each look: the directory may have been made or
    /// replaced meanwhile.
    ///
    /// # Errors
    /// EACCES: it may not be watched.
    pub(super) fn begin(&mut self) -> Result<(), Errno> {
        let Some(inotify) = &self.inotify else {
            return Ok(());
        };
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        for place in self.directory.ancestors() {
            let place = match place.as_os_str().is_empty() {
                true => Path::new("."),
                false => place,
            };
            match inotify.add_watch(place, events) {
                Ok(_) => return Ok(()),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(Errno::EACCES) => return Err(Errno::EACCES),
                Err(_) => break,
            }
        }
        self.inotify = None;
        Ok(())
    }

    /// Returns when something has appeared, when the deadline has passed, or earlier.
    pub(super) fn wait(&self, deadline: Deadline) {
        match &self.inotify {
            Some(inotify) => {
                wait_readable(inotify.as_fd(), deadline.or_after(LONGEST_SLEEP));
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
