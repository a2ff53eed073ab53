//! Looking at a segment without taking part in it.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::fcntl::OFlag;

use crate::address::{Address, SysvKey};
use crate::error::Error;
use crate::memory::layout::control::HEAD;
use crate::memory::layout::header::{
    BOOT_ID_OFFSET, FILE_OFFSET, FileId, Header, HeaderError, RETIREMENT_OFFSET,
};
use crate::memory::layout::{self, Shape};
use crate::memory::map::Map;
use crate::memory::region::Load;
use crate::presence::retire;

use super::peek::Peek;
use super::place::{self, Place};
use super::request::unsupported_by_name;
use super::{boot_id, descriptor, ids, lock};
use crate::error::Attempt;

/// A segment that is looked at only: all that is known of it are copies ([`Peek`]).
#[derive(Debug)]
pub(crate) struct View {
    memory: Peek,
    header: Header,
    address: Address,
    /// The file that it was read from, if it is one by name, and whether some process has the ring open.
    file: Option<(FileId, bool)>,
    /// User id of the owner and permission bits, if it was found by name.
    access: Option<(u32, u32)>,
}

impl View {
    /// Opens a finished segment to look at it, whoever owns it.
    pub(crate) fn open(address: &Address) -> Result<Self, Error> {
        let attempt = Attempt {
            action: "inspect",
            address,
        };
        match address {
            Address::Shm(_) | Address::File(_) => Self::of_file(attempt),
            Address::Sysv(key) => Self::of_sysv(attempt, key),
            _ => Err(unsupported_by_name(attempt.action, address)),
        }
    }

    fn of_file(attempt: Attempt<'_>) -> Result<Self, Error> {
        let file = place::open_path(attempt, &Place::of(attempt)?, OFlag::O_RDONLY)?;
        Self::of_descriptor(attempt, Arc::new(file))
    }

    /// Looks at the finished segment in `file`.
    pub(super) fn of_descriptor(attempt: Attempt<'_>, file: Arc<OwnedFd>) -> Result<Self, Error> {
        let (stat, header) = descriptor::inspect(attempt, file.as_fd(), |_| Ok(()))?;
        let is_held = lock::Open::is_held(file.as_fd());
        Ok(Self {
            memory: Peek::of_file(file),
            header,
            address: attempt.address.clone(),
            file: Some((FileId::of(&stat), is_held)),
            access: Some((stat.st_uid, stat.st_mode & 0o777)),
        })
    }

    fn of_sysv(attempt: Attempt<'_>, key: &SysvKey) -> Result<Self, Error> {
        let id = ids::find(attempt, key)?;
        Self::of_sysv_id(attempt, id)
    }

    /// Looks at the finished System V segment `id`.
    pub(super) fn of_sysv_id(attempt: Attempt<'_>, id: i32) -> Result<Self, Error> {
        let status = ids::status(attempt, id)?;
        let memory =
            Peek::of_sysv(id).map_err(|errno| attempt.os("shmat cannot attach it", errno))?;
        let bytes = memory
            .header_bytes()
            .ok_or_else(|| ids::foreign(attempt, "it is too short for a ring"))?;
        let len = status.len as u64;
        let header = Header::decode(&bytes, len).map_err(|error| match error {
            HeaderError::Magic if ids::is_half_made(&status, memory.magic()) => {
                ids::half_made(attempt, &status, memory.creation_lock())
            }
            HeaderError::Magic => ids::foreign(attempt, "what is there is not a ringway segment"),
            error => error.explain(attempt, len),
        })?;
        Ok(Self {
            memory,
            header,
            address: attempt.address.clone(),
            file: None,
            access: Some((status.owner_uid, status.mode)),
        })
    }

    /// A segment that this process has open: it is looked at where it is mapped.
    pub(crate) fn of_mapped(map: &Arc<Map>, header: Header, address: &Address) -> Self {
        Self {
            memory: Peek::Mapped(Arc::clone(map)),
            file: Some((header.file, true)),
            header,
            address: address.clone(),
            access: None,
        }
    }

    /// User id of the owner and permission bits, if it was found by name.
    pub(crate) fn access(&self) -> Option<(u32, u32)> {
        self.access
    }

    /// A private copy of the header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// What was opened.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether nobody can attach to the ring any more: it is about to be removed.
    pub(crate) fn is_retired(&self) -> bool {
        self.load64(RETIREMENT_OFFSET)
            .is_some_and(retire::says_retired)
    }

    /// Whether this is a copy of a ring that nobody has opened yet.
    pub(crate) fn is_copy(&self) -> bool {
        let word = |at| self.load64(FILE_OFFSET + at).unwrap_or(0);
        self.file.is_some_and(|(file, held)| {
            let written = FileId {
                device: word(0),
                inode: word(8),
            };
            !held && ![file, FileId::default()].contains(&written)
        })
    }

