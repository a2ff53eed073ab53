//! The writer's side over any files: what is written in which order, and what a death leaves.
//!
//! # States
//! A log has segments in the order of their bases. All but the last one are sealed; the last one is written to.
//!
//! | to | calls, in order | killed in between, it leaves |
//! |---|---|---|
//! | append | one write of whole records behind the last one, of a block among others also of zeros behind them, where there are zeros; with [`Each`](crate::Durability::Each), a sync | some first part of the bytes: whole records, which count, and one that is torn, which the next writer overwrites with zeros |
//! | begin a segment, and if its name cannot be synced stop | make `N.new`, allocate, header, sync, rename to `N.seg`, sync the names; write the seal in the old one; sync it, unless nothing is synced; cut it behind the seal | a draft, which the next writer removes; an empty segment behind one without a seal, which gets one then; or one that is not cut |
//! | sync | tell that it is under way; sync the last segment; tell how far that is | what was told: [`syncing`](crate::syncing) |
//! | remove segments | sync the cursors; store the new oldest number; sync that; remove the files | an oldest number that is not on the disk yet, which the next writer confirms; files below it, which that one removes then; no reader looks at them |
//! | close | sync; a mark; sync | as append |
//!
//! Nothing is written into a segment before the one before it is synced as a whole (unless nothing is ever synced), so only the
//! last one can be torn where the log promises anything.
//!
//! # What is read need not be on the disk
//! A process that was killed leaves in the page cache what it did not sync, and the next one reads it. If that one does something
//! that reaches the disk, and the power goes, then the disk may have what was done and not the reason for it. So every reason is brought to the disk
//! first:
//!
//! | what is read | by whom | what is done for it | so before that |
//! |---|---|---|---|
//! | names of files | the next writer | it writes to them | it syncs the names |
//! | that a draft is gone, or was never there | who makes a draft of that name, and renames it | after a loss of power the new name could be that of the old draft, of which nothing was synced | it syncs the names before it makes the draft |
//! | the oldest number | the next writer | it removes the segments below | it writes the number once more, and syncs ([`Slots::confirm`]): after a failed sync a sync alone would do nothing |
//! | records behind the last sync | the next writer | it appends behind them, and acknowledges that | it syncs every segment; where the last writer was killed while a sync was under way, it writes them once more before that: the sync may have failed, and then a second one does nothing |
//! | a cursor's number | a writer that removes segments | what the cursor is behind goes | it syncs the cursor (if that sync fails nothing goes; where one failed, of a reader or a writer, and the reader has not stored it again, a loss of power may set it back to what is gone, and the reader is told how many) |
//! | what a repair has copied | that repair | it overwrites the original | it syncs the copy, and gives it its name then; one that has its name is never replaced, for the original may be half overwritten |
//!
//! Without the second, a writer killed in the middle of removing left a log of which, after a loss of power, the oldest segments were
//! missed: readers were told of damage, and writers were refused, though nothing was gone that should have been kept.
//!
//! # Torn, or damaged?
//! What lies behind the last record that is right was being written when a process or the power died, or it was written and has been
//! damaged since. To cut the latter would lose what was acknowledged. Two things tell them apart. The control file says how far a
//! writer of this boot was. And *marks* are written into the log with what comes after a sync: if any record behind the wrong one
//! says that this one was synced, it was damaged. (A damaged record behind the last mark that reached the disk, of which a loss of power was the
//! end, is not told from a torn one.) What is damaged is refused, and cut by who asks for that ([`Plan::repair`]): what is cut is kept in a file.

mod segments;

use std::sync::Arc;

use nix::errno::Errno;

pub(crate) use self::segments::{make_segment, remove, start};
use crate::error::AppendError;
use crate::files::{FileLike, Files};
use crate::format::{MAX_PAYLOAD, RecordKind, SEAL_LEN, SegmentHeader, encode, record_len};
use crate::index::{self, Entry, Index};
use crate::names::{self, About};
use crate::place::{Place, Told};
use crate::slots::Slots;
use crate::syncing::{Syncer, Tell};
use crate::trouble::Trouble;

/// Bytes of the blocks in which many messages are written, unless a check wants others.
pub(crate) const BLOCK: u64 = 256 << 10;
/// Bytes of zeros at most that are written to make a block end where it should.
const FILL: u64 = 4096;

/// What a writer means to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of a segment, unless a message needs more.
    pub segment_len: u64,
    /// Bytes of a block of many messages. It ends at about a multiple of that, so the kernel takes its memory in large pieces.
    pub block: u64,
    /// Whether anything is ever synced.
    pub durable: bool,
    /// Cut what is damaged, and write anew what a failed sync may have lost.
    pub repair: bool,
}

