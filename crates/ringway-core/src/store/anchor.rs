//! Whether a ring's address still leads to it, and whether anybody may still attach.
//!
//! Who waits in a ring where nobody else is attached waits for somebody to come. Nobody comes any more when
//!
//! 1. the *name is gone*: the file has no link left (a ring that was renamed has one), the System V segment is marked for
//!    removal; and after that
//! 2. nobody else has *entry*: no other process has the ring open without having given up attaching.
//!
//! Then the ring is *forsaken*. Both are the kernel's proofs, no time decides:
//!
//! | | the name is gone | entry of others |
//! |---|---|---|
//! | `shm:`, `file:` | `fstat` of the descriptor that is kept from the opening on | a lock on a byte of the file ([`lock::Entry`](super::lock::Entry)), from the opening until the last clone of the `Ring` is dropped or has given it up |
//! | `sysv:` | `IPC_STAT`: marked for removal | it is attached more than once. Nothing tells who may still attach in a role from who has one, so that two who wait see each other, and go on waiting |
//! | `memfd:` | never: it has no name | |
//!
//! An opener on its way is no exception. It takes its lock (the kernel counts its attachment) and *then* looks whether the ring
//! has its name; if not, it has found nothing. So one that does so after 1 was seen does not get in, and one that did so
//! before is seen by 2. Who has given its entry up ([`Ring::attach_no_more`](crate::Ring::attach_no_more)) and attaches
//! after all comes the same way.
//!
//! | an opener with entry | then |
//! |---|---|
//! | dies | the kernel drops its lock, unless a child of `fork` has the ring mapped: then until that one ends too |
//! | is stopped | it may attach when it goes on; who waits waits |
//!
//! Clones of the own `Ring` do not count: what the process itself may still do, it knows, and nobody else tells it that
//! the name is gone. The answer changes nothing in the ring, and the call can be made again.
//!
//! Who sleeps is not woken by a removal, which anybody's `unlink` may be, nor when somebody gives up attaching. It looks
//! itself: before it falls asleep, and then every [`INTERVAL`](crate::waiting::INTERVAL), and only while no peer is attached.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::memory::region::RingName;
use crate::sys::fork::Origin;
use crate::sys::shmget;

use super::{lock, namespace};
use crate::error::Attempt;

/// By what the kernel is asked for a ring's name.
#[derive(Debug)]
pub(crate) struct Anchor {
    address: Address,
    /// Who opened the ring.
    origin: Origin,
    by: By,
    /// How many [`Entry`]s there are: they share one lock, which is not counted.
    entries: Mutex<u32>,
}

#[derive(Debug)]
enum By {
    /// The open file that has the locks.
    File(OwnedFd),
    Sysv {
        id: i32,
        /// The IPC namespace in which the id stands for the segment.
        namespace: u64,
    },
}

impl Anchor {
    /// Of a ring in a file, whose locks `file` has.
    pub(super) fn of_file(address: &Address, origin: Origin, file: OwnedFd) -> Arc<Self> {
        Self::new(address, origin, By::File(file))
    }

    /// Of a ring in a System V segment that is attached.
    pub(super) fn of_sysv(address: &Address, origin: Origin, id: i32) -> Arc<Self> {
        let namespace = namespace::ipc();
        Self::new(address, origin, By::Sysv { id, namespace })
    }

    fn new(address: &Address, origin: Origin, by: By) -> Arc<Self> {
        let address = address.clone();
        Arc::new(Self {
            address,
            origin,
            by,
            entries: Mutex::new(0),
        })
    }

    fn others_have_entry(&self) -> bool {
        match &self.by {
            By::File(file) => lock::Entry::is_others(file.as_fd()),
            // Once by this process.
            By::Sysv { id, .. } => shmget::status(*id).map_or(true, |status| status.attached > 1),
        }
    }
}

impl RingName for Anchor {
    fn is_removed(&self) -> Result<bool, Error> {
        let attempt = Attempt::to("inspect", &self.address);
        match &self.by {
            By::File(file) => fstat(file)
                .map(|stat| stat.st_nlink == 0)
                .map_err(|errno| attempt.os("fstat cannot inspect it", errno)),
            By::Sysv { namespace, .. } if *namespace != namespace::ipc() => Err(attempt
                .error(
                    ErrorKind::Unsupported,
                    "this process has entered another IPC namespace since it opened the ring",
                )
                .remedy("ask in the namespace of the ring")),
            By::Sysv { id, .. } => shmget::status(*id)
                .map(|status| status.removed)
                .map_err(|errno| attempt.os("shmctl cannot inspect it", errno)),
        }
    }

    fn is_forsaken(&self) -> bool {
        // In this order, see above.
        self.is_removed().is_ok_and(|removed| removed) && !self.others_have_entry()
    }
}

/// That this process may still attach to the ring in a role, until dropped.
#[derive(Debug)]
pub(crate) struct Entry(Arc<Anchor>);

impl Entry {
    /// Says so, of a ring that was opened with entry or has one.
    pub(crate) fn new(anchor: &Arc<Anchor>) -> Self {
        let mut entries = anchor
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *entries += 1;
        if let By::File(file) = &anchor.by {
            lock::Entry::hold(file.as_fd());
        }
        Self(Arc::clone(anchor))
    }

    /// Takes it anew, if the ring still has its name.
    pub(crate) fn again(anchor: &Arc<Anchor>) -> Result<Self, Error> {
        let entry = Self::new(anchor);
        // Behind the lock, as every opener does.
        match anchor.is_removed()? {
            false => Ok(entry),
            true => Err(Attempt::to("attach to", &anchor.address).not_found(Errno::ENOENT)),
        }
    }
}

impl Drop for Entry {
    /// Not in a child of `fork`, which shares the open file with its parent.
    fn drop(&mut self) {
        // First: the child may have inherited the mutex locked.
        if self.0.origin.is_forked() {
            return;
        }
        let mut entries = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *entries -= 1;
        if let (0, By::File(file)) = (*entries, &self.0.by) {
            lock::Entry::give_up(file.as_fd());
        }
    }
}
