//! Waiting for several rings at once.

use std::borrow::BorrowMut;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::api::reach::Reached;
use crate::api::receiver::Receiver;
use crate::error::WaitError;
use crate::memory::region::memory::Memory;
use crate::presence::watcher::Alarm;
use crate::sys::fork::Origin;
use crate::sys::futex;
use crate::waiting::interrupt::{Interrupter, Interruptible};
use crate::waiting::several::{Call, Candidate, wait_for_any};
use crate::waiting::watch::Watch;
use crate::waiting::{WaitOptions, WaitStrategy, deadline_after};

/// Receivers that one thread waits for together: of rings of any kinds, and as many as there may be.
///
/// It has its receivers, or borrows them (`WaitSet<&mut Receiver>`). One is [`add`](Self::add)ed at any time, is reached by its [`Key`], and
/// is [`remove`](Self::remove)d at any time.
///
/// # In turn
/// [`wait`](Self::wait) returns one that has something to receive, or has come to its end. It begins to look behind the one that
/// it returned last, so each comes in turn, however much there is in the others. One that has ended stays due: remove it. Where another consumer may be faster, there may
/// be nothing left when it is asked.
///
/// # What it costs
/// A wait sleeps on up to 127 rings by one system call; those beyond are left to a thread of the process. A ring of sync `posix-sem`, `sysv-sem` or
/// `mqueue` has a thread of its own from then on, which hears for its receiver.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::wait::WaitSet;
///
/// let rings = [ringway::Builder::new("memfd:")?.create()?, ringway::Builder::new("memfd:")?.create()?];
/// let mut set = WaitSet::new();
/// let first = set.add(rings[0].receiver()?);
/// let second = set.add(rings[1].receiver()?);
/// rings[1].sender()?.send(b"hello")?;
/// let key = set.wait()?;
/// assert_eq!(key, second);
/// assert_eq!(set[key].try_recv()?, b"hello");
/// set.remove(first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WaitSet<R = Receiver> {
    members: Vec<(Key, R)>,
    /// The number of the next key.
    next: u64,
    /// Where the next look begins.
    turn: usize,
    wait: WaitOptions<'static>,
    word: Arc<Word>,
    waker: Waker,
    interruptible: Interruptible,
    interrupted: Arc<AtomicBool>,
}

/// One of a [`WaitSet`], in that set. No other one ever has the same key there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// What a set sleeps on beside its rings.
#[derive(Default)]
struct Word(AtomicU32);

impl Word {
    fn change(&self) {
        // Release pairs with the acquire in `wait_for_any`.
        self.0.fetch_add(1, Ordering::Release);
        futex::wake_all(&self.0);
    }
}

impl Wake for Word {
    fn wake(self: Arc<Self>) {
        self.change();
    }
}

impl<R: BorrowMut<Receiver>> WaitSet<R> {
    /// One with nothing in it.
    pub fn new() -> Self {
        let word = Arc::new(Word::default());
        let called = Arc::clone(&word);
        let alarm: Alarm = Arc::new(move |_| called.change());
        let interruptible = Interruptible::new(alarm, Origin::here().ok());
        Self {
            members: Vec::new(),
            next: 0,
            turn: 0,
            wait: WaitOptions::new(WaitStrategy::default()),
            waker: Waker::from(Arc::clone(&word)),
            word,
            interrupted: interruptible.flag(),
            interruptible,
        }
    }

    /// How it waits, whatever its receivers have been told.
    #[must_use]
    pub fn with_wait(mut self, wait: WaitStrategy) -> Self {
        self.wait.how = wait;
        self
    }

    /// Adds a receiver.
    pub fn add(&mut self, receiver: R) -> Key {
        let key = Key(self.next);
        self.next += 1;
        self.members.push((key, receiver));
        key
    }

    /// Takes a receiver out, as it is. `None` if it is not there (any more).
    pub fn remove(&mut self, key: Key) -> Option<R> {
        let index = self.index(key)?;
        // The others stay in turn.
        if index < self.turn {
            self.turn -= 1;
        }
        Some(self.members.remove(index).1)
    }

    fn index(&self, key: Key) -> Option<usize> {
        // Keys are added in order.
        self.members
            .binary_search_by_key(&key, |(key, _)| *key)
            .ok()
    }

    /// One of the receivers.
    pub fn get(&self, key: Key) -> Option<&Receiver> {
        let index = self.index(key)?;
        Some(self.members[index].1.borrow())
    }

