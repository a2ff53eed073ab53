//! Looking at a segment without taking part in it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::address::{Address, SysvKey};
use crate::error::Error;
use crate::layout::header::{
    BOOT_ID_OFFSET, CREATION_LOCK_OFFSET, HEADER_LEN, Header, HeaderError, MAGIC_OFFSET,
    RETIREMENT_OFFSET,
};
use crate::liveness::Liveness;

use super::attempt::Attempt;
use super::mapped::{Access, Mapped};
use super::named::{self, Place};
use super::{boot_id, descriptor, retire, sysv, unsupported_by_name};

/// A segment that is mapped to look at only.
#[derive(Debug)]
pub(crate) struct View {
    memory: Memory,
    header: Header,
    address: Address,
}

/// A read-only mapping.
#[derive(Debug)]
pub(super) struct Memory(Mapped);

impl Memory {
    /// Attaches the System V segment `id`, whatever it is.
    pub(super) fn of_sysv(id: i32) -> Result<Self, Errno> {
        let (mapped, _) = Mapped::sysv(id, Access::Read)?;
        Ok(Self(mapped))
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
        let mut bytes = [0; HEADER_LEN];
        for (index, field) in bytes.chunks_exact_mut(8).enumerate() {
            field.copy_from_slice(&self.load64(index * 8)?.to_ne_bytes());
        }
        Some(bytes)
    }

    fn load32(&self, offset: usize) -> Option<u32> {
        let word = self.0.place(offset)?;
        // SAFETY: in bounds and aligned, by `place`, and mapped while `self` lives. The memory is
        // read-only here, and a load of 32 bits does not write.
        let word = unsafe { AtomicU32::from_ptr(word.as_ptr()) };
        Some(word.load(Ordering::Acquire))
    }

    pub(super) fn load64(&self, offset: usize) -> Option<u64> {
        let word = self.0.place(offset)?;
        // SAFETY: as for `load32`; a load of 64 bits does not write on a 64-bit machine.
        let word = unsafe { AtomicU64::from_ptr(word.as_ptr()) };
        Some(word.load(Ordering::Acquire))
    }
}

impl View {
    /// Maps a finished segment for reading, whoever owns it.
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
        let file = named::open_path(attempt, &Place::of(attempt)?, OFlag::O_RDONLY)?;
        Self::of_descriptor(attempt, file.as_fd())
    }

    /// Maps the finished segment in `file`, which may be closed afterwards.
    pub(super) fn of_descriptor(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<Self, Error> {
        let (stat, header) = descriptor::inspect(attempt, file, |_| Ok(()))?;
        let len = header.geometry.total_len();
        let mapped = Mapped::file(file, len, descriptor::page_of(&stat), Access::Read)
            .map_err(|errno| attempt.os("it cannot be mapped", errno))?;
        Ok(Self {
            memory: Memory(mapped),
            header,
            address: attempt.address.clone(),
        })
    }

    fn of_sysv(attempt: Attempt<'_>, key: &SysvKey) -> Result<Self, Error> {
        let id = sysv::find(attempt, key)?;
        Self::of_sysv_id(attempt, id)
    }

    /// Maps the finished System V segment `id`.
    pub(super) fn of_sysv_id(attempt: Attempt<'_>, id: i32) -> Result<Self, Error> {
        let status = sysv::status(attempt, id)?;
        let memory =
            Memory::of_sysv(id).map_err(|errno| attempt.os("it cannot be attached", errno))?;
        let bytes = memory
            .header_bytes()
            .ok_or_else(|| sysv::foreign(attempt, "it is too short for a ring"))?;
        let len = status.len as u64;
        let header = Header::decode(&bytes, len).map_err(|error| match error {
            HeaderError::Magic if sysv::is_half_made(&status, memory.magic()) => {
                sysv::half_made(attempt, &status, memory.creation_lock())
            }
            HeaderError::Magic => sysv::foreign(attempt, "what is there is not a ringway segment"),
            error => attempt.header(error, len),
        })?;
        Ok(Self {
            memory,
            header,
            address: attempt.address.clone(),
        })
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

    /// Whether liveness words that were loaded before count. In a file they outlive the boot whose
    /// kernel kept them true, until the next opener clears them and then writes its boot id; so who
    /// sees a word of this boot sees the id of this boot.
    pub(crate) fn is_of_this_boot(&self) -> bool {
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
        let halves = written.map(|half| half.unwrap_or(0).to_ne_bytes());
        halves.concat() == current
    }

    /// The 32-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn load32(&self, offset: usize) -> Option<u32> {
        self.memory.load32(offset)
    }

    /// The 64-bit word at `offset`, if it lies in the segment and is aligned.
    pub(crate) fn load64(&self, offset: usize) -> Option<u64> {
        self.memory.load64(offset)
    }
}
