//! The keeper: a sleeping thread for each word that this process holds in a segment, with a robust list that stands for
//! that word and, of a participant, for its sights.
//!
//! Only the keeper takes words, writes sights and links nodes. A word is then written by the very thread whose death
//! the kernel reports, so there is no instant at which the process could die and leave a word that
//! nobody marks: the word's node is linked first, the compare-and-swap follows, and before it the kernel
//! finds a word that does not carry the keeper's thread id and leaves it alone. (One of another pid namespace may have
//! the same thread id: [`super`] says what becomes of that.)
//!
//! Each has a thread and a list of its own, because the kernel ends its walk over a list at the first page that is not
//! there: what becomes of one ring's file does not concern the process's other rings.
//!
//! The keeper blocks all signals, holds no lock, needs nothing of the dynamic loader ([`pthread_create`]), and
//! [watches](super::watcher) between its orders. A child of `fork` has no keeper; it gets one of its own when it
//! attaches somewhere itself.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;

use super::outlook::Outlook;
use super::watcher::{self, Alarm, Lookout};
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::header::CREATION_LOCK_OFFSET;
use crate::memory::layout::participant::{LIVENESS, PARTICIPANTS_OFFSET, slot_offset, table_end};
use crate::memory::map::Map;
use crate::sys::pthread_create::{self, Thread};
use crate::sys::robust_list::{self, RobustList};
use crate::sys::unwinding::Unwinding;
use crate::sys::{futex, membarrier};

/// Why a word was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It did not hold the expected value but this one.
    Changed(u32),
    /// The keeper could not be started.
    Os(Errno),
}

// A slot's word, and one for each that may watch it.
const _: () = assert!((MAX_PARTICIPANTS as usize) < robust_list::LIMIT);

impl Refusal {
    /// Why the keeper did not take a word. (That somebody else changed the word is an end only for the
    /// creation lock.)
    pub(crate) fn explain(self, attempt: Attempt<'_>) -> Error {
        match self {
            Self::Changed(_) => attempt
                .error(ErrorKind::HalfMade, "another process is initialising it")
                .remedy("try again"),
            Self::Os(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => attempt
                .error(
                    ErrorKind::Unsupported,
                    "its keeper thread could not be started: set_robust_list is not there, or a sandbox denies it",
                )
                .remedy("have the sandbox allow it")
                .because(errno),
            Self::Os(Errno::EAGAIN) => attempt
                .error(ErrorKind::Os, "its keeper thread could not be started")
                .remedy("make room for one more thread (ulimit -u)")
                .because(Errno::EAGAIN),
            Self::Os(errno) => attempt.os("its keeper thread could not be started", errno),
        }
    }
}

/// What this kernel can do, for this process, besides what ringway needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// Other processes' barriers reach this one.
    pub(crate) membarrier: bool,
}

/// Finds out what the kernel can do. Asked each time: a child of `fork` is another process, and a filter may come later.
pub(crate) fn abilities() -> Result<Abilities, Errno> {
    Ok(Abilities {
        membarrier: membarrier::register(),
    })
}

/// A thread with a robust list. Dropped, it leaves what it holds in order, unless a panic that began since unwinds
/// through its owner, or [`leave`](Self::leave) decides it.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Freed when the thread has ended.
    station: ManuallyDrop<Box<Station>>,
    thread: Thread,
    /// Whether its end is a death, if that is decided.
    died: Option<bool>,
    unwinding: Unwinding,
}

/// The creation lock of a segment, held.
#[derive(Debug)]
pub(crate) struct CreationLock {
    _keeper: Keeper,
}

/// What the thread and its owner share.
struct Station {
    map: Arc<Map>,
    list: RobustList,
    /// What the thread is to do: one of the constants below. The owner writes it, and the thread makes it `IDLE`
    /// when it has done what is done once.
    order: AtomicU32,
    /// What to take.
    word: AtomicU32,
    expected: AtomicU32,
    /// The slots of the ring, and which one is taken: [`NO_SLOT`] for a word that is no slot's.
    participants: AtomicU32,
    slot: AtomicU32,
    /// What came of it: an errno, or [`TAKEN`], or [`CHANGED`] and what was found.
    outcome: AtomicU32,
    found: AtomicU32,
    alarm: OnceLock<Alarm>,
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Station")
            .field("order", &self.order)
            .field("word", &self.word)
            .finish_non_exhaustive()
    }
}

const IDLE: u32 = 0;
const TAKE: u32 = 1;
const SHOW: u32 = 2;
const WATCH: u32 = 3;
const LEAVE: u32 = 4;
/// As the dead leave.
const ABANDON: u32 = 5;

const NO_SLOT: u32 = u32::MAX;

const TAKEN: u32 = 0;
const CHANGED: u32 = u32::MAX;

