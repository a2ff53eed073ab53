//! A System V segment that is attached, and the creation lock in it.

use super::ids::{foreign, half_made, is_half_made};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use super::anchor::Anchor;
use super::header::discard;
use super::header::magic;
use super::header::new_header;
use super::header::publish_magic;
use super::header::write_header;
use super::pages::populate;
use super::pages::settle_pages;
use super::request::Plan;
use super::request::Request;
use super::segment::Segment;
use super::slabs::{self, SlabSegments};
use super::{boot_id, space};
use crate::address::{Address, SysvKey};
use crate::error::Attempt;
use crate::error::Error;
use crate::memory::layout::control::CONTROL_OFFSET;
use crate::memory::layout::header::{CREATION_LOCK_OFFSET, HEADER_LEN, Header, MAGIC_OFFSET};
use crate::memory::layout::message_type;
use crate::memory::map::{Map, Source};
use crate::presence::keeper::{self, Refusal};
use crate::presence::participant::unsettled;
use crate::presence::{self, Liveness};
use crate::sys::deadline::Deadline;
use crate::sys::owner::Access;
use crate::sys::{futex, page_size, shmget};
use crate::waiting::sync;
use crate::waiting::sync::semaphore_set::Home;

/// How long who waits for nothing waits all the same for a creator that is alive to finish. What is not finished then
/// stays what it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for one that may be on its way to the lock.
const GRACE: Duration = Duration::from_millis(200);

/// A segment that is attached; finished, half-made or foreign.
pub(super) struct Attached {
    pub(super) id: i32,
    pub(super) status: shmget::Status,
    pub(super) map: Arc<Map>,
}

impl Attached {
    /// Attaches segment `id`, if it can be a ring by its length.
    pub(super) fn new(
        attempt: Attempt<'_>,
        id: i32,
        status: shmget::Status,
    ) -> Result<Self, Error> {
        if status.len < HEADER_LEN {
            return Err(foreign(attempt, "it is too short for a ring"));
        }
        let map = attach(id, status.len).map_err(|errno| match errno {
            // Removed since.
            Errno::EIDRM | Errno::EINVAL => attempt.not_found(errno),
            errno => attempt.os("shmat cannot attach it", errno),
        })?;
        Ok(Self {
            id,
            status,
            map: Arc::new(map),
        })
    }

    fn lock_word(&self) -> Option<&AtomicU32> {
        self.map.word32(CREATION_LOCK_OFFSET)
    }

    /// Whether this is a ring on its way. `status` was asked for before the magic is read, and the odd
    /// bit goes only when the magic is there.
    pub(super) fn is_half_made(&self) -> bool {
        is_half_made(&self.status, magic(&self.map))
    }

    /// Whether somebody alive has the creation lock.
    pub(super) fn is_being_made(&self) -> bool {
        // Acquire pairs with the release of a creator that leaves.
        self.lock_word()
            .is_some_and(|lock| Liveness::of(lock.load(Ordering::Acquire)) == Liveness::Alive)
    }

    fn is_removed(&self) -> bool {
        shmget::status(self.id).is_ok_and(|status| status.removed)
    }

    /// Waits until the segment is finished, or nobody is at it any more, or the wait is over.
    pub(super) fn wait(&self, attempt: Attempt<'_>, wait: Option<Duration>) -> Result<(), Error> {
        let (Some(lock), Some(magic_half)) = (self.lock_word(), self.map.word32(MAGIC_OFFSET))
        else {
            return Err(foreign(attempt, "it is too short for a ring"));
        };
        let [patience, grace] = match wait {
            Some(wait) => [wait, wait],
            None => [PATIENCE, GRACE],
        }
        .map(Deadline::after);
        let mut before = None;
        loop {
            // Acquire: pairs with the release of the lock by a creator that gave up or was done.
            let word = lock.load(Ordering::Acquire);
            if magic(&self.map) != 0 {
                return Ok(());
            }
            let life = Liveness::of(word);
            let (deadline, dead) = match life {
                Liveness::Alive => (patience, false),
                Liveness::Absent => (grace, false),
                Liveness::Dead => (patience, wait.is_none()),
            };
            if life == Liveness::Dead && before.is_some_and(|before| before != word) {
                // The kernel woke one.
                futex::wake_all(lock);
            }
            if self.is_removed() {
                return Err(attempt.not_found(Errno::EIDRM));
            }
            if dead || deadline.remaining().is_none() {
                return Err(match wait {
                    Some(_) => timed_out(attempt, &self.status),
                    None => half_made(attempt, &self.status, life),
                });
            }
            before = Some(word);
            // The creator wakes the word when it takes the lock and when it leaves it. The magic is
            // named so that a lock that is taken and left in between is no reason to sleep.
            futex::wait(
                [(lock, word), (magic_half, 0)].into_iter(),
                deadline.monotonic(),
            );
        }
    }

    /// Takes the lock and removes the segment, if it is still half-made; else `None`.
    pub(super) fn remove_half_made(&self, attempt: Attempt<'_>) -> Result<Option<()>, Error> {
        let Some((claim, _)) = self.take_lock(attempt)? else {
            return Ok(None);
        };
        let result = match magic(&self.map) == 0 && !self.is_removed() {
            true => {
                self.discard();
                shmget::remove(self.id)
                    .map(Some)
                    .map_err(|errno| attempt.os("shmctl cannot remove it", errno))
            }
            false => Ok(None),
        };
        drop(claim);
        result
    }

