//! Messages that are not sent yet: claims, written in place, and batches.

use std::io::IoSlice;

use crate::api::sending::{Claimed, Sending};
use crate::error::SendError;
use crate::rings::stream::producer::Pending;
use crate::waiting::WaitOptions;

/// Private memory for claims, as long as the longest that was needed.
#[derive(Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// It starts where a page does, as what is read from a disk directly has to.
    const ALIGN: usize = 4096;

    /// Sees to it that there are `len` bytes.
    fn reserve(&mut self, len: usize) {
        let needed = len.saturating_add(Self::ALIGN);
        if self.0.len() < needed {
            self.0 = vec![0; needed];
        }
    }

    /// The first `len` bytes, for which there is room.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(Self::ALIGN);
        &mut self.0[start..start + len]
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} bytes)", self.0.len())
    }
}

/// Room for one message, in the ring or in a slab, to be written in place. Nothing of it is seen by anybody before
/// [`commit`](Self::commit); dropping it aborts.
///
/// The memory is not cleared: what is not written holds old bytes of the ring.
#[derive(Debug)]
pub struct Claim<'a> {
    sending: &'a mut Sending,
    claimed: Claimed,
    len: usize,
    committed: bool,
    scratch: &'a mut Scratch,
    /// How far [`write_at`](Self::write_at) has written.
    written: usize,
    /// Whether the message is in `scratch` until it is committed.
    is_apart: bool,
}

impl<'a> Claim<'a> {
    /// Claims room for a message of `len` bytes; `None`: if there is room now.
    #[inline(always)]
    pub(crate) fn begin(
        sending: &'a mut Sending,
        scratch: &'a mut Scratch,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Self, SendError> {
        let claimed = match sending.claim_at_once(len) {
            Some(claimed) => claimed,
            None => sending.claim(len, wait)?,
        };
        Ok(Self::of(sending, scratch, claimed, len))
    }

    /// What was claimed.
    #[inline(always)]
    pub(crate) fn of(
        sending: &'a mut Sending,
        scratch: &'a mut Scratch,
        claimed: Claimed,
        len: usize,
    ) -> Self {
        Self {
            sending,
            claimed,
            len,
            committed: false,
            scratch,
            written: 0,
            is_apart: false,
        }
    }

    /// Bytes claimed.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a length of the message, not of a collection"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies `bytes` to `offset` of the message, and returns how many fitted.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.len.saturating_sub(offset));
        if self.is_apart {
            self.scratch.room(self.len)[offset..offset + len].copy_from_slice(&bytes[..len]);
            return len;
        }
        self.sending.write_at(&self.claimed, offset, &bytes[..len]);
        self.written = self.written.max(offset + len);
        len
    }

    /// The message's memory, to be written directly, also by system calls such as `read`.
    ///
    /// A message in a slab is written where it lies. One in the ring is written to private memory of this handle, and
    /// copied when it is committed: a system call may go on after this process was killed, and the ring cannot
    /// wait for it. ([`write_at`](Self::write_at) copies once, and [`as_mut_ptr`](Self::as_mut_ptr) is for programs that make
    /// the message in place.) The slab of a process that was killed in such a call is lent again when the kernel has freed the process's
    /// memory, and has new pages then. So it is for requests of Linux AIO and io_uring, also with registered buffers
    /// and `O_DIRECT`.
    ///
    /// Slabs as well are written by way of private memory in `sysv:` rings, with huge pages, without /proc, and
    /// where the file system has no locks or cannot punch holes, as the end of such calls cannot be waited for
    /// there.
    ///
    /// # Safety
    /// No other process may touch these bytes while the slice lives. ringway's own peers do not; a
    /// hostile one with access to the segment could, and that would be undefined behaviour here.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::io::Read;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// let mut sender = ring.sender()?;
    /// let mut claim = sender.claim(1 << 20)?;
    /// let mut zeroes = std::fs::File::open("/dev/zero")?;
    /// // SAFETY: all who have this ring are ringway's own peers.
    /// zeroes.read_exact(unsafe { claim.as_mut_slice() })?;
    /// claim.commit();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        if !self.is_apart {
            if let Some(pointer) = self.sending.lend_pointer(&self.claimed) {
                // SAFETY: `len` bytes of a slab are this claim's and stay mapped while it borrows the handle;
                // that nobody else touches them is the caller's promise.
                return unsafe { std::slice::from_raw_parts_mut(pointer, self.len) };
            }
            self.scratch.reserve(self.len);
            let written = self.scratch.room(self.written);
            self.sending.read_back(&self.claimed, written);
            self.is_apart = true;
        }
        self.scratch.room(self.len)
    }

    /// Where the message's [`len`](Self::len) bytes lie, in the ring or in a slab, to be written there by *this program's
    /// own instructions* until the claim is committed, dropped or written otherwise.
    ///
    /// Not for system calls: one that goes on when this process was killed would write over messages that others
    /// have sent since. [`as_mut_slice`](Self::as_mut_slice) is for them. Otherwise, what is said there of safety is
    /// true of this pointer as well.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        if self.is_apart {
            return self.scratch.room(self.len).as_mut_ptr();
        }
        self.written = self.len;
        self.sending.pointer(&self.claimed)
    }

    /// Sends the message.
    #[inline(always)]
    pub fn commit(self) {
        let len = self.len;
        self.commit_len(len);
    }

    /// Sends the first `len` bytes of the message, or all if it is shorter.
    #[inline(always)]
    pub fn commit_len(mut self, len: usize) {
        let len = len.min(self.len);
        if self.is_apart {
            self.put_in_place(len);
        }
        self.committed = true;
        self.sending.commit(self.claimed, len as u64);
    }

    /// Copies what was written to private memory to where it is claimed.
    #[cold]
    #[inline(never)]
    fn put_in_place(&mut self, len: usize) {
        let message = self.scratch.room(len);
        self.sending.write_at(&self.claimed, 0, message);
    }

    /// Gives the room back, as a drop does.
    pub fn abort(self) {}

    #[inline]
    pub(crate) fn commit_with(mut self, write: impl FnOnce(&mut Self)) {
        write(&mut self);
        self.commit();
    }

    pub(crate) fn commit_parts(mut self, parts: &[IoSlice<'_>]) {
        let mut offset = 0;
        for part in parts {
            offset += self.write_at(offset, part);
        }
        self.commit();
    }
}

impl Drop for Claim<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.committed {
            self.sending.abort();
        }
    }
}

/// Messages that become visible together. Dropping it without [`commit`](Self::commit) sends none.
#[derive(Debug)]
pub struct Batch<'a> {
    sending: &'a mut Sending,
    pending: Option<Pending>,
}

impl<'a> Batch<'a> {
    #[inline]
    pub(crate) fn new(sending: &'a mut Sending) -> Self {
        // What a forgotten claim or batch has left is none of this one's.
        sending.abort();
        Self {
            sending,
            pending: None,
        }
    }

    /// Adds a copy of `message`, which goes through the ring: it must fit that, slabs or not.
    ///
    /// # Errors
    /// As [`Sender::try_send`](crate::Sender::try_send). What was added before stays in the batch; after
    /// [`SendError::Full`], commit and begin another.
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sending.push(&mut self.pending, message)
    }

    /// Sends all that was added, and returns how many messages that were.
    #[inline]
    pub fn commit(mut self) -> u64 {
        let sent = self.sending.commit_batch(self.pending.take());
        // Nothing is left to be given up.
        std::mem::forget(self);
        sent
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        // Nothing is left of what was committed.
        if self.pending.is_some() {
            self.sending.forget_batch();
        }
        self.sending.abort();
    }
}
