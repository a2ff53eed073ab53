//! Files on their way to a name.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open as open_file};
use nix::sys::stat::Mode;
use nix::unistd::{self, AccessFlags, linkat, unlink};

use super::place::Place;
use crate::address::Address;
use crate::error::{Attempt, Error, ErrorKind};
use crate::escape::Name;
use crate::sys::{getrandom, rename};

const MARK: &[u8] = b".ringway-";
const DIGITS: usize = 16;

/// The temporary name for a ring's.
fn temporary_name(of: &OsStr, nonce: [u8; 16]) -> OsString {
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

/// Whether this is such a name.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.len().checked_sub(DIGITS).is_some_and(|at| {
        let (stem, digits) = name.split_at(at);
        stem.starts_with(b".") && stem.ends_with(MARK) && digits.iter().all(is_digit)
    })
}

/// A file on its way to a name.
#[derive(Debug)]
pub(super) enum Draft {
    Unnamed(OwnedFd),
    Temporary { file: OwnedFd, path: PathBuf },
}

impl Draft {
    pub(super) fn new(attempt: Attempt<'_>, place: &Place) -> Result<Self, Error> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match open_file(place.directory(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) if unistd::access(&proc_path(&file), AccessFlags::F_OK).is_ok() => {
                Ok(Self::Unnamed(file))
            }
            // Kernels and file systems that do not know the flag see a directory opened for writing.
            Ok(_) | Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL) => {
                Self::temporary(attempt, place)
            }
            Err(errno) => Err(directory_error(attempt, place, errno)),
        }
    }

    pub(super) fn temporary(attempt: Attempt<'_>, place: &Place) -> Result<Self, Error> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let nonce = getrandom::nonce()
            .map_err(|errno| attempt.os("getrandom gives no randomness", errno))?;
        let path = place.directory().join(temporary_name(place.name(), nonce));
        match open_file(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => Ok(Self::Temporary { file, path }),
            Err(errno) => Err(directory_error(attempt, place, errno)),
        }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unnamed(file) | Self::Temporary { file, .. } => file.as_fd(),
        }
    }

    /// Gives the file its name, unless that is taken (EEXIST).
    pub(super) fn publish(&self, place: &Place) -> Result<(), Errno> {
        match self {
            Self::Unnamed(file) => linkat(
                AT_FDCWD,
                &proc_path(file),
                AT_FDCWD,
                &place.path,
                AtFlags::AT_SYMLINK_FOLLOW,
            ),
            Self::Temporary { path, .. } => {
                match rename::to_free_name(path, &place.path) {
                    // The file system does not know the flag. The drop removes the first name.
                    Err(Errno::EINVAL | Errno::ENOSYS) => {
                        linkat(AT_FDCWD, path, AT_FDCWD, &place.path, AtFlags::empty())
                    }
                    result => result,
                }
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Self::Temporary { path, .. } = self {
            // Absent if it was renamed.
            let _ = unlink(path.as_path());
        }
    }
}

fn proc_path(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

pub(super) fn directory_error(attempt: Attempt<'_>, place: &Place, errno: Errno) -> Error {
    let directory = Name::of(place.directory());
    match errno {
        // As procfs says it.
        Errno::ENOENT if place.directory().is_dir() => attempt
            .error(
                ErrorKind::Unsupported,
                format!("no file can be made in {directory}"),
            )
            .remedy("choose another directory")
            .because(errno),
        Errno::ENOENT | Errno::ENOTDIR => attempt
            .error(
                ErrorKind::NotFound,
                format!("there is no directory {directory}"),
            )
            .remedy(match attempt.address {
                Address::Shm(_) => "mount a tmpfs there, or use memfd: or sysv:",
                _ => "make the directory first",
            })
            .because(errno),
        Errno::ENOSPC if has_no_inode(place.directory()) => attempt
            .error(
                ErrorKind::NoSpace,
                format!("the file system of {directory} has no inode left, whatever space it has"),
            )
            .remedy("remove files there, or give it more (a tmpfs: mount -o remount,nr_inodes=N)")
            .because(errno),
        errno => attempt.os(&format!("no file can be made in {directory}"), errno),
    }
}

/// Whether the file system of a directory counts its inodes, and has given out all.
fn has_no_inode(directory: &Path) -> bool {
    nix::sys::statvfs::statvfs(directory)
        .is_ok_and(|system| system.files() > 0 && system.files_available() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_told_from_others() {
        assert!(is_temporary(
            temporary_name(OsStr::new("a.b"), [0xab; 16]).as_bytes()
        ));
        for other in [
            ".ringway-0123456789abcdef0",
            "x.ringway-0123456789abcdef",
            ".x.ringway-0123456789abcdeF",
            ".x.ringway-0123",
            "",
        ] {
            assert!(!is_temporary(other.as_bytes()), "{other}");
        }
    }
}