    /// Takes the creation lock if nobody alive has it, and says who had it before; `None` if somebody has.
    fn take_lock(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<Option<(keeper::CreationLock, Liveness)>, Error> {
        let Some(lock) = self.lock_word() else {
            return Ok(None);
        };
        let word = lock.load(Ordering::Acquire);
        if Liveness::of(word) == Liveness::Alive {
            return Ok(None);
        }
        let claim = match keeper::take_creation_lock(&self.map, word) {
            Ok(claim) => claim,
            Err(Refusal::Changed(_)) => return Ok(None),
            Err(refusal) => return Err(refusal.explain(attempt)),
        };
        // Those who wait see that somebody is at it.
        futex::wake_all(lock);
        let last = Liveness::of(word);
        // The dead creator must write no more.
        if last == Liveness::Dead && !presence::settle() {
            return Err(unsettled(attempt));
        }
        Ok(Some((claim, last)))
    }

    /// Makes the ring in this segment, under the creation lock. `None`: somebody else has finished or
    /// removed it, or it was of no use and is removed; look again.
    pub(super) fn finish(
        &self,
        attempt: Attempt<'_>,
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<Option<Segment>, Error> {
        let Some((claim, last)) = self.take_lock(attempt)? else {
            return Ok(None);
        };
        if magic(&self.map) != 0 || self.is_removed() {
            return Ok(None);
        }
        if !self.is_vacant(plan) {
            return Err(foreign(attempt, "it is in use by something else"));
        }
        // Of a creator that died.
        self.discard();
        let made = match self.status.len as u64 == plan.geometry.total_len() {
            true => self
                .clear_after(last, plan)
                .make(attempt, request, plan)
                .map(Some),
            // Made for a ring of another size.
            false => Ok(None),
        };
        if !matches!(made, Ok(Some(_))) {
            // Under the lock: nobody has begun to use it.
            self.discard();
            let _ = shmget::remove(self.id);
        }
        drop(claim);
        made
    }

    /// Removes what lies beside the unfinished ring.
    fn discard(&self) {
        slabs::sysv::discard(&self.map, self.id);
        discard(&self.map);
    }

    /// Makes the data as empty as new memory is, if the last to have the lock died: that one may have made the
    /// cells of another kind of ring there.
    fn clear_after(&self, last: Liveness, plan: &Plan) -> &Self {
        if last == Liveness::Dead {
            let start = plan.geometry.data_offset() as usize;
            for word in (start..self.map.len())
                .step_by(8)
                .filter_map(|at| self.map.word64(at))
            {
                // Relaxed: made visible by the release of the magic.
                word.store(0, Ordering::Relaxed);
            }
        }
        self
    }

    fn make(
        &self,
        attempt: Attempt<'_>,
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<Segment, Error> {
        // The kernel has promised the pages by its accounts only; a lack of them must show here.
        populate(attempt, self.map.len() as u64, || self.map.populate())?;
        settle_pages(attempt, request, &self.map)?;
        let header = new_header(attempt, plan, boot_id::NONE)?;
        let failed = |errno| attempt.os("shmctl cannot finish it", errno);
        write_header(&self.map, &header, plan).map_err(failed)?;
        slabs::sysv::make(attempt, request, &self.map, self.id, &header)?;
        let access = Access {
            mode: request.mode & 0o666,
            uid: self.status.owner_uid,
            gid: self.status.owner_gid,
        };
        let home = Home::Sysv { id: self.id };
        sync::create(attempt, &self.map, &header, access, home)?;
        publish_magic(&self.map)
            .and_then(|()| shmget::set_mode(self.id, access.mode))
            .map_err(failed)?;
        Ok(self.segment(request, header))
    }

    /// Whether nothing but what a creator writes before the magic lies in front of the data.
    fn is_vacant(&self, plan: &Plan) -> bool {
        let end = (plan.geometry.data_offset() as usize).min(self.map.len() & !7);
        let is_zero = |at| {
            let word = self.map.word64(at);
            word.is_none_or(|word| word.load(Ordering::Relaxed) == 0)
        };
        (CONTROL_OFFSET..end).step_by(8).all(|at| {
            let is_early = sync::is_initialised_early(at);
            is_early || message_type::offsets().any(|of_type| of_type == at) || is_zero(at)
        })
    }

    pub(super) fn segment(&self, request: &Request<'_>, header: Header) -> Segment {
        let address = match request.address {
            Address::Sysv(SysvKey::Private) => Address::Sysv(SysvKey::Id(self.id)),
            address => address.clone(),
        };
        let participants = header.geometry.participants();
        Segment {
            anchor: Some(Anchor::of_sysv(&address, &self.map, participants, self.id)),
            slabs: SlabSegments::listed(request, &header, &self.map, self.id),
            map: Arc::clone(&self.map),
            header,
            address,
            file: None,
            access: Access::of_sysv(&self.status),
            memories: None,
        }
    }
}

fn timed_out(attempt: Attempt<'_>, status: &shmget::Status) -> Error {
    attempt.timed_out(format!(
        "process {} has not finished making it",
        status.creator_pid
    ))
}

/// The kernel does not tell whether a segment has huge pages; it refuses an address that does not
/// suit them.
fn attach(id: i32, len: usize) -> Result<Map, Errno> {
    match Map::new(Source::Sysv(id), len, page_size()) {
        Err(Errno::EINVAL) => match space::huge_page_size().map(usize::try_from) {
            Some(Ok(huge_page)) => Map::new(Source::Sysv(id), len, huge_page),
            _ => Err(Errno::EINVAL),
        },
        result => result,
    }
}
