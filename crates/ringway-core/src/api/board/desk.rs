//! What services need of a board: roles that go from hand to hand, and changes without values. Not part of the stable API.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::{Board, polling};
use crate::address::Address;
use crate::api::reach::Reach;
use crate::api::threads::Unshared;
use crate::error::{Attempt, Error, GetError, SetError};
use crate::memory::region::memory::Memory;
use crate::presence::participant::{self, Participant};
use crate::rings::board::watcher;
use crate::rings::board::writer::{self, Refused, Wakes};
use crate::waiting::{WaitOptions, WaitStrategy};

/// The role of one entry, for who takes it and gives it up again and again.
pub struct Role {
    writer: CachePadded<writer::Writer<Memory>>,
    held: bool,
    board: Board,
    /// Its slot may be left when the role is given up.
    participant: Arc<Participant>,
    _one_thread: Unshared,
}

impl Role {
    /// Takes the role, if nobody who lives has it. Says whether it has it.
    ///
    /// # Errors
    /// As [`Board::writer`], but for the role that is taken.
    pub fn take(&mut self) -> Result<bool, Error> {
        if self.held {
            return Ok(true);
        }
        let attempt = Attempt::to("write to", self.board.address());
        if self.board.ring().is_forked() {
            return Err(attempt.forked());
        }
        match self.writer.take_again(self.participant.outlook) {
            Ok(()) => self.held = true,
            Err(Refused::Taken(_)) => {}
            Err(Refused::Unsettled) => return Err(participant::unsettled(attempt)),
            Err(Refused::Corrupt) => return Err(self.board.ring().corrupt()),
        }
        Ok(self.held)
    }

    /// The id of the attachment that takes it: no other process, and no later attachment of this one, ever has it.
    pub fn id(&self) -> u64 {
        self.participant.id()
    }

    /// Where the board is.
    pub fn address(&self) -> &Address {
        self.board.address()
    }

    /// Whether it has the role.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Whether who had the role before died with it.
    pub fn follows_death(&self) -> bool {
        self.writer.follows_death()
    }

    /// The number of the value that was there when the role was taken, or that was set since.
    pub fn number(&self) -> u64 {
        self.writer.number()
    }

    /// Publishes a value that lies in parts.
    ///
    /// # Errors
    /// As [`Writer::set`](super::writer::Writer::set).
    ///
    /// # Panics
    /// If it does not have the role.
    #[inline]
    pub fn set_parts<const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        wakes: Wakes,
    ) -> Result<u64, SetError> {
        assert!(self.held, "only who has the role may set a value");
        self.writer.set_parts(parts, wakes)
    }

    /// Gives the role up.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.held) {
            self.writer.leave();
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Role");
        shown.field("held", &self.held).finish_non_exhaustive()
    }
}

/// Tells which of some entries have changed, and does not read them.
#[derive(Debug)]
pub struct Changes {
    pub(super) watcher: watcher::Watcher<Memory>,
    pub(super) among: Range<u32>,
    pub(super) wait: WaitOptions<'static>,
    pub(super) reach: Reach,
    pub(super) address: Address,
    _one_thread: Unshared,
}

impl Changes {
    /// How it waits.
    #[must_use]
    pub fn with_wait(mut self, how: WaitStrategy) -> Self {
        self.wait = WaitOptions::new(how);
        self
    }

    /// The place of an entry that has changed since it was told of, in the order in which entries were added; each in its turn.
    ///
    /// # Errors
    /// [`GetError::Forked`].
    pub fn next_place(&mut self) -> Result<Option<u32>, GetError> {
        self.watcher.changed(&self.among)
    }

    /// The same, waiting for one until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`GetError::Forked`], [`GetError::Removed`], [`GetError::TimedOut`], [`GetError::Interrupted`].
    pub fn wait_place(&mut self, deadline: Option<Instant>) -> Result<u32, GetError> {
        let wait = self.wait.until(deadline);
        loop {
            // That it is armed is never said of a wait that sleeps.
            if let Some(place) = self.watcher.changed_or_armed(&self.among, &wait)? {
                return Ok(place);
            }
        }
    }
}

impl Board {
    /// The role of the entry with that key, which is added if it is not there. It is not taken yet.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), but for the role that is taken.
    #[doc(hidden)]
    pub fn role(&self, key: &str) -> Result<Role, Error> {
        let (region, entry, participant) = self.to_write(self.writing(), key)?;
        let writer = writer::Writer::without_role(region, entry, participant.id());
        Ok(Role {
            writer: CachePadded::new(writer),
            held: false,
            board: self.clone(),
            participant,
            _one_thread: Unshared::default(),
        })
    }

    /// Changes of the entries at those places.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    #[doc(hidden)]
    pub fn changes(&self, among: Range<u32>) -> Result<Changes, Error> {
        let watcher = watcher::Watcher::new(self.ring.region()?, self.slate);
        Ok(Changes {
            reach: polling::reach(self.ring.map(), watcher.whereabouts()),
            watcher,
            address: self.ring.address().clone(),
            among: among.start..among.end.min(self.slate.entries),
            wait: WaitOptions::new(WaitStrategy::default()),
            _one_thread: Unshared::default(),
        })
    }
}
