//! Batches: records that become visible together.
//!
//! Short ones are made in memory of this process's own, and go into the ring by one long copy for many of them. A long copy
//! writes whole lines, which the processor need not fetch from the consumer's caches first; and a record by itself
//! seldom fills one. Where the two are far from each other, this makes twice the rate and more (benches/TRIED.md).

use std::sync::atomic::Ordering;

use bytemuck::NoUninit;

use super::{CONSUMER, Pending, Producer};
use crate::error::SendError;
use crate::memory::layout::record::{Record, VACANT, WORD, footprint};
use crate::memory::region::{Region, Spot, copy};

/// Bytes of records that are staged, at most: a third of the nearest cache, or half of it.
const MOST_STAGED: u64 = 16 << 10;

/// Longer messages go into the ring at once: their own copies are long.
const LONGEST_STAGED: usize = 2048;

/// Values whose records have up to so many bytes go into the ring at once: their second copy costs more than it saves.
const SHORTEST_STAGED: u64 = 64;

/// So does a run of values whose records have less than so many bytes together.
const FEWEST_STAGED: u64 = 1024;

/// Memory for the records that a producer of a ring of that capacity stages.
pub(super) fn room(capacity: u64) -> Box<[u8]> {
    vec![0; capacity.min(MOST_STAGED) as usize].into()
}

impl<R: Region> Producer<R> {
    /// Adds a copy of `message` to a batch, in the usual case; `false` if it is none, and nothing was done.
    #[inline(always)]
    pub(crate) fn push_at_once(&mut self, pending: &mut Option<Pending>, message: &[u8]) -> bool {
        let (start, before, laid) = match pending {
            Some(pending) => (pending.end, pending.messages, pending.laid),
            None => (self.tail, 0, self.tail),
        };
        let control = self.region.control();
        let Some(end) = self.end_at_once(control, start, message.len()) else {
            return false;
        };
        let word = self.sent.word(self.sent.number + before) | message.len() as u64;
        let is_staged = message.len() <= LONGEST_STAGED;
        if is_staged {
            if end - laid > self.staged.len() as u64 {
                return false;
            }
            // SAFETY: the record ends within what is staged, as was just asked.
            unsafe {
                let record = self.staged.as_mut_ptr().add((start - laid) as usize);
                copy::to_private(record, word, message);
            }
        } else {
            if start > laid {
                return false;
            }
            let place = self.region.spot(start);
            // SAFETY: the limit, and so the record's end, is at most the lap's last word.
            unsafe { place.write(message) };
            if before > 0 {
                // Relaxed: made visible by the release of the first word.
                place.store(word, Ordering::Relaxed);
            }
        }
        let laid = if is_staged { laid } else { end };
        match pending {
            Some(pending) => {
                pending.end = end;
                pending.messages += 1;
                pending.laid = laid;
            }
            None => {
                *pending = Some(Pending {
                    first_word: word,
                    end,
                    messages: 1,
                    laid,
                });
            }
        }
        true
    }

    /// Adds a copy of `message` to a batch.
    #[cold]
    #[inline(never)]
    pub(crate) fn push(
        &mut self,
        pending: &mut Option<Pending>,
        message: &[u8],
    ) -> Result<(), SendError> {
        if self.region.is_forked() {
            return Err(SendError::Forked);
        }
        if let Some(pending) = pending {
            self.lay(pending);
        }
        if self.push_at_once(pending, message) {
            return Ok(());
        }
        let reservation = self.reserve_behind(pending, message.len())?;
        self.region.write(reservation.payload(), message);
        let laid = self.stage(pending.take(), reservation, message.len() as u64);
        *pending = Some(laid);
        self.renew_limit_behind(laid.end);
        Ok(())
    }

    /// Copies what is staged of a batch into the ring, all but the batch's first word.
    #[inline]
    pub(super) fn lay(&self, pending: &mut Pending) {
        let staged = (pending.end - pending.laid) as usize;
        if staged == 0 {
            return;
        }
        let from = if pending.laid == self.tail { WORD } else { 0 };
        if let Some(records) = self.staged.get(from as usize..staged) {
            self.region.write(pending.laid + from, records);
        }
        pending.laid = pending.end;
    }

    /// Sends as many of `values` as there is room for before the limit, each as a message of its bytes, all visible together.
    /// None: the long way has to be taken.
    pub(crate) fn send_run<T: NoUninit>(&mut self, values: &[T]) -> usize {
        let each = footprint(size_of::<T>() as u64);
        let control = self.region.control();
        let room = self.limit.get().saturating_sub(self.tail) / each;
        let count = values.len().min(room as usize);
        let Some((first, others)) = values[..count].split_first() else {
            return 0;
        };
        if CONSUMER.is_marked(control) {
            return 0;
        }
        let number = self.sent.number;
        let word = self.sent.word(number) | size_of::<T>() as u64;
        let length = each * count as u64;
        if each > SHORTEST_STAGED && length >= FEWEST_STAGED && size_of::<T>() <= LONGEST_STAGED {
            self.send_staged(word, &values[..count]);
            return count;
        }
        let start = self.region.spot(self.tail);
        // SAFETY: the limit, and so the end of the run, is at most the lap's last word.
        unsafe {
            let (mut place, mut next) = (start, word);
            for value in others {
                place = place.behind(each);
                next += Record::NEXT;
                place.write(bytemuck::bytes_of(value));
                // Relaxed, as the stop word: made visible by the release of the first word.
                place.store(next, Ordering::Relaxed);
            }
            place.behind(each).store(VACANT, Ordering::Relaxed);
            start.write(bytemuck::bytes_of(first));
        }
        // Release, as in `publish`.
        start.store(word, Ordering::Release);
        (self.tail, self.sent.number) = (self.tail + length, number + count as u64);
        if self.tell(control) {
            self.wake();
        }
        count
    }

    /// The same of values that are staged, for which there is room. The first one has that word.
    #[inline(never)]
    fn send_staged<T: NoUninit>(&mut self, first_word: u64, values: &[T]) {
        let each = footprint(size_of::<T>() as u64) as usize;
        let mut word = first_word;
        let mut pending = Pending {
            first_word,
            end: self.tail,
            messages: values.len() as u64,
            laid: self.tail,
        };
        for part in values.chunks(self.staged.len() / each) {
            for (record, value) in self.staged.chunks_exact_mut(each).zip(part) {
                // SAFETY: a record of `each` bytes has room for the word and so long a value.
                unsafe { copy::to_private(record.as_mut_ptr(), word, bytemuck::bytes_of(value)) };
                word += Record::NEXT;
            }
            pending.end += (each * part.len()) as u64;
            self.lay(&mut pending);
        }
        self.commit(pending);
    }
}
