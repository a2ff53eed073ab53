//! A sender's side of a POSIX queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::stat::fstat;
use ringway_core::os::mq_overview as mq;
use ringway_core::peer::Peer;

use super::life::{self, Life};
use super::local;
use super::lookout::Lookout;
use super::mark;
use super::watch::Watch;
use crate::frame::{Header, Kind};
use crate::side::{Broken, Departure, FRAME, Outlet, is_over};

/// Farewells come last.
const FAREWELL: u32 = 0;

/// The priority of the kernel's for one of ringway's.
pub(super) const fn of_data(priority: u32) -> u32 {
    priority + 1
}

#[derive(Debug)]
pub(super) struct Sender {
    queue: Arc<OwnedFd>,
    watch: Arc<Watch>,
    life: Option<Life>,
    /// Once it was armed.
    lookout: Option<Lookout>,
    header: Header,
    /// A look has found it, and every death from then on is reported by `watch`.
    receiver_lives: bool,
    /// The receiver that was seen last had not marked the queue, which only its owner and root may; so
    /// whether it leaves in order, nobody can tell. (Nor of one that is seen just as it leaves.)
    is_unmarked: bool,
}

impl Sender {
    pub(super) fn new(queue: OwnedFd, watch: Watch, life: Life, header: Header) -> Self {
        Self {
            queue: Arc::new(queue),
            watch: Arc::new(watch),
            life: Some(life),
            lookout: None,
            header,
            receiver_lives: false,
            is_unmarked: false,
        }
    }

    fn put_frame(&mut self, frame: &[u8], priority: u32) -> Result<bool, Broken> {
        loop {
            match mq::send_message(self.queue.as_fd(), frame, priority) {
                Ok(()) => return Ok(true),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(_) => return Err(Broken::Refused),
            }
        }
    }

    /// Whether the receiver will know.
    fn say_farewell(&mut self, kind: Kind, deadline: Option<Instant>) -> Result<bool, Broken> {
        let farewell = Header {
            kind,
            ..self.header
        };
        let identity = fstat(&self.queue).map(|stat| (stat.st_dev, stat.st_ino));
        loop {
            if self.put_frame(&farewell.encode(), FAREWELL)?
                || identity.is_ok_and(|queue| local::tell(queue, farewell))
            {
                return Ok(true);
            }
            if self.peer(false) != Peer::Alive || is_over(deadline) {
                return Ok(false);
            }
            self.sleep(deadline)?;
        }
    }
}

impl Outlet for Sender {
    fn put(&mut self, buffer: &mut [u8], priority: u32) -> Result<bool, Broken> {
        let frame = buffer.get(FRAME..).ok_or(Broken::Refused)?;
        self.put_frame(frame, of_data(priority))
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        let room = (self.queue.as_fd(), PollFlags::POLLOUT);
        if self.watch.sleep(Some(room), deadline)? {
            self.receiver_lives = false;
        }
        Ok(())
    }

    fn arm(&mut self, waker: &Waker) -> Result<(), Errno> {
        if self.watch.take() {
            self.receiver_lives = false;
        }
        if self.lookout.is_none() {
            let (queue, closings) = (Arc::clone(&self.queue), Arc::clone(&self.watch));
            let made = Lookout::start(queue, PollFlags::POLLOUT, Some(closings))?;
            self.lookout = Some(made);
        }
        if let Some(lookout) = &self.lookout {
            lookout.arm(waker);
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    fn peer(&mut self, fresh: bool) -> Peer {
        // A descriptor's closing is not reported before every child of fork that has it calls exec; locks are told of
        // at once.
        self.receiver_lives &= !fresh;
        let queue = self.queue.as_fd();
        // In doubt it lives; then the caller waits for what comes next.
        self.receiver_lives = self.receiver_lives || life::has_receiver(queue).unwrap_or(true);
        let mark = mark::receiver(queue);
        if self.receiver_lives {
            self.is_unmarked = mark != mark::Receiver::Attached;
            return Peer::Alive;
        }
        match mark {
            mark::Receiver::Closed => Peer::Closed,
            mark::Receiver::Attached => Peer::Died,
            mark::Receiver::Absent if self.is_unmarked => Peer::Died,
            mark::Receiver::Absent => Peer::Absent,
        }
    }

    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken> {
        if self.watch.sleep(None, deadline)? {
            self.receiver_lives = false;
        }
        Ok(())
    }

    fn depart(&mut self, how: Departure, deadline: Option<Instant>) -> Result<bool, Broken> {
        self.lookout = None;
        let told = match how {
            Departure::Close => self.say_farewell(Kind::Closed, deadline),
            Departure::Leave => self.say_farewell(Kind::Left, deadline),
            Departure::Abandon => Ok(true),
        };
        self.life = None;
        told
    }
}
