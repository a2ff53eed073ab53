//! A ring that may be nobody's, opened to judge it, and to remove it for good.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use crate::address::Address;
use crate::error::Error;
use crate::layout::header::HEADER_LEN;
use crate::sys::{lease, shmget};

use super::attempt::Attempt;
use super::map::{Map, Source};
use super::named::{self, Place};
use super::retire::{self, Doubt};
use super::sysv::{self, Attached};
use super::view::View;
use super::{descriptor, removal, unsupported_by_name};

/// A finished ring, whatever its address leads to by now.
#[derive(Debug)]
pub(crate) struct Suspect {
    view: View,
    /// The header at least, for writing.
    map: Arc<Map>,
    name: Name,
}

#[derive(Debug)]
enum Name {
    File { place: Place, file: OwnedFd },
    Sysv { id: i32 },
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
                let id = sysv::find(attempt, key)?;
                let status = sysv::status(attempt, id)?;
                removal::check_is_ours(attempt, &[status.owner_uid, status.creator_uid])?;
                let view = View::of_sysv_id(attempt, id)?;
                let map = Attached::new(attempt, id, status)?.map;
                let name = Name::Sysv { id };
                Ok(Self { view, map, name })
            }
            _ => Err(unsupported_by_name(attempt.action, address)),
        }
    }

    fn of_file(attempt: Attempt<'_>) -> Result<Self, Error> {
        let place = Place::of(attempt)?;
        let file = named::open_path(attempt, &place, OFlag::O_RDWR)?;
        let not_mapped = |errno: Errno| attempt.os("it cannot be mapped", errno);
        let stat = fstat(file.as_fd()).map_err(not_mapped)?;
        removal::check_is_ours(attempt, &[stat.st_uid])?;
        let view = View::of_descriptor(attempt, file.as_fd())?;
        let page = descriptor::page_of(&stat);
        let map = Map::new(Source::Fd(file.as_fd()), HEADER_LEN, page).map_err(not_mapped)?;
        Ok(Self {
            view,
            map: Arc::new(map),
            name: Name::File { place, file },
        })
    }

    /// What is in it.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Whether any live process has it open, other observers and collectors included, as far as the kernel
    /// tells. To be asked while in [`doubt`](Self::doubt).
    pub(crate) fn is_open_elsewhere(&self) -> bool {
        /// This one's view and map.
        const OWN: libc::shmatt_t = 2;
        match &self.name {
            Name::File { file, .. } => lease::is_only_opener(file.as_fd()) == Ok(false),
            Name::Sysv { id } => shmget::status(*id).is_ok_and(|status| status.attached > OWN),
        }
    }

    /// Doubts that anybody uses it; see [`retire`].
    pub(crate) fn doubt(&self) -> Option<Doubt<'_>> {
        retire::doubt(&self.map)
    }

    /// Removes what lies beside a retired ring, and its name. [`ErrorKind::NotFound`] if somebody else has.
    ///
    /// [`ErrorKind::NotFound`]: crate::ErrorKind::NotFound
    pub(crate) fn remove(self) -> Result<(), Error> {
        let attempt = Attempt {
            action: "remove",
            address: self.view.address(),
        };
        match self.name {
            Name::File { place, file } => removal::remove_file(attempt, &place, file.as_fd()),
            Name::Sysv { id } => {
                let len = self.map.len();
                removal::remove_finished(attempt, id, len)
            }
        }
    }
}
