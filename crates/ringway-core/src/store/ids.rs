//! System V segments by their keys and ids.

use std::path::Path;

use nix::errno::Errno;

use super::request::{Request, unsupported_by_name};
use super::space;
use crate::address::{Address, SysvKey};
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::escape::Name;
use crate::presence::Liveness;
use crate::sys::owner::Access;
use crate::sys::{ftok, page_size, shmget};

/// The execute bit of the group alone, which no program sets: the kernel gives it no meaning, and
/// modes like 0777 set it for the owner too.
pub(super) const HALF_MADE: u32 = 0o010;
const EXECUTE_BITS: u32 = 0o111;

/// A System V segment, as the kernel's table shows it.
pub(super) struct Row {
    pub(super) key: i32,
    pub(super) id: i32,
    pub(super) len: usize,
}

/// All that are not marked for removal.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let parse = |line: &str| {
        // key, shmid, perms, size, ...
        let mut fields = line.split_whitespace();
        let key = fields.next()?.parse().ok()?;
        let id = fields.next()?.parse().ok()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let len = fields.next()?.parse().ok()?;
        (mode & shmget::REMOVED == 0).then_some(Row { key, id, len })
    };
    let rows: Vec<Row> = table.lines().skip(1).filter_map(parse).collect();
    rows.into_iter()
}

/// Bytes of the System V segment `id` that are there, in memory or swapped out.
pub(crate) fn present(id: i32) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields.get(1)?.parse() != Ok(id) {
            return None;
        }
        let [.., memory, swap] = fields[..] else {
            return None;
        };
        Some(
            memory
                .parse::<u64>()
                .ok()?
                .saturating_add(swap.parse().ok()?),
        )
    })
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
        errno => attempt.os("shmget cannot look the key up", errno),
    })
}

pub(super) fn ftok_key(attempt: Attempt<'_>, path: &Path, id: u8) -> Result<libc::key_t, Error> {
    let key = ftok::key(path, id).map_err(|errno| {
        let problem = format!("ftok finds no file {} to make the key of", Name::of(path));
        attempt
            .error(ErrorKind::InvalidAddress, problem)
            .remedy("name a file that exists and stays, or write sysv:0xKEY")
            .because(errno)
    })?;
    Ok(key as libc::key_t)
}

/// What the kernel says of the segment `id`, if that is not marked for removal.
pub(super) fn status(attempt: Attempt<'_>, id: i32) -> Result<shmget::Status, Error> {
    match shmget::status(id) {
        Ok(status) if status.removed => Err(attempt.not_found(Errno::EIDRM)),
        Ok(status) => Ok(status),
        Err(errno @ (Errno::EINVAL | Errno::EIDRM)) => Err(attempt.not_found(errno)),
        Err(errno) => Err(attempt.os("shmctl cannot inspect it", errno)),
    }
}

/// Who may use the segment.
pub(super) fn access(attempt: Attempt<'_>, key: &SysvKey) -> Result<Access, Error> {
    let status = status(attempt, find(attempt, key)?)?;
    Ok(Access::of_sysv(&status))
}

/// Whether a segment is removed.
pub(super) fn is_gone(id: i32) -> bool {
    shmget::status(id).map_or(true, |status| status.removed)
}

/// Whether the kernel removes every segment of this IPC namespace that nobody has attached.
pub(super) fn is_removed_when_left() -> bool {
    sysctl("shm_rmid_forced") == Some(1)
}

/// Refuses a segment that would not outlive those who have it attached: messages would be lost with the last one.
pub(super) fn check_stays(attempt: Attempt<'_>) -> Result<(), Error> {
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

/// Whether `magic`, read after `status`, is missing because a ring is on its way.
pub(super) fn is_half_made(status: &shmget::Status, magic: u64) -> bool {
    magic == 0 && status.mode & EXECUTE_BITS == HALF_MADE
}

/// The error about a segment that is not finished.
pub(super) fn half_made(attempt: Attempt<'_>, status: &shmget::Status, life: Liveness) -> Error {
    let creator = status.creator_pid;
    let problem = match life {
        Liveness::Alive => {
            format!("it is not finished yet: process {creator} or a successor is making it")
        }
        // Nothing tells whether it is slow, stopped or dead, and no time does.
        Liveness::Absent => format!(
            "it is not finished yet: process {creator}, which made it, has not begun to fill it in"
        ),
        Liveness::Dead => {
            format!("it is not finished: who was making it died, process {creator} or a successor")
        }
    };
    attempt.error(ErrorKind::HalfMade, problem).remedy(format!(
        "wait for it, open it so that it is created if need be, or remove it (ringway rm {})",
        attempt.address
    ))
}
