//! A lock and bells for models, as the kinds of synchronisation in [`crate::waiting::sync`] have them.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use crate::sys::futex::{MonotonicTime, Wake};
use crate::testing::model::Model;
use crate::waiting::sync::posix_sem::Tokens;
use crate::waiting::sync::{Acquired, Bell, Broken, Lock};

/// A lock that survives its holder's death.
#[derive(Debug, Default)]
pub(super) struct RobustLock {
    state: Mutex<LockState>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct LockState {
    holder: Option<u32>,
    /// A holder died, and nobody has repaired what it left.
    dirty: bool,
    /// Released so. Some locks are of no use any more then, so all are.
    broken: bool,
}

impl RobustLock {
    /// What the kernel does when the holder of `slot` dies.
    pub(super) fn bury(&self, slot: u32) {
        let mut state = self.state.lock().unwrap();
        if state.holder == Some(slot) {
            state.holder = None;
            state.dirty = true;
            self.freed.notify_one();
        }
    }
}

/// The lock, as one participant has it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) lock: Arc<RobustLock>,
    pub(super) slot: u32,
}

impl Lock for Key {
    fn acquire(&self, _: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        let mut state = self.lock.state.lock().unwrap();
        while state.holder.is_some() {
            state = self.lock.freed.wait(state).unwrap();
        }
        if state.broken {
            return Err(Broken::Written);
        }
        state.holder = Some(self.slot);
        Ok(match state.dirty {
            true => Acquired::AfterDeath,
            false => Acquired::Clean,
        })
    }

    fn mark_consistent(&self) {
        self.lock.state.lock().unwrap().dirty = false;
    }

    fn release(&self) {
        let mut state = self.lock.state.lock().unwrap();
        assert_eq!(state.holder, Some(self.slot));
        state.holder = None;
        state.broken = state.dirty;
        self.lock.freed.notify_one();
    }
}

/// Everybody's bell.
#[derive(Debug)]
pub(super) struct Tower {
    bells: Vec<(Mutex<bool>, Condvar)>,
}

impl Tower {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            bells: (0..slots).map(|_| Default::default()).collect(),
        }
    }

    fn ring(&self, slot: u32) {
        let (rung, bell) = &self.bells[slot as usize];
        *rung.lock().unwrap() = true;
        bell.notify_one();
    }

    /// What everybody's watcher does when somebody dies.
    pub(super) fn ring_all(&self) {
        (0..self.bells.len() as u32).for_each(|slot| self.ring(slot));
    }
}

/// The bells, as one participant has them.
#[derive(Debug)]
pub(super) struct Rope {
    pub(super) tower: Arc<Tower>,
    pub(super) slot: u32,
}

impl Bell for Rope {
    fn sleep(&self, _: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let (rung, bell) = &self.tower.bells[self.slot as usize];
        let mut rung = rung.lock().unwrap();
        while !*rung {
            rung = bell.wait(rung).unwrap();
        }
        *rung = false;
        Ok(Wake::Check)
    }

    fn ring(&self, slot: u32) {
        self.tower.ring(slot);
    }
}

/// What a semaphore is to its callers.
#[derive(Debug, Default)]
pub(super) struct Counter {
    tokens: Mutex<u32>,
    added: Condvar,
}

impl Tokens for Counter {
    fn wait(&self, _: Option<MonotonicTime>) {
        let mut tokens = self.tokens.lock().unwrap();
        while *tokens == 0 {
            tokens = self.added.wait(tokens).unwrap();
        }
        *tokens -= 1;
    }

    fn post(&self) {
        *self.tokens.lock().unwrap() += 1;
        self.added.notify_one();
    }
}

/// The same, as a process has it that may die before it adds a token.
pub(super) struct Counted {
    pub(super) counter: Arc<Counter>,
    pub(super) process: Model,
}

impl Tokens for Counted {
    fn wait(&self, deadline: Option<MonotonicTime>) {
        self.counter.wait(deadline);
    }

    fn post(&self) {
        self.process.live();
        self.counter.post();
    }
}
