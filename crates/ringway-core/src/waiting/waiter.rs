//! The waiter: one thread of the process that sleeps for all handles which must not sleep themselves.
//!
//! A handle that is asked for a message, or for room, by a future or for a descriptor does what a blocked call does up to where that
//! would sleep: it says that it sleeps, looks again, and writes down with which value its event may be slept on
//! ([`Arming`](super::Arming)). It then *arms*: it leaves event and value with the waiter, and whom to wake. The waiter sleeps in
//! `futex_waitv` on a control word and the events of all that are armed, at most 127 words; where there are more handles, there are more
//! threads. (Who reads an entry of a board has two words: its event, and the life of the entry's writer.) When an event is another one, it strikes the entry out, and wakes: a [`Waker`], an eventfd, or both.
//!
//! ```text
//!   IDLE -- try: nothing -- say asleep, look -- nothing --> ARMED -- the event changes ------------> FIRED -- next try --> IDLE
//!     ^                        |                             | ^       (or it is time to look)
//!     +------ there is --------+                             | +-- armed again: a waker, a value
//!     +---------------------------- disarmed ----------------+
//! ```
//!
//! So no message costs a system call while both sides are at work. From idle to busy it is those of a sleep: the sleeper's fence, one
//! to have the waiter watch one word more if it does not watch it any more, one by the peer that wakes it, and what the waker does.
//!
//! # No wake-up is lost
//! The value was read before the last look, as by a sleeper. Whoever publishes after that look changes the event. The waiter compares the
//! event with the value, in the kernel before it sleeps and by itself after, so it does not matter when it comes to know of the entry.
//! A newcomer's entry is seen by a waiter that is awake, as it takes the table's lock before it sleeps; one that sleeps, or is
//! about to, is turned away by the control word, which is changed under that lock.
//!
//! An entry is struck out, and marked as fired, under the lock under which it is armed. So a handle that arms again does so
//! before or after that, and knows which.
//!
//! # What it keeps watching
//! A handle that was woken will most often arm again, on the same word. So the waiter goes on sleeping on that word, too, with the value that it
//! finds there, and the handle that arms need not call it: it looks, under the lock, whether the word still holds what it held before the last
//! look. Whoever changes it after that wakes those who sleep on it. The waiter is one of them, or has yet to give the word to the kernel, which
//! then finds another value and turns it away, or the value of that look. A word that changes while the handle is not armed is watched no more:
//! somebody else sleeps on it, such as a blocking call of that handle, and the waiter would be woken with that one for nothing.
//!
//! # Cancelling
//! A future that is dropped leaves the handle armed, with a waker of a task that does not care any more. That is one needless wake at
//! most. No message was taken: that happens only in a call that returns it. The next call that finds nothing gives its own waker.
//! A blocking call on an armed handle may take back that it sleeps, which changes the event or is seen in its slot; the next
//! [poll](crate::Receiver::poll_recv) sees that, and arms anew.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | the peer dies, or leaves, while a handle is armed | its [watcher](crate::presence::watcher) changes the event, as for a sleeper; the waiter wakes, and the next try tells |
//! | the writer of an entry dies while a reader is armed | the kernel marks the writer's liveness word, and wakes one who watches it; if that is a waiter, it wakes the others |
//! | the peer is stopped | nothing: it is alive |
//! | this process is stopped | so is its waiter. Those who wake wake all who sleep, so nobody else depends on it |
//! | this process is killed | its bit in the event stays set: one needless wake |
//! | the ring is removed, and nobody can come | the entry has a time to look, as a sleeper has: once a second, the handle is woken and looks |
//! | a sandbox begins to deny `membarrier` | the same, every few milliseconds |
//! | the handle is dropped while armed | it strikes its entry out, and waits until the waiter does not sleep on its event any more: a few microseconds, after which nothing holds the mapping |
//! | ... within a waker, by the waiter itself | the waiter does not sleep then |
//! | `fork` | the child has no waiter, and its copies of the handles say `Forked`. A handle of its own gets a new waiter, with a new table: the old lock may be held by a thread that the child does not have |
//! | the process exits | the waiter ends with it, wherever it is. It holds nothing that others need |
//! | a waker panics | the panic is caught, and ends here; the others are woken |
//! | a waker takes long | the others of this waiter are late |
//! | no thread can be started | the call that would arm says so |
//! | the library is unloaded (`dlclose`) | not while there is a waiter: it never ends. Link with `-z nodelete` |
//!
//! # Bells
//! Rings of sync `posix-sem`, `sysv-sem` and `mqueue` have handles sleep on a semaphore or a queue of their own, which no
//! `futex_waitv` can watch. Such a handle gets a [listener](super::sync::listener), when it is first armed: a thread that sleeps on the bell and
//! counts its ringing in a word, which is then the event.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::task::Waker;

