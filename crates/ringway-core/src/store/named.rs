//! `shm:` and `file:`: segments with a name in a file system.
//!
//! The ring is built in a file without a name (`O_TMPFILE`) and linked into its directory when it is
//! finished. So the name stands for a finished ring from its first instant, exactly one of many racing
//! creators gets it, and a creator that dies leaves nothing.
//!
//! Where there are no files without names, or no /proc to link them through, the ring is built under
//! a temporary name `.NAME.ringway-NONCE` and renamed. A creator that dies then leaves that one file
//! ([`drafts`]).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open as open_file, openat};
use nix::sys::stat::{Mode, fstat, lstat};
use nix::unistd::{self, AccessFlags, linkat, unlink};

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::escape::Name;
use crate::memory::layout::header::FileId;
use crate::presence::retire;
use crate::sys::getrandom;
use crate::sys::rename;
use crate::waiting::sync;

use super::anchor::Anchor;
use super::slabs::named::Unfinished;
use super::slabs::{self, SlabSegments};
use super::watch::Watch;
use super::{
    Plan, Request, Segment, boot_id, descriptor, discard, drafts, lock, memories, removal, renewal,
};
use crate::error::Attempt;
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

pub(super) fn create(request: &Request<'_>, plan: &Plan) -> Result<Segment, Error> {
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

fn create_from(
    request: &Request<'_>,
    plan: &Plan,
    place: &Place,
    draft: &Draft,
) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    let boot_id = match place.survives_boot {
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

/// Who may use the segment, and which file the name leads to.
pub(super) fn access(attempt: Attempt<'_>) -> Result<(Access, FileId), Error> {
    let stat = lstat(&Place::of(attempt)?.path).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => attempt.not_found(errno),
        errno => attempt.os("fstat cannot inspect it", errno),
    })?;
    Ok((Access::of_file(&stat), FileId::of(&stat)))
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
        match open_file(&place.directory, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
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

    fn temporary(attempt: Attempt<'_>, place: &Place) -> Result<Self, Error> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let nonce = getrandom::nonce()
            .map_err(|errno| attempt.os("getrandom gives no randomness", errno))?;
        let path = place.directory.join(drafts::name(&place.name, nonce));
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

fn directory_error(attempt: Attempt<'_>, place: &Place, errno: Errno) -> Error {
    let directory = Name::of(&place.directory);
    match errno {
        // As procfs says it.
        Errno::ENOENT if place.directory.is_dir() => attempt
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
        Errno::ENOSPC if has_no_inode(&place.directory) => attempt
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

fn check_huge_pages(attempt: Attempt<'_>, place: &Place) -> Result<(), Error> {
    use nix::sys::statfs::{HUGETLBFS_MAGIC, statfs};
    let remedy = "use memfd:, sysv:, or file: on a hugetlbfs (mount -t hugetlbfs none /mnt/huge)";
    let problem = match attempt.address {
        Address::Shm(_) => "shm: has no reserved huge pages",
        _ => match statfs(&place.directory) {
            Ok(system) if system.filesystem_type() == HUGETLBFS_MAGIC => return Ok(()),
            Ok(_) => "only files on a hugetlbfs have huge pages",
            Err(errno) => return Err(directory_error(attempt, place, errno)),
        },
    };
    Err(attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy(remedy))
}

pub(super) fn open(request: &Request<'_>) -> Result<Segment, Error> {
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
    let watch = Watch::directory(&place.directory)
        .map_err(|errno| directory_error(attempt, &place, errno))?;
    loop {
        // After the watch began: what appears from here on ends the wait.
        match open_now(attempt, request, &place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        if deadline.remaining().is_none() {
            return Err(attempt.timed_out("it has not appeared"));
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

#[cfg(test)]
#[path = "tests/named.rs"]
mod tests;
