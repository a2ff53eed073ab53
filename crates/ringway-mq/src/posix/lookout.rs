//! The thread that sleeps for a handle of a POSIX queue that must not sleep itself: on the queue's descriptor, and on what hears of
//! closings. It wakes the handle's task.
//!
//! A handle that finds nothing *arms*, and then looks once more. What it waits for is so for as long as nobody has looked: the queue has a
//! message, or room; a closing was not read. So it does not matter whether that came before the thread slept or after. Each arming ends
//! with one wake-up. (Deaths of senders, of which a receiver's [watcher](crate::watcher) hears, wake by that.)
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | the future is dropped | the task is woken once, for nothing |
//! | the handle is dropped, or its process ends | the thread ends; it holds nothing that others need |
//! | the handle blocks while it is armed | both are woken |
//! | `fork` | the child has no such thread, and its copy of the handle says `Forked` |
//! | a waker panics | that ends here |

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use ringway_core::os::fork::Origin;
use ringway_core::os::pthread_sigmask;

use super::watch::Watch;

/// After the kernel had no memory.
const LATER: Duration = Duration::from_millis(4);

#[derive(Debug)]
struct Shared {
    queue: Arc<OwnedFd>,
    /// What the handle waits for.
    ready: PollFlags,
    closings: Option<Arc<Watch>>,
    /// Rung to have the thread look at its orders.
    hand: EventFd,
    orders: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    /// Whom to wake, while the handle is armed.
    waker: Option<Waker>,
    is_to_stop: bool,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_out(&self) {
        loop {
            let is_armed = {
                let orders = self.orders();
                if orders.is_to_stop {
                    return;
                }
                orders.waker.is_some()
            };
            let mut polled = vec![PollFd::new(self.hand.as_fd(), PollFlags::POLLIN)];
            if is_armed {
                polled.push(PollFd::new(self.queue.as_fd(), self.ready));
                let closings = self.closings.iter();
                polled.extend(closings.map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)));
            }
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) if polled[0].any() == Some(true) => {
                    // Does not block.
                    let _ = self.hand.read();
                }
                Ok(_) => self.wake(),
                Err(Errno::EINTR) => {}
                Err(_) => std::thread::sleep(LATER),
            }
        }
    }

    fn wake(&self) {
        let waker = self.orders().waker.take();
        if let Some(waker) = waker {
            // Other people's code, whose panic was reported.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
    }
}

/// The thread, until dropped.
#[derive(Debug)]
pub(super) struct Lookout {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    origin: Origin,
}

impl Lookout {
    pub(super) fn start(
        queue: Arc<OwnedFd>,
        ready: PollFlags,
        closings: Option<Arc<Watch>>,
    ) -> Result<Self, Errno> {
        let origin = Origin::here()?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let shared = Arc::new(Shared {
            queue,
            ready,
            closings,
            hand: EventFd::from_flags(flags)?,
            orders: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("ringway-mq-poll".into());
        let thread = pthread_sigmask::spawn(thread, move || own.look_out())
            .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            origin,
        })
    }

    /// Has the task woken when what the handle waits for is so. The handle is to look once more then.
    pub(super) fn arm(&self, waker: &Waker) {
        let waker = waker.clone();
        let before = self.shared.orders().waker.replace(waker);
        if before.is_none() {
            self.ring();
        }
    }

    fn ring(&self) {
        // It has room for 2^64 - 2.
        let _ = self.shared.hand.write(1);
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.origin.is_forked() {
            // A child of fork has the handle, not the thread.
            return std::mem::forget(thread);
        }
        self.shared.orders().is_to_stop = true;
        self.ring();
        match thread.thread().id() == std::thread::current().id() {
            // A waker has dropped the handle: the thread ends when that returns.
            true => drop(thread),
            // It does not panic.
            false => drop(thread.join()),
        }
    }
}
