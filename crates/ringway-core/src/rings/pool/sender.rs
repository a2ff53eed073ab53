//! What the producers of both shapes do alike with messages that are written into slabs.

use std::time::Instant;

use super::Pool;
use crate::error::SendError;
use crate::memory::region::{Region, Unreachable};
use crate::waiting::WaitOptions;

/// A producer that sends long messages in slabs.
pub(crate) trait SlabSender {
    /// Where the ring is.
    type Region: Region;

    /// The slabs, if the ring has some, and where they are.
    fn slabs(&mut self) -> Option<(&mut Pool, &Self::Region)>;
    /// Refuses a message of `len` bytes that cannot be sent now whatever is free, or not in a slab, of which the longest
    /// has so many bytes.
    fn check_slab(&mut self, len: usize, longest: u64) -> Result<(), SendError>;
    /// Why a message has no room that could be sent if there were some.
    fn why_full(&mut self) -> SendError;
    /// The ring contradicts itself.
    fn corrupted(&mut self) -> SendError;
    /// Frees slabs for a message of `len` bytes that nobody needs any more: puts in order what the dead left, and frees what only they
    /// held.
    fn reclaim_slabs(&mut self, len: usize, deadline: Option<Instant>) -> Result<(), SendError>;
    /// Waits, but only a moment, where one slab is better than others that are free.
    fn wait_for_warm(&mut self, len: usize, wait: &WaitOptions);
    /// Waits until it is worth asking for a slab again.
    fn wait_for_slab(&mut self, len: usize, wait: &WaitOptions) -> Result<(), SendError>;
    /// Wakes others that sleep for a slab.
    fn tell_of_free_slab(&self);
    /// Takes note of what is the longest message to be copied.
    fn limit_copies(&mut self);

    /// Messages of more than so many bytes go into a slab.
    fn set_copy_limit(&mut self, bytes: usize) {
        if let Some((pool, _)) = self.slabs() {
            pool.copy_limit = bytes;
            self.limit_copies();
        }
    }

    /// Takes a slab for a message of `len` bytes; [`Pool::lent`] then is where it goes.
    fn lend(&mut self, len: usize, wait: Option<&WaitOptions>) -> Result<(), SendError> {
        let Some(wait) = wait else {
            return self.lend_now(len, None);
        };
        self.wait_for_warm(len, wait);
        loop {
            match self.lend_now(len, wait.deadline) {
                Err(SendError::Full) => self.wait_for_slab(len, wait)?,
                done => return done,
            }
        }
    }

    /// Takes a slab if one is free, or can be taken back from the dead before the deadline.
    fn lend_now(&mut self, len: usize, deadline: Option<Instant>) -> Result<(), SendError> {
        self.give_back();
        let longest = self.slabs().map_or(0, |(pool, _)| pool.longest());
        self.check_slab(len, longest)?;
        if self.try_take_slab(len)? {
            return Ok(());
        }
        // Judged before the look for what the dead held, so that nothing of theirs is missed.
        let refusal = self.why_full();
        let refusal = match self.reclaim_slabs(len, deadline) {
            Ok(()) => refusal,
            // Of the dead, nothing could be had; the living may have freed one meanwhile.
            Err(SendError::Unsettled) => SendError::Unsettled,
            Err(error) => return Err(error),
        };
        match self.try_take_slab(len)? {
            true => Ok(()),
            false => Err(refusal),
        }
    }

    /// Takes a slab if one is free; whether one was.
    fn try_take_slab(&mut self, len: usize) -> Result<bool, SendError> {
        let Some((pool, region)) = self.slabs() else {
            return Ok(false);
        };
        pool.lent = pool.take(region, len as u64);
        let Some(loan) = pool.lent else {
            return Ok(false);
        };
        match region.reach_slab(loan.at) {
            Ok(()) => Ok(true),
            Err(unreachable) => {
                self.give_back();
                Err(match unreachable {
                    Unreachable::Os(errno) => SendError::Unmapped { errno },
                    Unreachable::Corrupt => self.corrupted(),
                })
            }
        }
    }

    /// Gives up the slab that was lent and not sent.
    fn give_back(&mut self) {
        if let Some((pool, region)) = self.slabs()
            && let Some(loan) = pool.lent.take()
            && !region.is_forked()
        {
            pool.free(region, &loan);
            self.tell_of_free_slab();
        }
    }
}
