//! Finished rings.

use std::time::Duration;

use super::halves::is_forbidden;
use super::{Fate, Found, Gc, Leftover, Why};
use crate::address::Address;
use crate::admin::stat;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::Kind;
use crate::memory::layout::participant::{ATTACHED_NS, LIVENESS, slot_offset};
use crate::presence::{self, Liveness};
use crate::store::suspect::Suspect;
use crate::store::{self, View};
use crate::sys::now_ns;

/// How often a ring is looked at again when others change it meanwhile.
const ATTEMPTS: usize = 8;

/// What an observer finds.
enum Verdict {
    /// Nobody alive holds it, and somebody who is dead did.
    Garbage,
    Stays(Why),
}

impl Gc {
    /// What there is at an address that was asked for.
    pub(super) fn at(&self, address: &Address) -> Result<Option<Found>, Error> {
        match self.collect(address) {
            Err(error) if error.kind() == ErrorKind::HalfMade => {
                match store::half_made_at(address) {
                    Some(half) => self.half(&half),
                    None => Err(error),
                }
            }
            result => result,
        }
    }

    /// One of all rings of the machine.
    pub(super) fn ring(&self, address: &Address) -> Result<Option<Found>, Error> {
        match self.collect(address) {
            // Removed since it was listed, or another user's.
            Err(error) if error.kind() == ErrorKind::NotFound || is_forbidden(&error) => Ok(None),
            result => result,
        }
    }

    fn collect(&self, address: &Address) -> Result<Option<Found>, Error> {
        let view = View::open(address)?;
        let bytes = view.memory();
        let verdict = self.judge(&view);
        // It would count as one who has the ring open.
        drop(view);
        let fate = match verdict {
            Verdict::Stays(why) => Fate::Kept(why),
            Verdict::Garbage => match self.remove(address) {
                Err(error) if is_forbidden(&error) => Fate::Kept(Why::NotPermitted),
                // Somebody else did it.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                fate => fate?,
            },
        };
        let what = Leftover::Ring(address.clone());
        Ok(Some(Found { what, bytes, fate }))
    }

    pub(super) fn remove(&self, address: &Address) -> Result<Fate, Error> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                // Others that only look have it open too, each for a moment of its own.
                let moment = 1 + std::process::id() % 4;
                std::thread::sleep(Duration::from_millis(moment.into()));
            }
            let suspect = Suspect::open(address)?;
            if self.dry_run {
                match suspect.is_open_elsewhere() {
                    true if !suspect.view().is_retired() => continue,
                    _ => return Ok(Fate::Removable),
                }
            }
            if !suspect.view().is_retired() {
                let Some(hold) = suspect.hold()? else {
                    continue;
                };
                let Some(doubt) = hold.doubt() else {
                    continue;
                };
                // Now that nobody can come unseen.
                if !hold.is_alone() {
                    continue;
                }
                if let Verdict::Stays(why) = self.judge(suspect.view()) {
                    return Ok(Fate::Kept(why));
                }
                if !doubt.commit() {
                    continue;
                }
            }
            return match suspect.remove() {
                // Whoever opened it in between has done the rest.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Fate::Removed),
                result => result.map(|()| Fate::Removed),
            };
        }
        Ok(Fate::Kept(Why::Open))
    }

    fn judge(&self, view: &View) -> Verdict {
        if view.is_retired() {
            return Verdict::Garbage;
        }
        if view.is_copy() {
            // Somebody made it on purpose.
            return Verdict::Stays(Why::InOrder);
        }
        let words: Vec<Liveness> = (0..view.header().geometry.participants())
            .filter_map(|slot| view.load32(slot_offset(slot) + LIVENESS))
            .map(Liveness::of)
            .collect();
        // Behind the words, see there.
        let is_of_this_boot = view.is_of_this_boot();
        let count = |state| {
            let count = words.iter().filter(|word| **word == state).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let (mut alive, mut dead) = (count(Liveness::Alive), count(Liveness::Dead));
        if !is_of_this_boot {
            // Nobody has outlived the boot.
            (alive, dead) = (0, dead + alive);
        }
        if alive > 0 {
            return Verdict::Stays(Why::InUse { alive, dead });
        }
        if dead == 0 {
            return Verdict::Stays(Why::InOrder);
        }
        if view.header().persistent {
            return Verdict::Stays(Why::Persistent);
        }
        if self.older_than.is_some_and(|age| used_since(view, age)) {
            return Verdict::Stays(Why::Recent);
        }
        // What the dead were about to send they have sent by now, or never will.
        if !presence::settle() && view.header().fence.needs_membarrier() {
            return Verdict::Stays(Why::Unsettled);
        }
        match stat::undelivered(view) {
            Some(0) => Verdict::Garbage,
            Some(_) if self.undelivered => Verdict::Garbage,
            Some(entries) if view.header().kind == Kind::Board => {
                Verdict::Stays(Why::Values { entries })
            }
            Some(messages) => Verdict::Stays(Why::Undelivered { messages }),
            None => Verdict::Stays(Why::Damaged),
        }
    }
}

/// Whether the ring was made, or attached to by one who still has his slot, less than `age` ago.
fn used_since(view: &View, age: Duration) -> bool {
    let slots = 0..view.header().geometry.participants();
    let attached = slots.filter_map(|slot| view.load64(slot_offset(slot) + ATTACHED_NS));
    let last = attached.fold(view.header().created_ns, u64::max);
    now_ns().saturating_sub(last) < u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
}
