//! A lock and a bell for tests and fuzzing: they answer as they are told, and panic when they are misused.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::sync::{Acquired, Bell, Broken, Lock};

/// What the lock and the bells of a ring in one thread are to answer.
#[derive(Debug, Default)]
pub(crate) struct Script {
    held: AtomicBool,
    dirty: AtomicBool,
    late: AtomicBool,
    broken: AtomicBool,
}

impl Script {
    /// A holder has died: told until somebody marks the lock consistent.
    pub(crate) fn die(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// The next one who wants the lock until some time does not get it until then.
    #[cfg(feature = "verify")]
    pub(crate) fn delay(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    /// Nothing works from here on.
    #[cfg(feature = "verify")]
    pub(crate) fn destroy(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether a holder has died, and nobody has had the lock since.
    #[cfg(test)]
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Whether somebody has the lock.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    fn works(&self) -> Result<(), Broken> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(Broken::Written),
            false => Ok(()),
        }
    }
}

/// One participant's lock or bell.
#[derive(Clone, Debug)]
pub(crate) struct Scripted(pub(crate) std::sync::Arc<Script>);

impl Lock for Scripted {
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        self.0.works()?;
        if deadline.is_some() && self.0.late.swap(false, Ordering::Relaxed) {
            return Ok(Acquired::TimedOut);
        }
        assert!(!self.0.held.swap(true, Ordering::Relaxed), "acquired twice");
        Ok(match self.0.dirty.load(Ordering::Relaxed) {
            true => Acquired::AfterDeath,
            false => Acquired::Clean,
        })
    }

    fn mark_consistent(&self) {
        assert!(self.0.is_held(), "marked by another one than its holder");
        self.0.dirty.store(false, Ordering::Relaxed);
    }

    fn release(&self) {
        assert!(self.0.held.swap(false, Ordering::Relaxed), "released twice");
    }
}

impl Bell for Scripted {
    /// Nobody rings while this one sleeps: there is one thread.
    fn sleep(&self, _: Option<MonotonicTime>) -> Result<Wake, Broken> {
        self.0.works().map(|()| Wake::TimedOut)
    }

    fn ring(&self, _: u32) {}
}
