//! Who has an entry's role.

use std::sync::atomic::Ordering;

use bytemuck::Pod;

use super::{ANY_CHANGE, Entry, TOO_HIGH, length_field, short};
use crate::error::SetError;
use crate::memory::layout::board::{BEGUN, CHANGED, NUMBER};
use crate::memory::region::pane::Pane;
use crate::memory::region::{Control, Region};
use crate::presence::Outlook;
use crate::presence::participant::has_ended;
use crate::waiting::eventcount::{self, ASLEEP};

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
pub(crate) struct Writer<R: Region> {
    region: R,
    entry: Entry,
    /// The entry, in this region.
    pane: R::Pane,
    /// Its attachment.
    id: u64,
    /// Of the value that is published, or is being. What is in the segment nobody else changes, and it is not asked again.
    number: u64,
    /// Whether who had the role before died with it.
    follows_death: bool,
}

/// What is published.
trait Content {
    fn len(&self) -> usize;
    /// Copies it to the buffer.
    ///
    /// # Safety
    /// The buffer is one in that region, and has so many bytes.
    unsafe fn put<R: Region>(self, region: &R, buffer: <R::Pane as Pane<R>>::Buffer);
}

/// Bytes, one part behind the other.
struct Parts<'a, const N: usize>([&'a [u8]; N]);

impl<const N: usize> Content for Parts<'_, N> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    #[inline(always)]
    unsafe fn put<R: Region>(self, region: &R, buffer: <R::Pane as Pane<R>>::Buffer) {
        let mut at = 0;
        for part in self.0 {
            // SAFETY: all parts together lie in the buffer, as the caller says.
            unsafe { R::Pane::write(region, buffer, at, part) };
            at += part.len();
        }
    }
}

/// A value of a length that the compiler knows.
impl<T: Pod> Content for &T {
    #[inline(always)]
    fn len(&self) -> usize {
        size_of::<T>()
    }

    #[inline(always)]
    unsafe fn put<R: Region>(self, region: &R, buffer: <R::Pane as Pane<R>>::Buffer) {
        // SAFETY: passed on.
        unsafe { R::Pane::write_value(region, buffer, self) };
    }
}

/// Why a value of that length is not published.
#[cold]
#[inline(never)]
fn refusal(region: &impl Region, entry: &Entry, len: u64) -> SetError {
    let (len, max) = (len as usize, entry.buffer_len as usize);
    match region.is_forked() {
        true => SetError::Forked,
        false => SetError::TooLarge { len, max },
    }
}

/// Wakes who sleeps for a value that was published.
#[cold]
#[inline(never)]
fn wake(region: &impl Region, event: usize, wakes: Wakes) {
    region.publish_fence();
    // The publication is before both.
    if eventcount::is_slept_on(region, event) {
        eventcount::wake(region, event);
    }
    if wakes == Wakes::All && eventcount::is_slept_on(region, ANY_CHANGE) {
        eventcount::wake(region, ANY_CHANGE);
    }
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
    /// Takes the role of `entry`, which is one of a board with the geometry of `region`, for the attachment `id` that sees the others so.
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

    /// One that does not have the role, and may take it. The same holds of the entry.
    pub(crate) fn without_role(region: R, entry: Entry, id: u64) -> Self {
        Self {
            // SAFETY: an entry of a board with the region's geometry, and used with this region only.
            pane: unsafe { region.pane(&entry.place) },
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
    #[inline(always)]
    pub(crate) fn set(&mut self, bytes: &[u8]) -> Result<u64, SetError> {
        self.publish(Parts([bytes]), Wakes::All)
    }

    /// The same with a value of a length that the compiler knows.
    #[inline(always)]
    pub(crate) fn set_value<T: Pod>(&mut self, value: &T) -> Result<u64, SetError> {
        self.publish(value, Wakes::All)
    }

    /// The same with a value that lies in parts.
    #[inline]
    pub(crate) fn set_parts<const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        wakes: Wakes,
    ) -> Result<u64, SetError> {
        self.publish(Parts(parts), wakes)
    }

    #[inline(always)]
    fn publish(&mut self, value: impl Content, wakes: Wakes) -> Result<u64, SetError> {
        let Self {
            region,
            entry,
            pane,
            number: last,
            ..
        } = self;
        let len = value.len() as u64;
        if region.is_forked() || !entry.has_room(len) {
            return Err(refusal(region, entry, len));
        }
        let number = *last + 1;
        pane.store64(region, BEGUN, number, Ordering::Relaxed);
        // Here, and not behind the other stores: the number's, at the end, and the next value's first go to one line, and a processor
        // that writes two of a line at once does so if they follow one another.
        *last = number;
        // (E2) Pairs with the acquire fence of readers: who has copied what is written from here on sees what has begun, and what was
        // published before.
        region.claim_fence();
        // Nobody but a liar stores there beside this writer. A look is cheaper than a store.
        if pane.load64(region, length_field(number), Ordering::Relaxed) != len {
            pane.store64(region, length_field(number), len, Ordering::Relaxed);
        }
        // SAFETY: it is the entry's, and has so many bytes, just checked.
        unsafe { value.put(region, pane.buffer(number)) };
        self.announce(number, wakes);
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
        self.number = number;
        self.announce(number, wakes);
        Ok(number)
    }

    /// Shows value `number`, which is there, and wakes who sleeps for it.
    #[inline(always)]
    fn announce(&self, number: u64, wakes: Wakes) {
        let Self {
            region,
            entry,
            pane,
            ..
        } = self;
        // (E1) Release pairs with the acquire of readers: who sees the number sees the bytes.
        pane.store64(region, NUMBER, number, Ordering::Release);
        let may_sleep = match wakes {
            Wakes::All => pane.either_may_have(region, CHANGED, ANY_CHANGE, ASLEEP),
            Wakes::ItsReaders => region.control().may_have(entry.event(), ASLEEP),
        };
        if may_sleep {
            wake(region, entry.event(), wakes);
        }
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

    /// Asks for the line that it marks in, and in which the end of a short value lies.
    #[inline]
    pub(crate) fn prepare_to_mark(&self) {
        self.region.prefetch64_to_write(self.entry.mark());
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

    /// The memory that it writes to.
    #[cfg(test)]
    pub(crate) fn region(&self) -> &R {
        &self.region
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