/// Takes the creation lock if it holds `expected`.
pub(crate) fn take_creation_lock(map: &Arc<Map>, expected: u32) -> Result<CreationLock, Refusal> {
    let words = CREATION_LOCK_OFFSET..CREATION_LOCK_OFFSET + 8;
    let keeper = Keeper::start(map, words).map_err(Refusal::Os)?;
    keeper.take(CREATION_LOCK_OFFSET, expected, None)?;
    Ok(CreationLock { _keeper: keeper })
}

impl Keeper {
    /// A thread for a slot of the ring in `map`, which has so many.
    pub(crate) fn of_participant(map: &Arc<Map>, participants: u32) -> Result<Self, Errno> {
        Self::start(map, PARTICIPANTS_OFFSET..table_end(participants))
    }

    /// A thread for words that lie there.
    fn start(map: &Arc<Map>, words: Range<usize>) -> Result<Self, Errno> {
        let zero = || AtomicU32::new(0);
        let station = Box::new(Station {
            map: Arc::clone(map),
            list: RobustList::new(map.base(), words)?,
            order: AtomicU32::new(IDLE),
            word: zero(),
            expected: zero(),
            participants: zero(),
            slot: AtomicU32::new(NO_SLOT),
            outcome: zero(),
            found: zero(),
            alarm: OnceLock::new(),
        });
        let argument = std::ptr::from_ref(&*station).cast_mut().cast();
        // SAFETY: `keep` needs a station that lives until the thread is joined: `drop` frees it after that.
        let thread = unsafe { Thread::start(keep, argument)? };
        Ok(Self {
            station: ManuallyDrop::new(station),
            thread,
            died: None,
            unwinding: Unwinding::new(),
        })
    }

    /// Takes the liveness word of `me` if it holds `expected`. Nobody sees it yet.
    pub(crate) fn take_slot(&self, me: Outlook, expected: u32) -> Result<(), Refusal> {
        self.take(slot_offset(me.slot) + LIVENESS, expected, Some(me))
    }

    fn take(&self, word: usize, expected: u32, slot: Option<Outlook>) -> Result<(), Refusal> {
        let station = &self.station;
        station.word.store(word as u32, Ordering::Relaxed);
        station.expected.store(expected, Ordering::Relaxed);
        let (participants, slot) = slot.map_or((0, NO_SLOT), |me| (me.participants, me.slot));
        station.participants.store(participants, Ordering::Relaxed);
        station.slot.store(slot, Ordering::Relaxed);
        self.have_done(TAKE);
        match station.outcome.load(Ordering::Relaxed) {
            TAKEN => Ok(()),
            CHANGED => Err(Refusal::Changed(station.found.load(Ordering::Relaxed))),
            errno => Err(Refusal::Os(Errno::from_raw(errno as i32))),
        }
    }

    /// Lets the others see who took the slot.
    pub(crate) fn show(&self) {
        self.have_done(SHOW);
    }

    /// Lets the thread watch the others, and tell `alarm`, until this is dropped.
    pub(crate) fn watch(&self, alarm: Alarm) {
        if self.station.alarm.set(alarm).is_ok() {
            self.give(WATCH);
        }
    }

    /// Leaves what it holds; as the dead do, if what its holder was about will not be completed.
    pub(crate) fn leave(mut self, died: bool) {
        self.died = Some(died);
    }

    fn give(&self, order: u32) {
        let word = &self.station.order;
        // Release pairs with the acquire in `keep`: what belongs to the order is seen.
        word.store(order, Ordering::Release);
        futex::wake_all(word);
    }

