//! The reader's side over any files: from record to record, and from segment to segment.

use std::sync::Arc;

use nix::errno::Errno;

use crate::files::{FileLike, Files};
use crate::format::{HEADER_LEN, Record, RecordKind};
use crate::index;
use crate::names;
use crate::place::Place;
use crate::scan::{Found, Scanner, Step, Tail, find, judge};
use crate::trouble::Trouble;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The oldest message that is kept.
    Oldest,
    /// The next one.
    Latest,
    /// So many before the next one.
    Last(u64),
    /// The one with this number.
    Number(u64),
    /// The first one of this time or later.
    Time(u64),
}

/// A place in a log.
#[derive(Debug)]
pub struct Tape<F: Files> {
    files: F,
    nonce: u128,
    open: Option<Open<F::File>>,
    scanner: Scanner,
    /// Messages with smaller numbers are passed over.
    wanted: u64,
    /// And older ones.
    since: u64,
    /// Messages that were found to be gone.
    missed: u64,
    /// Whether it is to pass over what is damaged here, and nothing is known behind it.
    is_behind_damage: bool,
}

#[derive(Debug)]
struct Open<T> {
    file: Arc<T>,
    base: u64,
    seed: u32,
    len: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A message. Its bytes are [`Tape::payload`].
    Message(Record),
    /// Nothing more at present.
    End,
    /// So many are gone.
    Lagged(u64),
    /// What should be there is not: from this number on.
    Damaged(u64),
    /// The log was removed.
    Removed,
}

impl<F: Files> Tape<F> {
    /// At a place of the log in that directory. `limit` is where the writer has come to, if that is known.
    ///
    /// # Errors
    /// As [`Appender::open`](crate::appender::Appender::open)'s.
    pub fn open(files: F, from: From, limit: Option<Place>) -> Result<Self, Trouble> {
        let (_, about) = names::about(&files, false)?;
        let mut tape = Self {
            files,
            nonce: about.nonce,
            open: None,
            scanner: Scanner::new(0, 0),
            wanted: 0,
            since: 0,
            missed: 0,
            is_behind_damage: false,
        };
        match from {
            From::Oldest => tape.wanted = about.oldest,
            From::Number(number) => {
                tape.wanted = number.max(about.oldest);
                // What is older than the log itself is not missing.
                tape.missed = tape.wanted - number.clamp(about.first, tape.wanted);
            }
            From::Last(count) => {
                let next = tape.last_number(limit)?;
                tape.wanted = next.saturating_sub(count).max(about.oldest);
            }
            From::Latest => tape.wanted = tape.last_number(limit)?,
            From::Time(time) => {
                tape.wanted = about.oldest;
                tape.since = time;
            }
        }
        Ok(tape)
    }

    /// The number of the next message: if it is gone, a later one comes.
    pub fn next_number(&self) -> u64 {
        self.wanted
    }

    /// The payload of the message that was shown last.
    #[inline]
    pub fn payload(&self, record: &Record) -> &[u8] {
        self.scanner.payload(record)
    }

    /// Goes behind the next message if it was read already, with others before it: then nobody needs to be asked how far the writer is.
    #[inline]
    pub fn next_ahead(&mut self) -> Option<Record> {
        let is_plain = self.missed == 0 && self.since == 0 && !self.is_behind_damage;
        if !is_plain || self.open.is_none() || self.scanner.next_number() != self.wanted {
            return None;
        }
        let record = self.scanner.step_ahead()?;
        self.wanted = record.number + 1;
        Some(record)
    }

    /// Looks at the next message, and goes behind it. `limit` is where the writer has come to; without it, whatever is there counts.
    ///
    /// # Errors
    /// The kernel's, [`Trouble::Foreign`] and the like.
    #[inline]
    pub fn next(&mut self, limit: Option<Place>) -> Result<Next, Trouble> {
        loop {
            match self.look(limit)? {
                Next::Damaged(_) if self.is_behind_damage => {
                    self.skip_damaged(limit)?;
                    if self.is_behind_damage {
                        return Ok(Next::End);
                    }
                }
                Next::Message(record) => {
                    self.is_behind_damage = false;
                    return Ok(Next::Message(record));
                }
                next => return Ok(next),
            }
        }
    }

