//! Going through the records of one segment.
//!
//! A [`Scanner`] reads blocks of the file and shows one record after the other, in place. Where there is no record any more, [`judge`] says
//! whether that is the end, what a loss of power left, or damage.

use nix::errno::Errno;

use crate::files::{FileLike, read_full};
use crate::format::{HEADER_LEN, Parsed, RECORD_HEADER, Record, RecordKind, parse};

/// Bytes that are read at once.
const BLOCK: usize = 128 << 10;

/// Where one is in a segment, and what was read ahead.
#[derive(Debug)]
pub struct Scanner {
    seed: u32,
    /// Where the next record begins.
    offset: u64,
    /// Its number.
    next: u64,
    /// Bytes of the file from `start` on, of which `filled` are there.
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

/// What a scanner found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record. Its payload is at [`Scanner::payload`].
    Record(Record),
    /// No record: the end, or damage.
    Nothing,
}

impl Scanner {
    /// At the first record of a segment.
    pub fn new(seed: u32, base: u64) -> Self {
        Self::at(seed, HEADER_LEN, base)
    }

    /// At a record, or what shall be one.
    pub fn at(seed: u32, offset: u64, next: u64) -> Self {
        Self {
            seed,
            offset,
            next,
            buffer: Vec::new(),
            start: offset,
            filled: 0,
        }
    }

    /// The same buffer at another place.
    pub fn move_to(&mut self, seed: u32, offset: u64, next: u64) {
        *self = Self {
            buffer: std::mem::take(&mut self.buffer),
            ..Self::at(seed, offset, next)
        };
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next message's number.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Looks at the next record, before the byte `end` of the file, and goes behind it.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn step(&mut self, file: &impl FileLike, end: u64) -> Result<Step, Errno> {
        loop {
            let room = end.saturating_sub(self.offset);
            let at = (self.offset - self.start) as usize;
            let here = self.buffer.get(at..self.filled).unwrap_or_default();
            match parse(here, self.seed, Some(self.next), room) {
                Parsed::Record(record) => {
                    self.offset += record.total() as u64;
                    self.next = record.next();
                    return Ok(Step::Record(record));
                }
                Parsed::Nothing => {
                    // What was read ahead may have been written since.
                    self.forget();
                    return Ok(Step::Nothing);
                }
                Parsed::Needs(len) => {
                    if !self.fill(file, len, end)? {
                        self.forget();
                        return Ok(Step::Nothing);
                    }
                }
            }
        }
    }

    /// Goes behind the next record if it is a message and was read ahead as a whole; else nothing is changed. What was read ahead lay before
    /// the `end` that [`step`](Self::step) was told then.
    #[inline]
    pub fn step_ahead(&mut self) -> Option<Record> {
        let at = (self.offset - self.start) as usize;
        let here = self.buffer.get(at..self.filled)?;
        match parse(here, self.seed, Some(self.next), here.len() as u64) {
            Parsed::Record(record) if record.kind == RecordKind::Message => {
                self.offset += record.total() as u64;
                self.next = record.next();
                Some(record)
            }
            _ => None,
        }
    }

    /// The payload of the record that was shown last.
    #[inline]
    pub fn payload(&self, record: &Record) -> &[u8] {
        let start = self.offset - record.total() as u64 - self.start;
        let start = start as usize + RECORD_HEADER;
        &self.buffer[start..start + record.len]
    }

    /// Drops what was read ahead.
    pub fn forget(&mut self) {
        self.start = self.offset;
        self.filled = 0;
    }

