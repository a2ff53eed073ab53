//! The writing handle.

use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use ringway_core::Address;
use ringway_core::os::{deadline_after, fork, tell};

use crate::appender::{Appender, Recovery};
use crate::control::PlaceTeller;
use crate::cursor;
use crate::error::AppendError;
use crate::files::disk::Directory;
use crate::group::Group;
use crate::lock::Lock;
use crate::names;
use crate::options::{Durability, Level, Receipt, Retention, nanoseconds};

/// The writer of a log.
///
/// Dropping it closes the log in order, as [`close`](Self::close) does: readers end when all is read. A writer that dies has its
/// successor go on where the log stands.
#[derive(Debug)]
pub struct Writer {
    appender: Appender<Directory>,
    place: PlaceTeller,
    sync: Sync,
    retention: Retention,
    recovery: Recovery,
    /// The segment that was told last.
    segment: u64,
    /// The byte of it.
    offset: u64,
    closed: bool,
    origin: fork::Origin,
    _lock: Lock,
    /// Of which log is told.
    address: Address,
}

/// Who syncs.
#[derive(Debug)]
enum Sync {
    /// Nobody, unless asked to.
    Never,
    Each,
    Group(Group),
}

impl Writer {
    pub(crate) fn new(
        appender: Appender<Directory>,
        place: PlaceTeller,
        (durability, retention): (Durability, Retention),
        recovery: Recovery,
        lock: Lock,
        address: Address,
    ) -> Result<Self, Errno> {
        let origin = fork::Origin::here()?;
        let sync = match durability {
            Durability::None => Sync::Never,
            Durability::Each => Sync::Each,
            Durability::Batch { interval, bytes } => {
                let syncer = appender.syncer();
                Sync::Group(Group::start(interval, bytes, appender.synced(), syncer)?)
            }
        };
        let mut writer = Self {
            segment: appender.place().segment,
            offset: appender.place().offset,
            appender,
            place,
            sync,
            retention,
            recovery,
            closed: false,
            origin,
            _lock: lock,
            address,
        };
        writer.tell();
        // What cannot be removed now is tried again with the next segment.
        let _ = writer.retain();
        Ok(writer)
    }

