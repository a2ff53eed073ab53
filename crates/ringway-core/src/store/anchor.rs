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
//! | `sysv:` | `IPC_STAT`: marked for removal | it is attached more often than there are openings of which a participant says, in its slot, that they have no entry |
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
//! *How openings of a `sysv:` ring say so.* The kernel counts attachments, one for each opening, and does not tell who may still
//! attach in a role from who only has one. So all slots of an opening without entry bear its number (`NO_ENTRY`), which goes
//! before entry is taken anew. Who waits sees that the name is gone, then reads the kernel's count, and then counts the
//! numbers in slots whose holders live. Openings become fewer once the name is gone, entry cannot be had again, and
//! the kernel marks the dead before it detaches their memory. So each of these openings was one of the attachments that
//! the kernel had counted; and if they were all, nobody else was there. What a slot says that was left, or whose
//! holder died or is about to come, does not count: then one more look is needed.
//!
//! Clones of the own `Ring` do not count: what the process itself may still do, it knows, and nobody else tells it that
//! the name is gone. The answer changes nothing in the ring, and the call can be made again.
//!
//! Who sleeps is not woken by a removal, which anybody's `unlink` may be, nor when somebody gives up attaching. It looks
//! itself: before it falls asleep, and then every [`INTERVAL`](crate::waiting::options::INTERVAL), and only while no peer is attached.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::participant::{FILLED_FOR, LIVENESS, NO_ENTRY, slot_offset};
use crate::memory::map::Map;
use crate::memory::region::RingName;
use crate::presence::Liveness;
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
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many [`Entry`]s there are: they share one lock, which is not counted.
    entries: u32,
    /// Of a `sysv:` ring: the slots of those who attached by this opening.
    slots: Vec<u32>,
    /// The opening's number: the id of the first of them.
    number: u64,
}

#[derive(Debug)]
enum By {
    /// The open file that has the locks.
    File(OwnedFd),
    Sysv {
        id: i32,
        /// The IPC namespace in which the id stands for the segment.
        namespace: u64,
        /// Where participants say what they can.
        map: Arc<Map>,
        /// How many slots they have.
        slots: u32,
    },
}

impl Anchor {
    /// Of a ring in a file, whose locks `file` has.
    pub(super) fn of_file(address: &Address, origin: Origin, file: OwnedFd) -> Arc<Self> {
        Self::new(address, origin, By::File(file))
    }

    /// Of a ring in a System V segment that is attached.
    pub(super) fn of_sysv(address: &Address, map: &Arc<Map>, slots: u32, id: i32) -> Arc<Self> {
        let by = By::Sysv {
            id,
            namespace: namespace::ipc(),
            map: Arc::clone(map),
            slots,
        };
        Self::new(address, map.origin(), by)
    }

    fn new(address: &Address, origin: Origin, by: By) -> Arc<Self> {
        let address = address.clone();
        Arc::new(Self {
            address,
            origin,
            by,
            state: Mutex::default(),
        })
    }

    fn others_have_entry(&self) -> bool {
        match &self.by {
            By::File(file) => lock::Entry::is_others(file.as_fd()),
            By::Sysv { id, map, slots, .. } => {
                let Ok(status) = shmget::status(*id) else {
                    return true;
                };
                let own = self.state().number;
                let without = (0..*slots).filter_map(|slot| without_entry(map, slot));
                let others: HashSet<u64> = without.filter(|&number| number != own).collect();
                // Once by this process.
                status.attached > 1 + others.len() as u64
            }
        }
    }

    /// Has the slots say whether this opening has entry.
    fn say(&self, state: &State) {
        let By::Sysv { map, .. } = &self.by else {
            return;
        };
        let number = match state.entries {
            0 => state.number,
            _ => 0,
        };
        for &slot in &state.slots {
            if let Some(word) = map.word64(slot_offset(slot) + NO_ENTRY) {
                // Release pairs with the acquire in `without_entry`. That who takes entry anew has said so before it
                // looks for the name, the kernel's lock of the segment sees to, which both system calls take.
                word.store(number, Ordering::Release);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The number of the opening of the holder of a slot, if it lives and that has no entry.
fn without_entry(map: &Map, slot: u32) -> Option<u64> {
    // Acquire pairs with the release in `open` of a participant, by which the fields belong to this word, and with that
    // in `say`.
    let load32 = |offset| {
        Some(
            map.word32(slot_offset(slot) + offset)?
                .load(Ordering::Acquire),
        )
    };
    let (held, filled) = (load32(LIVENESS)?, load32(FILLED_FOR)?);
    let number = map.word64(slot_offset(slot) + NO_ENTRY)?;
    let number = number.load(Ordering::Acquire);
    let is_there = Liveness::of(held) == Liveness::Alive && filled == held;
    (is_there && number != 0).then_some(number)
}

/// That a participant is in a slot by an opening, until dropped, which must be before it leaves.
#[derive(Debug)]
pub(crate) struct Attached {
    anchor: Arc<Anchor>,
    slot: u32,
}

impl Attached {
    /// Of the participant with this `id`, which no other ever has.
    pub(crate) fn new(anchor: &Arc<Anchor>, slot: u32, id: u64) -> Self {
        let mut state = anchor.state();
        state.slots.push(slot);
        if state.number == 0 {
            state.number = id;
        }
        anchor.say(&state);
        drop(state);
        let anchor = Arc::clone(anchor);
        Self { anchor, slot }
    }
}

impl Drop for Attached {
    /// As [`Entry`]'s.
    fn drop(&mut self) {
        if self.anchor.origin.is_forked() {
            return;
        }
        self.anchor.state().slots.retain(|&slot| slot != self.slot);
    }
}

/// That this process may still attach to the ring in a role, until dropped.
#[derive(Debug)]
pub(crate) struct Entry(Arc<Anchor>);

impl Entry {
    /// Says so, of a ring that was opened with entry or has one.
    pub(crate) fn new(anchor: &Arc<Anchor>) -> Self {
        let mut state = anchor.state();
        state.entries += 1;
        match &anchor.by {
            By::File(file) => lock::Entry::hold(file.as_fd()),
            By::Sysv { .. } => anchor.say(&state),
        }
        drop(state);
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
        let mut state = self.0.state();
        state.entries -= 1;
        match (state.entries, &self.0.by) {
            (0, By::File(file)) => lock::Entry::give_up(file.as_fd()),
            (0, By::Sysv { .. }) => self.0.say(&state),
            _ => {}
        }
    }
}
