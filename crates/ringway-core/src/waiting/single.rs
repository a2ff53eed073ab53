//! Waiting for one ring: spin, then park.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::interrupt;
use super::options::{INTERVAL, WaitOptions};
use super::spin::{Polled, Spun, spin};
use super::watch::Watch;
use crate::presence::Peer;
use crate::sys::futex::{MonotonicTime, Wake};

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is something to look at.
    Ready,
    /// The deadline passed.
    TimedOut,
    /// The ring's name is gone, and nobody is there or can come ([`anchor`](crate::store::anchor)).
    Forsaken,
    /// Somebody ended the call ([`interrupt`]).
    Interrupted,
    /// It would sleep now, and has said so, but was told to [arm](Arming) instead: "not now", for a caller that tries.
    Armed,
}

/// One participant of a ring, as it waits for others.
pub(crate) trait Blocked {
    /// Says that it is about to sleep. It must look again after this, and then either
    /// [`cancel`](Self::cancel) or [`sleep`](Self::sleep).
    fn prepare(&mut self) -> Watch;
    /// Takes [`prepare`](Self::prepare) back.
    fn cancel(&mut self);
    /// Sleeps until it is woken, somebody that it watches dies, or the deadline passes.
    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake;
    /// Whether those for whom it waits have closed or died, so that waiting is in vain.
    fn in_vain(&mut self) -> bool;
    /// What is known of those for whom it waits.
    fn peer(&self) -> Peer;
    /// Whether it waits for somebody who is yet to come, in a ring whose name may be gone.
    fn is_lonely(&mut self) -> bool;
    /// Whether nobody can come any more. A system call.
    fn is_forsaken(&self) -> bool;
    /// What says that its calls are to end, if anything can.
    fn interrupted(&self) -> Option<&AtomicBool>;
}

/// How closely to look whether a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// One of many looks while spinning: as cheap as can be; others will follow.
    Glance,
    /// The last look before sleeping: nothing may escape it.
    Last,
}

/// What it means for a wait that the peers have closed or died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeersEnd {
    /// It is over.
    EndsIt,
    /// Nothing: others may come.
    IsNoEnd,
}

impl WaitOptions<'_> {
    /// Waits until `ready` says so, or the peers' end ends it, or nobody can come any more, or the deadline passes; not
    /// at all if it has passed, so that no peer can keep a caller beyond it. The caller has looked just
    /// before.
    ///
    /// `ready` is called often while spinning, and always after this side has said that it sleeps.
    pub(crate) fn wait<B: Blocked>(
        &self,
        side: &mut B,
        peers_end: PeersEnd,
        ready: impl FnMut(&mut B, Look) -> bool,
    ) -> Waited {
        let terms = Terms {
            options: *self,
            ends_with_peer: peers_end == PeersEnd::EndsIt,
        };
        terms.wait(side, ready)
    }
}

/// The terms of one wait.
struct Terms<'a> {
    options: WaitOptions<'a>,
    /// Whether the peer's closing or death ends the wait.
    ends_with_peer: bool,
}

impl Terms<'_> {
    fn wait<B: Blocked>(
        &self,
        side: &mut B,
        mut ready: impl FnMut(&mut B, Look) -> bool,
    ) -> Waited {
        if self
            .options
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Waited::TimedOut;
        }
        let mut spinning = Spinning {
            terms: self,
            side,
            ready: &mut ready,
        };
        match spin(&mut spinning, &self.options) {
            Spun::Ended(waited) => waited,
            Spun::TimedOut => Waited::TimedOut,
            Spun::Spent => self.park(side, &mut ready),
        }
    }

    fn park<B: Blocked>(
        &self,
        side: &mut B,
        ready: &mut impl FnMut(&mut B, Look) -> bool,
    ) -> Waited {
        // A deadline beyond the clock's range is none.
        let deadline = self.options.deadline.and_then(MonotonicTime::at);
        loop {
            let watch = side.prepare();
            if ready(side, Look::Last) || self.is_in_vain(side) {
                side.cancel();
                return Waited::Ready;
            }
            let lonely = side.is_lonely();
            if lonely && let Some(ended) = self.look_whether_forsaken(side, ready) {
                side.cancel();
                return ended;
            }
            // After the look: what is there comes first.
            if self.is_interrupted(side) {
                side.cancel();
                return Waited::Interrupted;
            }
            if let Some(arming) = self.options.arming {
                arming.write_down(&watch, lonely);
                return Waited::Armed;
            }
            let next_look = lonely.then(|| MonotonicTime::after(INTERVAL)).flatten();
            let until = [next_look, deadline].into_iter().flatten().min();
            let woken = side.sleep(&watch, until);
            // A peer that wakes this side again and again does not keep it beyond the deadline.
            let is_over = |deadline: MonotonicTime| deadline.remaining().is_none();
            if woken == Wake::TimedOut && next_look.is_none() || deadline.is_some_and(is_over) {
                side.cancel();
                return if ready(side, Look::Last) {
                    Waited::Ready
                } else {
                    Waited::TimedOut
                };
            }
            // Most often it was woken for something, and need not say again that it sleeps.
            if ready(side, Look::Glance) {
                side.cancel();
                return Waited::Ready;
            }
        }
    }

    /// `None`: it may go on waiting.
    fn look_whether_forsaken<B: Blocked>(
        &self,
        side: &mut B,
        ready: &mut impl FnMut(&mut B, Look) -> bool,
    ) -> Option<Waited> {
        if !side.is_lonely() || !side.is_forsaken() {
            return None;
        }
        // Who attached before it gave up its entry is seen from here on, and so is what it did before it left.
        if ready(side, Look::Last) || self.is_in_vain(side) {
            return Some(Waited::Ready);
        }
        side.is_lonely().then_some(Waited::Forsaken)
    }

    /// Whether somebody has ended the call, which is hereby told.
    fn is_interrupted<B: Blocked>(&self, side: &B) -> bool {
        self.options.interruptible && side.interrupted().is_some_and(interrupt::take)
    }

    fn is_in_vain<B: Blocked>(&self, side: &mut B) -> bool {
        self.ends_with_peer && side.in_vain()
    }
}

/// One side while it spins.
struct Spinning<'a, B, F> {
    terms: &'a Terms<'a>,
    side: &'a mut B,
    ready: &'a mut F,
}

impl<B: Blocked, F: FnMut(&mut B, Look) -> bool> Polled for Spinning<'_, B, F> {
    type End = Waited;

    #[inline]
    fn glance(&mut self) -> Option<Waited> {
        (self.ready)(self.side, Look::Glance).then_some(Waited::Ready)
    }

    fn look(&mut self) -> Option<Waited> {
        if self.terms.is_in_vain(self.side) {
            return Some(Waited::Ready);
        }
        let interrupted = self.terms.is_interrupted(self.side);
        interrupted.then_some(Waited::Interrupted)
    }

    fn look_whether_forsaken(&mut self) -> Option<Waited> {
        self.terms.look_whether_forsaken(self.side, self.ready)
    }
}

/// Waits until a peer is attached, or until `left_work`: one that came and went while this side was waking up may have.
/// How the last one left does not matter.
pub(crate) fn wait_for_peer<B: Blocked>(
    side: &mut B,
    wait: &WaitOptions,
    left_work: impl Fn(&mut B) -> bool,
) -> Waited {
    wait.wait(side, PeersEnd::IsNoEnd, |side, _| {
        side.peer() == Peer::Alive || left_work(side)
    })
}
