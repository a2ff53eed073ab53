//! Message queues without a ring.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, statfs};

use super::{BlindSpot, Fate, Found, Gc, GcReport, Leftover, not_removed};
use crate::error::Error;
use crate::escape::Name;
use crate::store;
use crate::sys::owner;
use crate::sys::{flock, fsopen, mq_overview as mq};
use crate::waiting::sync::mqueue::{self, GATE};

impl Gc {
    pub(super) fn queues(&self) -> GcReport {
        let mut report = GcReport::default();
        let Ok(queues) = by_ring() else {
            report.blind_spots.push(BlindSpot::MessageQueues);
            return report;
        };
        if queues.is_empty() {
            return report;
        }
        let names = store::names();
        for nonce in queues.into_keys() {
            if !names.shm.contains(&nonce) && !names.sysv.contains(&nonce) {
                report.add(self.queues_of(nonce));
            }
        }
        report
    }

    /// Removes all queues of a ring if nobody alive has any.
    fn queues_of(&self, nonce: [u8; 16]) -> Result<Option<Found>, Error> {
        let name = |slot: &u32| mqueue::name(nonce, *slot);
        let failed = |errno| not_removed(text(name(&GATE)), errno);
        if ours_of(nonce).map_err(failed)?.is_empty() {
            return Ok(None);
        }
        let gate = match name(&GATE)
            .ok_or(Errno::EINVAL)
            .and_then(|name| gate(&name, self.dry_run))
        {
            Ok(gate) => gate,
            // Somebody else removed it, or another user's.
            Err(Errno::ENOENT | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        if let Some(gate) = &gate {
            if !is_ours(gate.as_fd()) || flock::try_exclusive(gate.as_fd()).is_err() {
                return Ok(None);
            }
            // Under the lock.
            if fstat(gate.as_fd()).map_err(failed)?.st_nlink == 0 {
                return Ok(None);
            }
        }
        // Once more: who has gone meanwhile may have made one.
        let names = ours_of(nonce).map_err(failed)?;
        if !self.dry_run {
            for name in names.iter().rev() {
                match mq::unlink(name) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(not_removed(text(Some(name.clone())), errno)),
                }
            }
        }
        let fate = match self.dry_run {
            true => Fate::Removable,
            false => Fate::Removed,
        };
        let names = names.into_iter().map(|name| text(Some(name))).collect();
        let what = Leftover::Queues { names };
        let bytes = 0;
        Ok(Some(Found { what, bytes, fate }))
    }
}

/// The names of a ring's queues, the gate's first.
fn ours_of(nonce: [u8; 16]) -> Result<Vec<CString>, Errno> {
    let mut slots = by_ring()?.remove(&nonce).unwrap_or_default();
    slots.sort_unstable();
    let names = slots
        .into_iter()
        .filter_map(|slot| mqueue::name(nonce, slot));
    Ok(names
        .filter(|name| mq::open_to_send(name).is_ok_and(|queue| is_ours(queue.as_fd())))
        .collect())
}

/// The gate of a ring's queues. If there is none, whoever removed it did not come to the others; then
/// `None`, or a new one.
fn gate(name: &CStr, dry_run: bool) -> Result<Option<OwnedFd>, Errno> {
    match mq::open_to_send(name) {
        Err(Errno::ENOENT) if dry_run => Ok(None),
        Err(Errno::ENOENT) => mq::open_or_create(name, 0o600).map(Some),
        result => result.map(Some),
    }
}

/// Whether it is a queue as ringway makes them, and this process's user's.
fn is_ours(queue: BorrowedFd<'_>) -> bool {
    mq::capacity(queue) == Ok((1, 1))
        && fstat(queue).is_ok_and(|stat| owner::may_remove(&[stat.st_uid]))
}

fn text(name: Option<CString>) -> String {
    let name = name.unwrap_or_default();
    Name::of(OsStr::from_bytes(name.to_bytes())).to_string()
}

/// The slots whose queues there are, by the nonces of their rings.
fn by_ring() -> Result<BTreeMap<[u8; 16], Vec<u32>>, Errno> {
    let mut found: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for (nonce, slot) in names()?.iter().filter_map(|name| mqueue::parse(name)) {
        found.entry(nonce).or_default().push(slot);
    }
    Ok(found)
}

/// The names of all message queues of this namespace, or why they are not known.
///
/// # Errors
/// ENOENT when there is no way to list them.
pub fn names() -> Result<Vec<String>, Errno> {
    const CUSTOM: &str = "/dev/mqueue";
    const MQUEUE_MAGIC: FsType = FsType(0x1980_0202);
    let root = fsopen::root_of(c"mqueue");
    let directory = match &root {
        Ok(root) => format!("/proc/self/fd/{}", root.as_raw_fd()),
        // As an ordinary user: where it is mounted by custom.
        Err(_) if statfs(CUSTOM)?.filesystem_type() == MQUEUE_MAGIC => CUSTOM.to_owned(),
        Err(_) => return Err(Errno::ENOENT),
    };
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect())
}
