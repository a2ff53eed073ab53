//! How the writer tells readers how far it is, and how they sleep until it goes on.
//!
//! It is a board, in a file of the log's directory: its entry `place` has the place behind the last message that may be read, and its
//! entry `synced` the number before which all is synced. Who reads takes part in nothing, sleeps on the entry's eventcount, and learns of the
//! writer's death from the kernel. The entry `syncing`, on which nobody sleeps, is for the next writer only ([`syncing`](crate::syncing)). The name of the file has the id of the boot, so that what a loss of power left of an older one is
//! never looked at. All that outlives a boot is in the log itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use ringway_core::board::{GetError, Reader, Writer};
use ringway_core::{Address, Board, Error, ErrorKind};

use crate::names;
use crate::place::{Place, Told};
use crate::syncing::Tell;

const PLACE: &str = "place";
const SYNCED: &str = "synced";
const SYNCING: &str = "syncing";

/// The value of `place`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PlaceValue {
    segment: u64,
    offset: u64,
    next: u64,
    /// 1 if the writer has closed.
    closed: u64,
}

/// The value of `synced`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct SyncedValue {
    next: u64,
    /// The number of the error if a sync has failed.
    errno: u64,
}

/// The board of a log.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    board: Board,
}

impl Control {
    /// The board of this boot, which is made if it is not there.
    pub(crate) fn open(directory: &Path, mode: u32) -> Result<Self, Error> {
        let address = Address::File(path_of(directory)?);
        let builder = ringway_core::board::Builder::at(address)
            .keys([PLACE, SYNCED, SYNCING])
            .value_len(64)
            .writers(2)
            .mode(mode)
            .any_owner(true)
            .persistent(true);
        let board = builder.open_or_create()?;
        Ok(Self { board })
    }

    /// The entries, to write. One process has them at a time.
    pub(crate) fn writers(&self) -> Result<(PlaceTeller, SyncedTeller), Error> {
        let place = self.board.writer(PLACE)?;
        let synced = self.board.writer(SYNCED)?;
        let syncing = self.board.writer(SYNCING)?;
        Ok((PlaceTeller(place), SyncedTeller { synced, syncing }))
    }

    /// What a writer of this boot has told last.
    pub(crate) fn told(&self) -> Result<Option<Told>, Error> {
        let mut place = self.board.reader(PLACE)?;
        let mut synced = self.board.reader(SYNCED)?;
        let mut syncing = self.board.reader(SYNCING)?;
        // Nobody writes: the caller is the writer.
        let place = place.get_pod::<PlaceValue>().ok().flatten();
        let synced = synced.get_pod::<SyncedValue>().ok().flatten();
        let syncing = syncing.get_pod::<u64>().ok().flatten();
        let is_any = place.is_some() || synced.is_some() || syncing.is_some();
        Ok(is_any.then(|| Told {
            place: place.map(PlaceValue::place),
            synced: synced.map_or(0, |synced| synced.next),
            syncing: syncing.is_some_and(|syncing| syncing != 0),
            poisoned: synced.is_some_and(|synced| synced.errno != 0),
        }))
    }

    pub(crate) fn follower(&self) -> Result<Follower, Error> {
        Ok(Follower {
            place: self.board.reader(PLACE)?,
            synced: self.board.reader(SYNCED)?,
            last: None,
            last_synced: None,
        })
    }
}

impl PlaceValue {
    fn place(self) -> Place {
        Place {
            segment: self.segment,
            offset: self.offset,
            next: self.next,
        }
    }
}

/// Tells how far the writer is.
#[derive(Debug)]
pub(crate) struct PlaceTeller(Writer);

impl PlaceTeller {
    /// It costs no system call unless somebody sleeps.
    #[inline]
    pub(crate) fn tell(&mut self, place: Place, closed: bool) {
        let value = PlaceValue {
            segment: place.segment,
            offset: place.offset,
            next: place.next,
            closed: closed.into(),
        };
        // It fits. A child of fork was refused before.
        let _ = self.0.set_pod(&value);
    }
}

/// Tells how far the log is synced, and that a sync is under way.
#[derive(Debug)]
pub(crate) struct SyncedTeller {
    synced: Writer,
    syncing: Writer,
}

impl Tell for SyncedTeller {
    fn syncing(&mut self, is: bool) {
        // It fits. A child of fork was refused before.
        let _ = self.syncing.set_pod(&u64::from(is));
    }

    fn synced(&mut self, next: u64, failed: Option<Errno>) {
        let errno = failed.map_or(0, |errno| errno as u64);
        let _ = self.synced.set_pod(&SyncedValue { next, errno });
    }
}

/// Follows the writer.
#[derive(Debug)]
pub(crate) struct Follower {
    place: Reader,
    synced: Reader,
    last: Option<PlaceValue>,
    last_synced: Option<SyncedValue>,
}

/// What the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriterIs {
    /// There, be it stopped.
    Alive,
    /// Gone in order, or there was none.
    Gone,
    /// Dead.
    Dead,
}

impl Follower {
    /// How far the writer is; `None` if there was none since the machine was started.
    #[inline]
    pub(crate) fn place(&mut self) -> Result<Option<Place>, GetError> {
        if let Some(newer) = self.place.get_pod_if_newer::<PlaceValue>()? {
            self.last = Some(newer);
        }
        Ok(self.last.map(PlaceValue::place))
    }

    /// The number before which all is synced.
    pub(crate) fn synced(&mut self) -> Result<u64, GetError> {
        if let Some(newer) = self.synced.get_pod_if_newer::<SyncedValue>()? {
            self.last_synced = Some(newer);
        }
        Ok(self.last_synced.map_or(0, |synced| synced.next))
    }

    pub(crate) fn writer(&mut self) -> WriterIs {
        let closed = self.last.is_some_and(|last| last.closed != 0);
        match self.place.writer_lives() {
            // It sets the mark before it leaves.
            Some(true) if !closed => WriterIs::Alive,
            Some(false) if !closed => WriterIs::Dead,
            _ => WriterIs::Gone,
        }
    }

    /// Sleeps until the writer has gone on.
    pub(crate) fn wait_place(&mut self, deadline: Option<Instant>) -> Result<(), GetError> {
        self.last = Some(self.place.wait_newer_pod(deadline)?);
        Ok(())
    }

    /// Sleeps until more is synced.
    pub(crate) fn wait_synced(&mut self, deadline: Option<Instant>) -> Result<(), GetError> {
        self.last_synced = Some(self.synced.wait_newer_pod(deadline)?);
        Ok(())
    }
}

/// Removes the boards of other boots. One that somebody has open under another boot id stays.
pub(crate) fn sweep(directory: &Path, names: &[String]) {
    let Ok(own) = path_of(directory) else {
        return;
    };
    for name in names {
        let path = directory.join(name);
        if name.starts_with(names::CONTROL) && path != own {
            let _ = ringway_core::remove(&Address::File(path), false);
        }
    }
}

/// Where the board of this boot is.
pub(crate) fn path_of(directory: &Path) -> Result<PathBuf, Error> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    let address = || Address::Log(directory.to_owned());
    let text = std::fs::read_to_string(FILE).map_err(|error| {
        let problem = format!("{FILE}, which tells one boot from another, cannot be read");
        Error::new(ErrorKind::Unsupported, "open", address(), problem)
            .with_errno(error.raw_os_error().unwrap_or(0))
            .remedy("mount /proc")
    })?;
    let id: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    Ok(directory.join(format!("{}{id}", names::CONTROL)))
}