#[cfg(all(loom, test))]
use loom::sync::{Condvar, Mutex, MutexGuard};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
#[cfg(not(all(loom, test)))]
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::memory::map::Map;
use crate::sys::fork::Origin;
use crate::sys::futex::{self, MOST_WORDS, MonotonicTime};
use crate::sys::pthread_sigmask;
use crate::waiting::sync::listener::Heard;

/// How many words one thread watches for handles. One more is the control word.
const MOST: usize = MOST_WORDS - 1;

/// What a waiter sleeps on, and how: the kernel, or a model of it.
pub(crate) trait Bed {
    /// What is slept on.
    type Word: Clone;
    /// What the word holds, with acquire.
    fn value(word: &Self::Word) -> u32;
    /// Whether the two are one.
    fn is_same(one: &Self::Word, other: &Self::Word) -> bool;
    /// What the control word holds.
    fn control(&self) -> u32;
    /// Changes the control word, and wakes the waiter if it sleeps on it.
    fn call(&self);
    /// Sleeps while the control word and all words are what they are said to be, and no longer than `until`.
    fn sleep(&self, control: u32, words: &[(Self::Word, u32)], until: Option<MonotonicTime>);
}

/// A waiter: the thread calls [`turn`](Self::turn) again and again, handles the rest.
pub(crate) struct Waiter<B: Bed> {
    bed: B,
    table: Mutex<Table<B::Word>>,
    /// A turn's sleep is over.
    awake: Condvar,
}

struct Table<W> {
    /// Of all together not more than [`MOST`] words.
    seats: Vec<Place<W>>,
    /// The number of the next one.
    next: u64,
    /// Whether the waiter sleeps, or is about to, on what it found here.
    asleep: bool,
    /// How often it has slept.
    slept: u64,
}

/// What a handle has here.
struct Place<W> {
    seat: u64,
    /// How many words it may have watched.
    words: usize,
    armed: Option<Armed<W>>,
    /// The word of its last arming, once that has fired, and what the waiter found there when it last fell asleep: if it sleeps, then on
    /// this word, too.
    watched: Option<(W, u32)>,
    /// Whether it was woken since it was armed.
    fired: bool,
    waker: Option<Waker>,
    /// Readable from the time it fires until it is armed or disarmed.
    descriptor: Option<Arc<EventFd>>,
}

/// What is waited for.
#[derive(Clone)]
pub(crate) struct Armed<W> {
    /// What changes when it may be worth looking.
    pub(crate) word: W,
    /// What it held before the last look.
    pub(crate) expected: u32,
    /// A word more, and what it held.
    pub(crate) also: Option<(W, u32)>,
    /// When to look although it has not changed.
    pub(crate) next_look: Option<MonotonicTime>,
}

impl<W> Armed<W> {
    fn words(&self) -> impl Iterator<Item = (&W, u32)> {
        let also = self.also.as_ref().map(|(word, value)| (word, *value));
        [(&self.word, self.expected)].into_iter().chain(also)
    }

    /// Whether all is as it was.
    fn stands<B: Bed<Word = W>>(&self) -> bool {
        self.words().all(|(word, value)| B::value(word) == value)
    }
}

impl<W> Place<W> {
    /// Forgets that it fired.
    fn calm(&mut self) {
        if std::mem::take(&mut self.fired)
            && let Some(descriptor) = &self.descriptor
        {
            // Does not block. It was written when this fired, under the same lock.
            let _ = descriptor.read();
        }
    }

    /// Whether a waiter that sleeps is woken by whoever changes what is waited for from now on, without being told.
    fn watches<B: Bed<Word = W>>(&self, armed: &Armed<W>) -> bool {
        let is_it = |(word, _): &(W, u32)| B::is_same(word, &armed.word);
        let has_no_more = armed.also.is_none() && armed.next_look.is_none();
        has_no_more && self.watched.as_ref().is_some_and(is_it) && armed.stands::<B>()
    }

