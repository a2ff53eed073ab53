//! How a handle is reached from outside of its calls: a wait of it is ended, and it is told when it may be worth looking again,
//! by a [`Waker`] or by a descriptor, through the process's [waiter](crate::waiting::waiter).

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use crate::error::{Attempt, Error, ErrorKind, RecvError, SendError};
use crate::memory::map::Map;
use crate::memory::region::memory::Memory;
use crate::presence::watcher::Alarm;
use crate::sys::futex::{self, MonotonicTime};
use crate::waiting::interrupt::{Interrupter, Interruptible};
use crate::waiting::sync::listener::Heard;
use crate::waiting::waiter::{Armed, Seat, Word};
use crate::waiting::watch::Watch;
use crate::waiting::{Arming, WaitOptions, WaitStrategy};

/// The side of a ring that a handle has.
pub(crate) trait Reached {
    /// Where its ring is.
    fn region(&self) -> &Memory;
    /// Has its bell listened to, if it sleeps on one.
    fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno>;
    /// Whether others are told that it sleeps, by other words than the event.
    fn says_that_it_sleeps(&self) -> bool;
}

/// What a call says.
pub(crate) trait Answer: PartialEq {
    /// There is nothing now.
    const NOT_NOW: Self;
    /// There is no waiter.
    fn no_waiter(errno: Errno) -> Self;
}

impl Answer for RecvError {
    const NOT_NOW: Self = Self::Empty;

    fn no_waiter(errno: Errno) -> Self {
        Self::NoWaiter {
            errno: errno as i32,
        }
    }
}

impl Answer for SendError {
    const NOT_NOW: Self = Self::Full;

    fn no_waiter(errno: Errno) -> Self {
        Self::NoWaiter {
            errno: errno as i32,
        }
    }
}

/// What is to be known of a handle for that.
pub(crate) struct Reach {
    map: Arc<Map>,
    /// How many words it may sleep on.
    words: usize,
    /// Wakes it.
    alarm: Alarm,
    /// Once somebody may end its waits.
    interruptible: Option<Interruptible>,
    /// Once it was armed.
    seat: Option<Seat>,
    /// Whether it was armed since it last found something.
    was_armed: bool,
    /// What becomes readable, once that was asked for.
    descriptor: Option<Arc<EventFd>>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("interruptible", &self.interruptible)
            .field("seat", &self.seat)
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

impl Reach {
    pub(crate) fn new(map: &Arc<Map>, alarm: Alarm) -> Self {
        Self {
            map: Arc::clone(map),
            words: 1,
            alarm,
            interruptible: None,
            seat: None,
            was_armed: false,
            descriptor: None,
        }
    }

    /// Of a handle that sleeps on its event and on one word more.
    pub(crate) fn of_two_words(map: &Arc<Map>, alarm: Alarm) -> Self {
        Self {
            words: 2,
            ..Self::new(map, alarm)
        }
    }

    /// Who can end the waits of the handle, whose memory `region` is.
    pub(crate) fn interrupter(&mut self, region: &Memory) -> Interrupter {
        let (alarm, map) = (&self.alarm, &self.map);
        let made = self.interruptible.get_or_insert_with(|| {
            let made = Interruptible::new(Arc::clone(alarm), Some(map.origin()));
            region.heed(made.flag());
            made
        });
        made.interrupter()
    }