/// What was done when the log was opened for writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Bytes that a death had left half written, and that were taken away.
    pub torn: u64,
    /// Bytes that a repair took away; they are in a file whose name ends with `.cut`.
    pub cut: u64,
}

/// A segment that is not written to any more.
#[derive(Clone, Copy, Debug)]
struct Older {
    base: u64,
    len: u64,
    /// No record in it is younger.
    time: u64,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Current<T> {
    pub(crate) file: Arc<T>,
    base: u64,
    seed: u32,
    /// Bytes that are allocated.
    len: u64,
    /// Behind the last record.
    end: u64,
}

/// Appends to a log. There must be only one at a time.
#[derive(Debug)]
pub struct Appender<F: Files> {
    pub(crate) files: F,
    pub(crate) slots: Slots<F::File>,
    pub(crate) about: About,
    plan: Plan,
    syncer: Arc<Syncer>,
    current: Current<F::File>,
    older: Vec<Older>,
    index: Option<Index<F::File>>,
    /// Where the last entry of the index leads to, or the segment begins.
    indexed: u64,
    /// Records that are not written yet.
    buffer: Vec<u8>,
    /// The number of the first of them.
    buffered: u64,
    next: u64,
    time: u64,
    /// All before this number is synced.
    synced: u64,
    /// What the last mark says.
    marked: u64,
    /// Whether the segments before the current one are synced, whoever wrote them.
    older_synced: bool,
    /// Why nothing is taken any more.
    stopped: Option<AppendError>,
    /// For the seeds of segments.
    random: fn() -> u64,
}

impl<F: Files> Appender<F> {
    /// Makes a log in an empty directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(files: &F, plan: &Plan, first: u64, random: fn() -> u64) -> Result<(), Trouble> {
        let about = About {
            nonce: u128::from(random()) << 64 | u128::from(random()),
            oldest: first,
            first,
            started: false,
        };
        let slots = Slots::create(files, names::LOG, about.words())?;
        start(files, plan, about, slots, random)
    }

    /// Opens a log to append to it, and puts in order what the last writer left. `told` is what one of this boot has told,
    /// and by `tell` this one tells.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] and [`Trouble::Poisoned`] unless it is to be repaired; [`Trouble::NotALog`], [`Trouble::Foreign`],
    /// [`Trouble::NoSlot`], [`Trouble::Version`], the kernel's.
    pub fn open(
        files: F,
        plan: Plan,
        told: Option<Told>,
        tell: Box<dyn Tell>,
        random: fn() -> u64,
    ) -> Result<(Self, Recovery), Trouble> {
        crate::recover::open(files, plan, told, tell, random)
    }

    /// Where the log ends. What is buffered is not in it yet.
    pub fn place(&self) -> Place {
        Place {
            segment: self.current.base,
            offset: self.current.end,
            next: match self.buffer.is_empty() {
                true => self.next,
                false => self.buffered,
            },
        }
    }

    /// The number that the next message gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The time of the last message.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// All before this number is synced, as far as this one knows.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Bytes that are buffered.
    pub fn buffered_len(&self) -> usize {
        self.buffer.len()
    }

    /// The file to sync, for who syncs it elsewhere, and what is synced then.
    pub fn to_sync(&self) -> (Arc<F::File>, u64) {
        (Arc::clone(&self.current.file), self.place().next)
    }

    /// By what it is synced, here and elsewhere.
    pub(crate) fn syncer(&self) -> Arc<Syncer> {
        Arc::clone(&self.syncer)
    }

    /// All that the last writer left is in order.
    pub(crate) fn is_ready(&self) {
        self.syncer.is_ready(self.synced);
    }

    /// It was synced elsewhere: all before this number.
    pub fn was_synced(&mut self, next: u64) {
        self.synced = self.synced.max(next.min(self.next));
    }

    /// A sync failed, here or elsewhere.
    pub fn poison(&mut self, errno: Errno) -> AppendError {
        let error = AppendError::Poisoned {
            errno: errno as i32,
        };
        *self.stopped.get_or_insert(error)
    }

    /// Buffers a message, and returns its number. It is written by [`flush`](Self::flush), or before, where a segment ends.
    ///
    /// # Errors
    /// Then what was buffered and not written is dropped.
    #[inline]
    pub fn push(&mut self, now: u64, message: &[u8]) -> Result<u64, AppendError> {
        let max = MAX_PAYLOAD;
        if message.len() > max {
            let len = message.len();
            self.drop_buffer();
            return Err(AppendError::TooLarge { len, max });
        }
        let number = self.next;
        self.put(now, RecordKind::Message, message, number + 1)?;
        Ok(number)
    }

