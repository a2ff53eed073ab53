//! Waiting for several rings at once.
//!
//! One that waits says on each ring that it sleeps, looks at all of them once more, and sleeps on their events together, and on a word
//! of the set's own, by which it is [interrupted](super::interrupt). The kernel takes 128 words at a time. Rings beyond that are left to
//! the process's [waiter](super::waiter), whose waker changes the set's word. A bell is [listened](super::sync::listener) to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Waker;
use std::time::Instant;

use nix::errno::Errno;

use super::interrupt;
use super::options::{INTERVAL, WaitOptions};
use super::spin::{Polled, Spun, spin};
use super::watch::Watch;
use crate::error::WaitError;
use crate::memory::region::{MOST_WORDS, Region};
use crate::sys::futex::MonotonicTime;

/// A consumer that can be waited for together with others.
pub(crate) trait Candidate {
    /// Where its ring is.
    type Region: Region;
    /// Where its ring is.
    fn region(&self) -> &Self::Region;
    /// Whether receiving would not block: there is a message, or there will be none.
    fn is_due(&mut self) -> bool;
    /// Whether it is worth asking [`is_due`](Self::is_due) again.
    fn has_changed(&mut self) -> bool;
    /// As [`Blocked::prepare`](super::single::Blocked::prepare).
    fn prepare(&mut self) -> Watch;
    /// As [`Blocked::cancel`](super::single::Blocked::cancel).
    fn cancel(&mut self);
    /// What it sleeps on, if that is no word of its ring.
    fn heard(&self) -> Option<&AtomicU32> {
        None
    }
    /// Takes note of what was heard.
    fn drain(&mut self) {}
    /// Has `waker` called when what it sleeps on changes. That is a handle's to do, and not a side's of a ring.
    fn leave_to_waiter(&mut self, _watch: &Watch, _waker: &Waker) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
    /// As [`Blocked::is_lonely`](super::single::Blocked::is_lonely).
    fn is_lonely(&mut self) -> bool;
    /// As [`Blocked::is_forsaken`](super::single::Blocked::is_forsaken).
    fn is_forsaken(&self) -> bool;
}

/// How one that waits is reached beside its rings.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Changes when it is to look.
    pub(crate) word: &'a AtomicU32,
    /// Says that the wait is to end.
    pub(crate) interrupted: &'a AtomicBool,
    /// Changes the word.
    pub(crate) waker: &'a Waker,
}

/// Waits until at least one of `members` is due, and returns the index of one that is: the first from `turn` on, and then from
/// the beginning, so that none is passed by for ever.
pub(crate) fn wait_for_any<M, C: Candidate>(
    members: &mut [M],
    get: impl Fn(&mut M) -> &mut C,
    turn: usize,
    call: &Call<'_>,
    wait: &WaitOptions<'_>,
) -> Result<usize, WaitError> {
    let deadline = wait.deadline;
    let kernel_deadline = deadline.and_then(MonotonicTime::at);
    let mut all = Members {
        members,
        get,
        turn,
        call,
    };
    loop {
        if let Some(due) = all.due() {
            return Ok(due);
        }
        if interrupt::take(call.interrupted) {
            return Err(WaitError::Interrupted);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(WaitError::TimedOut);
        }
        match spin(&mut all, wait) {
            Spun::Ended(Ended::Due) => continue,
            Spun::Ended(Ended::Forsaken) => return Err(WaitError::Removed),
            // Whatever has come in this moment is told at the top.
            Spun::TimedOut => continue,
            Spun::Spent => {}
        }
        // Acquire: who changed it had something to say before. Read before the last look.
        let called = call.word.load(Ordering::Acquire);
        let watches: Vec<_> = all.each().map(|one| one.prepare()).collect();
        let due = all.due();
        let slept = if due.is_some() || interrupt::is_pending(call.interrupted) {
            Ok(())
        } else if all.are_forsaken() {
            Err(WaitError::Removed)
        } else {
            let next_look = all.are_lonely().then(|| MonotonicTime::after(INTERVAL));
            let until = [next_look.flatten(), kernel_deadline];
            all.sleep(&watches, called, until.into_iter().flatten().min())
        };
        for one in all.each() {
            one.cancel();
            one.drain();
        }
        slept?;
        if let Some(due) = due {
            return Ok(due);
        }
    }
}

/// Those that are waited for.
struct Members<'a, M, G> {
    members: &'a mut [M],
    get: G,
    turn: usize,
    call: &'a Call<'a>,
}

/// How spinning for several ends.
enum Ended {
    /// One of them is due, or somebody has ended the wait.
    Due,
    /// None of them ever will be.
    Forsaken,
}

impl<M, C: Candidate, G: Fn(&mut M) -> &mut C> Polled for Members<'_, M, G> {
    type End = Ended;

    fn glance(&mut self) -> Option<Ended> {
        // A change alone ends nothing: it may be another's claim, and there may be many of these.
        let mut all = self.each();
        all.any(|one| one.has_changed() && one.is_due())
            .then_some(Ended::Due)
    }

    fn look(&mut self) -> Option<Ended> {
        // Deaths change no word that is polled.
        let ended = interrupt::is_pending(self.call.interrupted) || self.due().is_some();
        ended.then_some(Ended::Due)
    }

    fn look_whether_forsaken(&mut self) -> Option<Ended> {
        self.are_forsaken().then_some(Ended::Forsaken)
    }
}

impl<M, C: Candidate, G: Fn(&mut M) -> &mut C> Members<'_, M, G> {
    fn each<'a>(&'a mut self) -> impl Iterator<Item = &'a mut C>
    where
        C: 'a,
    {
        self.members.iter_mut().map(&self.get)
    }

    fn due(&mut self) -> Option<usize> {
        let count = self.members.len();
        let turns = (0..count).map(|index| (self.turn + index) % count);
        let (members, get) = (&mut *self.members, &self.get);
        turns
            .into_iter()
            .find(|&index| get(&mut members[index]).is_due())
    }

    fn are_lonely(&mut self) -> bool {
        self.each().all(|one| one.is_lonely())
    }

    /// Whether none of them can ever be ready. One that can be may be waited for.
    fn are_forsaken(&mut self) -> bool {
        self.are_lonely()
            && self.each().all(|one| one.is_forsaken())
            // Who attached before it gave up its entry is seen from here on, and so is what it did before it left.
            && self.each().all(|one| !one.is_due() && one.is_lonely())
    }

    /// Sleeps while the call's word is what it was, and the events are.
    fn sleep(
        &mut self,
        watches: &[Watch],
        called: u32,
        deadline: Option<MonotonicTime>,
    ) -> Result<(), WaitError> {
        let call = self.call;
        let beyond = self.each().zip(watches).skip(MOST_WORDS - 1);
        for (one, watch) in beyond {
            one.leave_to_waiter(watch, call.waker)
                .map_err(|errno| WaitError::NoWaiter {
                    errno: errno as i32,
                })?;
        }
        let here: Vec<&C> = self
            .members
            .iter_mut()
            .take(MOST_WORDS - 1)
            .map(|member| &*(self.get)(member))
            .collect();
        let mut beside = vec![(call.word, called)];
        let mut rings = Vec::with_capacity(here.len());
        for (one, watch) in here.iter().zip(watches) {
            match (one.heard(), watch.words()) {
                (Some(heard), &[(_, value)]) => beside.push((heard, value)),
                (_, words) => rings.push((one.region(), words)),
            }
        }
        // Whatever it was, the caller looks, and knows the deadline.
        C::Region::wait_on(&rings, &beside, deadline);
        Ok(())
    }
}
