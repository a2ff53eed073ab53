//! How a model's participants sleep on words.

use std::sync::atomic::AtomicU32 as Plain32;
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};

use super::{Model, Words};
use crate::memory::region::{Change, Region};
use crate::presence::outlook::Kernel;

/// One who sleeps on words of rings, or is about to.
pub(super) struct Sleeper {
    pub(super) words: Vec<(*const Words, usize)>,
    pub(super) bed: std::sync::Arc<Condvar>,
}

// SAFETY: the pointers in it are compared, nothing else.
unsafe impl Send for Sleeper {}

/// Sleeps while all the words are what they are said to be. As the kernel does it: one word after the other is
/// compared, and from then on slept on.
pub(super) fn sleep<'a>(
    kernel: &Mutex<Vec<Sleeper>>,
    words: impl Iterator<Item = (*const Words, usize, &'a AtomicU32, u32)>,
) {
    let bed = std::sync::Arc::new(Condvar::new());
    let is_own = |one: &Sleeper| std::sync::Arc::ptr_eq(&one.bed, &bed);
    let mut begun = false;
    for (ring, offset, word, value) in words {
        let mut sleepers = kernel.lock().unwrap();
        let own = sleepers.iter().position(is_own);
        let woken = begun && own.is_none();
        if woken || word.load(Ordering::Acquire) != value {
            own.map(|own| sleepers.remove(own));
            return;
        }
        match own {
            Some(own) => sleepers[own].words.push((ring, offset)),
            None => sleepers.push(Sleeper {
                words: vec![(ring, offset)],
                bed: std::sync::Arc::clone(&bed),
            }),
        }
        begun = true;
    }
    let sleepers = kernel.lock().unwrap();
    if sleepers.iter().any(is_own) {
        drop(bed.wait(sleepers).unwrap());
    }
}

impl Kernel for Model {
    fn write(&self, offset: usize, value: u32) {
        self.live();
        self.words.word32(offset).swap(value, Ordering::AcqRel);
    }

    fn raise(&self, offset: usize) {
        self.add32(offset, 1);
    }

    fn replace(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.replace32(offset, current, new)
    }

    fn clear_and_wake(&self, offset: usize) {
        self.live();
        self.change_and_wake_all(offset, Change::Zero);
    }

    fn sleep(
        &self,
        words: impl Iterator<Item = (usize, u32)>,
        _: (&Plain32, u32),
        _: Option<Duration>,
    ) {
        let words =
            words.map(|(offset, value)| (self.id(), offset, self.words.word32(offset), value));
        sleep(&self.kernel, words);
    }
}
