//! The reading handles of boards for who must not block: polled by a future, or with a descriptor in an event loop of one's own; and
//! what ends a call of theirs that waits.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use nix::errno::Errno;

use super::Value;
use super::desk::{Changes, Hearing};
use super::reader::{Reader, numbered};
use super::watch::Watcher;
use crate::api::reach::{Answer, Reach, Reached};
use crate::error::{Attempt, Error, GetError};
use crate::memory::map::Map;
use crate::memory::region::memory::Memory;
use crate::rings::board::{directory, reader, watcher};
use crate::waiting::WaitOptions;
use crate::waiting::interrupt::Interrupter;
use crate::waiting::sync::listener::Heard;
use crate::waiting::sync::wake_at;

/// How such a handle is reached. It may move from one event to another, once; `whereabouts` says where it sleeps.
pub(super) fn reach(map: &Arc<Map>, whereabouts: Arc<AtomicUsize>) -> Reach {
    let own = Arc::clone(map);
    let alarm = move |_| {
        // Pairs with the fence of a reader that has found its entry. The flag is set before.
        fence(Ordering::SeqCst);
        wake_at(&own, whereabouts.load(Ordering::Relaxed));
    };
    Reach::of_two_words(map, Arc::new(alarm))
}

/// What one says that is asked.
#[derive(PartialEq)]
enum Said {
    NotNow,
    Failed(GetError),
}

impl From<GetError> for Said {
    fn from(error: GetError) -> Self {
        Self::Failed(error)
    }
}

impl Answer for Said {
    const NOT_NOW: Self = Self::NotNow;

    fn no_waiter(errno: Errno) -> Self {
        let errno = errno as i32;
        Self::Failed(GetError::NoWaiter { errno })
    }
}

impl Said {
    /// What users are told. (That there is nothing now is no error, but what arms.)
    fn told(self) -> GetError {
        match self {
            Self::NotNow => GetError::TimedOut,
            Self::Failed(error) => error,
        }
    }
}

impl Reached for reader::Reader<Memory> {
    fn region(&self) -> &Memory {
        self.region()
    }

    fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno> {
        Ok(None)
    }

    fn says_that_it_sleeps(&self) -> bool {
        true
    }
}

impl Reached for watcher::Watcher<Memory> {
    fn region(&self) -> &Memory {
        self.region()
    }

    fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno> {
        Ok(None)
    }

    fn says_that_it_sleeps(&self) -> bool {
        true
    }
}

