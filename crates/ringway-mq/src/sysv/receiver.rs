//! The receiver's side of a System V queue.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use ringway_core::os::msgget::{self, Next, TYPE_LEN, Wait};
use ringway_core::peer::Peer;

use super::set::{PRODUCERS, Set};
use super::{NOTICE, broken, priority_of};
use crate::frame::{Header, SenderNumber};
use crate::side::{Broken, Departure, FRAME, Got, Inlet, Taken, remaining};
use crate::watcher::Watcher;

#[derive(Debug)]
pub(super) struct Receiver {
    queue: i32,
    next: Next,
    set: Set,
    watcher: Watcher,
    /// A look has found one, and every death from then on is noted by the watcher.
    sender_lives: bool,
    /// Senders may wait for room. Set by the watcher.
    is_pressed: Arc<AtomicBool>,
}

impl Receiver {
    pub(super) fn new(
        queue: i32,
        next: Next,
        set: Set,
        watcher: Watcher,
        is_pressed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            queue,
            next,
            set,
            watcher,
            sender_lives: false,
            is_pressed,
        }
    }

    /// Receives. `Nothing` after a wait: a signal came.
    fn receive(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> Result<Got, Broken> {
        loop {
            match msgget::receive(self.queue, buffer, self.next, wait) {
                Ok(len) => match type_in(buffer) {
                    NOTICE if len == 0 => return Ok(Got::Notice),
                    kind => {
                        if self.is_pressed.load(Ordering::SeqCst) {
                            self.tell_senders()
                                .map_err(|errno| broken(self.queue, errno))?;
                        }
                        let priority = priority_of(kind);
                        return Ok(Got::Frame(Taken { len, priority }));
                    }
                },
                Err(Errno::ENOMSG) => return Ok(Got::Nothing),
                Err(Errno::EINTR) if wait == Wait::Yes => return Ok(Got::Nothing),
                Err(Errno::EINTR) => {}
                // Somebody has raised the limits.
                Err(Errno::E2BIG) => self.grow(buffer)?,
                Err(errno) => return Err(broken(self.queue, errno)),
            }
        }
    }

    /// Wakes the senders that wait.
    #[cold]
    fn tell_senders(&self) -> Result<(), Errno> {
        // Before the look whether any do: who comes after that has it set again.
        self.is_pressed.store(false, Ordering::SeqCst);
        if self.set.ring_room()? {
            self.is_pressed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn grow(&self, buffer: &mut Vec<u8>) -> Result<(), Broken> {
        let status = msgget::status(self.queue).map_err(|errno| broken(self.queue, errno))?;
        let len = usize::try_from(status.max_bytes).unwrap_or(usize::MAX);
        let len = len.saturating_add(FRAME);
        let more = len.checked_sub(buffer.len()).filter(|more| *more > 0);
        let more = more.ok_or(Broken::Refused)?;
        buffer.try_reserve(more).map_err(|_| Broken::Refused)?;
        buffer.resize(len, 0);
        Ok(())
    }
}

fn type_in(buffer: &[u8]) -> libc::c_long {
    let bytes: Option<&[u8; TYPE_LEN]> = buffer.first_chunk();
    bytes.map_or(0, |bytes| libc::c_long::from_ne_bytes(*bytes))
}

impl Inlet for Receiver {
    fn get(&mut self, buffer: &mut Vec<u8>) -> Result<Got, Broken> {
        self.receive(buffer, Wait::No)
    }

    fn sleep(&mut self, buffer: &mut Vec<u8>, deadline: Option<Instant>) -> Result<Got, Broken> {
        let got = match self.watcher.begin_sleep(deadline) {
            Ok(true) => self.receive(buffer, Wait::Yes),
            Ok(false) => Ok(Got::Nothing),
            Err(broken) => Err(broken),
        };
        self.watcher.end_sleep();
        got
    }

    fn note(&mut self, _: &Header) {}

    fn peer(&mut self, fresh: bool) -> Peer {
        if fresh || self.watcher.has_noted() {
            self.sender_lives = false;
        }
        if self.sender_lives {
            return Peer::Alive;
        }
        // If the set was removed, nobody can say any more.
        let values = self.set.values();
        let peer = values.map_or(Peer::Closed, |values| values.sending_side());
        self.sender_lives = peer == Peer::Alive;
        peer
    }

    fn is_attached(&self, sender: SenderNumber) -> Option<bool> {
        self.set.is_attached(sender)
    }

    fn capacity(&self) -> Option<u64> {
        match self.next {
            Next::Oldest => msgget::status(self.queue)
                .ok()
                .map(|status| status.max_bytes),
            Next::LowestType => None,
        }
    }

    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        let woken = self.set.wait_for(PRODUCERS, remaining(deadline));
        woken.map_err(|errno| broken(self.queue, errno))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn depart(&mut self, how: Departure) {
        self.watcher.stop();
        // Fails if it was removed.
        let _ = self.set.leave_receiver(how);
    }
}
