//! The removal of a segment's name, and of what lies beside the segment.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat, lstat};
use nix::unistd::unlink;

use crate::address::{Address, SysvKey};
use crate::error::{Error, ErrorKind};
use crate::events::tell;
use crate::memory::layout::header::{FileId, Header, MAGIC};
use crate::sys::owner;
use crate::sys::shmget;

use super::attached::Attached;
use super::catalog::Half;
use super::descriptor;
use super::header::remove_beside;
use super::ids;
use super::lock::Sole;
use super::peek::Peek;
use super::place::{self, Place};
use super::request::unsupported_by_name;
use super::slabs;
use crate::error::Attempt;

/// Removes the name of a ringway segment, finished or half-made, that belongs to this process's user
/// (root may remove those of all). Who has it open goes on using it.
///
/// Whether a live process is attached is the caller's question.
pub(crate) fn remove(address: &Address) -> Result<(), Error> {
    let attempt = Attempt {
        action: "remove",
        address,
    };
    match address {
        Address::Shm(_) | Address::File(_) => {
            let place = Place::of(attempt)?;
            match place::open_path(attempt, &place, OFlag::O_RDWR) {
                // Whoever may not write it may yet remove its name. Nobody can use such a ring, so nobody
                // else makes haste to make another.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    let file = place::open_path(attempt, &place, OFlag::O_RDONLY)?;
                    unlink_file(attempt, &place, file.as_fd())?;
                    tell!("ringway::segment", INFO, "removed", address = %address);
                    Ok(())
                }
                file => remove_file(attempt, &place, file?.as_fd()),
            }
        }
        Address::Sysv(key) => remove_sysv(attempt, key),
        _ => Err(unsupported_by_name(attempt.action, address)),
    }
}

/// Removes `place`, if it (still) leads to the ring in `file`, which is open for writing, and what lies
/// beside that ring.
///
/// The kernel removes names, not files. But no name of ringway's ever changes what it leads to without
/// having been removed, and that is done under the file's lock; so it leads to this file until it is
/// removed here.
pub(super) fn remove_file(
    attempt: Attempt<'_>,
    place: &Place,
    file: BorrowedFd<'_>,
) -> Result<(), Error> {
    let lock = Sole::take(attempt, file)?;
    unlink_file(attempt, place, file)?;
    drop(lock);
    tell!("ringway::segment", INFO, "removed", address = %attempt.address);
    Ok(())
}

fn unlink_file(attempt: Attempt<'_>, place: &Place, file: BorrowedFd<'_>) -> Result<(), Error> {
    let stat = fstat(file).map_err(|errno| attempt.os("fstat cannot inspect it", errno))?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(attempt.not_a_ring("it is no regular file"));
    }
    let is_ring = descriptor::has_magic(file)
        .map_err(|errno| attempt.os("pread cannot read its header", errno))?;
    if !is_ring {
        return Err(attempt.not_a_ring("what is there is not a ringway segment"));
    }
    check_is_ours(attempt, &[stat.st_uid])?;
    let named = lstat(&place.path).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => attempt.not_found(errno),
        errno => attempt.os("fstat cannot inspect it", errno),
    })?;
    if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(attempt.not_found(Errno::ENOENT));
    }
    // First, so that who dies here leaves a ring that can be removed again. What has another name goes on.
    if let (1, Ok(bytes)) = (stat.st_nlink, descriptor::header_bytes(file)) {
        let len = stat.st_size as u64;
        if let Ok(header) = Header::decode(&bytes, len) {
            let is_copy = header.file != FileId::of(&stat);
            slabs::named::remove(place, &header, is_copy);
            if !is_copy {
                // A copy's is the original's.
                remove_beside(&bytes, len);
            }
        }
    }
    unlink(&place.path).map_err(|errno| match errno {
        Errno::ENOENT => attempt.not_found(errno),
        errno => attempt.os("unlink cannot remove its name", errno),
    })
}

fn remove_sysv(attempt: Attempt<'_>, key: &SysvKey) -> Result<(), Error> {
    let id = ids::find(attempt, key)?;
    let status = ids::status(attempt, id)?;
    let memory = Peek::of_sysv(id).map_err(|errno| attempt.os("shmat cannot attach it", errno))?;
    let magic = memory.magic();
    let is_half_made = ids::is_half_made(&status, magic);
    if magic != MAGIC && !is_half_made {
        return Err(ids::foreign(
            attempt,
            "what is there is not a ringway segment",
        ));
    }
    check_is_ours(attempt, &[status.owner_uid, status.creator_uid])?;
    if !is_half_made {
        return remove_finished(attempt, id, status.len);
    }
    drop(memory);
    let in_use = || {
        let pid = u32::try_from(status.creator_pid).unwrap_or(0);
        attempt
            .error(
                ErrorKind::InUse { pid },
                format!("process {pid} or a successor is making it right now"),
            )
            .remedy("try again when it is made")
    };
    Attached::new(attempt, id, status)?
        .remove_half_made(attempt)?
        .ok_or_else(in_use)
}

/// Removes a half-made segment, unless a creator lives that has its lock or has finished it: then `false`.
pub(crate) fn remove_half_made(half: &Half) -> Result<bool, Error> {
    let attempt = Attempt {
        action: "remove",
        address: &half.address,
    };
    let status = ids::status(attempt, half.id)?;
    check_is_ours(attempt, &[status.owner_uid, status.creator_uid])?;
    let removed = Attached::new(attempt, half.id, status)?.remove_half_made(attempt)?;
    Ok(removed.is_some())
}

/// Removes the System V segment `id` of `len` bytes, a finished ring, and what lies beside it.
pub(super) fn remove_finished(attempt: Attempt<'_>, id: i32, len: usize) -> Result<(), Error> {
    let memory = Peek::of_sysv(id).ok();
    if let Some((memory, bytes)) = memory.and_then(|memory| {
        let bytes = memory.header_bytes()?;
        Some((memory, bytes))
    }) {
        if let Ok(header) = Header::decode(&bytes, len as u64) {
            slabs::sysv::remove(&memory, &header, id);
        }
        remove_beside(&bytes, len as u64);
    }
    shmget::remove(id).map_err(|errno| match errno {
        Errno::EIDRM | Errno::EINVAL => attempt.not_found(errno),
        errno => attempt.os("shmctl cannot remove it", errno),
    })?;
    tell!("ringway::segment", INFO, "removed", address = %attempt.address);
    Ok(())
}

/// `owners`: any of them may remove it.
pub(super) fn check_is_ours(attempt: Attempt<'_>, owners: &[u32]) -> Result<(), Error> {
    if owner::may_remove(owners) {
        return Ok(());
    }
    let owner = owners.first().copied().unwrap_or(0);
    Err(attempt
        .foreign_owner(owner)
        .remedy("remove it as that user, or as root"))
}