/// # Without a thread that blocks
/// As of a [`Receiver`](crate::Receiver#without-a-thread-that-blocks): if there is nothing newer, the task is woken when it is worth
/// calling again. Who drops the future misses nothing: the latest value stays, and the next call reads it.
impl Reader {
    /// As [`wait_newer`](Self::wait_newer), for a task.
    ///
    /// # Errors
    /// As [`wait_newer`](Self::wait_newer), and [`GetError::NoWaiter`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// let mut gauge = board.reader("speed")?;
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(gauge.poll_newer(&mut context).is_pending());
    /// board.writer("speed")?.set(b"50")?;
    /// let Poll::Ready(value) = gauge.poll_newer(&mut context) else { panic!("it is there") };
    /// assert_eq!(value?, *b"50");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_newer(&mut self, context: &mut Context<'_>) -> Poll<Result<Value, GetError>> {
        let mut bytes = Vec::new();
        let read = ready!(self.poll_by(context, None, &mut bytes));
        Poll::Ready(read.map(|number| Value { number, bytes }))
    }

    /// As [`hear_deadline`](Self::hear_deadline), for a task, which is woken at `look_by` at the latest.
    #[doc(hidden)]
    pub fn poll_heard_by(
        &mut self,
        context: &mut Context<'_>,
        look_by: Option<Instant>,
        heard: &mut Hearing,
    ) -> Poll<Result<u64, GetError>> {
        self.poll_by(context, look_by, heard)
    }

    fn poll_by(
        &mut self,
        context: &mut Context<'_>,
        look_by: Option<Instant>,
        room: &mut impl reader::Room<Copy = ()>,
    ) -> Poll<Result<u64, GetError>> {
        let look = |reader: &mut reader::Reader<Memory>, wait: &WaitOptions<'_>| {
            reader.newer_or_armed(wait, room)?.ok_or(Said::NotNow)
        };
        let (how, waker) = (self.wait.how, Some(context.waker()));
        let read = self
            .reach
            .attempt_by(&mut self.reader, how, waker, look_by, look);
        let read = read.map(|read| read.map(numbered));
        told(read).map_err(|error| self.noted(error))
    }

    /// A descriptor as [`Receiver::descriptor`](crate::Receiver::descriptor): readable when there may be a newer value, or the writer has
    /// died. The loop is the same, with [`get_if_newer`](Self::get_if_newer) and [`arm`](Self::arm).
    ///
    /// # Errors
    /// The same.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// use std::os::fd::AsFd;
    ///
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// let (mut speed, mut gauge) = (board.writer("speed")?, board.reader("speed")?);
    /// let descriptor = gauge.descriptor()?.try_clone_to_owned()?;
    /// # let other = std::thread::spawn(move || speed.set(b"50"));
    /// let value = loop {
    ///     if let Some(value) = gauge.get_if_newer()? {
    ///         break value;
    ///     }
    ///     if gauge.arm()? {
    ///         poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    ///     }
    /// };
    /// assert_eq!(value, *b"50");
    /// # other.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let attempt = Attempt::to("make a descriptor for", &self.address);
        self.reach.descriptor(attempt)
    }

    /// Has the [descriptor](Self::descriptor) become readable when there may be a newer value, and returns `true`; or returns `false`: there is
    /// one now. It may become readable for nothing. What was readable before is not any more.
    ///
    /// # Errors
    /// As [`poll_newer`](Self::poll_newer). So a death of the writer is told here.
    pub fn arm(&mut self) -> Result<bool, GetError> {
        self.arm_by(None)
    }

    /// The same; it becomes readable at `look_by` at the latest.
    #[doc(hidden)]
    pub fn arm_by(&mut self, look_by: Option<Instant>) -> Result<bool, GetError> {
        self.reach.disarm();
        let how = self.wait.how;
        let look = |reader: &mut reader::Reader<Memory>, wait: &WaitOptions<'_>| {
            let news = reader.news_or_armed(wait)?;
            news.then_some(()).ok_or(Said::NotNow)
        };
        let reader = &mut self.reader;
        let news = self.reach.attempt_by(reader, how, None, look_by, look);
        let armed = news.map(|news| news.is_none());
        armed.map_err(|said| self.noted(said.told()))
    }

    /// Is reached by what another reader of the board was reached by, its descriptor and its interrupters. That one is read no more.
    #[doc(hidden)]
    pub fn stand_in_for(&mut self, other: &mut Self) {
        let whereabouts = other.reader.whereabouts();
        self.reader.share_whereabouts(whereabouts);
        self.reach.take_over(&mut other.reach, self.reader.region());
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.reach.disarm();
    }

    /// What ends a call of this handle that waits, with [`GetError::Interrupted`]; see
    /// [`Receiver::interrupter`](crate::Receiver::interrupter).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::board::GetError;
    ///
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// let mut gauge = board.reader("speed")?;
    /// gauge.interrupter().interrupt();
    /// assert_eq!(gauge.wait_newer().unwrap_err(), GetError::Interrupted);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interrupter(&mut self) -> Interrupter {
        self.reach.interrupter(self.reader.region())
    }
}

