//! `shm:` and `file:`: segments with a name in a file system.
//!
//! The ring is built in a file without a name (`O_TMPFILE`) and linked into its directory when it is
//! finished. So the name stands for a finished ring from its first instant, exactly one of many racing
//! creators gets it, and a creator that dies leaves nothing.
//!
//! Where there are no files without names, or no /proc to link them through, the ring is built under
//! a temporary name `.NAME.ringway-NONCE` and renamed. A creator that dies then leaves that one file
//! ([`drafts`](crate::store::drafts)).

use crate::store::place::{Place, open_path};
use crate::store::unnamed::{Draft, directory_error};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{fstat, lstat};

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::presence::retire;
use crate::waiting::sync;

use crate::error::Attempt;
use crate::store::anchor::Anchor;
use crate::store::header::discard;
use crate::store::request::Plan;
use crate::store::request::Request;
use crate::store::segment::Segment;
use crate::store::segment::memories;
use crate::store::slabs::named::Unfinished;
use crate::store::slabs::{self, SlabSegments};
use crate::store::watch::Watch;
use crate::store::{boot_id, descriptor, lock, removal, renewal};
use crate::sys::deadline::Deadline;
use crate::sys::owner::Access;

pub(in crate::store) fn create(request: &Request<'_>, plan: &Plan) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    let place = Place::of(attempt)?;
    if request.huge_pages {
        check_huge_pages(attempt, &place)?;
    }
    // Before all the work, and before a lack of space that would only mislead.
    if lstat(&place.path).is_ok() {
        return Err(attempt.already_exists(Errno::EEXIST));
    }
    let draft = Draft::new(attempt, &place)?;
    create_from(request, plan, &place, &draft)
}

pub(in crate::store) fn create_from(
    request: &Request<'_>,
    plan: &Plan,
    place: &Place,
    draft: &Draft,
) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    let boot_id = match place.survives_boot() {
        true => boot_id::current(attempt)?,
        false => boot_id::NONE,
    };
    if plan.geometry.has_slab_segments() {
        slabs::named::check(attempt, place, &plan.geometry, draft.file())?;
    }
    let (map, header, access) = descriptor::build(attempt, request, plan, draft.file(), boot_id)?;
    // Nobody else can open it yet.
    lock::Open::hold(attempt, draft.file())?;
    lock::Entry::hold(draft.file());
    let file = draft.file().try_clone_to_owned();
    let file = file.map_err(|error| {
        attempt.os(
            "its descriptor cannot be kept",
            Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        )
    })?;
    let slabs =
        Unfinished::make(attempt, request, &header, place).inspect_err(|_| discard(&map))?;
    draft.publish(place).map_err(|errno| {
        discard(&map);
        match errno {
            Errno::EEXIST => attempt.already_exists(errno),
            errno => attempt.os("linkat cannot make its name", errno),
        }
    })?;
    slabs.keep();
    Ok(Segment {
        slabs: SlabSegments::beside(request, &header, place),
        memories: memories(&header, draft.file()),
        anchor: Some(Anchor::of_file(request.address, map.origin(), file)),
        map,
        header,
        address: request.address.clone(),
        file: None,
        access,
    })
}

fn check_huge_pages(attempt: Attempt<'_>, place: &Place) -> Result<(), Error> {
    use nix::sys::statfs::{HUGETLBFS_MAGIC, statfs};
    let remedy = "use memfd:, sysv:, or file: on a hugetlbfs (mount -t hugetlbfs none /mnt/huge)";
    let problem = match attempt.address {
        Address::Shm(_) => "shm: has no reserved huge pages",
        _ => match statfs(place.directory()) {
            Ok(system) if system.filesystem_type() == HUGETLBFS_MAGIC => return Ok(()),
            Ok(_) => "only files on a hugetlbfs have huge pages",
            Err(errno) => return Err(directory_error(attempt, place, errno)),
        },
    };
    Err(attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy(remedy))
}

pub(in crate::store) fn open(request: &Request<'_>) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "open",
        address: request.address,
    };
    let place = Place::of(attempt)?;
    let absent = match open_now(attempt, request, &place) {
        Err(error) if error.kind() == ErrorKind::NotFound => error,
        result => return result,
    };
    let Some(wait) = request.wait else {
        return Err(absent);
    };
    let deadline = Deadline::after(wait);
    let mut watch = Watch::of(place.directory());
    loop {
        // Before the look: what appears from here on ends the wait.
        watch
            .begin()
            .map_err(|errno| directory_error(attempt, &place, errno))?;
        match open_now(attempt, request, &place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        if deadline.remaining().is_none() {
            return Err(attempt.timed_out(match place.directory().is_dir() {
                true => "it has not appeared",
                false => "neither it nor its directory has appeared",
            }));
        }
        watch.wait(deadline);
    }
}

fn open_now(attempt: Attempt<'_>, request: &Request<'_>, place: &Place) -> Result<Segment, Error> {
    let file = open_path(attempt, place, OFlag::O_RDWR)?;
    let (map, mut header) = descriptor::open(attempt, request, file.as_fd())?;
    if retire::admit(&map).is_err() {
        return Err(finish_removal(attempt, place, file));
    }
    renewal::admit(attempt, place, file.as_fd(), &map, &mut header)?;
    lock::Entry::hold(file.as_fd());
    let stat = fstat(file.as_fd()).map_err(|errno| attempt.os("fstat cannot inspect it", errno))?;
    if stat.st_nlink == 0 {
        // Removed since it was found: who waits in it may count on nobody (`anchor`).
        return Err(attempt.not_found(Errno::ENOENT));
    }
    let access = Access::of_file(&stat);
    sync::follow(&map, &header, access);
    Ok(Segment {
        slabs: SlabSegments::beside(request, &header, place),
        memories: memories(&header, file.as_fd()),
        anchor: Some(Anchor::of_file(request.address, map.origin(), file)),
        map: Arc::new(map),
        header,
        address: request.address.clone(),
        file: None,
        access,
    })
}

/// Removes the name of a retired ring, which its collector did not come to; the error is what there is to
/// open then.
fn finish_removal(attempt: Attempt<'_>, place: &Place, file: OwnedFd) -> Error {
    let remove = Attempt {
        action: "remove",
        ..attempt
    };
    match removal::remove_file(remove, place, file.as_fd()) {
        Err(error) if error.kind() != ErrorKind::NotFound => error,
        Ok(()) | Err(_) => attempt.not_found(Errno::ENOENT),
    }
}
