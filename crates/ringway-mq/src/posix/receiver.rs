//! The receiver's side of a POSIX queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use ringway_core::os::mq_overview as mq;
use ringway_core::peer::Peer;

use super::bell::NOTICE;
use super::life::{self, Life};
use super::local::{self, Farewells};
use super::lookout::Lookout;
use super::mark;
use super::senders::Senders;
use crate::frame::{Header, SenderNumber, since_start};
use crate::side::{Broken, Departure, FRAME, Got, Inlet, Taken};
use crate::watcher::Watcher;

#[derive(Debug)]
pub(super) struct Receiver {
    /// Does not wait.
    queue: Arc<OwnedFd>,
    /// The same queue, to wait in `mq_receive`.
    blocking: OwnedFd,
    watcher: Watcher,
    life: Option<Life>,
    senders: Senders,
    farewells: Arc<Farewells>,
    capacity: Option<u64>,
    /// A look has found one, and every death from then on is noted by the watcher.
    sender_lives: bool,
    /// Once it was armed.
    lookout: Option<Lookout>,
}

impl Receiver {
    pub(super) fn new(
        queue: Arc<OwnedFd>,
        blocking: OwnedFd,
        watcher: Watcher,
        life: Life,
        farewells: Arc<Farewells>,
        capacity: Option<u64>,
    ) -> Self {
        mark::set_receiver(queue.as_fd(), mark::Receiver::Attached);
        Self {
            queue,
            blocking,
            watcher,
            life: Some(life),
            senders: Senders::default(),
            farewells,
            capacity,
            sender_lives: false,
            lookout: None,
        }
    }
}

fn receive(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Got, Errno> {
    let room = buffer.get_mut(FRAME..).ok_or(Errno::EMSGSIZE)?;
    let (len, priority) = mq::receive_message(queue, room)?;
    if (len, priority) == (0, NOTICE) {
        return Ok(Got::Notice);
    }
    // Farewells, and what is foreign, have no priority of ringway's.
    let priority = priority.saturating_sub(1);
    Ok(Got::Frame(Taken { len, priority }))
}

impl Inlet for Receiver {
    fn get(&mut self, buffer: &mut Vec<u8>) -> Result<Got, Broken> {
        loop {
            match receive(self.queue.as_fd(), buffer) {
                Err(Errno::EINTR) => {}
                Ok(got) => return Ok(got),
                Err(Errno::EAGAIN) => {
                    let farewells = self.farewells.take();
                    farewells.iter().for_each(|header| self.note(header));
                    return Ok(Got::Nothing);
                }
                Err(_) => return Err(Broken::Refused),
            }
        }
    }

    fn sleep(&mut self, buffer: &mut Vec<u8>, deadline: Option<Instant>) -> Result<Got, Broken> {
        let got = match self.watcher.begin_sleep(deadline) {
            Ok(true) => match receive(self.blocking.as_fd(), buffer) {
                Ok(got) => Ok(got),
                Err(Errno::EINTR) => Ok(Got::Nothing),
                Err(_) => Err(Broken::Refused),
            },
            Ok(false) => Ok(Got::Nothing),
            Err(broken) => Err(broken),
        };
        self.watcher.end_sleep();
        got
    }

    fn arm(&mut self, waker: &Waker) -> Result<(), Errno> {
        if self.lookout.is_none() {
            let queue = Arc::clone(&self.queue);
            self.lookout = Some(Lookout::start(queue, PollFlags::POLLIN, None)?);
        }
        self.watcher.wake_by(waker);
        if let Some(lookout) = &self.lookout {
            lookout.arm(waker);
        }
        Ok(())
    }

    fn note(&mut self, header: &Header) {
        self.senders.note(header);
    }

    fn peer(&mut self, fresh: bool) -> Peer {
        if fresh || self.watcher.has_noted() {
            self.sender_lives = false;
        }
        if self.sender_lives {
            return Peer::Alive;
        }
        let Ok(alive) = life::senders(self.queue.as_fd()) else {
            // In doubt they live; then the caller waits for what comes next.
            return Peer::Alive;
        };
        // Read before the look it would be too early; numbers are from before their senders are seen.
        let now = since_start().unwrap_or_default();
        self.senders.looked(now, &alive);
        self.sender_lives = !alive.is_empty();
        match self.sender_lives {
            true => Peer::Alive,
            false => self.senders.end(),
        }
    }

    fn is_attached(&self, sender: SenderNumber) -> Option<bool> {
        life::is_attached(self.queue.as_fd(), sender).ok()
    }

    fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        self.watcher.wait_for_news(deadline)?;
        self.sender_lives = false;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    fn depart(&mut self, how: Departure) {
        self.lookout = None;
        self.watcher.stop();
        match how {
            Departure::Close => mark::set_receiver(self.queue.as_fd(), mark::Receiver::Closed),
            Departure::Leave => mark::set_receiver(self.queue.as_fd(), mark::Receiver::Absent),
            Departure::Abandon => {}
        }
        self.life = None;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        local::leave(&self.farewells);
    }
}
