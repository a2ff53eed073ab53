//! What a receiver's watcher hears of a System V queue: the bell of deaths in the set.

use std::time::Duration;

use nix::errno::Errno;

use super::notice;
use super::set::Set;
use crate::watcher;

/// Rung by senders that leave or die. It breaks when the set is removed; the receiver finds out when it looks.
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) queue: i32,
    pub(super) set: Set,
}

impl watcher::Bell for Bell {
    fn wait(&self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.set.wait_for_death(timeout)
    }

    fn ring(&self) {
        self.set.ring_death();
    }

    fn give_notice(&self) {
        notice(self.queue);
    }
}