    /// Has `len` bytes at least from the offset on, if the file has them before `end`.
    fn fill(&mut self, file: &impl FileLike, len: usize, end: u64) -> Result<bool, Errno> {
        let at = (self.offset - self.start) as usize;
        let have = self.filled.saturating_sub(at);
        if have > 0 {
            self.buffer.copy_within(at..self.filled, 0);
        }
        self.start = self.offset;
        self.filled = have;
        let left = end.saturating_sub(self.offset);
        let wanted = len
            .max(BLOCK)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted < len {
            return Ok(false);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let from = self.offset + have as u64;
        self.filled += read_full(file, &mut self.buffer[have..wanted], from)?;
        Ok(self.filled >= len)
    }
}

/// What lies behind the last record that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Zeros: here the segment ends.
    Clean,
    /// Something that was being written, or had not been synced, up to this byte.
    Torn(u64),
    /// Something that had been synced: a later record says so.
    Damaged,
}

/// Judges what lies from `offset` on, where message `expected` should be, in a file of `len` bytes.
///
/// # Errors
/// The kernel's.
pub fn judge(
    file: &impl FileLike,
    seed: u32,
    offset: u64,
    expected: u64,
    len: u64,
) -> Result<Tail, Errno> {
    // What was synced when a later record was written was not torn by a loss of power.
    let tells = |record: &Record| record.kind == RecordKind::Mark && record.other > expected;
    let search = find(file, seed, offset, len, tells)?;
    Ok(match (search.found, search.dirty) {
        (Found::At(..) | Found::TooMuch, _) => Tail::Damaged,
        (Found::Nothing, Some(end)) => Tail::Torn(end),
        (Found::Nothing, None) => Tail::Clean,
    })
}

/// What [`find`] came to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// The record that was wanted.
    pub found: Found,
    /// Where that ends which is not zero, as far as it was looked at.
    pub dirty: Option<u64>,
}

/// Whether a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There.
    At(u64, Record),
    /// There is none.
    Nothing,
    /// So much looks like a record and is none that the search was given up.
    TooMuch,
}

/// Looks from `offset` on, at each multiple of eight, for a whole record that is wanted.
///
/// # Errors
/// The kernel's.
pub fn find(
    file: &impl FileLike,
    seed: u32,
    offset: u64,
    len: u64,
    mut wanted: impl FnMut(&Record) -> bool,
) -> Result<Search, Errno> {
    let mut block = vec![0; BLOCK];
    let mut long = Vec::new();
    let mut search = Search {
        found: Found::Nothing,
        dirty: None,
    };
    // Bytes that may be checked for being long records.
    let mut budget = len.saturating_mul(4).saturating_add(1 << 20);
    let mut start = offset.next_multiple_of(8);
    // What was never written is not read: that would fill the page cache, in pieces so large that short writes to them are slow. It is asked at the
    // beginning, as what was read counts as data.
    let end = len.min(file.data_end(start)?);
    while start < end {
        let filled = read_full(file, &mut block, start)?;
        if filled == 0 {
            break;
        }
        // The file may be longer than what counts.
        let counts = usize::try_from(len - start).unwrap_or(usize::MAX);
        let here = &block[..filled.min(counts)];
        if !is_zero(here)
            && let Some(last) = here.iter().rposition(|byte| *byte != 0)
        {
            search.dirty = Some(start + last as u64 + 1);
            for at in (0..=last).step_by(8) {
                let offset = start + at as u64;
                let mut parsed = parse(&here[at..], seed, None, len - offset);
                // One that goes on in the next block: its header, then all of it.
                for _ in 0..2 {
                    if let Parsed::Needs(needed) = parsed {
                        let Some(rest) = budget.checked_sub(needed as u64) else {
                            search.found = Found::TooMuch;
                            return Ok(search);
                        };
                        budget = rest;
                        long.resize(needed, 0);
                        let got = read_full(file, &mut long, offset)?;
                        parsed = parse(&long[..got], seed, None, len - offset);
                    }
                }
                if let Parsed::Record(record) = parsed
                    && wanted(&record)
                {
                    search.found = Found::At(offset, record);
                    return Ok(search);
                }
            }
        }
        start += filled.next_multiple_of(8) as u64;
    }
    Ok(search)
}

/// Whether all is zero: in pieces, which the compiler compares at once.
fn is_zero(bytes: &[u8]) -> bool {
    let mut pieces = bytes.chunks(256);
    pieces.all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}
