//! Semaphore sets without a ring.

use nix::errno::Errno;

use super::{Fate, Found, Gc, GcReport, Leftover, Why, not_removed};
use crate::store::{self, Names};
use crate::sys::owner;
use crate::sys::shmget;
use crate::waiting::sync::semaphore_set::{self, Found as Set, Home};

/// What is known of a set's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    /// It has a name, or somebody may give it one.
    Named,
    /// It has none.
    Gone,
    /// It may have one where this process does not look.
    Elsewhere(&'static str),
}

impl Gc {
    pub(super) fn semaphores(&self) -> GcReport {
        let mut report = GcReport::default();
        let sets = semaphore_set::all();
        if sets.is_empty() {
            return report;
        }
        let names = store::names();
        for set in sets {
            report.add(self.set(&set, &names));
        }
        report
    }

    pub(super) fn set(
        &self,
        set: &Set,
        names: &Names,
    ) -> Result<Option<Found>, crate::error::Error> {
        // In use: no more is to be known.
        if set.is_used() || !owner::may_remove(&set.owners) {
            return Ok(None);
        }
        let fate = match ring_of(set, names) {
            Ring::Named => return Ok(None),
            Ring::Elsewhere(home) => Fate::Kept(Why::Unknown { home }),
            Ring::Gone if self.dry_run => Fate::Removable,
            Ring::Gone => {
                let is_gone = |set: Set| ring_of(&set, &store::names()) == Ring::Gone;
                let is_orphan = || set.again().is_some_and(is_gone);
                match set.remove_if(is_orphan) {
                    Ok(true) | Err(Errno::EINVAL | Errno::EIDRM) => Fate::Removed,
                    // Somebody has come to use it.
                    Ok(false) => return Ok(None),
                    Err(errno) => {
                        return Err(not_removed(format!("semaphore set {}", set.id()), errno));
                    }
                }
            }
        };
        let what = Leftover::Semaphores { id: set.id() };
        let bytes = 0;
        Ok(Some(Found { what, bytes, fate }))
    }
}

fn ring_of(set: &Set, names: &Names) -> Ring {
    let Some(origin) = set.origin else {
        return Ring::Gone;
    };
    if names.shm.contains(&origin.nonce) || names.sysv.contains(&origin.nonce) {
        return Ring::Named;
    }
    match origin.home {
        Home::File => Ring::Elsewhere("a file, which may be anywhere"),
        Home::Sysv { id } => match shmget::status(id) {
            // A segment that is removed is only its users' any more, and the set has none.
            Ok(status) if status.removed => Ring::Gone,
            Err(Errno::EINVAL | Errno::EIDRM) => Ring::Gone,
            // Its creator may not have written the nonce yet.
            Ok(_) | Err(_) => Ring::Named,
        },
        home if Some(home) != Home::here() => {
            Ring::Elsewhere("another /dev/shm than this process sees")
        }
        _ => match &names.hidden {
            Some(owners) if !set.owners.iter().any(|owner| owners.contains(owner)) => Ring::Gone,
            _ => Ring::Elsewhere("a file in /dev/shm that this process may not read"),
        },
    }
}
