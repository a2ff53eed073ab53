//! Slabs that are segments of their own: made in advance with the ring, mapped by a process when it is first
//! lent one or first gets a ticket for it. What travels in the ring is what always does ([`crate::rings::pool`]): a
//! ticket with the slab's number. Who holds which slab is in the ring's segment, so nothing of that protocol
//! changes; a process that dies leaves mappings, which the kernel takes.
//!
//! | address | a slab's segment | is told from others by |
//! |---|---|---|
//! | `shm:`, `file:` | a file beside the ring's, `NAME.slab.NONCE.INDEX` ([`named`]) | its name, which no later ring of the name has; its length, owner and [trailer](Identity) |
//! | `sysv:` | without a key; its id stands in a table in the ring's segment ([`sysv`]) | its length, owner and trailer: peers can write the table |
//!
//! `memfd:` has none: whoever takes over the ring would have to be handed each of them.
//!
//! # Making
//!
//! All are made, with their space, before the ring is finished. A file gets its name when it is whole; a System V
//! segment is whole from the instant in which its trailer has the magic, the last word written.
//!
//! | the creator dies | it leaves | what becomes of it |
//! |---|---|---|
//! | `shm:`, `file:`: before the ring has its name | some or all slabs, each whole | a collector removes them: nobody has slab 0 open, and the name does not lead to their ring |
//! | `sysv:`: having made a segment, before the trailer is whole | a segment with the permission bit 0o001, zeroes at the end | a collector condemns it, by compare-and-swap of the magic, and removes it; a creator that was only slow loses that swap and makes another |
//! | `sysv:`: later | a half-made ring with the ids of all whole slabs | they go with it |
//!
//! A creator of files has slab 0 open from before it has a name until the ring has its own, and makes it first:
//! while slab 0 is open anywhere, a collector leaves all alone, and only then looks for the ring.
//!
//! # Removing
//!
//! Slabs go before the ring's name and slab 0 last, so that who dies in the middle leaves a ring that can be removed again. Removed
//! is only what has the trailer of this ring. Where somebody removed the ring's name alone, the slabs are garbage.
//!
//! A ring that is renamed within its directory, or has several names there, keeps its slabs under the name that it was
//! made by; they are found by the nonce. They stay as long as any name leads to the ring. A *copy* has slabs only if they were
//! copied with it, under the copy's name: the original's are never taken.
//!
//! The directory is opened together with the ring, so that its slabs are found whatever the process does to its root.
//! Permission is asked for when a slab is mapped.
//!
//! A process that has the ring open when it is removed goes on with the slabs that it has mapped; others it
//! does not find any more, and says so ([`SendError::Unmapped`](crate::SendError::Unmapped)).

mod mapping;
pub(crate) mod named;
pub(crate) mod sysv;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Error, ErrorKind};
use crate::memory::layout::header::Header;
use crate::memory::layout::pool::Slabs;
use crate::memory::layout::slab_segment::Identity;
use crate::memory::region::{SlabMemory, Unreachable};

use super::pages;
use super::place::Place;
use super::request::check_owner;
use crate::error::Attempt;
use crate::memory::map::Map;
use crate::store::request::Request;
use mapping::Mapping;

/// The slabs of a ring that this process has open.
#[derive(Debug)]
pub(crate) struct SlabSegments {
    slabs: Slabs,
    nonce: [u8; 16],
    home: Home,
    options: MapOptions,
    /// Of each slab, as soon as it was reached.
    mappings: Box<[OnceLock<Mapping>]>,
}

/// Where they are found.
#[derive(Debug)]
enum Home {
    /// Beside the ring's file.
    Beside {
        place: Place,
        directory: Option<OwnedFd>,
    },
    /// By the table at that offset of the ring's segment, which has that id.
    Listed {
        ring: Arc<Map>,
        id: i32,
        table: usize,
    },
}

/// What the opener of the ring asked for.
#[derive(Clone, Copy, Debug)]
struct MapOptions {
    any_owner: bool,
    prefault: bool,
    lock_memory: bool,
}

impl SlabSegments {
    /// Those of a ring in a file, if it has such.
    pub(super) fn beside(
        request: &Request<'_>,
        header: &Header,
        ring: &Place,
    ) -> Option<Arc<Self>> {
        // The working directory may be another one when they are looked for.
        Self::of(request, header, || {
            let place = named::place_of(ring, header.nonce).absolute();
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            // Opened now: another root directory may not lead there any more.
            let directory = open(place.directory(), flags, Mode::empty()).ok();
            Home::Beside { place, directory }
        })
    }