    /// What the waiter sleeps on for it, and with which values.
    fn watch<B: Bed<Word = W>>(&mut self) -> impl Iterator<Item = (&W, u32)> {
        if let Some((word, value)) = &mut self.watched {
            *value = B::value(word);
        }
        let watched = self.watched.as_ref().filter(|_| self.armed.is_none());
        let watched = watched.map(|(word, value)| (word, *value));
        let armed = self.armed.as_ref().map(Armed::words);
        armed.into_iter().flatten().chain(watched)
    }
}

impl<B: Bed> Waiter<B> {
    pub(crate) fn new(bed: B) -> Self {
        let table = Table {
            seats: Vec::new(),
            next: 0,
            asleep: false,
            slept: 0,
        };
        Self {
            bed,
            table: Mutex::new(table),
            awake: Condvar::new(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<B::Word>> {
        // Nothing of anybody else's runs while it is locked.
        self.table
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A seat for one more handle, of which so many words are watched, if there is one.
    pub(crate) fn sit(&self, words: usize) -> Option<u64> {
        let mut table = self.table();
        let taken: usize = table.seats.iter().map(|place| place.words).sum();
        if taken + words > MOST {
            return None;
        }
        let seat = table.next;
        table.next += 1;
        table.seats.push(Place {
            seat,
            words,
            armed: None,
            watched: None,
            fired: false,
            waker: None,
            descriptor: None,
        });
        Some(seat)
    }

    fn with<T>(&self, seat: u64, act: impl FnOnce(&mut Place<B::Word>) -> T) -> Option<(T, bool)> {
        let mut table = self.table();
        let place = table.seats.iter_mut().find(|place| place.seat == seat)?;
        let result = act(place);
        Some((result, table.asleep))
    }

    /// Has the handle woken when there may be a reason to look: by `waker`, if it is given, and by the descriptor.
    pub(crate) fn arm(&self, seat: u64, armed: Armed<B::Word>, waker: Option<&Waker>) {
        let waker = waker.cloned();
        let arm = |place: &mut Place<B::Word>| {
            place.calm();
            let is_watched = place.watches::<B>(&armed);
            if !is_watched {
                // It may be another word, which the waiter does not sleep on yet.
                place.watched = None;
            }
            let before = place.armed.replace(armed);
            // What it was is dropped when the lock is not held.
            (
                is_watched,
                before,
                std::mem::replace(&mut place.waker, waker),
            )
        };
        if let Some(((false, ..), true)) = self.with(seat, arm) {
            self.bed.call();
        }
    }

    /// Gives another waker to one that is armed, has not fired, and whose word is as it was; whether that is so.
    pub(crate) fn renew(&self, seat: u64, waker: &Waker) -> bool {
        // Cloned and dropped when the lock is not held.
        let (mut given, mut before) = (Some(waker.clone()), None);
        let renew = |place: &mut Place<B::Word>| {
            let stands = place.armed.as_ref().is_some_and(Armed::stands::<B>);
            if stands {
                before = std::mem::replace(&mut place.waker, given.take());
            }
            stands
        };
        self.with(seat, renew).is_some_and(|(stands, _)| stands)
    }

    /// Has the handle woken no more, and its descriptor not readable.
    pub(crate) fn disarm(&self, seat: u64) {
        // Dropped when the lock is not held.
        let _before = self.with(seat, |place| {
            place.calm();
            (place.armed.take(), place.waker.take())
        });
    }

    /// What becomes readable when the handle is woken.
    fn descriptor(&self, seat: u64) -> Result<Arc<EventFd>, Errno> {
        let made = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let made = Arc::new(made?);
        let kept = self.with(seat, |place| {
            let descriptor = place.descriptor.get_or_insert_with(|| {
                if place.fired {
                    // There was none to be written then. This one holds 0, and does not block.
                    let _ = made.write(1);
                }
                Arc::clone(&made)
            });
            Arc::clone(descriptor)
        });
        Ok(kept.map_or(made, |(kept, _)| kept))
    }

    /// Gives the seat up. From then on the waiter has nothing of the handle's.
    pub(crate) fn leave(&self, seat: u64) {
        let mut table = self.table();
        let Some(index) = table.seats.iter().position(|place| place.seat == seat) else {
            return;
        };
        let left = table.seats.swap_remove(index);
        let slept = table.slept;
        if table.asleep && (left.armed.is_some() || left.watched.is_some()) {
            self.bed.call();
            while table.asleep && table.slept == slept {
                let woken = self.awake.wait(table);
                table = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
        drop(table);
        // Here, as a waker may do anything when it is dropped.
        drop(left);
    }

    /// Sleeps once, and wakes those whose words have changed. What it is given is empty, and kept from turn to turn.
    pub(crate) fn turn(&self, words: &mut Vec<(B::Word, u32)>, wakers: &mut Vec<Waker>) {
        let (control, until) = {
            let mut table = self.table();
            table.asleep = true;
            let watched = table.seats.iter_mut().flat_map(Place::watch::<B>);
            words.extend(watched.map(|(word, value)| (word.clone(), value)));
            let armed = table.seats.iter().filter_map(|place| place.armed.as_ref());
            let until = armed.filter_map(|armed| armed.next_look).min();
            // Under the lock: who arms or leaves after this changes it.
            (self.bed.control(), until)
        };
        self.bed.sleep(control, words, until);
        // Before anybody is told that it is awake: it holds nobody's mapping any more.
        words.clear();
        let mut table = self.table();
        table.asleep = false;
        table.slept += 1;
        for place in &mut table.seats {
            let is_over = |at: MonotonicTime| at.remaining().is_none();
            let fires =
                |armed: &mut Armed<_>| !armed.stands::<B>() || armed.next_look.is_some_and(is_over);
            let Some(fired) = place.armed.take_if(fires) else {
                if place.armed.is_none() {
                    let has_changed = |(word, value): &mut (_, u32)| B::value(word) != *value;
                    let _unwatched = place.watched.take_if(has_changed);
                }
                continue;
            };
            place.watched = Some((fired.word, fired.expected));
            place.fired = true;
            wakers.extend(place.waker.take());
            if let Some(descriptor) = &place.descriptor {
                // Does not block: it holds 0 or 1.
                let _ = descriptor.write(1);
            }
        }
        drop(table);
        self.awake.notify_all();
        for waker in wakers.drain(..) {
            // Other people's code. The panic was reported; nobody else shall suffer by it.
            // (A model checker ends a run by a panic, and must see it.)
            match cfg!(loom) {
                true => waker.wake(),
                false => drop(catch_unwind(AssertUnwindSafe(|| waker.wake()))),
            }
        }
    }
}

/// What this process's waiters sleep on.
#[derive(Clone)]
pub(crate) enum Word {
    /// A word of a ring.
    Event(Arc<Map>, usize),
    /// The liveness word of somebody, which the kernel marks at that one's death.
    Life(Arc<Map>, usize),
    /// How often a bell was heard.
    Heard(Arc<Heard>),
}

impl Word {
    fn get(&self) -> Option<&AtomicU32> {
        match self {
            Self::Event(map, offset) | Self::Life(map, offset) => map.word32(*offset),
            Self::Heard(heard) => Some(heard.count()),
        }
    }
}

/// The kernel.
#[derive(Default)]
pub(crate) struct Kernel {
    control: AtomicU32,
}

impl Bed for Kernel {
    type Word = Word;

    fn is_same(one: &Word, other: &Word) -> bool {
        match (one, other) {
            (Word::Event(one, here), Word::Event(other, there)) => {
                Arc::ptr_eq(one, other) && here == there
            }
            (Word::Heard(one), Word::Heard(other)) => Arc::ptr_eq(one, other),
            // Its death is awaited once.
            _ => false,
        }
    }

    fn value(word: &Word) -> u32 {
        // Acquire pairs with the release of who changes it: what is published is seen by who is woken.
        word.get().map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn control(&self) -> u32 {
        // Relaxed: the lock orders it.
        self.control.load(Ordering::Relaxed)
    }

    fn call(&self) {
        self.control.fetch_add(1, Ordering::Relaxed);
        futex::wake_all(&self.control);
    }

    fn sleep(&self, control: u32, words: &[(Word, u32)], until: Option<MonotonicTime>) {
        let events = words
            .iter()
            .filter_map(|(word, expected)| Some((word.get()?, *expected)));
        // Whatever it was, the caller looks.
        futex::wait([(&self.control, control)].into_iter().chain(events), until);
        for (word, expected) in words {
            // The kernel wakes one, which may be this one: it wakes the others, be the handle still armed or not.
            if let Word::Life(..) = word
                && Self::value(word) != *expected
                && let Some(word) = word.get()
            {
                futex::wake_all(word);
            }
        }
    }
}

/// A handle's seat at one of this process's waiters. Dropped, it is given up.
pub(crate) struct Seat {
    waiter: Arc<Waiter<Kernel>>,
    seat: u64,
    origin: Origin,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("seat", &self.seat)
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// A seat for so many words at a waiter that has one, or at one more.
    pub(crate) fn take(words: usize) -> Result<Self, Errno> {
        let waiters = Waiters::here()?;
        let mut all = waiters
            .all
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        let seated = |waiter: &Arc<Waiter<Kernel>>| {
            let seat = waiter.sit(words)?;
            Some(Self {
                waiter: Arc::clone(waiter),
                seat,
                origin: waiters.origin,
            })
        };
        if let Some(seat) = all.iter().find_map(seated) {
            return Ok(seat);
        }
        let waiter = start()?;
        let seat = seated(&waiter).ok_or(Errno::EAGAIN)?;
        all.push(waiter);
        Ok(seat)
    }

    /// As [`Waiter::arm`].
    pub(crate) fn arm(&self, armed: Armed<Word>, waker: Option<&Waker>) {
        self.waiter.arm(self.seat, armed, waker);
    }

    /// As [`Waiter::renew`].
    pub(crate) fn renew(&self, waker: &Waker) -> bool {
        self.waiter.renew(self.seat, waker)
    }

    /// As [`Waiter::disarm`].
    pub(crate) fn disarm(&self) {
        self.waiter.disarm(self.seat);
    }

    /// What becomes readable when the handle is woken.
    pub(crate) fn descriptor(&self) -> Result<Arc<EventFd>, Errno> {
        self.waiter.descriptor(self.seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // In a child of `fork` there is no waiter, and the lock may be held by nobody.
        if !self.origin.is_forked() {
            self.waiter.leave(self.seat);
        }
    }
}

/// The waiters of one process. They are never freed, and neither is this: a child of `fork` makes its own.
struct Waiters {
    origin: Origin,
    all: std::sync::Mutex<Vec<Arc<Waiter<Kernel>>>>,
}

static WAITERS: AtomicPtr<Waiters> = AtomicPtr::new(std::ptr::null_mut());

impl Waiters {
    /// This process's.
    fn here() -> Result<&'static Self, Errno> {
        // Acquire pairs with the release below: it is made.
        let mut current = WAITERS.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or what was leaked below; nobody has it mutably.
            match unsafe { current.as_ref() } {
                Some(waiters) if !waiters.origin.is_forked() => return Ok(waiters),
                _ => {}
            }
            let made = Box::into_raw(Box::new(Self {
                origin: Origin::here()?,
                all: std::sync::Mutex::default(),
            }));
            let (release, acquire) = (Ordering::AcqRel, Ordering::Acquire);
            match WAITERS.compare_exchange(current, made, release, acquire) {
                Ok(_) => current = made,
                Err(theirs) => {
                    // SAFETY: made by `into_raw` just now, and given to nobody.
                    drop(unsafe { Box::from_raw(made) });
                    current = theirs;
                }
            }
        }
    }
}

/// Starts the thread of one more waiter. It takes no signal, so that no handler of the program runs on it.
fn start() -> Result<Arc<Waiter<Kernel>>, Errno> {
    let waiter = Arc::new(Waiter::new(Kernel::default()));
    let own = Arc::clone(&waiter);
    let run = move || {
        let (mut words, mut wakers) = (Vec::new(), Vec::new());
        loop {
            own.turn(&mut words, &mut wakers);
        }
    };
    let thread = std::thread::Builder::new().name("ringway-waiter".to_owned());
    match pthread_sigmask::spawn(thread, run) {
        Ok(_detached) => Ok(waiter),
        Err(error) => {
            let errno = error.raw_os_error();
            Err(errno.map_or(Errno::EAGAIN, Errno::from_raw))
        }
    }
}