    fn have_done(&self, order: u32) {
        self.give(order);
        let word = &self.station.order;
        // Acquire pairs with the release in `keep`: what came of it is seen.
        while word.load(Ordering::Acquire) == order {
            futex::wait([(word, order)].into_iter(), None);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A child of `fork` has neither the thread nor the list.
        if self.station.map.is_forked() {
            return;
        }
        // What this process was about when it panics is not complete; its peers shall see a death.
        let died = self.died.unwrap_or_else(|| self.unwinding.has_begun());
        self.give(if died { ABANDON } else { LEAVE });
        self.thread.join();
        // SAFETY: the thread was the only other one to use it, and this is the end of `self`.
        unsafe { ManuallyDrop::drop(&mut self.station) };
    }
}

/// The thread.
extern "C" fn keep(station: *mut c_void) -> *mut c_void {
    // SAFETY: `Keeper::start` passes a station that lives until this thread is joined.
    let station = unsafe { &*station.cast::<Station>() };
    pthread_create::name_this_thread(c"ringway-keeper");
    // SAFETY: gettid takes and gives numbers.
    let tid = unsafe { libc::gettid() } as u32;
    let mine = (tid & futex::TID_MASK) | futex::WAITERS;
    let registered = station.list.register();
    // What the word held before, and whether the others were shown what it holds now.
    let mut held = None;
    let mut lookout = None;
    let order = &station.order;
    loop {
        // Acquire pairs with the release in `give`.
        match order.load(Ordering::Acquire) {
            TAKE => {
                let taken = registered
                    .map_err(Refusal::Os)
                    .and_then(|()| station.take(mine));
                let outcome = match taken {
                    Ok(before) => {
                        held = Some((before, false));
                        TAKEN
                    }
                    Err(Refusal::Changed(found)) => {
                        station.found.store(found, Ordering::Relaxed);
                        CHANGED
                    }
                    Err(Refusal::Os(errno)) => errno as u32,
                };
                station.outcome.store(outcome, Ordering::Relaxed);
                station.is_done();
            }
            SHOW => {
                if let (Some((before, _)), Some(me)) = (held, station.me()) {
                    watcher::show(&*station.map, me, mine);
                    held = Some((before, true));
                    // What the handle sees, it sees after this: if it is different, that is news.
                    let lookout = lookout.insert(Lookout::new(&*station.map, me));
                    lookout.look();
                }
                station.is_done();
            }
            WATCH => match (&mut lookout, station.alarm.get()) {
                (Some(lookout), Some(alarm)) => watcher::watch(lookout, (order, WATCH), alarm),
                _ => {
                    futex::wait([(order, WATCH)].into_iter(), None);
                }
            },
            LEAVE => {
                if let Some((before, shown)) = held {
                    station.leave(before, shown);
                }
                break;
            }
            // The kernel marks what the list says.
            ABANDON => break,
            idle => {
                futex::wait([(order, idle)].into_iter(), None);
            }
        }
    }
    std::ptr::null_mut()
}

/// The words that the list of who takes `word`, perhaps as `slot`, has nodes for, in the order in which they are
/// linked: the kernel comes to the last one first.
pub(super) fn linked(word: usize, slot: Option<Outlook>) -> impl Iterator<Item = usize> {
    let sights = slot
        .into_iter()
        .flat_map(|me| (0..me.participants).map(move |slot| me.seen_from(slot)));
    // Who takes the slot after a death must not be faster than the news of it.
    std::iter::once(word).chain(sights)
}

/// What the thread does.
impl Station {
    fn is_done(&self) {
        self.order.store(IDLE, Ordering::Release);
        futex::wake_all(&self.order);
    }

    fn word(&self) -> usize {
        self.word.load(Ordering::Relaxed) as usize
    }

    fn me(&self) -> Option<Outlook> {
        let slot = self.slot.load(Ordering::Relaxed);
        let me = Outlook::new(self.participants.load(Ordering::Relaxed), slot);
        (slot != NO_SLOT).then_some(me)
    }

    fn words(&self) -> impl Iterator<Item = usize> {
        linked(self.word(), self.me())
    }

    /// Takes the word, and returns what it held.
    fn take(&self, mine: u32) -> Result<u32, Refusal> {
        let word = self.map.word32(self.word());
        let word = word.ok_or(Refusal::Os(Errno::EFAULT))?;
        self.list.prepare(self.words()).map_err(Refusal::Os)?;
        let mut words = self.words();
        if let Some(word) = words.next() {
            self.list.link(word);
        }
        let expected = self.expected.load(Ordering::Relaxed);
        // Acquire pairs with the release in `leave`: what the last holder did is seen; the kernel's mark of a death
        // is a full barrier. Release: a peer that sees this holder sees what came before.
        let taken = word.compare_exchange(expected, mine, Ordering::AcqRel, Ordering::Acquire);
        match taken {
            // Only now: until then they are another's, who may have the same thread id (see `presence`).
            Ok(_) => words.for_each(|offset| self.list.link(offset)),
            Err(_) => self.list.clear(),
        }
        taken.map_err(Refusal::Changed)
    }

    /// Gives the word up. One that was not shown leaves everything as it was before.
    fn leave(&self, before: u32, shown: bool) {
        if let (true, Some(me)) = (shown, self.me()) {
            watcher::hide(&*self.map, me);
        }
        // The sights are another's as soon as the word is.
        self.list.keep_first_linked(self.word());
        if let Some(word) = self.map.word32(self.word()) {
            let is_slot = self.me().is_some();
            if is_slot && !shown {
                // Release, as below.
                word.store(before, Ordering::Release);
            } else {
                // In one step, so that nobody who sleeps on the creation lock is forgotten by one that dies between
                // two. The kernel's store is a full barrier: whatever this process did in the segment is seen by who
                // reads the word with acquire (a successor).
                futex::clear_and_wake_all(word);
            }
        }
        self.list.clear();
    }
}
