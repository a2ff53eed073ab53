//! Files under a temporary name, on their way to a ring's name; and what their creators left of them when
//! they died.
//!
//! A creator has its file open from the moment in which there is one, and nobody else opens it. So when the
//! kernel knows of nobody who has it open, the creator is dead or has given up.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat};
use nix::unistd::unlink;

use crate::memory::layout::header::{HEADER_LEN, Header, MAGIC, MAGIC_OFFSET};
use crate::sys::lease;
use crate::sys::owner;

use super::{descriptor, remove_beside};
use crate::sys::shm_overview::SHM_DIRECTORY;

const MARK: &[u8] = b".ringway-";
const DIGITS: usize = 16;

/// The temporary name for a ring's.
pub(super) fn name(of: &OsStr, nonce: [u8; 16]) -> OsString {
    let mut name = OsString::from(".");
    // A name has up to 255 bytes, of which the ending takes 25.
    let stem = of.as_bytes();
    name.push(OsStr::from_bytes(&stem[..stem.len().min(200)]));
    name.push(OsStr::from_bytes(MARK));
    for byte in &nonce[..DIGITS / 2] {
        name.push(format!("{byte:02x}"));
    }
    name
}

fn is_name(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.len().checked_sub(DIGITS).is_some_and(|at| {
        let (stem, digits) = name.split_at(at);
        stem.starts_with(b".") && stem.ends_with(MARK) && digits.iter().all(is_digit)
    })
}

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
        .filter(|entry| is_name(entry.file_name().as_bytes()))
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
        if let (1, Some(mut bytes)) = (stat.st_nlink, self.header()) {
            bytes[MAGIC_OFFSET..MAGIC_OFFSET + 8].copy_from_slice(&MAGIC.to_le_bytes());
            remove_beside(&bytes, stat.st_size as u64);
        }
        unlink(&self.path).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_told_from_others() {
        assert!(is_name(name(OsStr::new("a.b"), [0xab; 16]).as_bytes()));
        for other in [
            ".ringway-0123456789abcdef0",
            "x.ringway-0123456789abcdef",
            ".x.ringway-0123456789abcdeF",
            ".x.ringway-0123",
            "",
        ] {
            assert!(!is_name(other.as_bytes()), "{other}");
        }
    }
}
