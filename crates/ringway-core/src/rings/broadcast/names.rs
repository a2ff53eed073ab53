//! Cursors that have names, and outlive their holders.

use std::sync::atomic::Ordering;

use super::join::Refused;
use super::records::MOST_POSITION;
use crate::memory::layout::broadcast::{
    MOST_NAME, NAME_HOLDER, NAME_KEY, NAME_NUMBER, NAME_SHOWN, NAME_TEXT, NAMES, name_offset,
};
use crate::memory::region::Region;
use crate::presence::Outlook;

/// Bits of a holder that say the slot.
const SLOT_BITS: u32 = 8;

/// An entry that this consumer has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    at: usize,
    /// Messages before this number were shown in place by those who had the name before.
    pub(super) shown: u64,
}

impl Named {
    /// Takes `name`, if nobody alive has it. Its entry is the first one from the hash's place on that is its own or
    /// nobody's, and no entry is ever given to another name: so all who look for a name come to the same one.
    pub(super) fn take<R: Region>(
        region: &R,
        participants: u32,
        me: (u32, u64),
        name: &str,
    ) -> Result<Self, Refused> {
        let key = hash(name);
        for nth in 0..NAMES {
            let at = name_offset(participants, (key as usize).wrapping_add(nth));
            let found = region.load64(at + NAME_KEY, Ordering::Acquire);
            // Who loses the entry to another one looks at what it has become.
            let found = match found {
                0 => region
                    .replace64(at + NAME_KEY, 0, key)
                    .map_or_else(|other| other, |()| key),
                found => found,
            };
            if found == key {
                return Self::hold(region, participants, me, at, name);
            }
        }
        Err(Refused::NoName)
    }

    fn hold<R: Region>(
        region: &R,
        participants: u32,
        (slot, epoch): (u32, u64),
        at: usize,
        name: &str,
    ) -> Result<Self, Refused> {
        let before = region.load64(at + NAME_HOLDER, Ordering::Acquire);
        if before != 0 {
            let holder = (before & ((1 << SLOT_BITS) - 1)) as u32;
            let is_its = |epoch: u64| epoch & EPOCH_MASK == before >> SLOT_BITS;
            let outlook = Outlook::new(participants, slot);
            // In another slot than this one's, which has no other holder than this one. (What no peer writes is nobody's.)
            let is_nobody = holder == slot || holder >= participants;
            if !is_nobody && !outlook.is_gone(region, holder, is_its) {
                return Err(Refused::NameTaken);
            }
            // The last one may have died, and what it stored late must not come behind.
            if !region.settle() {
                return Err(Refused::Unsettled);
            }
        }
        let mine = (epoch & EPOCH_MASK) << SLOT_BITS | u64::from(slot);
        if region.replace64(at + NAME_HOLDER, before, mine).is_err() {
            // Somebody has just taken it.
            return Err(Refused::NameTaken);
        }
        for (nth, word) in text_of(name).as_chunks::<8>().0.iter().enumerate() {
            // Relaxed: for observers.
            let word = u64::from_le_bytes(*word);
            region.store64(at + NAME_TEXT + 8 * nth, word, Ordering::Relaxed);
        }
        let shown = region.load64(at + NAME_SHOWN, Ordering::Relaxed);
        Ok(Self { at, shown })
    }

    /// The number of the message that the name is to have next, if it had one.
    pub(super) fn next<R: Region>(&self, region: &R) -> Result<Option<u64>, Refused> {
        // Relaxed: taking the entry was an acquire, and its last holder has ended.
        match region.load64(self.at + NAME_NUMBER, Ordering::Relaxed) {
            0 => Ok(None),
            more if more <= MOST_POSITION => Ok(Some(more - 1)),
            _ => Err(Refused::Corrupt),
        }
    }

    /// Notes the number of the next message.
    #[inline]
    pub(super) fn note<R: Region>(&self, region: &R, number: u64) {
        // Relaxed: whoever takes the entry has proof that this one has ended.
        region.store64(self.at + NAME_NUMBER, number + 1, Ordering::Relaxed);
    }

    /// Notes that messages before `number` were shown.
    pub(super) fn show<R: Region>(&self, region: &R, number: u64) {
        region.store64(self.at + NAME_SHOWN, number, Ordering::Relaxed);
    }
}

const EPOCH_MASK: u64 = u64::MAX >> SLOT_BITS;

/// The bytes of a name, and zeros.
fn text_of(name: &str) -> [u8; MOST_NAME] {
    let mut text = [0; MOST_NAME];
    let len = name.len().min(MOST_NAME);
    text[..len].copy_from_slice(&name.as_bytes()[..len]);
    text
}

/// FNV-1a, finished as splitmix64 is; never 0. Its result lies in segments, so it stays as it is.
fn hash(name: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ hash >> 31).max(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Rings of other versions find their names by it.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(hash(""), 17_665_956_581_633_026_203);
        assert_ne!(hash("audit"), hash("audio"));
    }
}
