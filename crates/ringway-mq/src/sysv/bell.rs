//! What a receiver's watcher hears of a System V queue: the bell of news in the set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use super::notice;
use super::set::Set;
use crate::watcher;

/// Rung by senders that leave, die, or begin to wait. It breaks when the set is removed; the receiver finds out when it looks.
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) queue: i32,
    pub(super) set: Set,
    /// The receiver is to ring after each message, while senders wait.
    pub(super) is_pressed: Arc<AtomicBool>,
}

impl watcher::Bell for Bell {
    fn wait(&self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.set.wait_for_news(timeout)?;
        self.is_pressed.store(true, Ordering::SeqCst);
        // *Then* the senders try once more: the receiver may have taken a message before it saw the above. Fails if the
        // set was removed, which breaks the next wait.
        let _ = self.set.ring_room();
        Ok(())
    }

    fn ring(&self) {
        self.set.ring_news();
    }

    fn give_notice(&self) {
        notice(self.queue);
    }
}
