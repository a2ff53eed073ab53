//! How a blocking call waits, and until when: what its caller chooses.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::sys::futex::MonotonicTime;

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
pub(super) const PATIENCE: Duration = Duration::from_micros(5);

impl WaitStrategy {
    /// Whether to poll at all before sleeping.
    #[inline]
    pub(crate) fn spins(self) -> bool {
        self != Self::Park && processors() > 1
    }
}

/// What a call is given that shall not sleep: where it would, it writes down on what, and ends. It has said that it sleeps,
/// and looked again since. From then on its event changes when there may be a reason to look.
#[derive(Debug, Default)]
pub(crate) struct Arming {
    /// What it would watch. Used by one thread, so all accesses are relaxed; atomics, so that handles, which have
    /// [`WaitOptions`], can be sent to others.
    words: [Noted; 2],
    /// Whether it has to look again by itself after a while, as nobody is there.
    lonely: AtomicBool,
}

/// A word to watch.
#[derive(Debug, Default)]
struct Noted {
    offset: AtomicUsize,
    /// [`ARMED`], and the word's value.
    value: AtomicU64,
}

/// The word is written down.
const ARMED: u64 = 1 << 32;

impl Noted {
    fn write_down(&self, (offset, value): (usize, u32)) {
        self.offset.store(offset, Ordering::Relaxed);
        self.value
            .store(ARMED | u64::from(value), Ordering::Relaxed);
    }

    fn get(&self) -> Option<(usize, u32)> {
        let value = self.value.load(Ordering::Relaxed);
        (value & ARMED != 0).then(|| (self.offset.load(Ordering::Relaxed), value as u32))
    }
}

impl Arming {
    pub(super) fn write_down(&self, watch: &Watch, lonely: bool) {
        for (noted, word) in self.words.iter().zip(watch.words()) {
            noted.write_down(*word);
        }
        self.lonely.store(lonely, Ordering::Relaxed);
    }

    /// What the call would have watched, if it would have slept.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let [event, other] = &self.words;
        let (offset, value) = event.get()?;
        let watch = Watch::of(offset, value);
        Some(match other.get() {
            Some((offset, value)) => watch.and(offset, value),
            None => watch,
        })
    }

    /// When to look again although nothing has changed.
    pub(crate) fn next_look(&self) -> Option<MonotonicTime> {
        let lonely = self.lonely.load(Ordering::Relaxed);
        lonely.then(|| MonotonicTime::after(INTERVAL)).flatten()
    }
}

/// How a blocking call waits, and until when. A call that is given none tries once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitOptions<'a> {
    pub(crate) how: WaitStrategy,
    /// `None`: for ever.
    pub(crate) deadline: Option<Instant>,
    /// Instead of sleeping.
    pub(super) arming: Option<&'a Arming>,
    /// Whether who waits may be [interrupted](super::interrupt).
    pub(super) interruptible: bool,
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
}

/// Processors of the machine that are online. Asked once. Not those that this thread may run on: who is
/// pinned to one of them has its peer on another, most often, and is the one who wants to spin.
pub(super) fn processors() -> i64 {
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
