//! A ring that may be nobody's, opened to judge it, and to remove it for good.
//!
//! It is judged by copies ([`View`]), as by anybody who looks. To be retired, one word of it must be changed in place,
//! in a page that its owner could take away meanwhile. So the header is mapped only while that cannot be:
//!
//! - A file, while this process has the lease on it ([`Lease`]): it was given because nobody else has the file open, and
//!   who opens or truncates it waits. The kernel ends a lease that others wait for after 45 seconds
//!   (/proc/sys/fs/lease-break-time), so before each change it is asked whether the lease lasts. (A collector that is
//!   stopped so long between that question and the change gets a signal if the owner has truncated the file by then.)
//! - A file on a file system without leases, if only this process's user, or root, may write it.
//! - A System V segment always: it cannot be shortened. (Where its owner punches a hole, the kernel puts a page.)
//!
//! Other files are left to their owners.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::header::HEADER_LEN;
use crate::sys::lease::{self, Lease};
use crate::sys::owner;
use crate::sys::shmget;

use super::attached::Attached;
use super::ids;
use super::place::{self, Place};
use super::request::unsupported_by_name;
use super::view::View;
use super::{descriptor, lock, removal};
use crate::error::Attempt;
use crate::memory::map::{Map, Source};
use crate::presence::retire::{self, Doubt, WriteAccess};

/// A finished ring, whatever its address leads to by now.
#[derive(Debug)]
pub(crate) struct Suspect {
    view: View,
    name: Name,
}

#[derive(Debug)]
enum Name {
    File { place: Place, file: Arc<OwnedFd> },
    Sysv { id: i32 },
}

/// The header of a suspect, mapped for writing.
#[derive(Debug)]
pub(crate) struct Hold {
    map: Arc<Map>,
    by: By,
}

/// Why the header can be written.
#[derive(Debug)]
enum By {
    Lease(Lease<Arc<OwnedFd>>),
    /// Nobody else may write the file.
    Mode,
    /// The System V segment.
    Sysv(i32),
}

impl Suspect {
    /// Opens what this process's user may remove.
    pub(crate) fn open(address: &Address) -> Result<Self, Error> {
        let attempt = Attempt {
            action: "collect",
            address,
        };
        match address {
            Address::Shm(_) | Address::File(_) => Self::of_file(attempt),
            Address::Sysv(key) => {
                let id = ids::find(attempt, key)?;
                let status = ids::status(attempt, id)?;
                removal::check_is_ours(attempt, &[status.owner_uid, status.creator_uid])?;
                let view = View::of_sysv_id(attempt, id)?;
                let name = Name::Sysv { id };
                Ok(Self { view, name })
            }
            _ => Err(unsupported_by_name(attempt.action, address)),
        }
    }

    fn of_file(attempt: Attempt<'_>) -> Result<Self, Error> {
        let place = Place::of(attempt)?;
        let file = Arc::new(place::open_path(attempt, &place, OFlag::O_RDWR)?);
        let stat = inspect(attempt, &file)?;
        removal::check_is_ours(attempt, &[stat.st_uid])?;
        // Of the same opening: the lease counts those.
        let view = View::of_descriptor(attempt, Arc::clone(&file))?;
        let name = Name::File { place, file };
        Ok(Self { view, name })
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt::to("collect", self.view.address())
    }

    /// What is in it.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Whether any live process has it open, other observers and collectors included, as far as the kernel
    /// tells.
    pub(crate) fn is_open_elsewhere(&self) -> bool {
        match &self.name {
            // Where there are no leases, there may be locks.
            Name::File { file, .. } => {
                lease::is_only_opener(file.as_fd()) == Ok(false)
                    || lock::Open::is_held(file.as_fd())
            }
            // This one's view.
            Name::Sysv { id } => shmget::status(*id).is_ok_and(|status| status.attached > 1),
        }
    }

