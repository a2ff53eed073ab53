//! What creators left of files under a temporary name ([`unnamed`](super::unnamed)) when they died.
//!
//! A creator has its file open from the moment in which there is one, and nobody else opens it. So when the
//! kernel knows of nobody who has it open, the creator is dead or has given up.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat};
use nix::unistd::unlink;

use crate::memory::layout::header::{self, HEADER_LEN, Header};
use crate::sys::lease;
use crate::sys::owner;

use super::descriptor;
use super::header::remove_beside;
use super::unnamed::is_temporary;
use crate::sys::shm_overview::SHM_DIRECTORY;

/// A file under a temporary name whose creator is dead.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) path: PathBuf,
    file: OwnedFd,
    stat: FileStat,
}

/// Those in /dev/shm that this process's user may remove.
pub(crate) fn all() -> Vec<Draft> {
    let entries = std::fs::read_dir(SHM_DIRECTORY).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| is_temporary(entry.file_name().as_bytes()))
        .filter_map(|entry| Draft::of_the_dead(&entry.path()))
        .collect()
}

impl Draft {
    fn of_the_dead(path: &Path) -> Option<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = open(path, flags, Mode::empty()).ok()?;
        let stat = fstat(file.as_fd()).ok()?;
        let is_file = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
        if !is_file || !owner::may_remove(&[stat.st_uid]) {
            return None;
        }
        // It stays so: who else opens it is a collector.
        lease::is_only_opener(file.as_fd())
            .ok()
            .filter(|alone| *alone)?;
        let draft = Self {
            path: path.to_owned(),
            file,
            stat,
        };
        let bytes = draft.header()?;
        let len = stat.st_size as u64;
        let is_ours = stat.st_size == 0
            || Header::may_become(&bytes, len)
            || Header::decode(&bytes, len).is_ok();
        is_ours.then_some(draft)
    }

    fn header(&self) -> Option<[u8; HEADER_LEN]> {
        descriptor::header_bytes(self.file.as_fd()).ok()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        descriptor::allocated(&self.stat)
    }

    /// Removes it, and what lies beside the ring that it was to become. `false`: it is gone already.
    pub(crate) fn remove(self) -> Result<bool, Errno> {
        let Ok(named) = lstat(&self.path) else {
            return Ok(false);
        };
        let stat = fstat(self.file.as_fd())?;
        if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
            return Ok(false);
        }
        // With another name it is a ring; its creator died before it had removed this one.
        if let (1, Some(bytes)) = (stat.st_nlink, self.header()) {
            remove_beside(&header::finished(bytes), stat.st_size as u64);
        }
        unlink(&self.path).map(|()| true)
    }
}
