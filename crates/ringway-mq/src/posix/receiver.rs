//! The receiver's side of a POSIX queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use ringway_core::Peer;
use ringway_core::os::mq_overview as mq;

use super::life::{self, Life};
use super::local::{self, Farewells};
use super::mark;
use super::senders::Senders;
use super::watch::Watch;
use crate::frame::Header;
use crate::side::{Broken, FRAME, Inlet, Leave, Taken};

#[derive(Debug)]
pub(super) struct Receiver {
    queue: OwnedFd,
    watch: Watch,
    life: Option<Life>,
    senders: Senders,
    farewells: Arc<Farewells>,
    /// A look has found one, and every death from then on is reported by `watch`.
    sender_lives: bool,
}

impl Receiver {
    pub(super) fn new(queue: OwnedFd, watch: Watch, life: Life, farewells: Arc<Farewells>) -> Self {
        mark::set_receiver(queue.as_fd(), mark::Receiver::Attached);
        Self {
            queue,
            watch,
            life: Some(life),
            senders: Senders::default(),
            farewells,
            sender_lives: false,
        }
    }
}

impl Inlet for Receiver {
    fn get(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Taken>, Broken> {
        let room = buffer.get_mut(FRAME..).ok_or(Broken::Refused)?;
        loop {
            match mq::receive_message(self.queue.as_fd(), room) {
                Ok((len, priority)) => {
                    // Farewells, and what is foreign, have no priority of ringway's.
                    let priority = priority.saturating_sub(1);
                    return Ok(Some(Taken { len, priority }));
                }
                Err(Errno::EAGAIN) => {
                    let farewells = self.farewells.take();
                    farewells.iter().for_each(|header| self.note(header));
                    return Ok(None);
                }
                Err(Errno::EINTR) => {}
                Err(_) => return Err(Broken::Refused),
            }
        }
    }

    fn sleep(
        &mut self,
        _: &mut Vec<u8>,
        deadline: Option<Instant>,
    ) -> Result<Option<Taken>, Broken> {
        let messages = (self.queue.as_fd(), PollFlags::POLLIN);
        if self.watch.sleep(Some(messages), deadline)? {
            self.sender_lives = false;
        }
        Ok(None)
    }

    fn note(&mut self, header: &Header) {
        self.senders.note(header);
    }

    fn peer(&mut self, fresh: bool) -> Peer {
        if fresh && self.watch.take() {
            self.sender_lives = false;
        }
        if self.sender_lives {
            return Peer::Alive;
        }
        let Ok(alive) = life::senders(self.queue.as_fd()) else {
            // In doubt they live; then the caller waits for what comes next.
            return Peer::Alive;
        };
        self.senders.looked(&alive);
        self.sender_lives = !alive.is_empty();
        match self.sender_lives {
            true => Peer::Alive,
            false => self.senders.end(),
        }
    }

    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        if self.watch.sleep(None, deadline)? {
            self.sender_lives = false;
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    fn leave(&mut self, how: Leave) {
        match how {
            Leave::Close => mark::set_receiver(self.queue.as_fd(), mark::Receiver::Closed),
            Leave::Detach => mark::set_receiver(self.queue.as_fd(), mark::Receiver::Absent),
            Leave::Abandon => {}
        }
        self.life = None;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        local::leave(&self.farewells);
    }
}