    /// Whether liveness words that were loaded before count. In a file they outlive the boot whose
    /// kernel kept them true, and go with every copy, until the next opener clears them and then writes boot id and
    /// inode; so who sees a word of this boot sees the id of this boot. If anybody has the ring open, they count:
    /// that one has found them in order, whatever boot id this process is shown.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        if self.file.is_some_and(|(_, held)| held) {
            return true;
        }
        if self.is_copy() {
            return false;
        }
        let attempt = Attempt {
            action: "inspect",
            address: &self.address,
        };
        if self.header.boot_id == boot_id::NONE {
            return true;
        }
        let Ok(current) = boot_id::current(attempt) else {
            return true;
        };
        let written = [BOOT_ID_OFFSET, BOOT_ID_OFFSET + 8].map(|at| self.load64(at));
        let written: [u8; 16] = bytemuck::must_cast(written.map(|half| half.unwrap_or(0)));
        written == current
    }

    /// Bytes of memory or disk that the ring takes, with its slabs where they have segments of their own: of the
    /// segment what is there, whatever the header says.
    pub(crate) fn memory(&self) -> u64 {
        let geometry = &self.header.geometry;
        let there = self.memory.present().unwrap_or(u64::MAX);
        let beside = geometry.memory_len() - geometry.total_len();
        there.min(geometry.total_len()).saturating_add(beside)
    }

    /// The 32-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn load32(&self, offset: usize) -> Option<u32> {
        self.memory.load32(offset)
    }

    /// The 64-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn load64(&self, offset: usize) -> Option<u64> {
        self.memory.load64(offset)
    }

    /// Copies what the ring has at `position`, which does not wrap, to all of `bytes`. Whether so much is there.
    pub(crate) fn read(&self, position: u64, bytes: &mut [u8]) -> bool {
        let geometry = &self.header.geometry;
        let at = position & (geometry.capacity() - 1);
        let fits = bytes.len() as u64 <= geometry.capacity() - at;
        let mut read = 0;
        // A call copies as much as it likes.
        while fits && read < bytes.len() {
            let offset = geometry.data_offset() + at + read as u64;
            match self.memory.read_at(&mut bytes[read..], offset) {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        read == bytes.len()
    }

    /// The ring in it, for who walks over its records and slabs.
    pub(crate) fn region(&self) -> Snapshot<'_> {
        Snapshot {
            view: self,
            window: RefCell::default(),
            is_short: Cell::new(false),
        }
    }
}

/// Parts of a ring, copied when they are asked for. What cannot be had reads as zero; of a ring with cells, whose
/// words are never zero, as what nobody writes.
///
/// Words come from a copy of some size, and `HEAD` is loaded once behind each such copy. So it is at least as new as
/// they are, which is what a walk asks for ([`crate::rings::cell`]).
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    view: &'a View,
    window: RefCell<Window>,
    is_short: Cell<bool>,
}

/// A copy of a part of the segment.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// [`HEAD`], loaded behind the copy.
    head: Option<u64>,
}

impl Window {
    /// Bytes of a copy where there is none in front of it: walks over long records hurry on.
    const FIRST: u64 = 64;
    /// The most bytes of a copy.
    const MOST: u64 = 64 << 10;

    /// The word at `offset`, a multiple of eight, if it is in this copy.
    fn word(&self, offset: u64) -> Option<u64> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        bytes.try_into().map(u64::from_ne_bytes).ok()
    }

    /// Copies from `offset` on, more and more as long as that is near the end of the last copy.
    fn fill(&mut self, memory: &Peek, offset: u64) {
        let end = self.start + self.bytes.len() as u64;
        let is_near = offset >= self.start && offset < end + Self::FIRST;
        let len = match is_near {
            true => (4 * self.bytes.len() as u64).clamp(Self::FIRST, Self::MOST),
            false => Self::FIRST,
        };
        self.start = offset;
        self.head = None;
        self.bytes.resize(len as usize, 0);
        let read = memory.read_at(&mut self.bytes, offset);
        self.bytes.truncate(read.unwrap_or(0));
    }
}

impl Snapshot<'_> {
    /// Whether something was asked for that could not be had.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.get()
    }

    fn fetch(&self, offset: u64) -> Option<u64> {
        let mut window = self.window.borrow_mut();
        let found = window.word(offset).or_else(|| {
            window.fill(&self.view.memory, offset);
            window.word(offset)
        });
        if found.is_none() {
            self.is_short.set(true);
        }
        found
    }

    fn noted<T: Default>(&self, loaded: Option<T>) -> T {
        if loaded.is_none() {
            self.is_short.set(true);
        }
        loaded.unwrap_or_default()
    }
}

impl Load for Snapshot<'_> {
    fn capacity(&self) -> u64 {
        self.view.header.geometry.capacity()
    }

    fn load32(&self, offset: usize, _: Ordering) -> u32 {
        self.noted(self.view.load32(offset))
    }

    fn load64(&self, offset: usize, _: Ordering) -> u64 {
        if offset != HEAD {
            return self.noted(self.view.load64(offset));
        }
        let mut window = self.window.borrow_mut();
        match window.head {
            Some(head) => head,
            None => {
                let head = self.noted(self.view.load64(HEAD));
                window.head = Some(head);
                head
            }
        }
    }

    fn load_word(&self, position: u64, _: Ordering) -> u64 {
        let Header {
            geometry, nonce, ..
        } = &self.view.header;
        let offset = geometry.data_offset() + (position & (geometry.capacity() - 1) & !7);
        let word = self.fetch(offset).unwrap_or(0);
        match geometry.shape() {
            Shape::Cells(_) if word == 0 => layout::cell::no_word(layout::cell::key(*nonce)),
            _ => word,
        }
    }

    fn load_slab(&self, index: u32) -> u64 {
        let (words, _) = self.view.header.geometry.slab_offsets();
        let word = self.fetch(words + 8 * u64::from(index));
        word.unwrap_or(layout::pool::NO_WORD)
    }
}
