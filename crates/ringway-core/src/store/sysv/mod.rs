//! `sysv:`: System V segments.
//!
//! The kernel shows a segment under its key from the moment it exists, so it can be found half-made.
//! Two things tell that apart from a ring and from what others made:
//!
//! - While it is being made, its mode carries an odd bit ([`attached`]), set by the very call that
//!   makes it and cleared behind the magic.
//! - Initialising, and removing what is half-made, is done under the *creation lock*, a liveness word
//!   in the header. Whoever has it checks again that the magic is 0 and the segment not removed.
//!
//! | a creator dies | it leaves | who comes next |
//! |---|---|---|
//! | before it has the lock | zeroes, the odd bit | takes the lock from 0; a creator that was only slow makes another segment |
//! | holding the lock | perhaps a header, OWNER_DIED | takes the lock from OWNER_DIED, clears the data, and writes all anew |
//! | behind the magic | a finished ring, perhaps with the odd bit | opens it |

mod attached;

use std::path::Path;

use nix::errno::Errno;

use crate::address::{Address, SysvKey};
use crate::error::{Bytes, Error, ErrorKind};
use crate::escape::Name;
use crate::memory::layout::header::{Header, HeaderError};
use crate::presence::Liveness;
use crate::presence::keeper::{self, Refusal};
use crate::presence::retire;
use crate::sys::{ftok, page_size, shmget};
use crate::waiting::sync;

use super::{
    Plan, ROUNDS, Request, Segment, check_owner, header_bytes, removal, renewal, settle_pages,
    space, trust, unsupported_by_name, watch,
};
use crate::error::Attempt;
use crate::sys::deadline::Deadline;
use crate::sys::owner::Access;

#[cfg(test)]
pub(super) use attached::HALF_MADE;
pub(super) use attached::{Attached, half_made, is_half_made};

pub(super) fn create(request: &Request<'_>, key: &SysvKey, plan: &Plan) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    let key = match key {
        SysvKey::Id(_) => {
            return Err(attempt
                .error(ErrorKind::Unsupported, "the kernel gives out the ids")
                .remedy("create sysv:private, sysv:0xKEY or sysv:PATH#ID"));
        }
        SysvKey::Private => libc::IPC_PRIVATE,
        SysvKey::Key(key) => *key as libc::key_t,
        SysvKey::Ftok { path, id } => ftok_key(attempt, path, *id)?,
    };
    check_stays(attempt)?;
    // What it takes to hold the lock, before anything is made.
    keeper::abilities().map_err(|errno| Refusal::Os(errno).explain(attempt))?;
    for _ in 0..ROUNDS {
        let id = make_id(attempt, request, key, plan.geometry.total_len())?;
        let result = status(attempt, id)
            .and_then(|status| Attached::new(attempt, id, status))
            .and_then(|attached| attached.finish(attempt, request, plan));
        match result {
            Ok(Some(segment)) => return Ok(segment),
            // Somebody took it for a dead creator's, in the moments before this one had the lock.
            Ok(None) if is_gone(id) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Another creator was at the lock before us, and is the one that made it.
            Ok(None) => return Err(attempt.already_exists(Errno::EEXIST)),
            Err(error) => {
                // Not if another has taken it over in the meantime.
                if shmget::status(id).is_ok_and(|status| status.attached == 0) {
                    let _ = shmget::remove(id);
                }
                return Err(error);
            }
        }
    }
    Err(attempt.timed_out("another process keeps removing it"))
}

/// Whether the kernel removes every segment of this IPC namespace that nobody has attached.
pub(super) fn is_removed_when_left() -> bool {
    sysctl("shm_rmid_forced") == Some(1)
}

/// Refuses a segment that would not outlive those who have it attached: messages would be lost with the last one.
fn check_stays(attempt: Attempt<'_>) -> Result<(), Error> {
    match is_removed_when_left() {
        false => Ok(()),
        true => Err(attempt
            .error(
                ErrorKind::Unsupported,
                "kernel.shm_rmid_forced is 1: the kernel would remove it, with its messages, as soon as nobody has it \
                 attached",
            )
            .remedy("sysctl kernel.shm_rmid_forced=0, or use shm: or file:")),
    }
}

/// Whether a segment is removed.
pub(super) fn is_gone(id: i32) -> bool {
    shmget::status(id).map_or(true, |status| status.removed)
}