    /// Says that the messages up to `next` were never written here, and goes on with that number.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_gap(&mut self, now: u64, next: u64) -> Result<(), AppendError> {
        self.put(now, RecordKind::Gap, &next.to_le_bytes(), next)
    }

    fn put(
        &mut self,
        now: u64,
        kind: RecordKind,
        payload: &[u8],
        next: u64,
    ) -> Result<(), AppendError> {
        if let Some(error) = self.stopped {
            return Err(error);
        }
        let needed = record_len(8) + record_len(payload.len());
        if self.end_with(needed) > self.current.len {
            self.flush()?;
            self.roll(needed)?;
        }
        if self.buffer.is_empty() {
            self.buffered = self.next;
            self.time = self.time.max(now);
            if self.synced > self.marked {
                self.lay_mark();
            }
        }
        self.lay(kind, payload);
        self.next = next;
        Ok(())
    }

    /// Adds a record to what is buffered.
    fn lay(&mut self, kind: RecordKind, payload: &[u8]) {
        let seed = self.current.seed;
        encode(&mut self.buffer, seed, kind, self.next, self.time, payload);
    }

    /// The same, that says how far all is synced.
    fn lay_mark(&mut self) {
        self.lay(RecordKind::Mark, &self.synced.to_le_bytes());
        self.marked = self.synced;
    }

    /// Where the segment would end with so many bytes more, and a seal.
    fn end_with(&self, len: usize) -> u64 {
        self.current.end + (self.buffer.len() + len + SEAL_LEN) as u64
    }

    /// Whether the block that is gathered is full before a message of so many bytes, and should be written by [`flush_block`](Self::flush_block).
    #[inline]
    pub fn is_full_before(&self, message: usize) -> bool {
        let len = self.buffer.len() as u64;
        let end = self.current.end + len + (record_len(8) + record_len(message)) as u64;
        len > 0 && end > self.block_end()
    }

    /// Where a block that is gathered shall end: at a multiple of its length.
    fn block_end(&self) -> u64 {
        (self.current.end + self.plan.block / 2 + 1).next_multiple_of(self.plan.block)
    }

    /// Forgets what is buffered.
    pub(crate) fn drop_buffer(&mut self) {
        if !self.buffer.is_empty() {
            self.next = self.buffered;
            self.buffer.clear();
            // The mark may have gone with it.
            self.marked = 0;
        }
    }

    /// Writes what is buffered. Then it outlives this process.
    ///
    /// # Errors
    /// Then what was buffered is dropped, and not in the log.
    pub fn flush(&mut self) -> Result<(), AppendError> {
        self.write(0)
    }

    /// The same, and if that ends shortly before the block does, zeros up to there: the kernel takes memory for the whole block at once then.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn flush_block(&mut self) -> Result<(), AppendError> {
        let end = self.current.end + self.buffer.len() as u64;
        let block_end = self.block_end();
        let zeros = block_end.saturating_sub(end);
        let is_wanted = zeros <= FILL && block_end <= self.current.len;
        self.write(if is_wanted { zeros as usize } else { 0 })
    }

    /// Writes what is buffered, and behind it so many zeros.
    fn write(&mut self, zeros: usize) -> Result<(), AppendError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Some(error) = self.stopped {
            self.drop_buffer();
            return Err(error);
        }
        let (first, end) = (self.buffered, self.current.end);
        let len = self.buffer.len();
        self.buffer.resize(len + zeros, 0);
        if let Err((done, errno)) = self.current.file.write_at(&self.buffer, end) {
            // A part of it may be whole records.
            if done > 0 {
                self.take_back(end, end + done as u64, errno);
            }
            self.drop_buffer();
            return Err(AppendError::of(errno));
        }
        let removed = self.current.file.is_removed();
        if let Ok(true) | Err(_) = removed {
            self.stopped = Some(AppendError::Removed);
            self.drop_buffer();
            return Err(AppendError::Removed);
        }
        self.current.end += len as u64;
        self.buffer.clear();
        if self.current.end - self.indexed >= index::DISTANCE {
            self.indexed = self.current.end;
            let entry = Entry {
                offset: end,
                number: first,
                time: self.time,
            };
            // Without an index all is found, only later.
            if let Some(index) = &mut self.index
                && index.add(entry).is_err()
            {
                self.index = None;
            }
        }
        Ok(())
    }

    /// Overwrites with zeros what was written in part, and syncs them: else it could come back behind what is written next.
    #[cold]
    fn take_back(&mut self, from: u64, to: u64, why: Errno) {
        let file = &*self.current.file;
        let taken_back = self.syncer.begin().and_then(|mut begun| {
            let erased = erase(file, from, to);
            begun.file(file).map(|()| erased)
        });
        match taken_back {
            Ok(true) => {}
            Ok(false) => self.stopped = Some(AppendError::of(why)),
            Err(errno) => drop(self.poison(errno)),
        }
    }

    /// Syncs what is written.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], now and for ever; [`AppendError::Removed`].
    pub fn sync(&mut self) -> Result<(), AppendError> {
        if let Some(error) = self.stopped {
            return Err(error);
        }
        let next = self.place().next;
        if next == self.synced {
            return Ok(());
        }
        match self.sync_files(next) {
            Ok(()) => {
                self.older_synced = true;
                self.synced = next;
                Ok(())
            }
            Err(error @ (AppendError::Poisoned { .. } | AppendError::Removed)) => {
                self.stopped = Some(error);
                Err(error)
            }
            // Nothing has failed that cannot be tried again.
            Err(error) => Err(error),
        }
    }

    fn sync_files(&self, next: u64) -> Result<(), AppendError> {
        let poisoned = |errno| AppendError::Poisoned {
            errno: errno as i32,
        };
        let mut begun = self.syncer.begin().map_err(poisoned)?;
        if !self.older_synced {
            for older in &self.older {
                let file =
                    (self.files.open(&names::segment(older.base), false)).map_err(|errno| {
                        match errno {
                            Errno::ENOENT => AppendError::Removed,
                            errno => AppendError::of(errno),
                        }
                    })?;
                begun.file(&file).map_err(poisoned)?;
            }
        }
        begun.file(&*self.current.file).map_err(poisoned)?;
        if let Ok(true) | Err(_) = self.current.file.is_removed() {
            return Err(AppendError::Removed);
        }
        begun.end(next);
        Ok(())
    }

    /// Syncs all, and has the log say so.
    ///
    /// # Errors
    /// As [`flush`](Self::flush) and [`sync`](Self::sync).
    pub fn close(&mut self) -> Result<(), AppendError> {
        self.flush()?;
        self.end_index();
        if !self.plan.durable {
            return Ok(());
        }
        self.sync()?;
        if self.synced > self.marked {
            let room = self.end_with(record_len(8)) <= self.current.len;
            if room {
                self.buffered = self.next;
                self.lay_mark();
                self.flush()?;
                self.sync_current(self.synced)?;
            }
        }
        Ok(())
    }

    /// Writes what is left of the index. Without it all is found, only later.
    fn end_index(&mut self) {
        if let Some(index) = &mut self.index {
            let _ = index.write();
        }
    }

    /// Syncs the segment that is written to; those before it are.
    fn sync_current(&mut self, next: u64) -> Result<(), AppendError> {
        let synced = self.syncer.begin().and_then(|mut begun| {
            begun.file(&*self.current.file)?;
            begun.end(next);
            Ok(())
        });
        synced.map_err(|errno| self.poison(errno))
    }
}

