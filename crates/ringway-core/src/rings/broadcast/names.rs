//! Cursors that have names, and outlive their holders.
//!
//! A name's entry is the first one, from the place on that its hash has, that is its own or was never anybody's. So as long as there is
//! one that was never anybody's, all who look for a name come to the same one, by one compare-and-swap.
//!
//! # Forgetting
//!
//! An entry that is forgotten gets a key of its own, [`FORGOTTEN`], and is not "never anybody's" again: who looks for another name
//! goes on behind it, and finds what lies there. It becomes another name's only when all entries were somebody's, and by one process
//! at a time, who holds a lock: otherwise two that look for one name could give it two entries. Its own holder is who changes an
//! entry, and whoever takes one looks at its key once more afterwards.
//!
//! | whoever forgets, or gives an entry to another name | dies, it leaves | is stopped, the others |
//! |---|---|---|
//! | as the entry's holder | a holder that is gone: the next one takes its place | refuse that name: it is held |
//! | with number and place cleared, before the key | a name that is to begin anew | the same |
//! | with the key, before the holder | a forgotten entry, or one of the new name, whose holder is gone | do without that entry |
//! | with the lock | a lock whose holder is gone: the next one takes it, after [`settle`](Region::settle) | find all names that are there; a new one that needs a forgotten entry is refused |

use std::sync::atomic::Ordering;

use super::join::Refused;
use super::records::{MOST_POSITION, Place};
use crate::memory::layout::broadcast::{
    FORGOTTEN, MOST_NAME, NAME_HOLDER, NAME_KEY, NAME_NUMBER, NAME_POSITION, NAME_SHOWN, NAME_TEXT,
    NAMES, NAMES_LOCK, name_offset,
};
use crate::memory::region::Region;
use crate::presence::Outlook;

/// Bits of a holder that say the slot.
const SLOT_BITS: u32 = 8;
const EPOCH_MASK: u64 = u64::MAX >> SLOT_BITS;

/// How often one looks again that came upon an entry while it changed.
const ATTEMPTS: usize = if cfg!(loom) { 2 } else { 100 };

/// An entry that this consumer has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    at: usize,
    /// Messages before this number were shown in place by those who had the name before.
    pub(super) shown: u64,
}

impl Named {
    /// Takes `name`, if nobody alive has it.
    pub(super) fn take<R: Region>(
        region: &R,
        participants: u32,
        me: (u32, u64),
        name: &str,
    ) -> Result<Self, Refused> {
        let names = Names {
            region,
            participants,
            me,
        };
        let key = hash(name);
        for _ in 0..ATTEMPTS {
            let at = match names.find_or_add(key) {
                Some(at) if names.hold(at, key)? => at,
                Some(_) => continue,
                None => match names.replace_forgotten(key)? {
                    Some(at) => at,
                    None => continue,
                },
            };
            names.write_text(at, text_of(name));
            let shown = region.load64(at + NAME_SHOWN, Ordering::Relaxed);
            return Ok(Self { at, shown });
        }
        Err(Refused::NameTaken)
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

    /// Where that message is, or one before it, if it has not been overwritten.
    pub(super) fn position<R: Region>(&self, region: &R) -> u64 {
        region.load64(self.at + NAME_POSITION, Ordering::Relaxed)
    }

    /// Notes the place of the next message: first its number, so that the position is never behind it.
    #[inline]
    pub(super) fn note<R: Region>(&self, region: &R, place: Place) {
        // Relaxed: whoever takes the entry has proof that this one has ended, and sees all that it stored.
        region.store64(self.at + NAME_NUMBER, place.number + 1, Ordering::Relaxed);
        // Release: one that died between the two has stored the first.
        region.store64(self.at + NAME_POSITION, place.position, Ordering::Release);
    }

    /// Notes that messages before `number` were shown.
    pub(super) fn show<R: Region>(&self, region: &R, number: u64) {
        region.store64(self.at + NAME_SHOWN, number, Ordering::Relaxed);
    }
}

/// Frees the entry of `name` for another one, if nobody alive has it. Whether there was such a name.
pub(crate) fn forget<R: Region>(
    region: &R,
    participants: u32,
    me: (u32, u64),
    name: &str,
) -> Result<bool, Refused> {
    let names = Names {
        region,
        participants,
        me,
    };
    let key = hash(name);
    let Some(at) = names.find(key) else {
        return Ok(false);
    };
    if !names.hold(at, key)? {
        // Somebody else has just forgotten it.
        return Ok(false);
    }
    names.clear(at);
    names.write_text(at, [0; MOST_NAME]);
    // Release: whoever sees it sees nothing of the name any more.
    region.store64(at + NAME_KEY, FORGOTTEN, Ordering::Release);
    names.let_go(at + NAME_HOLDER);
    Ok(true)
}

/// All names of a ring, as the holder of a slot with that epoch uses them.
struct Names<'a, R> {
    region: &'a R,
    participants: u32,
    me: (u32, u64),
}

/// What came of trying to become a holder.
enum Hold {
    Taken,
    /// Somebody alive has it, or has just taken it.
    Refused,
}

