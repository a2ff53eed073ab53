//! The thread that wakes a receiver from a blocking system call, which knows neither deaths nor monotonic deadlines: it
//! puts a *notice* into the queue.
//!
//! The receiver says that it goes to sleep, *then* looks whether the watcher has noted a death. The watcher notes a
//! death, *then* looks whether the receiver sleeps. So one of the two sees the other. There is at most one notice for each
//! sleep. Where it finds no room, or messages before it, these wake as well.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ringway_core::os::fork::Origin;
use ringway_core::os::pthread_sigmask;

use crate::side::{Broken, remaining};

/// What a watcher hears, and how it wakes.
pub(crate) trait Bell: Debug + Send + Sync + 'static {
    /// Sleeps until a sender may have come, left or died, or somebody rings; for `timeout` at most, then EAGAIN. Of
    /// several things that happened, it may tell only one at a time.
    fn wait(&self, timeout: Option<Duration>) -> Result<(), Errno>;

    /// Ends a wait.
    fn ring(&self);

    /// Puts a notice into the queue, if there is room.
    fn give_notice(&self);
}

#[derive(Debug)]
struct Shared {
    bell: Box<dyn Bell>,
    /// The receiver is in a blocking call, or about to be, and was not given notice.
    sleeps: AtomicBool,
    /// Something has happened to a sender since the receiver's last look.
    noted: AtomicBool,
    /// The bell is broken; nothing is noted any more.
    has_failed: AtomicBool,
    orders: Mutex<Orders>,
    /// Something was noted.
    news: Condvar,
    /// A task of the receiver that is to be woken by what is noted next.
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Orders {
    /// When the receiver wants to be woken.
    deadline: Option<Instant>,
    /// When the watcher will look here again without being told.
    next_look: Option<Instant>,
    /// The bell was rung to have it look here.
    is_called: bool,
    is_to_stop: bool,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Pairs with `begin_sleep`.
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.bell.give_notice();
        }
    }

    fn note(&self) {
        self.noted.store(true, Ordering::SeqCst);
        self.wake();
        // Who looked before, with the lock, waits by now.
        drop(self.orders());
        self.news.notify_all();
        let waker = self.waker().take();
        if let Some(waker) = waker {
            // Other people's code, whose panic was reported.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        loop {
            let until = {
                let mut orders = self.orders();
                if orders.is_to_stop {
                    return;
                }
                orders.next_look = orders.deadline;
                orders.deadline
            };
            match self.bell.wait(remaining(until)) {
                // Each call rings once more, so what else happened ends another wait.
                Ok(()) if std::mem::take(&mut self.orders().is_called) => {}
                Ok(()) => self.note(),
                Err(Errno::EAGAIN) => {
                    let is_over = {
                        let mut orders = self.orders();
                        let now = Instant::now();
                        orders.deadline.take_if(|deadline| *deadline <= now)
                    };
                    if is_over.is_some() {
                        self.wake();
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.has_failed.store(true, Ordering::SeqCst);
                    return self.note();
                }
            }
        }
    }
}

/// The thread, until dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    /// The last sleep had a deadline.
    has_ordered: bool,
    thread: Option<JoinHandle<()>>,
    origin: Origin,
}