    /// Maps the header, to write it; `None` if others have the file open.
    pub(crate) fn hold(&self) -> Result<Option<Hold>, Error> {
        match &self.name {
            Name::File { file, .. } => match self.lease(file)? {
                Some(by) => self.map(file, by).map(Some),
                None => Ok(None),
            },
            Name::Sysv { id } => {
                let status = ids::status(self.attempt(), *id)?;
                let map = Attached::new(self.attempt(), *id, status)?.map;
                let by = By::Sysv(*id);
                Ok(Some(Hold { map, by }))
            }
        }
    }

    fn lease(&self, file: &Arc<OwnedFd>) -> Result<Option<By>, Error> {
        let errno = match Lease::take(Arc::clone(file)) {
            Ok(lease) => return Ok(lease.map(By::Lease)),
            Err(errno) => errno,
        };
        let stat = inspect(self.attempt(), file)?;
        let others = 0o022;
        if owner::is_trusted(stat.st_uid) && stat.st_mode & others == 0 {
            return Ok(Some(By::Mode));
        }
        let problem =
            "others may truncate it meanwhile, and the kernel gives no lease against that";
        Err(self
            .attempt()
            .error(ErrorKind::PermissionDenied, problem)
            .remedy("remove it (ringway rm), or collect as its owner")
            .because(errno))
    }

    fn map(&self, file: &Arc<OwnedFd>, by: By) -> Result<Hold, Error> {
        let not_mapped = |errno: Errno| self.attempt().os("mmap cannot map it", errno);
        // Under the lease.
        let stat = inspect(self.attempt(), file)?;
        if (stat.st_size as u64) < HEADER_LEN as u64 {
            return Err(self.attempt().not_found(Errno::ENOENT));
        }
        let page = descriptor::page_of(&stat);
        let map = Map::new(Source::Fd(file.as_fd()), HEADER_LEN, page).map_err(not_mapped)?;
        match map.populate() {
            // EINVAL: of a kernel before 5.14.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(not_mapped(errno)),
        }
        let map = Arc::new(map);
        Ok(Hold { map, by })
    }

    /// As [`hold`](Self::hold), whoever has it open.
    #[cfg(test)]
    pub(crate) fn hold_anyhow(&self) -> Hold {
        match &self.name {
            Name::File { file, .. } => self.map(file, By::Mode).unwrap(),
            Name::Sysv { .. } => self.hold().unwrap().unwrap(),
        }
    }

    /// Removes what lies beside a retired ring, and its name. [`ErrorKind::NotFound`] if somebody else has.
    ///
    /// [`ErrorKind::NotFound`]: crate::ErrorKind::NotFound
    pub(crate) fn remove(self) -> Result<(), Error> {
        let attempt = Attempt::to("remove", self.view.address());
        match self.name {
            Name::File { place, file } => removal::remove_file(attempt, &place, file.as_fd()),
            Name::Sysv { id } => {
                let status = ids::status(attempt, id)?;
                removal::remove_finished(attempt, id, status.len)
            }
        }
    }
}

impl Hold {
    /// Doubts that anybody uses the ring; see [`retire`].
    pub(crate) fn doubt(&self) -> Option<Doubt<'_>> {
        retire::doubt(&self.map, self)
    }

    /// Whether nobody else has the ring open, as far as the kernel tells. To be asked while in
    /// [`doubt`](Self::doubt).
    pub(crate) fn is_alone(&self) -> bool {
        match &self.by {
            By::Lease(lease) => lease.lasts(),
            By::Mode => true,
            // This one's view and map.
            By::Sysv(id) => !shmget::status(*id).is_ok_and(|status| status.attached > 2),
        }
    }
}

impl WriteAccess for Hold {
    fn is_sound(&self) -> bool {
        match &self.by {
            By::Lease(lease) => lease.lasts(),
            By::Mode | By::Sysv(_) => true,
        }
    }
}

fn inspect(attempt: Attempt<'_>, file: &OwnedFd) -> Result<FileStat, Error> {
    fstat(file.as_fd()).map_err(|errno| attempt.os("fstat cannot inspect it", errno))
}