impl<R: Region> Names<'_, R> {
    fn entries(&self, key: u64) -> impl Iterator<Item = usize> {
        let participants = self.participants;
        (0..NAMES).map(move |nth| name_offset(participants, (key as usize).wrapping_add(nth)))
    }

    fn find(&self, key: u64) -> Option<usize> {
        // Acquire pairs with the release of who gave it its key.
        let key_at = |at: usize| (at, self.region.load64(at + NAME_KEY, Ordering::Acquire));
        let mut entries = self
            .entries(key)
            .map(key_at)
            .take_while(|(_, found)| *found != 0);
        entries.find(|(_, found)| *found == key).map(|(at, _)| at)
    }

    /// The entry of that key, which it may just have got; `None` if it has none, and all are, or were, other names'.
    fn find_or_add(&self, key: u64) -> Option<usize> {
        let region = self.region;
        self.entries(key).find(|at| {
            // Who loses the entry to another one looks at what it has become.
            let found = match region.load64(at + NAME_KEY, Ordering::Acquire) {
                0 => region
                    .replace64(at + NAME_KEY, 0, key)
                    .map_or_else(|other| other, |()| key),
                found => found,
            };
            found == key
        })
    }

    /// This process as a holder.
    fn mine(&self) -> u64 {
        let (slot, epoch) = self.me;
        (epoch & EPOCH_MASK) << SLOT_BITS | u64::from(slot)
    }

    /// Becomes the holder that the word at `at` names, if that one is gone.
    fn succeed(&self, at: usize) -> Result<Hold, Refused> {
        let region = self.region;
        let before = region.load64(at, Ordering::Acquire);
        if before != 0 {
            let holder = (before & ((1 << SLOT_BITS) - 1)) as u32;
            let is_its = |epoch: u64| epoch & EPOCH_MASK == before >> SLOT_BITS;
            let outlook = Outlook::new(self.participants, self.me.0);
            // In another slot than this one's, which has no other holder than this one. (What no peer writes is nobody's.)
            let is_nobody = holder == self.me.0 || holder >= self.participants;
            if !is_nobody && !outlook.is_gone(region, holder, is_its) {
                return Ok(Hold::Refused);
            }
            // The last one may have died, and what it stored late must not come behind.
            if !region.settle() {
                return Err(Refused::Unsettled);
            }
        }
        Ok(match region.replace64(at, before, self.mine()) {
            Ok(()) => Hold::Taken,
            Err(_) => Hold::Refused,
        })
    }

    /// Ends being the holder there, whom nobody has to wait for.
    fn let_go(&self, at: usize) {
        // It fails only if a peer has written there.
        let _ = self.region.replace64(at, self.mine(), 0);
    }

    /// Becomes the holder of the entry, if it is still that key's.
    fn hold(&self, at: usize, key: u64) -> Result<bool, Refused> {
        let held = self.succeed(at + NAME_HOLDER)?;
        // After it became the holder: from here on nobody else changes the key.
        let is_its = self.region.load64(at + NAME_KEY, Ordering::Acquire) == key;
        match (held, is_its) {
            (Hold::Taken, true) => Ok(true),
            (Hold::Refused, true) => Err(Refused::NameTaken),
            (Hold::Taken, false) => {
                self.let_go(at + NAME_HOLDER);
                Ok(false)
            }
            (Hold::Refused, false) => Ok(false),
        }
    }

    /// Gives a forgotten entry to that key; the entry, and this process is its holder. `None`: to be tried again.
    fn replace_forgotten(&self, key: u64) -> Result<Option<usize>, Refused> {
        if !self.lock()? {
            return Err(Refused::NoName);
        }
        let replaced = self.replace_locked(key);
        self.let_go(NAMES_LOCK);
        replaced
    }

    /// Takes the lock, unless somebody alive keeps it.
    fn lock(&self) -> Result<bool, Refused> {
        for _ in 0..ATTEMPTS {
            if let Hold::Taken = self.succeed(NAMES_LOCK)? {
                return Ok(true);
            }
            #[cfg(not(loom))]
            std::thread::yield_now();
        }
        Ok(false)
    }

    fn replace_locked(&self, key: u64) -> Result<Option<usize>, Refused> {
        // Somebody may have given it one before this one had the lock.
        if let Some(at) = self.find(key) {
            return Ok(self.hold(at, key)?.then_some(at));
        }
        for at in self.entries(key) {
            if self.region.load64(at + NAME_KEY, Ordering::Acquire) != FORGOTTEN {
                continue;
            }
            // Who has just forgotten it, or looked for its old name, may be its holder for a moment yet.
            if let Hold::Refused = self.succeed(at + NAME_HOLDER)? {
                continue;
            }
            self.clear(at);
            // Release pairs with the acquire in `find`: nothing of the old name is there (B5).
            self.region.store64(at + NAME_KEY, key, Ordering::Release);
            return Ok(Some(at));
        }
        Err(Refused::NoName)
    }

    /// Takes all that an entry has but its key.
    fn clear(&self, at: usize) {
        for field in [NAME_NUMBER, NAME_POSITION, NAME_SHOWN] {
            self.region.store64(at + field, 0, Ordering::Relaxed);
        }
    }

    fn write_text(&self, at: usize, text: [u8; MOST_NAME]) {
        for (nth, word) in text.as_chunks::<8>().0.iter().enumerate() {
            // Relaxed: for observers.
            let word = u64::from_le_bytes(*word);
            self.region
                .store64(at + NAME_TEXT + 8 * nth, word, Ordering::Relaxed);
        }
    }
}

/// The bytes of a name, and zeros.
fn text_of(name: &str) -> [u8; MOST_NAME] {
    let mut text = [0; MOST_NAME];
    let len = name.len().min(MOST_NAME);
    text[..len].copy_from_slice(&name.as_bytes()[..len]);
    text
}

/// FNV-1a, finished as splitmix64 is; neither 0 nor [`FORGOTTEN`]. Its result lies in segments, so it stays as it is.
fn hash(name: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ hash >> 31).clamp(1, FORGOTTEN - 1)
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