impl Watcher {
    pub(crate) fn start(bell: impl Bell) -> std::io::Result<Self> {
        let origin = Origin::here()?;
        let shared = Arc::new(Shared {
            bell: Box::new(bell),
            sleeps: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            orders: Mutex::default(),
            news: Condvar::new(),
            waker: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("ringway-mq".into());
        let watched = Arc::clone(&shared);
        let thread = pthread_sigmask::spawn(thread, move || watched.watch())?;
        Ok(Self {
            shared,
            has_ordered: false,
            thread: Some(thread),
            origin,
        })
    }

    /// Whether something has happened to a sender since this was asked last.
    pub(crate) fn has_noted(&self) -> bool {
        self.shared.noted.swap(false, Ordering::SeqCst)
    }

    /// The task is to be woken by what is noted from now on. The receiver is to look once more then.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        let before = self.shared.waker().replace(waker.clone());
        drop(before);
    }

    /// The receiver is to be woken by what is noted from now on, and at the deadline. `false`: it is to look first.
    ///
    /// # Errors
    /// [`Broken::Refused`]: it cannot be woken.
    pub(crate) fn begin_sleep(&mut self, deadline: Option<Instant>) -> Result<bool, Broken> {
        self.shared.sleeps.store(true, Ordering::SeqCst);
        // The same deadline once more as well: it may have passed just before the sleep.
        if deadline.is_some() || self.has_ordered {
            self.order(deadline);
        }
        let is_to_look = self.shared.noted.load(Ordering::SeqCst);
        match self.shared.has_failed.load(Ordering::SeqCst) {
            true if !is_to_look => Err(Broken::Refused),
            _ => Ok(!is_to_look),
        }
    }

    #[cold]
    fn order(&mut self, deadline: Option<Instant>) {
        self.has_ordered = deadline.is_some();
        let is_late = {
            let mut orders = self.shared.orders();
            orders.deadline = deadline;
            let is_late = deadline.is_some_and(|deadline| {
                orders
                    .next_look
                    .is_none_or(|next_look| next_look > deadline)
            });
            orders.is_called |= is_late;
            is_late
        };
        if is_late {
            self.shared.bell.ring();
        }
    }

    pub(crate) fn end_sleep(&self) {
        self.shared.sleeps.store(false, Ordering::SeqCst);
    }

    /// Sleeps until something is noted, or until the deadline.
    ///
    /// # Errors
    /// As [`begin_sleep`](Self::begin_sleep).
    pub(crate) fn wait_for_news(&self, deadline: Option<Instant>) -> Result<(), Broken> {
        let mut orders = self.shared.orders();
        while !self.has_noted() {
            if self.shared.has_failed.load(Ordering::SeqCst) {
                return Err(Broken::Refused);
            }
            orders = match remaining(deadline) {
                Some(Duration::ZERO) => return Ok(()),
                Some(left) => {
                    let woken = self.shared.news.wait_timeout(orders, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.shared.news.wait(orders);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        Ok(())
    }

    /// Ends the thread, and waits for that.
    pub(crate) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.origin.is_forked() {
            // A child of fork has the handle, not the thread.
            return std::mem::forget(thread);
        }
        self.shared.orders().is_to_stop = true;
        self.shared.bell.ring();
        // It does not panic.
        let _ = thread.join();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Waits as it is told, and tells what it does.
    #[derive(Debug)]
    struct Scripted {
        rings: Mutex<Receiver<()>>,
        hand: Sender<()>,
        does: Sender<Done>,
    }

    #[derive(Debug, PartialEq)]
    enum Done {
        Wait(bool),
        Notice,
    }

    impl Bell for Scripted {
        fn wait(&self, timeout: Option<Duration>) -> Result<(), Errno> {
            let _ = self.does.send(Done::Wait(timeout.is_some()));
            let rings = self.rings.lock().unwrap();
            match timeout {
                Some(timeout) => rings.recv_timeout(timeout).map_err(|_| Errno::EAGAIN),
                None => rings.recv().map_err(|_| Errno::EIO),
            }
        }
        fn ring(&self) {
            let _ = self.hand.send(());
        }
        fn give_notice(&self) {
            let _ = self.does.send(Done::Notice);
        }
    }

    #[test]
    fn a_deadline_before_the_one_that_is_awaited_is_kept() {
        let (hand, rings) = channel();
        let (does, done) = channel();
        let rings = Mutex::new(rings);
        let mut watcher = Watcher::start(Scripted { rings, hand, does }).unwrap();
        assert_eq!(done.recv(), Ok(Done::Wait(false)));
        let far = Instant::now() + Duration::from_secs(600);
        assert!(watcher.begin_sleep(Some(far)).unwrap());
        assert_eq!(done.recv(), Ok(Done::Wait(true)));
        watcher.end_sleep();
        // The watcher waits for the later one, and is told of the earlier one.
        assert!(watcher.begin_sleep(Some(Instant::now())).unwrap());
        let patience = Duration::from_secs(60);
        assert_eq!(done.recv_timeout(patience), Ok(Done::Wait(true)));
        assert_eq!(done.recv_timeout(patience), Ok(Done::Notice));
        watcher.end_sleep();
        // A later one than the one that is awaited needs no telling.
        assert!(watcher.begin_sleep(Some(far)).unwrap());
        watcher.end_sleep();
        watcher.stop();
    }

    #[test]
    fn no_signal_handler_runs_on_the_thread() {
        let (hand, rings) = channel();
        let (does, done) = channel();
        let rings = Mutex::new(rings);
        let _watcher = Watcher::start(Scripted { rings, hand, does }).unwrap();
        done.recv().unwrap();
        let mut seen = 0;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let path = task.unwrap().path();
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            if name.trim() != "ringway-mq" {
                continue;
            }
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let Some(blocked) = blocked else { continue };
            let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
            // All but SIGKILL, SIGSTOP and the signals that the C library keeps for itself.
            let all = [libc::SIGKILL, libc::SIGSTOP]
                .into_iter()
                .chain(32..libc::SIGRTMIN())
                .fold(u64::MAX, |all, signal| all & !(1 << (signal - 1)));
            assert_eq!(blocked & all, all, "{blocked:x}");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