/// What opening has found.
pub(crate) struct Opened<F: Files> {
    pub(crate) slots: Slots<F::File>,
    pub(crate) about: About,
    /// Base, bytes, and the youngest record's time.
    pub(crate) older: Vec<(u64, u64, u64)>,
    pub(crate) file: F::File,
    pub(crate) header: SegmentHeader,
    pub(crate) len: u64,
    pub(crate) end: u64,
    pub(crate) next: u64,
    pub(crate) time: u64,
    pub(crate) synced: u64,
}

impl<F: Files> Appender<F> {
    pub(crate) fn of(
        files: F,
        plan: Plan,
        opened: Opened<F>,
        syncer: Syncer,
        random: fn() -> u64,
    ) -> Self {
        let older = opened.older.into_iter();
        let index = Index::open(&files, opened.header.base).ok();
        Self {
            index,
            files,
            slots: opened.slots,
            about: opened.about,
            plan,
            current: Current {
                file: Arc::new(opened.file),
                base: opened.header.base,
                seed: opened.header.seed,
                len: opened.len,
                end: opened.end,
            },
            older: older
                .map(|(base, len, time)| Older { base, len, time })
                .collect(),
            indexed: opened.end,
            buffer: Vec::new(),
            buffered: opened.next,
            next: opened.next,
            time: opened.time,
            syncer: Arc::new(syncer),
            synced: opened.synced,
            marked: 0,
            older_synced: false,
            stopped: None,
            random,
        }
    }
}

/// Overwrites with zeros. Whether that succeeded.
pub(crate) fn erase(file: &impl FileLike, from: u64, to: u64) -> bool {
    let zeros = vec![0; (to - from).min(1 << 16) as usize];
    let mut at = from;
    while at < to {
        let len = (to - at).min(zeros.len() as u64);
        if file.write_at(&zeros[..len as usize], at).is_err() {
            return false;
        }
        at += len;
    }
    true
}
