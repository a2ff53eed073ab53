//! All segments of this machine.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, lstat};

use crate::address::{Address, SysvKey};
use crate::error::Error;
use crate::memory::layout::header::{Header, MAGIC};
use crate::presence::Liveness;
use crate::sys::shmget;

use super::descriptor;
use super::ids;
use super::peek::Peek;
use super::place::{self, Place};
use super::slabs;
use crate::error::Attempt;
use crate::sys::shm_overview::SHM_DIRECTORY;

/// Every finished ringway segment in /dev/shm and among the System V segments that this process may
/// read, of this layout version or another. What others made is passed over.
pub(crate) fn list() -> Vec<Address> {
    let shm = |path: PathBuf| match path.file_name().and_then(OsStr::to_str) {
        Some(name) => Address::Shm(name.to_owned()),
        None => Address::File(path),
    };
    let mut found = rings_in(Path::new(SHM_DIRECTORY), shm).unwrap_or_default();
    found.extend(sysv_segments());
    found
}

/// The same among the files of a directory.
pub(crate) fn list_in(directory: &Path) -> std::io::Result<Vec<Address>> {
    rings_in(directory, Address::File)
}

fn rings_in(
    directory: &Path,
    address: impl Fn(PathBuf) -> Address,
) -> std::io::Result<Vec<Address>> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<_> = entries
        .iter()
        // Opening a FIFO or a device may have effects.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| address(entry.path()))
        .filter(|address| {
            let attempt = Attempt {
                action: "inspect",
                address,
            };
            is_ring_file(attempt).unwrap_or(false)
        })
        .collect();
    found.sort_by_key(ToString::to_string);
    Ok(found)
}

fn is_ring_file(attempt: Attempt<'_>) -> Result<bool, Error> {
    let place = Place::of(attempt)?;
    let file = place::open_path(attempt, &place, OFlag::O_RDONLY)?;
    // What is sent in a slab may begin as a ring does.
    Ok(descriptor::has_magic(file.as_fd()).unwrap_or(false)
        && !slabs::named::is_slab(place.name(), file.as_fd()))
}

fn sysv_segments() -> Vec<Address> {
    // What is sent in a slab may begin as a ring does.
    let is_ring = |row: &ids::Row, memory: &Peek| {
        memory.magic() == MAGIC && !slabs::sysv::is_slab(memory, row.len)
    };
    let rings =
        ids::rows().filter(|row| Peek::of_sysv(row.id).is_ok_and(|memory| is_ring(row, &memory)));
    rings
        .map(|row| {
            Address::Sysv(match row.key as u32 {
                0 => SysvKey::Id(row.id),
                key => SysvKey::Key(key),
            })
        })
        .collect()
}

/// A System V segment that is a ring on its way.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    pub(crate) id: i32,
    /// By its id.
    pub(crate) address: Address,
    /// Bytes.
    pub(crate) len: u64,
    /// Who has the creation lock, or had it.
    pub(crate) life: Liveness,
    /// Process id of the creator.
    pub(crate) creator: u32,
}

/// Those of this machine that this process may read.
pub(crate) fn half_made() -> Vec<Half> {
    ids::rows().filter_map(|row| half(row.id)).collect()
}

/// The one at `address`, if there is one.
pub(crate) fn half_made_at(address: &Address) -> Option<Half> {
    let attempt = Attempt {
        action: "inspect",
        address,
    };
    let Address::Sysv(key) = address else {
        return None;
    };
    half(ids::find(attempt, key).ok()?)
}

fn half(id: i32) -> Option<Half> {
    // Before the magic, see `is_half_made`.
    let status = shmget::status(id).ok().filter(|status| !status.removed)?;
    if !ids::is_half_made(&status, 0) {
        return None;
    }
    let memory = Peek::of_sysv(id).ok()?;
    let is_half = ids::is_half_made(&status, memory.magic())
        && memory
            .header_bytes()
            .is_some_and(|bytes| Header::may_become(&bytes, status.len as u64));
    is_half.then(|| Half {
        id,
        address: Address::Sysv(SysvKey::Id(id)),
        len: status.len as u64,
        life: memory.creation_lock(),
        creator: u32::try_from(status.creator_pid).unwrap_or(0),
    })
}

/// The nonces of what lies beside all rings that have a name here, finished or not; among them what only looks like one.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Of the files in /dev/shm.
    pub(crate) shm: HashSet<[u8; 16]>,
    /// Of the System V segments.
    pub(crate) sysv: HashSet<[u8; 16]>,
    /// Who owns files in /dev/shm that this process may not read; `None` if it cannot even be listed.
    pub(crate) hidden: Option<HashSet<u32>>,
}

/// Looks at all names.
pub(crate) fn names() -> Names {
    let mut names = Names::default();
    for row in ids::rows() {
        let bytes = Peek::of_sysv(row.id).ok();
        let bytes = bytes.and_then(|memory| memory.header_bytes());
        names
            .sysv
            .extend(bytes.map(|bytes| Header::companions_in(&bytes)));
    }
    let Ok(entries) = std::fs::read_dir(SHM_DIRECTORY) else {
        return names;
    };
    let mut hidden = HashSet::new();
    let mut complete = true;
    for entry in entries {
        let Ok(entry) = entry else {
            complete = false;
            continue;
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let bytes = nix::fcntl::open(&entry.path(), flags, Mode::empty())
            .and_then(|file| descriptor::header_bytes(file.as_fd()));
        match (bytes, lstat(&entry.path())) {
            (Ok(bytes), _) => drop(names.shm.insert(Header::companions_in(&bytes))),
            // Gone, or no file.
            (Err(_), Err(_)) => {}
            (Err(_), Ok(stat)) if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() => {}
            (Err(_), Ok(stat)) => drop(hidden.insert(stat.st_uid)),
        }
    }
    names.hidden = complete.then_some(hidden);
    names
}
