//! Looking into memory that others may take away meanwhile.
//!
//! An observer takes no part, and what it looks at is anybody's: the owner may shorten the file, punch holes into it,
//! or have made it longer than all memory. So nothing of it is accessed as memory. All is copied by system calls, which
//! report as an error what would be a signal, and nothing that is not there already is touched, because that
//! would make it:
//!
//! | | is read by | a page that was never written | what its owner can do meanwhile |
//! |---|---|---|---|
//! | a file | pread(2) | reads as zero and stays a hole | shorten it: there is nothing to read |
//! | a System V segment, which no call reads | an attachment that only system calls access ([`Pipe`]) | is recognised ([`Mapped`], mincore(2)), reads as zero, and is not accessed | punch a hole (MADV_REMOVE) in the moment between: the kernel puts a page of zeroes there, one that the owner had before |
//!
//! Of a System V segment a page that is not in memory is swapped out, or was never there. A ring is made with all its
//! pages: one that has fewer, with those that are swapped out, is somebody else's or not finished, and what is not in
//! memory of it counts as never written.

use std::cell::OnceCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytemuck::Pod;
use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::memory::layout::header::{CREATION_LOCK_OFFSET, HEADER_LEN, MAGIC_OFFSET};
use crate::presence::Liveness;
use crate::sys::pipe::Pipe;
use crate::sys::{mmap, page_size, shmget};

use super::{descriptor, ids};
use crate::memory::map::Map;
use crate::memory::mapped::Mapped;

/// Somebody's memory, to copy from.
#[derive(Debug)]
pub(super) enum Peek {
    File(Arc<OwnedFd>),
    Sysv(Attached),
    /// One's own: who has it mapped is exposed to all of this anyhow.
    Mapped(Arc<Map>),
}

impl Peek {
    /// A file, whatever is in it.
    pub(super) fn of_file(file: Arc<OwnedFd>) -> Self {
        Self::File(file)
    }

    /// The System V segment `id`, whatever it is.
    pub(super) fn of_sysv(id: i32) -> Result<Self, Errno> {
        // Whoever leaves it last removes it then, and an observer changes nothing.
        if ids::is_removed_when_left() && shmget::status(id)?.attached == 0 {
            return Err(Errno::EBUSY);
        }
        let (mapped, _) = Mapped::sysv_to_read(id)?;
        let pipe = Pipe::new()?;
        Ok(Self::Sysv(Attached {
            id,
            mapped,
            pipe,
            present: OnceCell::new(),
        }))
    }

    /// Copies from `offset` on to the start of `bytes`, and returns how many bytes are there.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Self::File(file) => descriptor::read_at(file.as_fd(), bytes, offset),
            Self::Sysv(attached) => attached.read_at(bytes, offset),
            Self::Mapped(map) => Ok(copy_words(map, bytes, offset)),
        }
    }

    /// Bytes that are there, if the kernel tells.
    pub(super) fn present(&self) -> Option<u64> {
        match self {
            Self::File(file) => fstat(file.as_fd())
                .ok()
                .map(|stat| descriptor::allocated(&stat)),
            Self::Sysv(attached) => attached.present(),
            Self::Mapped(map) => Some(map.len() as u64),
        }
    }

    /// The magic, or what is there instead.
    pub(super) fn magic(&self) -> u64 {
        self.load64(MAGIC_OFFSET).map_or(0, u64::from_le)
    }

    /// Who initialises the segment.
    pub(super) fn creation_lock(&self) -> Liveness {
        Liveness::of(self.load32(CREATION_LOCK_OFFSET).unwrap_or(0))
    }

    /// A private copy of the header's bytes; `None` if the segment is shorter.
    pub(super) fn header_bytes(&self) -> Option<[u8; HEADER_LEN]> {
        self.copy(0)
    }

    /// The 32-bit word at `offset`, if it lies in the segment and is aligned.
    pub(super) fn load32(&self, offset: usize) -> Option<u32> {
        let aligned = offset.is_multiple_of(4);
        aligned.then(|| self.copy(offset))?
    }

    /// The 64-bit word at `offset`, if it lies in the segment and is aligned.
    pub(super) fn load64(&self, offset: usize) -> Option<u64> {
        let aligned = offset.is_multiple_of(8);
        aligned.then(|| self.copy(offset))?
    }

    /// A private copy of the `T` at `offset`, if it lies in the segment.
    pub(super) fn copy<T: Pod>(&self, offset: usize) -> Option<T> {
        let mut value = T::zeroed();
        let read = self.read_at(bytemuck::bytes_of_mut(&mut value), offset as u64);
        (read == Ok(size_of::<T>())).then_some(value)
    }
}

/// Copies what is mapped at `offset`, a multiple of four, word by word, to the start of `bytes`, and returns how many
/// bytes are there.
fn copy_words(map: &Map, bytes: &mut [u8], offset: u64) -> usize {
    let mut copied = 0;
    // 64-bit words in one piece, where they can be.
    while copied < bytes.len() {
        let at = (offset as usize).saturating_add(copied);
        let rest = &mut bytes[copied..];
        // Acquire: later copies are not older than this one.
        copied += if let (Some(word), Some(to)) = (map.word64(at), rest.first_chunk_mut::<8>()) {
            *to = word.load(Ordering::Acquire).to_ne_bytes();
            8
        } else if let (Some(word), Some(to)) = (map.word32(at), rest.first_chunk_mut::<4>()) {
            *to = word.load(Ordering::Acquire).to_ne_bytes();
            4
        } else {
            break;
        };
    }
    copied
}

/// A System V segment.
#[derive(Debug)]
pub(super) struct Attached {
    id: i32,
    mapped: Mapped,
    pipe: Pipe,
    /// Bytes that are there, if the kernel tells. To swap pages out or in changes nothing of it.
    present: OnceCell<Option<u64>>,
}

impl Attached {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.mapped.len().saturating_sub(offset).min(bytes.len());
        let (bytes, _) = bytes.split_at_mut(there);
        let page = page_size();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            let in_page = (page - at % page).min(bytes.len() - done);
            let target = &mut bytes[done..done + in_page];
            if self.is_there(at - at % page)? {
                let source = self.mapped.place::<u8>(at).ok_or(Errno::EFAULT)?.cast();
                // SAFETY: `there` bytes from the offset are mapped.
                done += unsafe { self.pipe.copy(source, target) }?;
            } else {
                target.fill(0);
                done += in_page;
            }
        }
        Ok(done)
    }

    /// Whether there is anything in the page at `offset`.
    fn is_there(&self, offset: usize) -> Result<bool, Errno> {
        let page = self.mapped.place::<u8>(offset).ok_or(Errno::EFAULT)?;
        if mmap::is_resident(page.cast())? {
            return Ok(true);
        }
        // Swapped out, of huge pages (of which mincore knows only those that this process has touched), or never
        // there.
        Ok(self.present().ok_or(Errno::ENODATA)? >= self.mapped.len() as u64)
    }

    fn present(&self) -> Option<u64> {
        *self.present.get_or_init(|| ids::present(self.id))
    }
}
