//! Names in a file system.

use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, lstat};

use crate::address::Address;
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::header::FileId;
use crate::sys::deadline::Deadline;
use crate::sys::owner::Access;
use crate::sys::shm_overview::SHM_DIRECTORY;

/// How long another process may have a lease on a file that is to be opened.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where an address points in the file system.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
    name: OsString,
    pub(super) path: PathBuf,
    /// What lies here is found again after a reboot.
    survives_boot: bool,
}

impl Place {
    /// `attempt.address` must be `shm:` or `file:`.
    pub(super) fn of(attempt: Attempt<'_>) -> Result<Self, Error> {
        let (directory, name) = match attempt.address {
            Address::Shm(name) => (Path::new(SHM_DIRECTORY), Some(OsStr::new(name))),
            Address::File(path) => {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                (parent.unwrap_or(Path::new(".")), path.file_name())
            }
            _ => (Path::new("."), None),
        };
        let name = name.ok_or_else(|| {
            attempt
                .error(ErrorKind::InvalidAddress, "the path names no file")
                .remedy("end the path with the name of a file")
        })?;
        Ok(Self {
            path: directory.join(name),
            directory: directory.to_owned(),
            name: name.to_owned(),
            survives_boot: matches!(attempt.address, Address::File(_)),
        })
    }

    /// A name in a directory.
    pub(super) fn new(directory: &Path, name: &OsStr) -> Self {
        Self {
            path: directory.join(name),
            directory: directory.to_owned(),
            name: name.to_owned(),
            survives_boot: directory != Path::new(SHM_DIRECTORY),
        }
    }

    /// Another name in the same directory.
    pub(super) fn beside(&self, name: OsString) -> Self {
        Self {
            path: self.directory.join(&name),
            directory: self.directory.clone(),
            name,
            survives_boot: self.survives_boot,
        }
    }

    /// The same, whatever directory this process will work in.
    pub(super) fn absolute(&self) -> Self {
        let directory = std::path::absolute(&self.directory);
        let directory = directory.unwrap_or_else(|_| self.directory.clone());
        Self {
            path: directory.join(&self.name),
            directory,
            ..self.clone()
        }
    }

    /// What leads here.
    pub(super) fn address(&self) -> Address {
        match self.name.to_str() {
            Some(name) if !self.survives_boot => Address::Shm(name.to_owned()),
            _ => Address::File(self.path.clone()),
        }
    }

    pub(super) fn survives_boot(&self) -> bool {
        self.survives_boot
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }
}

/// Who may use the segment, and which file the name leads to.
pub(super) fn access(attempt: Attempt<'_>) -> Result<(Access, FileId), Error> {
    let stat = lstat(&Place::of(attempt)?.path).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => attempt.not_found(errno),
        errno => attempt.os("fstat cannot inspect it", errno),
    })?;
    Ok((Access::of_file(&stat), FileId::of(&stat)))
}

/// Opens what has the name, follows no link, and waits for no peer of a FIFO or device.
pub(super) fn open_path(
    attempt: Attempt<'_>,
    place: &Place,
    access: OFlag,
) -> Result<OwnedFd, Error> {
    open_in(attempt, AT_FDCWD, &place.path, access)
}

/// The same of a name in an open directory.
pub(super) fn open_in(
    attempt: Attempt<'_>,
    directory: BorrowedFd<'_>,
    name: impl AsRef<Path>,
    access: OFlag,
) -> Result<OwnedFd, Error> {
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let deadline = Deadline::after(PATIENCE);
    loop {
        return match openat(directory, name.as_ref(), flags, Mode::empty()) {
            Ok(file) => Ok(file),
            Err(Errno::EINTR) => continue,
            // A collector has a lease on it, for a moment (`Suspect::is_open_elsewhere`).
            Err(Errno::EAGAIN) if deadline.remaining().is_some() => {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(errno @ Errno::EAGAIN) => Err(attempt
                .timed_out("another process has a lease on the file")
                .because(errno)),
            Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => Err(attempt.not_found(errno)),
            Err(errno @ Errno::ELOOP) => Err(attempt
                .not_a_ring("it is a symbolic link, which is not followed")
                .because(errno)),
            Err(errno @ Errno::EISDIR) => {
                Err(attempt.not_a_ring("it is a directory").because(errno))
            }
            Err(errno @ (Errno::ENXIO | Errno::ENODEV)) => Err(attempt
                .not_a_ring("it is a socket, a FIFO or a device")
                .because(errno)),
            Err(errno) => Err(attempt.os("openat cannot open the file", errno)),
        };
    }
}