    /// One of the receivers, to receive from.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Receiver> {
        let index = self.index(key)?;
        Some(self.members[index].1.borrow_mut())
    }

    /// One of the members as it was added.
    pub fn member(&self, key: Key) -> Option<&R> {
        let index = self.index(key)?;
        Some(&self.members[index].1)
    }

    /// The same, to receive from.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::wait::WaitSet;
    ///
    /// let [jobs, dead] = [ringway::Builder::new("memfd:")?.create()?, ringway::Builder::new("memfd:")?.create()?];
    /// let mut set = WaitSet::new();
    /// set.add(jobs.receiver()?.with_dead_letters(&dead, 3)?);
    /// jobs.sender()?.send(b"a job")?;
    /// let key = set.wait()?;
    /// let tasks = set.member_mut(key).unwrap();
    /// assert_eq!(tasks.try_process(|task| Ok::<_, ()>(task.len())), Ok(Ok(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn member_mut(&mut self, key: Key) -> Option<&mut R> {
        let index = self.index(key)?;
        Some(&mut self.members[index].1)
    }

    /// The keys of all receivers, in the order in which they were added.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.members.iter().map(|(key, _)| *key)
    }

    /// How many receivers there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits until one of the receivers has something to receive, or has come to its end, and returns its key.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait(&mut self) -> Result<Key, WaitError> {
        self.wait_deadline(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Key, WaitError> {
        self.wait_deadline(deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Key, WaitError> {
        if self.members.is_empty() {
            return Err(WaitError::Nothing);
        }
        for (_, member) in &mut self.members {
            let receiver = member.borrow_mut();
            let listening = receiver.receiving.listen();
            listening.map_err(|errno| WaitError::NoWaiter {
                errno: errno as i32,
            })?;
        }
        let call = Call {
            word: &self.word.0,
            interrupted: &self.interrupted,
            waker: &self.waker,
        };
        let wait = self.wait.until(deadline.into());
        let due = wait_for_any(
            &mut self.members,
            |(_, member)| member.borrow_mut(),
            self.turn,
            &call,
            &wait,
        )?;
        self.turn = due + 1;
        Ok(self.members[due].0)
    }

    /// The keys of all that have something to receive now, or have come to their ends; in the order in which they were added.
    pub fn due(&mut self) -> Vec<Key> {
        let members = self.members.iter_mut();
        members
            .filter_map(|(key, member)| member.borrow_mut().receiving.is_due().then_some(*key))
            .collect()
    }

    /// Who can end a wait of this set. It then returns [`WaitError::Interrupted`]. (The interrupter of one of its receivers ends the calls
    /// of that receiver, and no wait of the set.)
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::wait::{WaitError, WaitSet};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let mut set = WaitSet::new();
    /// set.add(ring.receiver()?);
    /// set.interrupter().interrupt();
    /// assert_eq!(set.wait(), Err(WaitError::Interrupted));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn interrupter(&self) -> Interrupter {
        self.interruptible.interrupter()
    }
}

impl<R: BorrowMut<Receiver>> Default for WaitSet<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: fmt::Debug> fmt::Debug for WaitSet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.iter().map(|(key, member)| (key, member));
        f.debug_map().entries(members).finish()
    }
}

impl<R: BorrowMut<Receiver>> std::ops::Index<Key> for WaitSet<R> {
    type Output = Receiver;

    /// # Panics
    /// If it is not there.
    fn index(&self, key: Key) -> &Receiver {
        self.get(key).expect("the receiver was removed")
    }
}

impl<R: BorrowMut<Receiver>> std::ops::IndexMut<Key> for WaitSet<R> {
    fn index_mut(&mut self, key: Key) -> &mut Receiver {
        self.get_mut(key).expect("the receiver was removed")
    }
}

impl Candidate for Receiver {
    type Region = Memory;

    fn region(&self) -> &Memory {
        self.receiving.region()
    }

    fn is_due(&mut self) -> bool {
        self.receiving.is_due()
    }

    fn has_changed(&mut self) -> bool {
        self.receiving.has_changed()
    }

    fn prepare(&mut self) -> Watch {
        self.receiving.prepare()
    }

    fn cancel(&mut self) {
        self.receiving.cancel();
    }

    fn heard(&self) -> Option<&AtomicU32> {
        self.receiving.heard()
    }

    fn drain(&mut self) {
        self.receiving.drain();
    }

    fn leave_to_waiter(&mut self, watch: &Watch, waker: &Waker) -> Result<(), Errno> {
        self.reach.leave(&mut *self.receiving, watch, waker)
    }

    fn is_lonely(&mut self) -> bool {
        self.receiving.is_lonely()
    }

    fn is_forsaken(&self) -> bool {
        self.receiving.is_forsaken()
    }
}
