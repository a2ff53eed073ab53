//! What a receiver's watcher hears of a POSIX queue: each closing of one of its descriptors.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use ringway_core::os::mq_overview as mq;

use super::watch::Watch;
use crate::watcher;

/// The kernel's priority of a notice, which has no text: above that of all messages.
pub(super) const NOTICE: u32 = super::sender::of_data(crate::options::MAX_PRIORITY) + 1;

/// Rung by closings, and by hand.
#[derive(Debug)]
pub(super) struct Bell {
    /// Does not wait.
    queue: Arc<OwnedFd>,
    watch: Watch,
    hand: EventFd,
}

impl Bell {
    pub(super) fn new(queue: Arc<OwnedFd>, watch: Watch) -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let hand = EventFd::from_flags(flags)?;
        Ok(Self { queue, watch, hand })
    }
}

impl watcher::Bell for Bell {
    fn wait(&self, timeout: Option<Duration>) -> Result<(), Errno> {
        let closings = PollFd::new(self.watch.as_fd(), PollFlags::POLLIN);
        let rings = PollFd::new(self.hand.as_fd(), PollFlags::POLLIN);
        let mut polled = [closings, rings];
        if ppoll(&mut polled, timeout.map(TimeSpec::from), None)? == 0 {
            return Err(Errno::EAGAIN);
        }
        // The other one, if it has something as well, ends the next wait.
        match polled[1].any() == Some(true) {
            true => self.hand.read().map(drop),
            false => {
                self.watch.take();
                Ok(())
            }
        }
    }

    fn ring(&self) {
        // It has room for 2^64 - 2.
        let _ = self.hand.write(1);
    }

    fn give_notice(&self) {
        // EAGAIN: the queue is full, and so wakes too.
        let _ = mq::send_message(self.queue.as_fd(), &[], NOTICE);
    }
}
