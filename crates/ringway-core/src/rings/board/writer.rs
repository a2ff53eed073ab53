//! Who has an entry's role.

use std::sync::atomic::Ordering;

use super::{ANY_CHANGE, Entry, TOO_HIGH};
use crate::error::SetError;
use crate::memory::region::Region;
use crate::presence::Outlook;
use crate::presence::participant::has_ended;
use crate::waiting::eventcount;

/// How often an owner's word that changes under our eyes is looked at again.
const ATTEMPTS: usize = 64;

/// Why a role was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Somebody who lives has it, by this id.
    Taken(u64),
    /// Who had it died, and that it is done cannot be made sure.
    Unsettled,
    /// The number in the entry is none that writers come to.
    Corrupt,
}

/// The writer of an entry.
#[derive(Debug)]
pub(crate) struct Writer<R> {
    region: R,
    entry: Entry,
    /// Its attachment.
    id: u64,
    /// Of the value that is published. What is in the segment nobody else changes, and it is not asked again.
    number: u64,
}

impl<R: Region> Writer<R> {
    /// Takes the role of `entry`, for the attachment `id` that sees the others so.
    pub(crate) fn take(
        region: R,
        entry: Entry,
        id: u64,
        outlook: Outlook,
    ) -> Result<Self, Refused> {
        let mut seen = region.load64(entry.owner(), Ordering::Acquire);
        let mut taken = Err(Refused::Taken(seen));
        for _ in 0..ATTEMPTS {
            if seen != 0 {
                if !has_ended(&region, outlook, seen) {
                    return Err(Refused::Taken(seen));
                }
                if !region.settle() {
                    return Err(Refused::Unsettled);
                }
            }
            // Acquires: pairs with the release in `leave`. What a dead one stored is seen since it was settled.
            match region.replace64(entry.owner(), seen, id) {
                Ok(()) => {
                    taken = Ok(());
                    break;
                }
                Err(found) => seen = found,
            }
        }
        taken?;
        let number = region.load64(entry.number(), Ordering::Acquire);
        let writer = Self {
            region,
            entry,
            id,
            number,
        };
        if number >= TOO_HIGH {
            writer.leave();
            return Err(Refused::Corrupt);
        }
        Ok(writer)
    }

    /// Publishes a value, and returns its number.
    #[inline]
    pub(crate) fn set(&mut self, bytes: &[u8]) -> Result<u64, SetError> {
        let Self { region, entry, .. } = &*self;
        if region.is_forked() {
            return Err(SetError::Forked);
        }
        if bytes.len() as u64 > entry.buffer_len {
            let (len, max) = (bytes.len(), entry.buffer_len as usize);
            return Err(SetError::TooLarge { len, max });
        }
        let number = self.number + 1;
        region.store64(entry.begun(), number, Ordering::Relaxed);
        // Pairs with the acquire fence of readers: who has copied what is written from here on sees what has begun.
        region.claim_fence();
        region.store64(entry.length(number), bytes.len() as u64, Ordering::Relaxed);
        region.write(entry.buffer(number), bytes);
        // Release pairs with the acquire of readers: who sees the number sees the bytes.
        region.store64(entry.number(), number, Ordering::Release);
        region.publish_fence();
        // The publication is before both.
        for event in [entry.event(), ANY_CHANGE] {
            if eventcount::is_slept_on(region, event) {
                eventcount::wake(region, event);
            }
        }
        self.number = number;
        Ok(number)
    }

    /// The number of the value that is published; 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the longest value.
    pub(crate) fn max_len(&self) -> u64 {
        self.entry.buffer_len
    }

    /// Gives the role up.
    pub(crate) fn leave(&self) {
        if !self.region.is_forked() {
            // Releases what it wrote to the next one. It fails if somebody else has written there.
            let _ = self.region.replace64(self.entry.owner(), self.id, 0);
        }
    }
}