fn make_id(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    key: libc::key_t,
    len: u64,
) -> Result<i32, Error> {
    // A name that is taken is the better answer where there is no room either.
    let taken = key != libc::IPC_PRIVATE && shmget::get(key, 0, 0).is_ok();
    if !taken && !request.huge_pages {
        space::check_memory(attempt, len)?;
    }
    new_id(attempt, request, key, len, attached::HALF_MADE)
}

/// Makes a segment, with `mark` among its permission bits.
pub(super) fn new_id(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    key: libc::key_t,
    len: u64,
    mark: u32,
) -> Result<i32, Error> {
    let bytes = usize::try_from(len).map_err(|_| attempt.os("it is too long", Errno::EOVERFLOW))?;
    let mode = (request.mode & 0o666 | 0o600 | mark) as libc::c_int;
    let mut flags = libc::IPC_CREAT | libc::IPC_EXCL | mode;
    if request.huge_pages {
        flags |= libc::SHM_HUGETLB;
    }
    shmget::get(key, bytes, flags).map_err(|errno| match errno {
        Errno::EEXIST => attempt.already_exists(errno),
        Errno::ENOMEM | Errno::EINVAL if request.huge_pages => {
            space::no_huge_pages(attempt, len, Some(errno))
        }
        Errno::EPERM if request.huge_pages => attempt
            .error(
                ErrorKind::PermissionDenied,
                "this user may not take huge pages for System V segments",
            )
            .remedy("sysctl vm.hugetlb_shm_group=GID, or run with CAP_IPC_LOCK")
            .because(errno),
        Errno::EINVAL => attempt
            .error(
                ErrorKind::InvalidCapacity,
                format!(
                    "the ring needs {}, and a segment may have {} (shmmax)",
                    Bytes(len),
                    Bytes(sysctl("shmmax").unwrap_or(0))
                ),
            )
            .remedy(format!(
                "sysctl kernel.shmmax={len}, or choose a smaller capacity"
            ))
            .because(errno),
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "the machine has its {} segments (shmmni), or they have {} in all (shmall)",
                    sysctl("shmmni").unwrap_or(0),
                    Bytes(
                        sysctl("shmall")
                            .unwrap_or(0)
                            .saturating_mul(page_size() as u64)
                    )
                ),
            )
            .remedy("remove segments (ipcs -m, ringway gc) or raise kernel.shmmni or kernel.shmall")
            .because(errno),
        errno => attempt.os("shmget made no segment", errno),
    })
}

fn sysctl(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    text.trim().parse().ok()
}

pub(super) fn open(request: &Request<'_>, key: &SysvKey) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "open",
        address: request.address,
    };
    let Some(wait) = request.wait else {
        return open_now(attempt, request, key, None);
    };
    let deadline = Deadline::after(wait);
    loop {
        match open_now(attempt, request, key, Some(deadline)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        if deadline.remaining().is_none() {
            return Err(attempt.timed_out("it has not appeared"));
        }
        // The kernel tells nobody that a segment was made.
        watch::pause(deadline);
    }
}

fn open_now(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    key: &SysvKey,
    deadline: Option<Deadline>,
) -> Result<Segment, Error> {
    for look in 0..renewal::LOOKS {
        renewal::pause(look);
        if let Some(segment) = try_open(attempt, request, key, deadline)? {
            return Ok(segment);
        }
    }
    Err(renewal::lost(attempt))
}

/// Opens it; `None` if its semaphore set is gone and others have it attached.
fn try_open(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    key: &SysvKey,
    deadline: Option<Deadline>,
) -> Result<Option<Segment>, Error> {
    // Before it is attached, for with who leaves it last it would go.
    let id = find(attempt, key)?;
    status(attempt, id)?;
    check_stays(attempt)?;
    let attached = find_attached(attempt, request, key)?;
    if attached.is_half_made() {
        let left = deadline.map(|deadline| deadline.remaining().unwrap_or_default());
        attached.wait(attempt, left)?;
    }
    let len = attached.map.len() as u64;
    let bytes = header_bytes(&attached.map)
        .ok_or_else(|| foreign(attempt, "it is too short for a ring"))?;
    let mut header = Header::decode(&bytes, len).map_err(|error| match error {
        HeaderError::Magic => foreign(attempt, "what is there is not a ringway segment"),
        error => error.explain(attempt, len),
    })?;
    let status = &attached.status;
    let owners = [status.owner_uid, status.creator_uid];
    trust::check(attempt, request, header.sync, &owners, status.mode)?;
    if retire::admit(&attached.map).is_err() {
        return Err(finish_removal(attempt, &attached));
    }
    if !renewal::admit_to_sysv(attempt, &attached.map, &mut header, attached.id)? {
        return Ok(None);
    }
    sync::follow(&attached.map, &header, Access::of_sysv(&attached.status));
    settle_pages(attempt, request, &attached.map)?;
    // Removed since it was found: who waits in it may count on nobody (`anchor`).
    self::status(attempt, id)?;
    Ok(Some(attached.segment(request, header)))
}

