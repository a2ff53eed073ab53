//! How often a message was delivered.
//!
//! Messages are shown from the head on, in order, so one that comes before another was shown as often or more often. For
//! each number of deliveries a word says up to which message that holds. It is stored before the message is shown:
//!
//! | the consumer dies | it leaves |
//! |---|---|
//! | before the store | nothing: nobody has seen the message |
//! | after it, before the message is shown | a count that is too high by one |
//! | after that | the count |
//!
//! A message that is copied and released in one step is not counted: nobody sees it before it is released.

use std::sync::atomic::Ordering;

use super::Consumer;
use crate::memory::layout::control::{MOST_DELIVERIES, SHOWN};
use crate::memory::region::{Load, Region};

/// The numbers of the messages before which all were shown once, twice and so on.
#[derive(Debug)]
pub(super) struct Shown([u64; MOST_DELIVERIES]);

impl Shown {
    /// Takes up what earlier consumers have left. Whatever peers make of it, it counts and does nothing else.
    pub(super) fn load(region: &impl Load) -> Self {
        // Relaxed: the last consumer is gone, and taking its liveness word was an acquire.
        let word = |nth: usize| region.load64(SHOWN + 8 * nth, Ordering::Relaxed);
        Self(std::array::from_fn(word))
    }

    /// The number of the message before which all were shown so often, from once on.
    #[inline(always)]
    pub(super) fn times(&self, times: usize) -> u64 {
        self.0[times - 1]
    }
}

impl<R: Region> Consumer<R> {
    /// The message with that number is about to be shown in place.
    #[inline]
    pub(crate) fn show(&mut self, number: u64) {
        if self.region.is_forked() {
            return;
        }
        match number < self.shown.times(1) {
            true => self.show_again(number),
            false => self.note_shown(0, number),
        }
    }

    #[cold]
    pub(super) fn show_again(&mut self, number: u64) {
        let times = self.times_shown(number);
        if times < MOST_DELIVERIES {
            self.note_shown(times, number);
        }
    }

    /// The message with that number was shown so often and is shown again.
    #[inline(always)]
    pub(super) fn note_shown(&mut self, times: usize, number: u64) {
        self.shown.0[times] = number + 1;
        // Relaxed: for the next consumer, which comes when this one is gone.
        let offset = SHOWN + 8 * times;
        self.region.store64(offset, number + 1, Ordering::Relaxed);
    }

    fn times_shown(&self, number: u64) -> usize {
        let shown = self.shown.0.iter();
        shown.take_while(|before| number < **before).count()
    }

    /// How often the message with that number, which was shown, was delivered, with this time.
    pub(crate) fn deliveries(&self, number: u64) -> u32 {
        self.times_shown(number).max(1) as u32
    }
}
