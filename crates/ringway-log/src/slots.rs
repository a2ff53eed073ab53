//! A few words that are replaced as a whole: a file of two pages, of which the older one is overwritten in turn.
//!
//! Whoever is killed while it writes one leaves the other, and does not tear it: the kernel copies what lies in one page at once. What a page holds is 64 bytes, so one sector, with a sequence number and a
//! checksum. After a loss of power each page holds one of the versions that were written since the last sync, so what is
//! read is at least as new as what was synced.
//!
//! What is read need not be on the disk: who stored it may have been killed before it synced, or the sync failed, and the kernel takes the page
//! for written since. Before somebody does what is right only if the words outlive a loss of power, it [confirms](Slots::confirm) them.

use nix::errno::Errno;

use crate::files::{FileLike, Files, create_draft, read_full};
use crate::format::{crc32c, u32_at, u64_at};
use crate::trouble::Trouble;

const MAGIC: [u8; 4] = *b"RWLS";
const PAGE: u64 = 4096;
/// Words in it.
pub const WORDS: usize = 5;

/// The file, open.
#[derive(Debug)]
pub struct Slots<F> {
    file: F,
    sequence: u64,
    words: [u64; WORDS],
}

impl<F: FileLike> Slots<F> {
    /// Makes the file, so that after a loss of power it is there as a whole or not at all. What has that name is replaced.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create<D: Files<File = F>>(
        files: &D,
        name: &str,
        words: [u64; WORDS],
    ) -> Result<Self, Trouble> {
        let os = |errno| Trouble::os(format!("{name} cannot be made"))(errno);
        let draft = format!("{name}.new");
        let file = create_draft(files, &draft).map_err(os)?;
        let mut slots = Self {
            file,
            sequence: 0,
            words,
        };
        let made = slots
            .file
            .allocate(2 * PAGE)
            .and_then(|()| slots.store(words))
            .and_then(|()| slots.file.sync())
            .and_then(|()| files.rename(&draft, name))
            .and_then(|()| files.sync_names());
        if let Err(errno) = made {
            let _ = files.remove(&draft);
            return Err(os(errno));
        }
        Ok(slots)
    }

    /// What the file says.
    ///
    /// # Errors
    /// [`Trouble::NoSlot`], and the kernel's.
    pub fn open(file: F, name: &str) -> Result<Self, Trouble> {
        let mut best = None;
        for page in 0..2 {
            let mut bytes = [0; 64];
            let len = read_full(&file, &mut bytes, page * PAGE)
                .map_err(Trouble::os(format!("{name} cannot be read")))?;
            if len == bytes.len()
                && let Some((sequence, words)) = decode(&bytes)
                && sequence % 2 == page
            {
                best = best.max(Some((sequence, words)));
            }
        }
        let (sequence, words) = best.ok_or_else(|| Trouble::NoSlot {
            name: name.to_owned(),
        })?;
        Ok(Self {
            file,
            sequence,
            words,
        })
    }

    /// What was stored last.
    pub fn words(&self) -> [u64; WORDS] {
        self.words
    }

    /// Replaces the words. It outlives this process, and after [`sync`](Self::sync) a loss of power.
    ///
    /// # Errors
    /// The kernel's. Then they are as they were.
    pub fn store(&mut self, words: [u64; WORDS]) -> Result<(), Errno> {
        let sequence = self.sequence + 1;
        let bytes = encode(sequence, words);
        self.file
            .write_at(&bytes, sequence % 2 * PAGE)
            .map_err(|(_, errno)| errno)?;
        self.sequence = sequence;
        self.words = words;
        Ok(())
    }

    /// Makes sure that the words are on the disk, whoever stored them. They are written once more, as a sync alone does nothing for a page
    /// that the kernel takes for written; the same bytes at the same place, so that to be killed here changes nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn confirm(&self) -> Result<(), Errno> {
        let bytes = encode(self.sequence, self.words);
        self.file
            .write_at(&bytes, self.sequence % 2 * PAGE)
            .map_err(|(_, errno)| errno)?;
        self.file.sync()
    }

    /// See [`FileLike::sync`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn sync(&self) -> Result<(), Errno> {
        self.file.sync()
    }
}

fn encode(sequence: u64, words: [u64; WORDS]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[4..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    for (room, word) in bytes[16..].chunks_exact_mut(8).zip(words) {
        room.copy_from_slice(&word.to_le_bytes());
    }
    let crc = crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; 64]) -> Option<(u64, [u64; WORDS])> {
    let is_right = bytes[4..8] == MAGIC && u32_at(bytes, 0) == crc32c(&bytes[4..]);
    let words = std::array::from_fn(|index| u64_at(bytes, 16 + 8 * index));
    is_right.then(|| (u64_at(bytes, 8), words))
}