    /// Those of the ring in the System V segment `id`, if it has such.
    pub(super) fn listed(
        request: &Request<'_>,
        header: &Header,
        ring: &Arc<Map>,
        id: i32,
    ) -> Option<Arc<Self>> {
        Self::of(request, header, || Home::Listed {
            ring: Arc::clone(ring),
            id,
            table: sysv::table(header),
        })
    }

    fn of(
        request: &Request<'_>,
        header: &Header,
        home: impl FnOnce() -> Home,
    ) -> Option<Arc<Self>> {
        let slabs = *header.geometry.slabs();
        header.geometry.has_slab_segments().then(|| {
            Arc::new(Self {
                slabs,
                nonce: header.nonce,
                home: home(),
                options: MapOptions {
                    any_owner: request.any_owner,
                    prefault: request.prefault,
                    lock_memory: request.lock_memory,
                },
                mappings: (0..slabs.count()).map(|_| OnceLock::new()).collect(),
            })
        })
    }

    #[cold]
    fn map(&self, index: u32) -> Result<Mapping, Error> {
        let address = match &self.home {
            Home::Beside { place, .. } => place.address(),
            Home::Listed { id, .. } => sysv::address(*id),
        };
        let attempt = Attempt {
            action: "map a slab of",
            address: &address,
        };
        let place = self.slabs.place(index);
        let wanted = Identity {
            nonce: self.nonce,
            index,
            len: place.map_or(0, |place| place.len),
            ring: match &self.home {
                Home::Beside { .. } => None,
                Home::Listed { id, .. } => Some(*id),
            },
        };
        let mapping = match &self.home {
            Home::Beside { place, directory } => {
                let directory = directory.as_ref().map(|directory| directory.as_fd());
                named::map(attempt, place, directory, &wanted, self.options)
            }
            Home::Listed { ring, table, .. } => {
                sysv::map(attempt, ring, *table, &wanted, self.options)
            }
        }?;
        if self.options.prefault {
            pages::populate(attempt, wanted.len, || mapping.populate(wanted.len))?;
        }
        if self.options.lock_memory {
            let failed = |errno| pages::locking_failed(attempt, wanted.len, errno);
            mapping.lock(wanted.len).map_err(failed)?;
        }
        Ok(mapping)
    }
}

// SAFETY: `bytes` points into a mapping of `mappings` and checks the length against the slab's, which is mapped whole;
// no mapping goes before the `SlabSegments` does.
unsafe impl SlabMemory for SlabSegments {
    fn reach(&self, at: u64) -> Result<(), Unreachable> {
        let (index, _) = self.slabs.slab_at(at).ok_or(Unreachable::Corrupt)?;
        let cell = self.mappings.get(index as usize);
        let cell = cell.ok_or(Unreachable::Corrupt)?;
        if cell.get().is_none() {
            // If another thread is faster, its mapping stays, and this one goes.
            let _ = cell.set(self.map(index).map_err(Unreachable::from)?);
        }
        Ok(())
    }

    fn bytes(&self, at: u64, len: usize) -> Option<*mut u8> {
        let (index, slab) = self.slabs.slab_at(at)?;
        let mapping = self.mappings.get(index as usize)?.get()?;
        let fits = at.checked_add(len as u64)? <= slab.end;
        debug_assert!(fits, "{len} bytes at {at} of the slabs");
        fits.then(|| mapping.pointer((at - slab.start) as usize))?
    }
}

impl MapOptions {
    /// Refuses what belongs to neither this process's user nor root, unless that was allowed.
    fn check_owner(self, attempt: Attempt<'_>, owner: u32) -> Result<(), Error> {
        let request = Request {
            any_owner: self.any_owner,
            ..Request::new(attempt.address)
        };
        check_owner(attempt, &request, owner)
    }
}

impl From<Error> for Unreachable {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotARing
            | ErrorKind::Corrupt
            | ErrorKind::Truncated
            | ErrorKind::ForeignOwner => Self::Corrupt,
            _ => Self::Os(error.errno().unwrap_or(Errno::EIO as i32)),
        }
    }
}

/// Something else is there in place of a slab.
fn not_the_slab(attempt: Attempt<'_>, problem: &str) -> Error {
    attempt
        .error(ErrorKind::Corrupt, problem)
        .remedy(attempt.anew())
}
