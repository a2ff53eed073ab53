//! Who has an entry's role.

use std::sync::atomic::Ordering;

use super::{ANY_CHANGE, Entry, TOO_HIGH, short};
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
    /// Whether who had the role before died with it.
    follows_death: bool,
}

/// Who is woken by a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// Who sleeps for the entry, and who sleeps for whatever changes.
    All,
    /// Only who sleeps for the entry.
    ItsReaders,
}

impl<R: Region> Writer<R> {
    /// Takes the role of `entry`, for the attachment `id` that sees the others so.
    pub(crate) fn take(
        region: R,
        entry: Entry,
        id: u64,
        outlook: Outlook,
    ) -> Result<Self, Refused> {
        let mut writer = Self::without_role(region, entry, id);
        writer.take_again(outlook)?;
        Ok(writer)
    }

    /// One that does not have the role, and may take it.
    pub(crate) fn without_role(region: R, entry: Entry, id: u64) -> Self {
        Self {
            region,
            entry,
            id,
            number: 0,
            follows_death: false,
        }
    }

    /// Takes the role after it was given up, or was not had at all.
    pub(crate) fn take_again(&mut self, outlook: Outlook) -> Result<(), Refused> {
        let Self {
            region, entry, id, ..
        } = &*self;
        let mut seen = region.load64(entry.owner(), Ordering::Acquire);
        let mut taken = Err(Refused::Taken(seen));
        for _ in 0..ATTEMPTS {
            if seen != 0 {
                if !has_ended(region, outlook, seen) {
                    return Err(Refused::Taken(seen));
                }
                if !region.settle() {
                    return Err(Refused::Unsettled);
                }
            }
            // (E3) Acquires: pairs with the release in `leave`. What a dead one stored is seen since it was settled.
            match region.replace64(entry.owner(), seen, *id) {
                Ok(()) => {
                    taken = Ok(seen != 0);
                    break;
                }
                Err(found) => seen = found,
            }
        }
        let follows_death = taken?;
        let number = region.load64(entry.number(), Ordering::Acquire);
        if number >= TOO_HIGH {
            self.leave();
            return Err(Refused::Corrupt);
        }
        // Who sleeps for the entry wants to be told of its writer's death, and knows from now on whose that is. The fence pairs with
        // the sleeper's: either this sees that it sleeps, or it sees the new owner before it sleeps.
        region.publish_fence();
        if eventcount::is_slept_on(region, entry.event()) {
            eventcount::wake(region, entry.event());
        }
        self.number = number;
        self.follows_death = follows_death;
        Ok(())
    }

    /// Publishes a value, and returns its number.
    #[inline]
    pub(crate) fn set(&mut self, bytes: &[u8]) -> Result<u64, SetError> {
        self.set_parts([bytes], Wakes::All)
    }

    /// The same with a value that lies in parts.
    #[inline]
    pub(crate) fn set_parts<const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        wakes: Wakes,
    ) -> Result<u64, SetError> {
        let Self { region, entry, .. } = &*self;
        if region.is_forked() {
            return Err(SetError::Forked);
        }
        let len = parts.iter().map(|part| part.len()).sum();
        if len as u64 > entry.buffer_len {
            let max = entry.buffer_len as usize;
            return Err(SetError::TooLarge { len, max });
        }
        let number = self.number + 1;
        region.store64(entry.begun(), number, Ordering::Relaxed);
        // (E2) Pairs with the acquire fence of readers: who has copied what is written from here on sees what has begun.
        region.claim_fence();
        region.store64(entry.length(number), len as u64, Ordering::Relaxed);
        let mut at = entry.buffer(number);
        for part in parts {
            region.write(at, part);
            at += part.len() as u64;
        }
        self.publish(number, wakes);
        Ok(number)
    }

    /// Publishes a short value, of two words and what is behind them, with a tag, which is told to who asks for it; see [`short`].
    #[inline]
    pub(crate) fn set_short(
        &mut self,
        tag: u16,
        header: [u64; 2],
        bytes: &[u8],
        wakes: Wakes,
    ) -> Result<u64, SetError> {
        let Self { region, entry, .. } = &*self;
        if region.is_forked() {
            return Err(SetError::Forked);
        }
        let number = self.number + 1;
        short::write(region, *entry, number, tag, header, bytes)?;
        self.publish(number, wakes);
        Ok(number)
    }

    #[inline]
    fn publish(&mut self, number: u64, wakes: Wakes) {
        let Self { region, entry, .. } = &*self;
        // (E1) Release pairs with the acquire of readers: who sees the number sees the bytes.
        region.store64(entry.number(), number, Ordering::Release);
        region.publish_fence();
        // The publication is before both.
        if eventcount::is_slept_on(region, entry.event()) {
            eventcount::wake(region, entry.event());
        }
        if wakes == Wakes::All && eventcount::is_slept_on(region, ANY_CHANGE) {
            eventcount::wake(region, ANY_CHANGE);
        }
        self.number = number;
    }

    /// Notes something for who comes after it, before it looks what readers have said.
    #[inline]
    pub(crate) fn set_mark(&self, mark: u64) {
        if !self.region.is_forked() {
            // Nobody reads it but behind this one's death, settled, or behind a membarrier.
            self.region
                .store64(self.entry.mark(), mark, Ordering::Relaxed);
            // (E6) Pairs with the `settle` of a reader that has said something.
            self.region.publish_fence();
        }
    }

    /// What was marked last.
    pub(crate) fn mark(&self) -> u64 {
        self.region.load64(self.entry.mark(), Ordering::Acquire)
    }

    /// The number of the value that is published; 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether who had the role before died with it.
    pub(crate) fn follows_death(&self) -> bool {
        self.follows_death
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
