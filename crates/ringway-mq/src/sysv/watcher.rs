//! The thread that wakes a receiver from `msgrcv`, which knows neither deadlines nor deaths: it sends a notice.
//!
//! The receiver says that it goes to sleep, *then* looks whether the watcher has noted a death. The watcher notes a
//! death, *then* looks whether the receiver sleeps. So one of the two sees the other. A notice has no text and
//! fits into a full queue, and is received before all else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::errno::Errno;
use ringway_core::os::pthread_atfork;

use super::notice;
use super::set::Set;
use crate::side::remaining;

#[derive(Debug)]
struct Shared {
    queue: i32,
    set: Set,
    /// The receiver is in `msgrcv`, or about to be.
    sleeps: AtomicBool,
    /// A sender has left or died since the receiver's last look.
    noted: AtomicBool,
    orders: Mutex<Orders>,
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
        if self.sleeps.load(Ordering::SeqCst) {
            notice(self.queue);
        }
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
            match self.set.wait_for_death(remaining(until)) {
                Ok(()) if std::mem::take(&mut self.orders().is_called) => {}
                Ok(()) => {
                    self.noted.store(true, Ordering::SeqCst);
                    self.wake();
                }
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
                // The set was removed. The receiver finds out when it looks.
                Err(_) => {
                    self.noted.store(true, Ordering::SeqCst);
                    return self.wake();
                }
            }
        }
    }
}

/// The thread, until dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    generation: u64,
}

impl Watcher {
    pub(super) fn start(queue: i32, set: Set) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue,
            set,
            sleeps: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            orders: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("ringway-mq".into());
        let watched = Arc::clone(&shared);
        let thread = thread.spawn(move || watched.watch())?;
        Ok(Self {
            shared,
            thread: Some(thread),
            generation: pthread_atfork::generation(),
        })
    }

    /// Whether a sender has left or died since this was asked last.
    pub(super) fn has_noted(&self) -> bool {
        self.shared.noted.swap(false, Ordering::SeqCst)
    }

    /// The receiver is to be woken by deaths from now on, and at the deadline. `false`: it is to look first.
    pub(super) fn begin_sleep(&self, deadline: Option<Instant>) -> bool {
        self.shared.sleeps.store(true, Ordering::SeqCst);
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
            self.shared.set.ring_death();
        }
        !self.shared.noted.load(Ordering::SeqCst)
    }

    pub(super) fn end_sleep(&self) {
        self.shared.sleeps.store(false, Ordering::SeqCst);
    }

    /// Ends the thread, and waits for that.
    pub(super) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.generation != pthread_atfork::generation() {
            // A child of fork has the handle, not the thread.
            return std::mem::forget(thread);
        }
        self.shared.orders().is_to_stop = true;
        self.shared.set.ring_death();
        // It does not panic.
        let _ = thread.join();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}