/// # Without a thread that blocks
/// As of a [`Reader`].
impl Watcher {
    /// As [`wait`](Self::wait), for a task.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`GetError::NoWaiter`].
    pub fn poll_wait(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(String, Value), GetError>> {
        let mut bytes = Vec::new();
        let look = |watcher: &mut watcher::Watcher<Memory>, wait: &WaitOptions<'_>| {
            watcher
                .newer_or_armed(wait, &mut bytes)?
                .ok_or(Said::NotNow)
        };
        let how = self.wait.how;
        let read = ready!(self.reach.poll_anew(&mut self.watcher, how, context, look));
        let found = read.map(|(key, number)| (directory::text(key), Value { number, bytes }));
        Poll::Ready(found.map_err(Said::told))
    }

    /// A descriptor as [`Reader::descriptor`]: readable when there may be a value that was not read yet. The loop is the same, with
    /// [`next`](Self::next) and [`arm`](Self::arm).
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let attempt = Attempt::to("make a descriptor for", &self.address);
        self.reach.descriptor(attempt)
    }

    /// As [`Reader::arm`].
    ///
    /// # Errors
    /// As [`poll_wait`](Self::poll_wait).
    pub fn arm(&mut self) -> Result<bool, GetError> {
        self.reach.disarm();
        let how = self.wait.how;
        let look = |watcher: &mut watcher::Watcher<Memory>, wait: &WaitOptions<'_>| {
            let news = watcher.news_or_armed(wait)?;
            news.then_some(()).ok_or(Said::NotNow)
        };
        let news = self.reach.attempt(&mut self.watcher, how, None, look);
        news.map(|news| news.is_none()).map_err(Said::told)
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.reach.disarm();
    }

    /// As [`Reader::interrupter`].
    pub fn interrupter(&mut self) -> Interrupter {
        self.reach.interrupter(self.watcher.region())
    }
}

/// Without a thread that blocks.
impl Changes {
    /// As [`wait_place`](Self::wait_place), for a task, which is woken at `look_by` at the latest.
    ///
    /// # Errors
    /// As [`wait_place`](Self::wait_place), and [`GetError::NoWaiter`].
    pub fn poll_place(
        &mut self,
        context: &mut Context<'_>,
        look_by: Option<Instant>,
    ) -> Poll<Result<u32, GetError>> {
        told(self.attempt(Some(context.waker()), look_by))
    }

    /// As [`Reader::descriptor`].
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let attempt = Attempt::to("make a descriptor for", &self.address);
        self.reach.descriptor(attempt)
    }

    /// As [`Reader::arm`]; the descriptor becomes readable at `look_by` at the latest. Where that returns `false`, this returns which one has changed.
    ///
    /// # Errors
    /// As [`poll_place`](Self::poll_place).
    pub fn arm(&mut self, look_by: Option<Instant>) -> Result<Option<u32>, GetError> {
        self.reach.disarm();
        self.attempt(None, look_by).map_err(Said::told)
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.reach.disarm();
    }

    /// As [`Reader::interrupter`].
    pub fn interrupter(&mut self) -> Interrupter {
        self.reach.interrupter(self.watcher.region())
    }

    /// Which one has changed; `None`: none, and it is armed.
    fn attempt(
        &mut self,
        waker: Option<&Waker>,
        look_by: Option<Instant>,
    ) -> Result<Option<u32>, Said> {
        let Self {
            watcher,
            among,
            wait,
            reach,
            ..
        } = self;
        let look = |watcher: &mut watcher::Watcher<Memory>, wait: &WaitOptions<'_>| {
            watcher.changed_or_armed(among, wait)?.ok_or(Said::NotNow)
        };
        reach.attempt_by(watcher, wait.how, waker, look_by, look)
    }
}

/// What a task is told; `None` is nothing yet.
fn told<T>(answer: Result<Option<T>, Said>) -> Poll<Result<T, GetError>> {
    match answer {
        Ok(Some(done)) => Poll::Ready(Ok(done)),
        Ok(None) => Poll::Pending,
        Err(said) => Poll::Ready(Err(said.told())),
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.reach.end();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reach.end();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.reach.end();
    }
}
