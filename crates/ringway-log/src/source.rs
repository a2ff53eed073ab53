//! What a log is a record of: which ring's message a number is.
//!
//! A ring counts its messages, and so does a log. While a recorder writes a log, message `ring + n` of the ring is message
//! `log + n` of the log; both numbers, and the ring's nonce, are in the file `source`, which is on the disk before the first of the messages. So a
//! recorder that is started again knows what it had appended and not released yet, and a consumer finds in the log what the ring
//! does not hold any more. Any other writer removes the file: what it appends is no record.

use nix::errno::Errno;
use ringway_core::{Kind, Ring, SyncKind};

use crate::files::Files;
use crate::files::disk::Directory;
use crate::names;
use crate::slots::Slots;
use crate::trouble::Trouble;

/// Where the numbers of a ring are in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The ring's.
    pub(crate) nonce: u128,
    /// The first message's number in the ring.
    ring: u64,
    /// The same one's in the log.
    log: u64,
}

impl Source {
    /// The next message of a log, which is this one of the ring.
    pub(crate) fn new(nonce: u128, ring: u64, log: u64) -> Self {
        Self { nonce, ring, log }
    }

    /// What a message of the ring is in the log; `None` if it is not in it.
    pub(crate) fn in_log(&self, ring: u64) -> Option<u64> {
        ring.checked_sub(self.ring)?.checked_add(self.log)
    }

    /// What a message of the log is in the ring; `None` if it is no record of it.
    pub(crate) fn in_ring(&self, log: u64) -> Option<u64> {
        log.checked_sub(self.log)?.checked_add(self.ring)
    }

    /// What the log in that directory is a record of.
    pub(crate) fn open(directory: &Directory) -> Result<Option<Self>, Trouble> {
        let file = match directory.open(names::SOURCE, false) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Trouble::os("source cannot be opened")(errno)),
        };
        let [low, high, ring, log, _] = Slots::open(file, names::SOURCE)?.words();
        let nonce = u128::from(high) << 64 | u128::from(low);
        Ok(Some(Self { nonce, ring, log }))
    }

    /// Says so on the disk.
    pub(crate) fn store(&self, directory: &Directory) -> Result<(), Trouble> {
        let nonce = self.nonce;
        let words = [nonce as u64, (nonce >> 64) as u64, self.ring, self.log, 1];
        Slots::create(directory, names::SOURCE, words).map(drop)
    }

    /// The log is no record any more.
    pub(crate) fn forget(directory: &Directory) -> Result<(), Errno> {
        match directory.remove(names::SOURCE) {
            Ok(()) => directory.sync_names(),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Whether the messages of a ring have consecutive numbers.
pub(crate) fn is_counted(ring: &Ring) -> bool {
    match (ring.kind(), ring.sync()) {
        (Kind::Broadcast, _) => true,
        (Kind::Spsc, SyncKind::Futex) => !ring.stat().overwrites_oldest,
        _ => false,
    }
}