/// Removes a retired ring, which its collector did not come to; the error is what there is to open then.
fn finish_removal(attempt: Attempt<'_>, attached: &Attached) -> Error {
    let remove = Attempt {
        action: "remove",
        ..attempt
    };
    let status = &attached.status;
    let removed = removal::check_is_ours(remove, &[status.owner_uid, status.creator_uid])
        .and_then(|()| removal::remove_finished(remove, attached.id, status.len));
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => error,
        Ok(()) | Err(_) => attempt.not_found(Errno::EIDRM),
    }
}

/// Finishes the half-made segment under `key`. [`ErrorKind::AlreadyExists`]: look again.
/// [`ErrorKind::HalfMade`]: somebody alive is at it.
pub(super) fn complete(
    request: &Request<'_>,
    key: &SysvKey,
    plan: &Plan,
) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    check_stays(attempt)?;
    let look_again = || attempt.already_exists(Errno::EEXIST);
    let attached = match find_attached(attempt, request, key) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(look_again()),
        result => result?,
    };
    if !attached.is_half_made() {
        return Err(look_again());
    }
    if attached.is_being_made() {
        return Err(half_made(attempt, &attached.status, Liveness::Alive));
    }
    attached
        .finish(attempt, request, plan)?
        .ok_or_else(look_again)
}

fn find_attached(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    key: &SysvKey,
) -> Result<Attached, Error> {
    let id = find(attempt, key)?;
    let status = status(attempt, id)?;
    check_owner(attempt, request, status.creator_uid)?;
    check_owner(attempt, request, status.owner_uid)?;
    Attached::new(attempt, id, status)
}

/// The id of what is under a key.
pub(super) fn find(attempt: Attempt<'_>, key: &SysvKey) -> Result<i32, Error> {
    let key = match key {
        SysvKey::Id(id) => return Ok(*id),
        SysvKey::Private => return Err(unsupported_by_name(attempt.action, attempt.address)),
        SysvKey::Key(key) => *key as libc::key_t,
        SysvKey::Ftok { path, id } => ftok_key(attempt, path, *id)?,
    };
    shmget::get(key, 0, 0).map_err(|errno| match errno {
        Errno::ENOENT => attempt.not_found(errno),
        errno => attempt.os("the key cannot be looked up", errno),
    })
}

/// Who may use the segment.
pub(super) fn access(attempt: Attempt<'_>, key: &SysvKey) -> Result<Access, Error> {
    let status = status(attempt, find(attempt, key)?)?;
    Ok(Access::of_sysv(&status))
}

fn ftok_key(attempt: Attempt<'_>, path: &Path, id: u8) -> Result<libc::key_t, Error> {
    let key = ftok::key(path, id).map_err(|errno| {
        let problem = format!("ftok finds no file {} to make the key of", Name::of(path));
        attempt
            .error(ErrorKind::InvalidAddress, problem)
            .remedy("name a file that exists and stays, or write sysv:0xKEY")
            .because(errno)
    })?;
    Ok(key as libc::key_t)
}

pub(super) fn status(attempt: Attempt<'_>, id: i32) -> Result<shmget::Status, Error> {
    match shmget::status(id) {
        Ok(status) if status.removed => Err(attempt.not_found(Errno::EIDRM)),
        Ok(status) => Ok(status),
        Err(errno @ (Errno::EINVAL | Errno::EIDRM)) => Err(attempt.not_found(errno)),
        Err(errno) => Err(attempt.os("shmctl cannot inspect it", errno)),
    }
}

/// Not ours. Keys are numbers without an owner, so this happens.
pub(super) fn foreign(attempt: Attempt<'_>, problem: &str) -> Error {
    let collision = match attempt.address {
        Address::Sysv(SysvKey::Ftok { .. }) => {
            ": another program uses the same key (ftok gives the same one for different files when \
             the low 16 bits of their inode numbers agree)"
        }
        Address::Sysv(SysvKey::Key(_)) => ": another program uses the same key",
        _ => "",
    };
    attempt.not_a_ring(format!("{problem}{collision}"))
}