    /// Appends a message, and says what is known of it when this returns. See [`Durability`].
    ///
    /// # Errors
    /// [`AppendError`]'s; the message is not in the log then. (After [`AppendError::Poisoned`] it may be, and nobody knows.)
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
    /// use ringway::log::{Durability, Level, Log};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let address = format!("log:{}", directory.path().join("orders").display());
    /// let mut writer = Log::at(&address)?.durability(Durability::Each).create()?.writer()?;
    /// let receipt = writer.append(b"hello")?;
    /// assert_eq!((receipt.number, receipt.level), (0, Level::Synced));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn append(&mut self, message: &[u8]) -> Result<Receipt, AppendError> {
        self.check()?;
        let number = self.appender.push(now(), message)?;
        self.finish(number)
    }

    /// Appends many messages with few system calls: they are written in blocks of 256 KiB.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
    /// # use ringway::log::Log;
    /// # let directory = tempfile::tempdir()?;
    /// # let address = format!("log:{}", directory.path().join("orders").display());
    /// let mut writer = Log::at(&address)?.create()?.writer()?;
    /// let mut batch = writer.batch();
    /// for message in [b"one", b"two"] {
    ///     batch.append(message)?;
    /// }
    /// assert_eq!(batch.commit()?.unwrap().number, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&mut self) -> Batch<'_> {
        Batch {
            writer: self,
            last: None,
        }
    }

    /// Buffers a message of many; they are written in blocks, and acknowledged by [`write_gathered`](Self::write_gathered).
    pub(crate) fn gather(&mut self, message: &[u8]) -> Result<u64, AppendError> {
        if self.appender.is_full_before(message.len()) {
            self.check()?;
            self.appender.flush_block()?;
            // Where each message is synced before it is seen, both are done at the end.
            if !matches!(self.sync, Sync::Each) {
                let last = self.next_number().saturating_sub(1);
                self.finish(last)?;
            }
        }
        let time = match self.appender.buffered_len() {
            0 => {
                self.check()?;
                now()
            }
            _ => 0,
        };
        self.appender.push(time, message)
    }

    /// Writes what is left of them.
    pub(crate) fn write_gathered(&mut self) -> Result<Receipt, AppendError> {
        let last = self.next_number().saturating_sub(1);
        self.finish(last)
    }

    /// Has the next message get this number. Readers are told of those in between as [`Lagged`](crate::ReadError::Lagged). Nothing is done if
    /// the next one has that number or a larger one.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn skip_to(&mut self, number: u64) -> Result<(), AppendError> {
        self.check()?;
        if number > self.next_number() {
            self.appender.push_gap(now(), number)?;
            self.finish(number)?;
        }
        Ok(())
    }

    /// The number that the next message gets.
    pub fn next_number(&self) -> u64 {
        self.appender.next_number()
    }

    /// What tells this log from all others.
    pub fn nonce(&self) -> u128 {
        self.appender.about.nonce
    }

    /// When the last message was appended; 1970 before the first.
    pub fn last_time(&self) -> SystemTime {
        crate::options::time_of(self.appender.time())
    }

    /// What was done when this writer came: whether something half written was taken away.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Syncs all that was appended, now, whatever the [`Durability`] is.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Removed`], [`AppendError::Forked`].
    pub fn sync(&mut self) -> Result<(), AppendError> {
        self.check()?;
        let next = self.next_number();
        match &self.sync {
            Sync::Never | Sync::Each => self.appender.sync(),
            Sync::Group(group) => match group.wait(next, None, true) {
                Ok(_) => Ok(()),
                Err(errno) => Err(self.appender.poison(errno)),
            },
        }
    }

    /// Waits until the message with that number is synced, with the group that it is in. With other kinds of
    /// [`Durability`] it is synced now if it is not yet.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn wait_synced(&mut self, number: u64) -> Result<(), AppendError> {
        self.wait_synced_deadline(number, None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`sync`](Self::sync), and [`AppendError::TimedOut`].
    pub fn wait_synced_timeout(
        &mut self,
        number: u64,
        timeout: Duration,
    ) -> Result<(), AppendError> {
        self.wait_synced_deadline(number, deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_synced_timeout`](Self::wait_synced_timeout).
    pub fn wait_synced_deadline(
        &mut self,
        number: u64,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), AppendError> {
        self.check()?;
        let next = number.saturating_add(1).min(self.next_number());
        match &self.sync {
            Sync::Group(group) => match group.wait(next, deadline.into(), false) {
                Ok(true) => Ok(()),
                Ok(false) => Err(AppendError::TimedOut),
                Err(errno) => Err(self.appender.poison(errno)),
            },
            Sync::Never | Sync::Each if self.appender.synced() >= next => Ok(()),
            Sync::Never | Sync::Each => self.sync(),
        }
    }

    /// All messages before this number are synced.
    pub fn synced(&self) -> u64 {
        match &self.sync {
            Sync::Group(group) => group.synced().unwrap_or(0).max(self.appender.synced()),
            Sync::Never | Sync::Each => self.appender.synced(),
        }
    }

    /// Removes what the [`Retention`] does not keep, and returns how many segments that were. It is done by itself whenever a new
    /// segment is begun.
    ///
    /// # Errors
    /// [`AppendError::Os`] and others; nothing was lost.
    pub fn retain(&mut self) -> Result<usize, AppendError> {
        self.check()?;
        if self.retention == Retention::all() {
            return Ok(0);
        }
        let files = &self.appender.files;
        let cursors = match files.below(names::CURSORS, false) {
            Ok(cursors) => Some(cursors),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(AppendError::of(errno)),
        };
        let (nonce, now) = (self.appender.about.nonce, now());
        let slowest = match &cursors {
            // One that cannot be read keeps everything.
            Some(cursors) => cursor::all(cursors, nonce)
                .map_err(|_| AppendError::of(Errno::EIO))?
                .into_iter()
                .map(|(_, number)| number)
                .min(),
            None => None,
        };
        if self.appender.removable(&self.retention, now, slowest) == 0 {
            return Ok(0);
        }
        // Else a loss of power could set a cursor back to what is gone.
        let slowest = match &cursors {
            Some(cursors) => {
                cursor::slowest_synced(cursors, nonce).map_err(|_| AppendError::of(Errno::EIO))?
            }
            None => None,
        };
        let count = self.appender.retain(&self.retention, now, slowest)?;
        if count > 0 {
            tell!("ringway::log", INFO, "retired", address = %self.address, segments = count);
        }
        Ok(count)
    }

    /// Closes in order: readers that do not follow end when all is read. Unless the [`Durability`] is `None`, all is synced first.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn close(mut self) -> Result<(), AppendError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), AppendError> {
        if self.closed || self.origin.is_forked() {
            return Ok(());
        }
        self.closed = true;
        if let Sync::Group(group) = &mut self.sync {
            group.stop();
            match group.synced() {
                Ok(next) => self.appender.was_synced(next),
                Err(errno) => drop(self.appender.poison(errno)),
            }
            self.sync = Sync::Each;
        }
        let outcome = self.appender.close();
        self.place.tell(self.appender.place(), true);
        outcome
    }

    #[inline]
    fn check(&mut self) -> Result<(), AppendError> {
        if self.origin.is_forked() {
            return Err(AppendError::Forked);
        }
        if let Sync::Group(group) = &self.sync {
            match group.synced() {
                Ok(next) => self.appender.was_synced(next),
                Err(errno) => return Err(self.appender.poison(errno)),
            }
        }
        Ok(())
    }

    /// Writes what is buffered, and makes it what was chosen.
    fn finish(&mut self, number: u64) -> Result<Receipt, AppendError> {
        self.appender.flush()?;
        let level = match &self.sync {
            Sync::Never => Level::Written,
            Sync::Each => {
                self.appender.sync()?;
                Level::Synced
            }
            Sync::Group(group) => {
                let place = self.appender.place();
                let bytes = match place.segment == self.segment {
                    true => place.offset - self.offset,
                    false => place.offset,
                };
                let (file, next) = self.appender.to_sync();
                group.note(file, next, bytes);
                Level::Written
            }
        };
        let segment = self.segment;
        self.tell();
        if segment != self.segment {
            tell!("ringway::log", DEBUG, "rolled", address = %self.address, segment = self.segment);
            // The message is in the log, whatever becomes of the old ones.
            let _ = self.retain();
        }
        Ok(Receipt { number, level })
    }

    /// Lets readers see what is written.
    fn tell(&mut self) {
        let place = self.appender.place();
        (self.segment, self.offset) = (place.segment, place.offset);
        self.place.tell(place, false);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Many messages that are written with few system calls. [`commit`](Self::commit) acknowledges them; one that is dropped without it has the
/// messages that were written already in the log, and no others.
#[derive(Debug)]
pub struct Batch<'a> {
    writer: &'a mut Writer,
    last: Option<u64>,
}

impl Batch<'_> {
    /// Adds a message, and returns its number. It is acknowledged by [`commit`](Self::commit).
    ///
    /// # Errors
    /// As [`Writer::append`]; the messages since the last block that was written are not in the log then
    /// ([`Writer::next_number`] tells which).
    #[inline]
    pub fn append(&mut self, message: &[u8]) -> Result<u64, AppendError> {
        let number = self.writer.gather(message)?;
        self.last = Some(number);
        Ok(number)
    }

    /// Writes what is left, and says what is known of all; `None` if there was no message.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn commit(mut self) -> Result<Option<Receipt>, AppendError> {
        match self.last.take() {
            Some(last) => {
                // What a child of `fork` inherited is its parent's to write.
                self.writer.check()?;
                self.writer.finish(last).map(Some)
            }
            None => Ok(None),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.writer.appender.drop_buffer();
        if self.last.is_some() && !matches!(self.writer.sync, Sync::Each) {
            self.writer.tell();
        }
    }
}

fn now() -> u64 {
    nanoseconds(SystemTime::now())
}
