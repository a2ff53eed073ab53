//! Waiting for a queue, and for the comings and goings of those who use it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::time::TimeSpec;

use super::life;
use crate::side::{Broken, remaining};

/// Which call failed. Each has limits of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unwatched {
    Init(Errno),
    Add(Errno),
}

/// Hears when a descriptor of the queue is closed, by whomever, however.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
}

impl AsFd for Watch {
    /// Readable when a descriptor was closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Watch {
    pub(super) fn new(queue: BorrowedFd<'_>) -> Result<Self, Unwatched> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        let inotify = inotify.map_err(Unwatched::Init)?;
        let watched = inotify.add_watch(life::path(queue).as_str(), AddWatchFlags::IN_CLOSE);
        watched.map_err(Unwatched::Add)?;
        Ok(Self { inotify })
    }

    /// Whether a descriptor was closed since this was asked last.
    pub(super) fn take(&self) -> bool {
        let mut any = false;
        loop {
            match self.inotify.read_events() {
                Ok(_) => any = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return any,
                // Rather one look too many.
                Err(_) => return true,
            }
        }
    }

    /// Sleeps until the queue is `ready`, or a descriptor is closed, or the deadline has passed, or a signal
    /// came. Returns whether a descriptor was closed.
    pub(super) fn sleep(
        &self,
        queue: Option<(BorrowedFd<'_>, PollFlags)>,
        deadline: Option<Instant>,
    ) -> Result<bool, Broken> {
        let closings = || PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN);
        let mut polled = [closings(), closings()];
        let mut count = 1;
        if let Some((queue, ready)) = queue {
            polled[1] = PollFd::new(queue, ready);
            count = 2;
        }
        let left = remaining(deadline).map(TimeSpec::from);
        match ppoll(&mut polled[..count], left, None) {
            Ok(0) | Err(Errno::EINTR) => Ok(false),
            Ok(_) if polled[0].any() == Some(false) => Ok(false),
            Ok(_) => Ok(self.take()),
            Err(_) => Err(Broken::Refused),
        }
    }
}
