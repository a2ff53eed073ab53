//! `sysv:`: System V segments.
//!
//! The kernel shows a segment under its key from the moment it exists, so it can be found half-made.
//! Two things tell that apart from a ring and from what others made:
//!
//! - While it is being made, its mode carries an odd bit ([`ids`](crate::store::ids)), set by the very call that
//!   makes it and cleared behind the magic.
//! - Initialising, and removing what is half-made, is done under the *creation lock*, a liveness word
//!   in the header. Whoever has it checks again that the magic is 0 and the segment not removed.
//!
//! | a creator dies | it leaves | who comes next |
//! |---|---|---|
//! | before it has the lock | zeroes, the odd bit | takes the lock from 0; a creator that was only slow makes another segment |
//! | holding the lock | perhaps a header, OWNER_DIED | takes the lock from OWNER_DIED, clears the data, and writes all anew |
//! | behind the magic | a finished ring, perhaps with the odd bit | opens it |

use crate::store::attached::Attached;
use crate::store::ids::{
    HALF_MADE, check_stays, find, foreign, ftok_key, half_made, is_gone, new_id, status,
};

use nix::errno::Errno;

use crate::address::SysvKey;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::header::{Header, HeaderError};
use crate::presence::Liveness;
use crate::presence::keeper::{self, Refusal};
use crate::presence::retire;
use crate::sys::shmget;
use crate::waiting::sync;

use crate::error::Attempt;
use crate::store::header::header_bytes;
use crate::store::pages::settle_pages;
use crate::store::request::Plan;
use crate::store::request::ROUNDS;
use crate::store::request::Request;
use crate::store::request::check_owner;
use crate::store::segment::Segment;
use crate::store::{removal, renewal, space, trust, watch};
use crate::sys::deadline::Deadline;
use crate::sys::owner::Access;

pub(in crate::store) fn create(
    request: &Request<'_>,
    key: &SysvKey,
    plan: &Plan,
) -> Result<Segment, Error> {
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
    new_id(attempt, request, key, len, HALF_MADE)
}

pub(in crate::store) fn open(request: &Request<'_>, key: &SysvKey) -> Result<Segment, Error> {
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
pub(in crate::store) fn complete(
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