    /// What becomes readable when the handle that is armed may look again.
    pub(crate) fn descriptor(&mut self, attempt: Attempt<'_>) -> Result<BorrowedFd<'_>, Error> {
        if self.map.is_forked() {
            return Err(attempt
                .error(ErrorKind::Forked, "this process inherited it through fork")
                .remedy("open it again in the child"));
        }
        self.made_descriptor()
            .map_err(|errno| explain(attempt, errno))
    }

    fn made_descriptor(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        if self.descriptor.is_none() {
            let made = self.seat()?.descriptor()?;
            self.descriptor = Some(made);
        }
        let made = self.descriptor.as_ref().ok_or(Errno::EBADF)?;
        Ok(made.as_fd())
    }

    fn seat(&mut self) -> Result<&Seat, Errno> {
        if self.seat.is_none() {
            self.seat = Some(Seat::take(self.words)?);
        }
        self.seat.as_ref().ok_or(Errno::EAGAIN)
    }

    /// Has the handle woken when there may be a reason to look. It says that it sleeps, and has looked since.
    fn arm_at<S: Reached>(
        &mut self,
        side: &mut S,
        watch: &Watch,
        next_look: Option<MonotonicTime>,
        waker: Option<&Waker>,
    ) -> Result<(), Errno> {
        let mut words = watch.words().iter();
        let &(event, expected) = words.next().ok_or(Errno::EINVAL)?;
        let word = match side.listen()? {
            None => Word::Event(Arc::clone(&self.map), event),
            Some(heard) => Word::Heard(heard),
        };
        let life = words.next();
        let also = life.map(|&(life, value)| (Word::Life(Arc::clone(&self.map), life), value));
        // Publishers that make no fence may have missed that it sleeps.
        let tick = || MonotonicTime::after(futex::TICK);
        let tick = side.region().is_unfenced().then(tick).flatten();
        let armed = Armed {
            word,
            expected,
            also,
            next_look: [tick, next_look].into_iter().flatten().min(),
        };
        self.seat()?.arm(armed, waker);
        self.was_armed = true;
        Ok(())
    }

    /// It has found something without being asked here: whether it was armed before does not matter any more.
    #[inline(always)]
    pub(crate) fn has_found(&mut self) {
        self.was_armed = false;
    }

    /// What `attempt` answers; if that is that there is nothing now, it is asked again when there may be something.
    /// It is given how to wait, and then says that it sleeps, and looks again; or nothing, and then it tries.
    pub(crate) fn poll<S: Reached, T, E: Answer>(
        &mut self,
        side: &mut S,
        how: WaitStrategy,
        context: &Context<'_>,
        mut attempt: impl FnMut(&mut S, Option<&WaitOptions<'_>>) -> Result<T, E>,
    ) -> Poll<Result<T, E>> {
        // While messages flow nothing of what follows is looked at: it lies in lines that others write.
        if std::mem::take(&mut self.was_armed) {
            match attempt(side, None) {
                Err(error) if error == E::NOT_NOW => {}
                done => return Poll::Ready(done),
            }
            // It need not say again that it sleeps. Whatever has come since it was armed has changed the event, which is looked at as the waker
            // is given. (A child of `fork` cannot ask; it is told so.)
            let asleep = !self.map.is_forked() && side.says_that_it_sleeps();
            if asleep
                && self
                    .seat
                    .as_ref()
                    .is_some_and(|seat| seat.renew(context.waker()))
            {
                self.was_armed = true;
                return Poll::Pending;
            }
        }
        self.poll_anew(side, how, context, |side, wait| attempt(side, Some(wait)))
    }

    /// The same for one whose wait has more to do than to try.
    pub(crate) fn poll_anew<S: Reached, T, E: Answer>(
        &mut self,
        side: &mut S,
        how: WaitStrategy,
        context: &Context<'_>,
        attempt: impl FnOnce(&mut S, &WaitOptions<'_>) -> Result<T, E>,
    ) -> Poll<Result<T, E>> {
        match self.attempt(side, how, Some(context.waker()), attempt) {
            Ok(Some(done)) => Poll::Ready(Ok(done)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// What `attempt` answers; `None`: nothing now, and the handle is armed.
    pub(crate) fn attempt<S: Reached, T, E: Answer>(
        &mut self,
        side: &mut S,
        how: WaitStrategy,
        waker: Option<&Waker>,
        attempt: impl FnOnce(&mut S, &WaitOptions<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        self.attempt_by(side, how, waker, None, attempt)
    }

    /// The same; the handle is woken at `look_by` at the latest.
    pub(crate) fn attempt_by<S: Reached, T, E: Answer>(
        &mut self,
        side: &mut S,
        how: WaitStrategy,
        waker: Option<&Waker>,
        look_by: Option<Instant>,
        attempt: impl FnOnce(&mut S, &WaitOptions<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let arming = Arming::default();
        let error = match attempt(side, &WaitOptions::to_arm(how, &arming)) {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let Some(watch) = arming.watch().filter(|_| error == E::NOT_NOW) else {
            return Err(error);
        };
        let look_by = look_by.and_then(MonotonicTime::at);
        let next_look = [arming.next_look(), look_by].into_iter().flatten().min();
        self.arm_at(side, &watch, next_look, waker)
            .map_err(E::no_waiter)?;
        Ok(None)
    }

    /// Goes on with what another handle on the same memory was reached by, which is not reached any more. `region` is this one's.
    pub(crate) fn take_over(&mut self, other: &mut Self, region: &Memory) {
        std::mem::swap(self, other);
        if let Some(interruptible) = &self.interruptible {
            region.heed(interruptible.flag());
        }
    }

    /// Has `waker` called when what the handle sleeps on is not as `watch` has it. It says that it sleeps, and has looked since.
    pub(crate) fn leave<S: Reached>(
        &mut self,
        side: &mut S,
        watch: &Watch,
        waker: &Waker,
    ) -> Result<(), Errno> {
        self.arm_at(side, watch, None, Some(waker))
    }

    /// Has the handle woken no more, and the descriptor not readable.
    pub(crate) fn disarm(&self) {
        if let Some(seat) = self.seat.as_ref().filter(|_| !self.map.is_forked()) {
            seat.disarm();
        }
    }

    /// The handle ends: it is not reached any more. Before it leaves its slot, which then is another one's to wake.
    pub(crate) fn end(&mut self) {
        self.interruptible = None;
        self.seat = None;
        self.descriptor = None;
    }
}

fn explain(attempt: Attempt<'_>, errno: Errno) -> Error {
    let is_limit = matches!(
        errno,
        Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM
    );
    if !is_limit {
        return attempt.os("its descriptor cannot be made", errno);
    }
    attempt
        .error(
            ErrorKind::NoSpace,
            "this process can have no more descriptors or threads",
        )
        .remedy("make room for one more of each (ulimit -n, ulimit -u)")
        .because(errno)
}
