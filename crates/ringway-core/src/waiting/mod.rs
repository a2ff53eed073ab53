//! How a blocked call waits: spin, then yield, then park.

pub(crate) mod backoff;
pub(crate) mod eventcount;
#[cfg(all(loom, test))]
mod interleavings;
pub(crate) mod interrupt;
pub(crate) mod several;
pub(crate) mod sync;
pub(crate) mod waiter;
pub(crate) mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::presence::Peer;
use watch::Watch;

use crate::sys::futex::{MonotonicTime, Wake};

/// How long a blocked call spins before it lets the kernel put it to sleep.
///
/// A set-up choice of each handle, not of the ring: the two sides may differ, and no message costs a
/// system call while both are awake.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::WaitStrategy;
/// use std::time::Duration;
///
/// assert_eq!(WaitStrategy::default(), WaitStrategy::Adaptive(Duration::from_micros(50)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Never sleeps: the lowest latency, at the price of a whole processor. When nothing has come for a
    /// while (on a machine with one processor: at once) it yields to whoever else wants to run.
    Spin,
    /// Spins for so long, then sleeps. On a machine with one processor it sleeps at once. Where more processes wait
    /// than there are processors, those that spin are in the way of those that work: there, measure
    /// [`Park`](Self::Park) beside it.
    Adaptive(Duration),
    /// Sleeps at once.
    Park,
}

impl Default for WaitStrategy {
    /// Spins for about as long as a sleep and a wake-up cost.
    fn default() -> Self {
        Self::Adaptive(Duration::from_micros(50))
    }
}

/// How often one that sleeps without a peer looks whether anybody can still come.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// For how long a spinning side believes that its peer is running. After that it offers its processor
/// with each check: the peer may be waiting for that very one.
const PATIENCE: Duration = Duration::from_micros(5);

impl WaitStrategy {
    /// Whether to poll at all before sleeping.
    #[inline]
    pub(crate) fn spins(self) -> bool {
        self != Self::Park && processors() > 1
    }
}

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

/// Polls between two looks at the clock and at the peer.
const POLLS_PER_CHECK: u32 = 64;

/// What a call is given that shall not sleep: where it would, it writes down on what, and ends. It has said that it sleeps,
/// and looked again since. From then on its event changes when there may be a reason to look.
#[derive(Debug, Default)]
pub(crate) struct Arming {
    /// [`ARMED`], and the event's value. Used by one thread, so its accesses are relaxed; an atomic, so that handles, which have
    /// [`WaitOptions`], can be sent to others.
    event: AtomicU64,
    /// Whether it has to look again by itself after a while, as nobody is there.
    lonely: AtomicBool,
}

/// The event's value is written down.
const ARMED: u64 = 1 << 32;

impl Arming {
    fn write_down(&self, watch: &Watch, lonely: bool) {
        let event = watch.words().first().map_or(0, |&(_, value)| value);
        self.event
            .store(ARMED | u64::from(event), Ordering::Relaxed);
        self.lonely.store(lonely, Ordering::Relaxed);
    }

    /// With which value of its event the call would have slept, if it would.
    pub(crate) fn event(&self) -> Option<u32> {
        let event = self.event.load(Ordering::Relaxed);
        (event & ARMED != 0).then_some(event as u32)
    }

    /// When to look again although nothing has changed.
    pub(crate) fn next_look(&self) -> Option<MonotonicTime> {
        let lonely = self.lonely.load(Ordering::Relaxed);
        lonely.then(|| MonotonicTime::after(INTERVAL)).flatten()
    }
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

/// How a blocking call waits, and until when. A call that is given none tries once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitOptions<'a> {
    pub(crate) how: WaitStrategy,
    /// `None`: for ever.
    pub(crate) deadline: Option<Instant>,
    /// Instead of sleeping.
    arming: Option<&'a Arming>,
    /// Whether who waits may be [interrupted](interrupt).
    interruptible: bool,
}

/// What it means for a wait that the peers have closed or died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeersEnd {
    /// It is over.
    EndsIt,
    /// Nothing: others may come.
    IsNoEnd,
}

/// When a time that begins now is over; never, if the clock cannot say it.
pub fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

impl<'a> WaitOptions<'a> {
    /// To wait for ever.
    pub(crate) const fn new(how: WaitStrategy) -> Self {
        Self {
            how,
            deadline: None,
            arming: None,
            interruptible: true,
        }
    }

    /// To end where the call would sleep. It spins no longer than a peer at work takes for a message.
    pub(crate) fn to_arm(how: WaitStrategy, arming: &'a Arming) -> Self {
        let how = match how {
            WaitStrategy::Park => how,
            WaitStrategy::Adaptive(budget) => WaitStrategy::Adaptive(budget.min(PATIENCE)),
            WaitStrategy::Spin => WaitStrategy::Adaptive(PATIENCE),
        };
        Self {
            arming: Some(arming),
            ..Self::new(how)
        }
    }

    /// The same, for a wait that is short and whose end is nothing that is told.
    pub(crate) fn uninterrupted(self) -> Self {
        Self {
            interruptible: false,
            ..self
        }
    }

    /// To sleep at once, and for ever.
    #[cfg(all(loom, test))]
    pub(crate) const PARK: Self = Self::new(WaitStrategy::Park);

    /// The same, until `deadline` if there is one.
    pub(crate) fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// The same, for at most `timeout` from now on.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        self.until(deadline_after(timeout))
    }

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
        let spun = match self.options.how {
            WaitStrategy::Park => None,
            WaitStrategy::Spin => self.spin(None, side, &mut ready),
            WaitStrategy::Adaptive(budget) => self.spin(Some(budget), side, &mut ready),
        };
        spun.unwrap_or_else(|| self.park(side, &mut ready))
    }

    /// `None` when the budget is spent.
    fn spin<B: Blocked>(
        &self,
        budget: Option<Duration>,
        side: &mut B,
        ready: &mut impl FnMut(&mut B, Look) -> bool,
    ) -> Option<Waited> {
        let alone = processors() == 1;
        if alone && budget.is_some() {
            return None;
        }
        let started = Instant::now();
        let patience = if alone { Duration::ZERO } else { PATIENCE };
        let mut looked = started;
        loop {
            if self.is_in_vain(side) {
                return Some(Waited::Ready);
            }
            if self.is_interrupted(side) {
                return Some(Waited::Interrupted);
            }
            let now = Instant::now();
            if now - looked >= INTERVAL {
                looked = now;
                let ended = self.look_whether_forsaken(side, ready);
                if ended.is_some() {
                    return ended;
                }
            }
            let deadline = self.options.deadline;
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Some(Waited::TimedOut);
            }
            if budget.is_some_and(|budget| now - started >= budget) {
                return None;
            }
            for _ in 0..POLLS_PER_CHECK {
                if ready(side, Look::Glance) {
                    return Some(Waited::Ready);
                }
                std::hint::spin_loop();
            }
            if now - started >= patience {
                std::thread::yield_now();
            }
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

/// Processors of the machine that are online. Asked once. Not those that this thread may run on: who is
/// pinned to one of them has its peer on another, most often, and is the one who wants to spin.
fn processors() -> i64 {
    use nix::unistd::{SysconfVar, sysconf};
    use std::sync::OnceLock;
    static PROCESSORS: OnceLock<i64> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        sysconf(SysconfVar::_NPROCESSORS_ONLN)
            .ok()
            .flatten()
            .unwrap_or(1)
    })
}