    #[inline]
    fn look(&mut self, limit: Option<Place>) -> Result<Next, Trouble> {
        loop {
            if self.missed > 0 {
                return Ok(Next::Lagged(std::mem::take(&mut self.missed)));
            }
            let Some(open) = &self.open else {
                match self.locate()? {
                    Some(next) => return Ok(next),
                    None => continue,
                }
            };
            let end = match limit {
                Some(limit) if limit.segment == open.base => limit.offset,
                Some(limit) if limit.segment < open.base => return Ok(Next::End),
                _ => open.len,
            };
            let step = self.scanner.step(&*open.file, end);
            match step.map_err(Trouble::os("a segment cannot be read"))? {
                Step::Record(record) => match record.kind {
                    RecordKind::Message
                        if record.number < self.wanted || record.time < self.since => {}
                    RecordKind::Message => {
                        self.since = 0;
                        self.wanted = record.number + 1;
                        return Ok(Next::Message(record));
                    }
                    RecordKind::Gap => {
                        let from = self.wanted.max(record.number);
                        self.missed = record.other.saturating_sub(from);
                        self.wanted = self.wanted.max(record.other);
                    }
                    RecordKind::Mark => {}
                    // No segment is sealed that has nothing in it; this one would be its own successor.
                    RecordKind::Seal if record.number <= open.base => {
                        let (seed, base) = (open.seed, open.base);
                        self.scanner.move_to(seed, HEADER_LEN, base);
                        return Ok(Next::Damaged(self.wanted.max(base)));
                    }
                    RecordKind::Seal => self.open = None,
                },
                Step::Nothing => {
                    if let Some(next) = self.at_nothing(limit, end)? {
                        return Ok(next);
                    }
                }
            }
            if self.open.is_none() {
                // Behind a seal: the next message is the next segment's first.
                let next = self.scanner.next_number();
                if let Some(next) = self.enter(next)? {
                    return Ok(next);
                }
            }
        }
    }

