//! What services need of a board: roles that go from hand to hand, and changes without values. Not part of the stable API.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::reader::{Reader, numbered};
use super::{Board, polling};
use crate::address::Address;
use crate::api::reach::Reach;
use crate::api::threads::Unshared;
use crate::error::{Attempt, Error, GetError, SetError};
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::presence::participant::{self, Participant};
use crate::rings::board::Entry;
use crate::rings::board::reader::{Buffer, Room};
use crate::rings::board::short::Words;
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

    /// Publishes a short value of two words and what is behind them, [`MAX_SHORT`] bytes at most, with a tag. It overwrites the last short one: nobody may
    /// have need of that any more.
    ///
    /// # Errors
    /// As [`set_parts`](Self::set_parts).
    ///
    /// # Panics
    /// The same.
    #[inline]
    pub fn set_short(
        &mut self,
        tag: u16,
        header: [u64; 2],
        bytes: &[u8],
        wakes: Wakes,
    ) -> Result<u64, SetError> {
        assert!(self.held, "only who has the role may set a value");
        self.writer.set_short(tag, header, bytes, wakes)
    }

    /// Is about to mark, and to say something.
    #[inline]
    pub fn prepare_to_mark(&self) {
        self.writer.prepare_to_mark();
    }

    /// Notes something for who comes after it, if it has the role. Who has said something, and does not find the mark [behind that](Reader::mark_behind_all), is
    /// heard by who looks what was said after this.
    #[inline]
    pub fn set_mark(&mut self, mark: u64) {
        if self.held {
            self.writer.set_mark(mark);
        }
    }

    /// What was marked last, by whoever had the role.
    #[inline]
    pub fn mark(&self) -> u64 {
        self.writer.mark()
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

/// What was said at a desk.
#[derive(Debug, Default)]
pub struct Hearing {
    /// A value that is no short one.
    long: Vec<u8>,
    short: Words,
    /// The length and the tag of a short one.
    is_short: Option<(usize, u16)>,
}

impl Hearing {
    /// All of it.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self.is_short {
            Some((len, _)) => &self.short.as_flattened()[..len],
            None => &self.long,
        }
    }

    /// The tag of a short value, and the two words in front of what is behind them.
    #[inline]
    pub fn short(&self) -> Option<(u16, [u64; 2])> {
        let (_, tag) = self.is_short?;
        let [first, second, ..] = self.short;
        Some((tag, [first, second].map(u64::from_le_bytes)))
    }

    /// What lies behind `from`.
    #[inline]
    pub fn into_rest(self, from: usize) -> Vec<u8> {
        match self.is_short {
            Some(_) => self.bytes().get(from..).unwrap_or_default().to_vec(),
            None => {
                let mut long = self.long;
                long.drain(..from.min(long.len()));
                long
            }
        }
    }
}

impl Room for Hearing {
    type Copy = ();

    #[inline]
    unsafe fn copy<R: Region>(
        &mut self,
        region: &R,
        entry: &Entry,
        buffer: Buffer<R>,
        len: u64,
    ) -> Option<()> {
        self.is_short = None;
        // SAFETY: passed on.
        unsafe { self.long.copy(region, entry, buffer, len) }
    }

    #[inline]
    fn put(&mut self, words: &Words, len: usize, tag: u16) -> Option<()> {
        // What is shorter than the two words in front is nothing that is said.
        (self.short, self.is_short) = (*words, Some((len, tag)));
        Some(())
    }
}

/// For services.
#[doc(hidden)]
impl Reader {
    /// Hears what was said last, whether it was heard before or not, and returns its number.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn hear(&mut self, heard: &mut Hearing) -> Result<Option<u64>, GetError> {
        Ok(self.reader.get(heard)?.map(numbered))
    }

    /// Hears what was said, if it is newer than what was heard last.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn hear_if_newer(&mut self, heard: &mut Hearing) -> Result<Option<u64>, GetError> {
        Ok(self.reader.get_if_newer(heard)?.map(numbered))
    }

    /// The same, looking for what is on its way for a moment, without a clock, if it is one that spins.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn hear_soon(&mut self, heard: &mut Hearing) -> Result<Option<u64>, GetError> {
        match self.wait.how.spins() && self.reader.is_newer_soon() {
            true => self.hear_if_newer(heard),
            false => Ok(None),
        }
    }

    /// The same, waiting for it as [`wait_newer_deadline`](Self::wait_newer_deadline).
    ///
    /// # Errors
    /// The same.
    pub fn hear_deadline(
        &mut self,
        heard: &mut Hearing,
        deadline: Option<Instant>,
    ) -> Result<u64, GetError> {
        let wait = self.wait.until(deadline);
        self.reader.wait_newer(&wait, heard).map(numbered)
    }

    /// Passes over what can be read no more, as something else was being written in its place: what is heard next is newer.
    pub fn pass_over_half_written(&mut self) {
        self.reader.pass_over_half_written();
    }

    /// What the entry's writer has marked, if there is such an entry.
    pub fn mark(&mut self) -> Option<u64> {
        self.reader.mark()
    }

    /// The same behind all that this process has said; `None` if that cannot be made sure.
    pub fn mark_behind_all(&mut self) -> Option<u64> {
        self.reader.mark_behind_all()
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
