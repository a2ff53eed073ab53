//! A sender's side of a System V queue.

use std::time::Instant;

use nix::errno::Errno;
use ringway_core::os::msgget::{self, TYPE_LEN};
use ringway_core::peer::Peer;

use super::set::{CONSUMER, Set};
use super::{broken, longest, type_of};
use crate::frame::SenderNumber;
use crate::side::{Broken, Departure, Outlet, remaining};

#[derive(Debug)]
pub(super) struct Sender {
    queue: i32,
    set: Set,
    number: SenderNumber,
    /// The count of `ROOM` before the last try.
    seen: u16,
}

impl Sender {
    pub(super) fn new(queue: i32, set: Set, number: SenderNumber) -> Self {
        Self {
            queue,
            set,
            number,
            seen: 0,
        }
    }

    /// Why the kernel did not take a frame of `len` bytes.
    #[cold]
    fn refused(&self, errno: Errno, len: usize) -> Broken {
        // EINVAL: the queue is gone, or the frame is longer than a limit that was lowered since this side attached.
        if errno == Errno::EINVAL
            && let Ok(status) = msgget::status(self.queue)
        {
            let most = longest(&status);
            if len > most {
                return Broken::TooLong { most };
            }
        }
        broken(self.queue, errno)
    }
}

impl Outlet for Sender {
    fn put(&mut self, buffer: &mut [u8], priority: u32) -> Result<bool, Broken> {
        let head = buffer.get_mut(..TYPE_LEN).ok_or(Broken::Refused)?;
        head.copy_from_slice(&type_of(priority).to_ne_bytes());
        loop {
            match msgget::send(self.queue, buffer) {
                Ok(()) => return Ok(true),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.refused(errno, buffer.len() - TYPE_LEN)),
            }
        }
    }

    fn begin_wait(&mut self) -> Result<(), Broken> {
        self.set
            .begin_wait()
            .map_err(|errno| broken(self.queue, errno))?;
        self.seen = self.set.room().map_err(|errno| broken(self.queue, errno))?;
        Ok(())
    }

    fn end_wait(&mut self) {
        self.set.end_wait();
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        let woken = self.set.wait_for_room(self.seen, remaining(deadline));
        woken.map_err(|errno| broken(self.queue, errno))?;
        self.seen = self.set.room().map_err(|errno| broken(self.queue, errno))?;
        Ok(())
    }

    fn peer(&mut self, _: bool) -> Peer {
        // If the set was removed, the next step says so.
        let values = self.set.values();
        values.map_or(Peer::Absent, |values| values.receiving_side())
    }

    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        let woken = self.set.wait_for(CONSUMER, remaining(deadline));
        woken.map_err(|errno| broken(self.queue, errno))
    }

    fn depart(&mut self, how: Departure, _: Option<Instant>) -> Result<bool, Broken> {
        let left = self.set.leave_sender(self.number, how);
        left.map(|()| true)
            .map_err(|errno| broken(self.queue, errno))
    }
}
