//! All segments of this machine, and the removal of one.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{geteuid, unlink};

use crate::address::{Address, SysvKey};
use crate::error::{Error, ErrorKind};
use crate::layout::header::MAGIC;
use crate::sys::shmget;

use super::attempt::Attempt;
use super::named::{self, Place, SHM_DIRECTORY};
use super::sysv::{self, Attached};
use super::view::Memory;
use super::{descriptor, remove_beside, unsupported_by_name};

/// Every finished ringway segment in /dev/shm and among the System V segments that this process may
/// read, of this layout version or another. What others made is passed over.
pub(crate) fn list() -> Vec<Address> {
    let mut found = posix_segments();
    found.extend(sysv_segments());
    found
}

fn posix_segments() -> Vec<Address> {
    let Ok(entries) = std::fs::read_dir(SHM_DIRECTORY) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file.then(|| entry.file_name().into_string().ok())?
    });
    let mut found: Vec<_> = names
        .map(Address::Shm)
        .filter(|address| {
            let attempt = Attempt {
                action: "inspect",
                address,
            };
            is_ring_file(attempt).unwrap_or(false)
        })
        .collect();
    found.sort_by_key(ToString::to_string);
    found
}

fn is_ring_file(attempt: Attempt<'_>) -> Result<bool, Error> {
    let file = named::open_path(attempt, &Place::of(attempt)?, OFlag::O_RDONLY)?;
    Ok(descriptor::has_magic(file.as_fd()).unwrap_or(false))
}

fn sysv_segments() -> Vec<Address> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let rows = table.lines().skip(1).filter_map(|line| {
        // key, shmid, perms, size, ...
        let mut fields = line.split_whitespace();
        let key: i32 = fields.next()?.parse().ok()?;
        let id: i32 = fields.next()?.parse().ok()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let len: usize = fields.next()?.parse().ok()?;
        (mode & shmget::REMOVED == 0).then_some((key, id, len))
    });
    rows.filter(|&(_, id, len)| {
        Memory::of_sysv(id, len).is_ok_and(|memory| memory.magic() == MAGIC)
    })
    .map(|(key, id, _)| {
        Address::Sysv(match key as u32 {
            0 => SysvKey::Id(id),
            key => SysvKey::Key(key),
        })
    })
    .collect()
}

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
        Address::Shm(_) | Address::File(_) => remove_file(attempt),
        Address::Sysv(key) => remove_sysv(attempt, key),
        Address::Memfd => Err(unsupported_by_name(attempt.action, address)),
    }
}

fn remove_file(attempt: Attempt<'_>) -> Result<(), Error> {
    let place = Place::of(attempt)?;
    let file = named::open_path(attempt, &place, OFlag::O_RDONLY)?;
    let stat = fstat(file.as_fd()).map_err(|errno| attempt.os("it cannot be inspected", errno))?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(attempt.not_a_ring("it is no regular file"));
    }
    let is_ring = descriptor::has_magic(file.as_fd())
        .map_err(|errno| attempt.os("its header cannot be read", errno))?;
    if !is_ring {
        return Err(attempt.not_a_ring("what is there is not a ringway segment"));
    }
    check_is_ours(attempt, &[stat.st_uid])?;
    // First, so that who dies here leaves a ring that can be removed again.
    if let Ok(bytes) = descriptor::header_bytes(file.as_fd()) {
        remove_beside(&bytes, stat.st_size as u64);
    }
    // The kernel removes names, not files: whoever may write the directory could have put another
    // file there by now.
    unlink(&place.path).map_err(|errno| match errno {
        Errno::ENOENT => attempt.not_found(errno),
        errno => attempt.os("the name cannot be removed", errno),
    })
}

fn remove_sysv(attempt: Attempt<'_>, key: &SysvKey) -> Result<(), Error> {
    let id = sysv::find(attempt, key)?;
    let status = sysv::status(attempt, id)?;
    let memory = Memory::of_sysv(id, status.len)
        .map_err(|errno| attempt.os("it cannot be attached", errno))?;
    let magic = memory.magic();
    let is_half_made = sysv::is_half_made(&status, magic);
    if magic != MAGIC && !is_half_made {
        return Err(sysv::foreign(
            attempt,
            "what is there is not a ringway segment",
        ));
    }
    check_is_ours(attempt, &[status.owner_uid, status.creator_uid])?;
    if !is_half_made {
        if let Some(bytes) = memory.header_bytes() {
            remove_beside(&bytes, status.len as u64);
        }
        return shmget::remove(id).map_err(|errno| match errno {
            Errno::EIDRM | Errno::EINVAL => attempt.not_found(errno),
            errno => attempt.os("the kernel does not remove it", errno),
        });
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

/// `owners`: any of them may remove it.
fn check_is_ours(attempt: Attempt<'_>, owners: &[u32]) -> Result<(), Error> {
    let euid = geteuid().as_raw();
    if euid == 0 || owners.contains(&euid) {
        return Ok(());
    }
    let owner = owners.first().copied().unwrap_or(0);
    Err(attempt
        .foreign_owner(owner, euid)
        .remedy("remove it as that user, or as root"))
}