    /// There is no record. `None` if one should look again.
    #[cold]
    fn at_nothing(&mut self, limit: Option<Place>, end: u64) -> Result<Option<Next>, Trouble> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let base = open.base;
        let (offset, number) = (self.scanner.offset(), self.scanner.next_number());
        if limit.is_some_and(|limit| limit.segment == base) && offset >= end {
            return Ok(Some(Next::End));
        }
        let file = Arc::clone(&open.file);
        let os = || Trouble::os("a segment cannot be read");
        if file.is_removed().map_err(os())? {
            // Kept less, made longer while it was empty, or removed with all.
            self.open = None;
            self.wanted = self.wanted.max(number);
            return Ok(match names::about(&self.files, false) {
                Err(Trouble::NotALog | Trouble::Os { .. }) => Some(Next::Removed),
                _ => None,
            });
        }
        let len = file.len().map_err(os())?;
        if let Some(open) = &mut self.open
            && open.len != len
        {
            // It was cut behind its seal, or is seen for the first time.
            open.len = len;
            return Ok(None);
        }
        let bases = names::segments(&self.files)?;
        let later = bases.iter().copied().find(|later| *later > base);
        let is_last = later == bases.last().copied();
        let next = match (later, limit) {
            (Some(later), _) if later == number => {
                // Its writer was killed before the seal.
                self.open = None;
                None
            }
            // What the writer told is a mark, in an empty segment that a longer one has replaced.
            (None, Some(limit)) if limit.segment == base && number >= limit.next => Some(Next::End),
            (None, Some(_)) => Some(Next::Damaged(number)),
            // One that was begun, while what should be before it never reached the disk: the next writer removes it.
            (Some(later), None) if is_last && self.is_empty(later)? => {
                Some(self.end_or_damage(&file, len)?)
            }
            (Some(_), _) => Some(Next::Damaged(number)),
            (None, None) => Some(self.end_or_damage(&file, len)?),
        };
        if !matches!(next, Some(Next::Damaged(_))) {
            return Ok(next);
        }
        // A writer that this reader does not know of yet may have written it since, and even have begun the next segment.
        let seed = self.open.as_ref().map_or(0, |open| open.seed);
        let again = Scanner::at(seed, offset, number).step(&*file, end);
        Ok(match again.map_err(os())? {
            Step::Record(_) => None,
            Step::Nothing => next,
        })
    }

    /// What it means that there is no record any more, where nobody writes.
    fn end_or_damage(&self, file: &F::File, len: u64) -> Result<Next, Trouble> {
        let seed = self.open.as_ref().map_or(0, |open| open.seed);
        let (offset, number) = (self.scanner.offset(), self.scanner.next_number());
        let tail = judge(file, seed, offset, number, len)
            .map_err(Trouble::os("a segment cannot be read"))?;
        Ok(match tail {
            Tail::Damaged => Next::Damaged(number),
            Tail::Clean | Tail::Torn(_) => Next::End,
        })
    }

    /// Whether nothing is in a segment.
    fn is_empty(&self, base: u64) -> Result<bool, Trouble> {
        let (file, header) = names::open_segment(&self.files, base, self.nonce, false)?;
        let len = names::len_of(&file, base)?;
        let step = Scanner::new(header.seed, base).step(&file, len);
        Ok(step.map_err(Trouble::os("a segment cannot be read"))? == Step::Nothing)
    }

    /// Goes to where the wanted message is, or will be. `None` if it is there.
    #[cold]
    fn locate(&mut self) -> Result<Option<Next>, Trouble> {
        let listed = names::segments(&self.files)?;
        let (_, about) = match names::about(&self.files, false) {
            Err(Trouble::NotALog) => return Ok(Some(Next::Removed)),
            about => about?,
        };
        if self.wanted < about.oldest {
            self.missed += about.oldest - self.wanted;
            self.wanted = about.oldest;
            return Ok(None);
        }
        let mut bases = listed.clone();
        bases.retain(|base| *base >= about.oldest);
        if self.since > 0 {
            return self.locate_time(&bases);
        }
        let after = bases.partition_point(|base| *base <= self.wanted);
        let Some(&base) = after.checked_sub(1).and_then(|index| bases.get(index)) else {
            return Ok(match about.started {
                // Some may have been begun, and others removed, between the two looks.
                true if names::segments(&self.files)? != listed => None,
                true => Some(Next::Damaged(self.wanted)),
                false => Some(Next::End),
            });
        };
        if let Some(next) = self.enter(base)? {
            return Ok(Some(next));
        }
        let wanted = self.wanted;
        self.jump(|entry| entry.number <= wanted);
        Ok(None)
    }

    /// Goes to a place before the first message that is young enough.
    fn locate_time(&mut self, bases: &[u64]) -> Result<Option<Next>, Trouble> {
        let since = self.since;
        let mut chosen = bases.first().copied();
        let (mut low, mut high) = (0, bases.len());
        // No record of a segment is older than its header says.
        while low < high {
            let middle = low + (high - low) / 2;
            let (_, header) = names::open_segment(&self.files, bases[middle], self.nonce, false)?;
            match header.time < since {
                true => {
                    chosen = Some(bases[middle]);
                    low = middle + 1;
                }
                false => high = middle,
            }
        }
        let Some(base) = chosen else {
            return Ok(Some(Next::End));
        };
        let entered = self.enter(base)?;
        if entered.is_none() {
            self.jump(|entry| entry.time < since);
        }
        Ok(entered)
    }

    /// Goes to the last record of this segment that the index knows and that `is_before`.
    fn jump(&mut self, is_before: impl Fn(&index::Entry) -> bool) {
        let Some(open) = &self.open else {
            return;
        };
        let is_inside = |entry: &index::Entry| {
            entry.offset >= HEADER_LEN && entry.offset.is_multiple_of(8) && entry.offset < open.len
        };
        let found = index::find(&self.files, open.base, |entry| {
            is_inside(entry) && is_before(entry)
        });
        let Some(entry) = found else {
            return;
        };
        // Only if it is the record that the index says.
        let mut there = Scanner::at(open.seed, entry.offset, entry.number);
        if let Ok(Step::Record(_)) = there.step(&*open.file, open.len) {
            self.scanner.move_to(open.seed, entry.offset, entry.number);
        }
    }

    /// Goes to the beginning of a segment. `None` if it is there.
    fn enter(&mut self, base: u64) -> Result<Option<Next>, Trouble> {
        let opened = names::open_segment(&self.files, base, self.nonce, false);
        let (file, header) = match opened {
            Ok(opened) => opened,
            Err(Trouble::Os {
                errno: Errno::ENOENT,
                ..
            }) => {
                self.open = None;
                let (_, about) = match names::about(&self.files, false) {
                    Err(Trouble::NotALog) => return Ok(Some(Next::Removed)),
                    about => about?,
                };
                // Behind the last one, or removed meanwhile: else it is missing.
                self.wanted = self.wanted.max(base);
                return Ok(match self.wanted < about.oldest {
                    true => None,
                    // Not before what was passed over already: it would be passed over again and again.
                    false => Some(Next::Damaged(self.wanted)),
                });
            }
            Err(trouble) => return Err(trouble),
        };
        let len = names::len_of(&file, base)?;
        self.scanner.move_to(header.seed, HEADER_LEN, base);
        self.open = Some(Open {
            file: Arc::new(file),
            base,
            seed: header.seed,
            len,
        });
        Ok(None)
    }

    /// Goes behind what is damaged, to the next message that can be read, or to the end. How many are passed over so is told next, as
    /// [`Next::Lagged`].
    ///
    /// # Errors
    /// As [`next`](Self::next)'s.
    pub fn skip_damaged(&mut self, limit: Option<Place>) -> Result<(), Trouble> {
        self.is_behind_damage = false;
        let os = || Trouble::os("a segment cannot be read");
        let number = match &self.open {
            Some(_) => self.scanner.next_number().max(self.wanted),
            None => self.wanted,
        };
        if let Some(open) = &self.open {
            let end = match limit {
                Some(limit) if limit.segment == open.base => limit.offset,
                _ => open.file.len().map_err(os())?,
            };
            let from = self.scanner.offset() + 8;
            let later = |record: &Record| record.number > number;
            let search = find(&*open.file, open.seed, from, end, later).map_err(os())?;
            if let Found::At(offset, record) = search.found {
                self.scanner.move_to(open.seed, offset, record.number);
                self.missed = record.number - number;
                self.wanted = record.number;
                return Ok(());
            }
        }
        let base = self.open.as_ref().map_or(0, |open| open.base + 1);
        let bases = names::segments(&self.files)?;
        if let Some(later) = bases
            .into_iter()
            .find(|later| *later >= base && *later > number)
        {
            self.missed = later - number;
            self.wanted = later;
            self.open = None;
        } else if let Some(limit) = limit
            && limit.next > number
        {
            self.missed = limit.next - number;
            self.wanted = limit.next;
            if let Some(open) = &self.open {
                self.scanner.move_to(open.seed, limit.offset, limit.next);
            }
        } else {
            // It goes up to the end.
            self.is_behind_damage = true;
        }
        Ok(())
    }

    /// The number of the next message that is appended.
    fn last_number(&self, limit: Option<Place>) -> Result<u64, Trouble> {
        if let Some(limit) = limit {
            return Ok(limit.next);
        }
        let Some(&base) = names::segments(&self.files)?.last() else {
            return Ok(0);
        };
        let (file, header) = names::open_segment(&self.files, base, self.nonce, false)?;
        let len = names::len_of(&file, base)?;
        let mut scanner = Scanner::new(header.seed, base);
        let os = || Trouble::os("the last segment cannot be read");
        while let Step::Record(record) = scanner.step(&file, len).map_err(os())? {
            if record.kind == RecordKind::Seal {
                break;
            }
        }
        Ok(scanner.next_number())
    }
}

#[cfg(test)]
mod tests;
