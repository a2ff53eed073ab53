//! Bells for who can only watch words: a thread that sleeps on a participant's bell, and counts what it hears.
//!
//! A handle gets one when it is first [armed](crate::waiting::waiter), or waited for beside others. From then on the handle itself sleeps on
//! the count, too: were there two that sleep on one bell, each could take the ring that the other needs. The thread ends with
//! the handle, before that leaves its slot, because the bell is then the slot's next holder's. To end it, its own bell is rung.
//!
//! | a process dies, or is stopped | it leaves |
//! |---|---|
//! | while its listener sleeps | one that was killed in its sleep, as a handle does: the slot's next holder clears the queue |
//! | its listener having heard, before it has counted | nothing that others see: its handle is dead, or stopped, as well |

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;

use super::parts::{Bell, Broken};
use crate::sys::fork::Origin;
use crate::sys::futex::{self, MonotonicTime, Wake};
use crate::sys::pthread_create::{self, Thread};

/// What is heard of one bell.
#[derive(Debug)]
pub(crate) struct Heard {
    bell: Arc<dyn Bell>,
    count: AtomicU32,
    broken: OnceLock<Broken>,
    over: AtomicBool,
}

impl Heard {
    /// How often it was heard. Changes at last when the bell turns out to be broken.
    pub(crate) fn count(&self) -> &AtomicU32 {
        &self.count
    }

    fn tell(&self) {
        // Release pairs with the acquire of who sleeps on the count: what the bell was rung for is seen.
        self.count.fetch_add(1, Ordering::Release);
        futex::wake_all(&self.count);
    }
}

/// A participant's bells, of which its own is listened to by a thread.
#[derive(Debug)]
pub(crate) struct Listener {
    heard: ManuallyDrop<Arc<Heard>>,
    thread: Thread,
    slot: u32,
    /// The count that this participant has seen.
    seen: AtomicU32,
    origin: Origin,
}

impl Listener {
    /// Has the bell of `slot`, which is this participant's, listened to.
    pub(crate) fn start(bell: &Arc<dyn Bell>, slot: u32) -> Result<Self, Errno> {
        let origin = Origin::here()?;
        let heard = Arc::new(Heard {
            bell: Arc::clone(bell),
            count: AtomicU32::new(0),
            broken: OnceLock::new(),
            over: AtomicBool::new(false),
        });
        let argument = Arc::as_ptr(&heard).cast_mut().cast();
        // SAFETY: `listen` needs what it is given to live until the thread is joined: `drop` frees it after that.
        let thread = unsafe { Thread::start(listen, argument)? };
        Ok(Self {
            heard: ManuallyDrop::new(heard),
            thread,
            slot,
            seen: AtomicU32::new(0),
            origin,
        })
    }

    /// What is heard.
    pub(crate) fn heard(&self) -> &Arc<Heard> {
        &self.heard
    }

    /// The bells without a listener.
    pub(crate) fn bell(&self) -> &Arc<dyn Bell> {
        &self.heard.bell
    }
}

impl Bell for Listener {
    fn prepare(&self) -> u32 {
        // Acquire pairs with the release in `tell`: what was rung for before is seen by the look that follows.
        let count = self.heard.count.load(Ordering::Acquire);
        // Relaxed: this participant's own.
        self.seen.store(count, Ordering::Relaxed);
        count
    }

    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let (count, seen) = (&self.heard.count, self.seen.load(Ordering::Relaxed));
        let woken = match count.load(Ordering::Acquire) == seen {
            true => futex::wait([(count, seen)].into_iter(), deadline),
            false => Wake::Check,
        };
        self.prepare();
        match self.heard.broken.get() {
            Some(broken) => Err(*broken),
            None => Ok(woken),
        }
    }

    fn ring(&self, slot: u32) {
        self.heard.bell.ring(slot);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A child of `fork` has no such thread.
        if self.origin.is_forked() {
            return;
        }
        // Release pairs with the acquire in `listen`.
        self.heard.over.store(true, Ordering::Release);
        self.heard.bell.ring(self.slot);
        self.thread.join();
        // SAFETY: the thread was the only other one to use this reference, and this is the end of `self`.
        unsafe { ManuallyDrop::drop(&mut self.heard) };
    }
}

/// The thread.
extern "C" fn listen(heard: *mut c_void) -> *mut c_void {
    // SAFETY: `Listener::start` passes what lives until this thread is joined.
    let heard = unsafe { &*heard.cast::<Heard>() };
    pthread_create::name_this_thread(c"ringway-bell");
    loop {
        let slept = heard.bell.sleep(None);
        if heard.over.load(Ordering::Acquire) {
            break;
        }
        if let Err(broken) = slept {
            let _ = heard.broken.set(broken);
            heard.tell();
            break;
        }
        heard.tell();
    }
    std::ptr::null_mut()
}
