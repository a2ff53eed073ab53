//! Where some records of a segment lie: a file beside it with an entry for about every 64 KiB, or for each block that was written at once.
//!
//! Nothing rests on it. Entries are written several at a time, as a sync of the segment also waits for what its index has grown by; those that a death
//! takes are missing. An entry that is missing or wrong costs time: what it leads to is checked to be the record that it says.

use nix::errno::Errno;

use crate::files::{FileLike, Files, read_full};
use crate::format::{crc32c, u32_at, u64_at};
use crate::names;

/// Bytes of a segment between two entries.
pub const DISTANCE: u64 = 64 << 10;

const ENTRY: usize = 32;
/// How many entries are written at a time.
const MANY: usize = 16;

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The byte of the segment at which it begins.
    pub offset: u64,
    /// Its number.
    pub number: u64,
    /// No record behind it is older.
    pub time: u64,
}

impl Entry {
    fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time.to_le_bytes());
        let crc = crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        (u32_at(bytes, 24) == crc32c(&bytes[..24])).then(|| Self {
            offset: u64_at(bytes, 0),
            number: u64_at(bytes, 8),
            time: u64_at(bytes, 16),
        })
    }
}

/// An index that is being written.
#[derive(Debug)]
pub struct Index<T> {
    file: T,
    len: u64,
    /// Entries that are not written yet.
    pending: Vec<u8>,
}

impl<T: FileLike> Index<T> {
    /// The index of a segment, made if it is not there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open<F: Files<File = T>>(files: &F, base: u64) -> Result<Self, Errno> {
        let name = names::index(base);
        let file = match files.create(&name) {
            Err(Errno::EEXIST) => files.open(&name, true)?,
            made => made?,
        };
        let len = file.len()?;
        Ok(Self {
            file,
            len: len - len % ENTRY as u64,
            pending: Vec::new(),
        })
    }

    /// Adds an entry. It is written with those after it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&mut self, entry: Entry) -> Result<(), Errno> {
        self.pending.extend_from_slice(&entry.encode());
        match self.pending.len() < MANY * ENTRY {
            true => Ok(()),
            false => self.write(),
        }
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&mut self) -> Result<(), Errno> {
        if !self.pending.is_empty() {
            let written = self.file.write_at(&self.pending, self.len);
            written.map_err(|(_, errno)| errno)?;
            self.len += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }
}

/// The last entry of a segment's index of those that `is_before`, if there is one. Entries are in order, or wrong.
pub fn find(files: &impl Files, base: u64, is_before: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let file = files.open(&names::index(base), false).ok()?;
    // As many as a segment of the usual size has, and some more.
    let len = file.len().ok()?.min(1 << 22) as usize;
    let mut bytes = vec![0; len];
    let len = read_full(&file, &mut bytes, 0).ok()?;
    let entries = bytes[..len].chunks_exact(ENTRY).filter_map(Entry::decode);
    entries.filter(is_before).max_by_key(|entry| entry.offset)
}
