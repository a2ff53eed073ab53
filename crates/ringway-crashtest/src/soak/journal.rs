//! What a worker writes down of its own work, in memory that it shares with the coordinator alone.
//!
//! A store costs next to nothing, so that deaths fall inside the ring's operations and not between them,
//! and what is stored is there however the worker dies. An intent is stored before the operation, and
//! what came of it afterwards.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::forum::Turn;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// How many workers there can be at once.
pub(super) const MOST: usize = 256;

/// The longest message of any ring here.
pub(super) const MAX_MESSAGE: usize = 8 << 10;

/// Entries that a worker may be ahead of the coordinator.
const ENTRIES: usize = 4096;

/// Bytes of what went wrong.
const PROBLEM_LEN: usize = 1000;

/// A message: who sent it, and its number.
pub(super) type Signature = (u32, u64);

/// What a consumer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It has this message, whole, and has not released it.
    Received(Signature),
    /// It received and released this message, whole, by one call.
    Copied(Signature),
    /// It is about to release all that it has.
    Releasing,
    /// It has released all that it had.
    Released,
    /// It is about to give back all that it has.
    GivingBack,
}

const NUMBER_BITS: u32 = 32;
const RECEIVED: u64 = 0;
const COPIED: u64 = 1 << 62;
const EVENT: u64 = 2 << 62;

impl Entry {
    fn encode(self) -> u64 {
        let message = |(who, number): Signature| u64::from(who) << NUMBER_BITS | number;
        match self {
            Self::Received(signature) => RECEIVED | message(signature),
            Self::Copied(signature) => COPIED | message(signature),
            Self::Releasing => EVENT,
            Self::Released => EVENT | 1,
            Self::GivingBack => EVENT | 2,
        }
    }

    fn decode(bits: u64) -> Self {
        let who = (bits >> NUMBER_BITS) as u32 & (u32::MAX >> 2);
        let signature = (who, bits & u64::from(u32::MAX));
        match (bits & (3 << 62), bits & 3) {
            (RECEIVED, _) => Self::Received(signature),
            (COPIED, _) => Self::Copied(signature),
            (_, 0) => Self::Releasing,
            (_, 1) => Self::Released,
            _ => Self::GivingBack,
        }
    }
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(super) enum Step {
    Starting,
    Attaching,
    Leaving,
    Sending,
    SendingInPlace,
    SendingBatch,
    AwaitingPeer,
    AwaitingDrained,
    Receiving,
    ReceivingInPlace,
    ReceivingSeveral,
    ReceivingCopy,
    Resting,
    Executing,
    Auditing,
}

impl Step {
    pub(super) const ALL: [Self; 15] = [
        Self::Starting,
        Self::Attaching,
        Self::Leaving,
        Self::Sending,
        Self::SendingInPlace,
        Self::SendingBatch,
        Self::AwaitingPeer,
        Self::AwaitingDrained,
        Self::Receiving,
        Self::ReceivingInPlace,
        Self::ReceivingSeveral,
        Self::ReceivingCopy,
        Self::Resting,
        Self::Executing,
        Self::Auditing,
    ];

    /// Whether one that does this takes part in the ring.
    pub(super) fn has_place(self) -> bool {
        !matches!(self, Self::Starting | Self::Attaching | Self::Leaving)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Attaching => "attaching",
            Self::Leaving => "leaving",
            Self::Sending => "sending a copy",
            Self::SendingInPlace => "sending in place",
            Self::SendingBatch => "sending a batch",
            Self::AwaitingPeer => "waiting for a peer",
            Self::AwaitingDrained => "waiting until drained",
            Self::Receiving => "waiting for a message",
            Self::ReceivingInPlace => "receiving in place",
            Self::ReceivingSeveral => "receiving several",
            Self::ReceivingCopy => "receiving a copy",
            Self::Resting => "between operations",
            Self::Executing => "calling exec",
            Self::Auditing => "auditing",
        }
    }
}

/// What the coordinator wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Order {
    Work,
    /// Let others pass.
    Hush,
    /// Leave, and end.
    Stop,
}

/// One worker's.
#[repr(C, align(4096))]
pub(super) struct Journal {
    order: AtomicU32,
    step: AtomicU32,
    /// How many steps were begun.
    steps: AtomicU64,
    /// Of a producer: so many messages may have been sent.
    intended: AtomicU64,
    /// Of a producer: so many messages have been sent.
    sent: AtomicU64,
    /// Of a consumer: it may have taken so many messages that no entry tells of yet.
    unlogged: AtomicU64,
    /// Of who takes its turn in a role: the number that it began with, and 1; `sent` and `intended` are how far it has come.
    begun: AtomicU64,
    /// Of a consumer that is receiving into `buffer`: how many entries there were before, and 1.
    copying: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    entries: [AtomicU64; ENTRIES],
    problem_len: AtomicU64,
    problem: UnsafeCell<[u8; PROBLEM_LEN]>,
    buffer: UnsafeCell<[u8; MAX_MESSAGE]>,
}

// SAFETY: atomics, and two arrays: of `problem` what is written is published by `problem_len`, and only
// the worker touches `buffer` while it lives.
unsafe impl Sync for Journal {}

/// The worker's side. Program order is all that is needed for what is read after its death: the kernel
/// tells of that behind all its stores.
impl Journal {
    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Work,
            1 => Order::Hush,
            _ => Order::Stop,
        }
    }

    /// Begins a step.
    pub(super) fn begin(&self, step: Step) {
        self.step.store(step as u32, Ordering::Release);
        self.steps.fetch_add(1, Ordering::Release);
    }

    /// So many messages may have been sent from now on.
    pub(super) fn intend(&self, count: u64) {
        self.intended.store(count, Ordering::Release);
    }

    /// So many messages have been sent.
    pub(super) fn acknowledge(&self, count: u64) {
        self.sent.store(count, Ordering::Release);
    }

    /// It has a role, and goes on at this number, or is about to go on at the other one.
    pub(super) fn begin_turn(&self, number: u64, most: u64) {
        self.acknowledge(number);
        self.intend(most);
        self.begun.store(number + 1, Ordering::Release);
    }

    /// Up to so many messages may be taken that nothing is written of yet.
    pub(super) fn take_up_to(&self, most: u64) {
        self.unlogged.store(most, Ordering::Release);
    }

    /// Says that `buffer` is to be received into.
    pub(super) fn begin_copy(&self) {
        let position = self.written.load(Ordering::Relaxed);
        self.copying.store(position + 1, Ordering::Release);
    }

    /// Says that nothing is received into `buffer` any more.
    pub(super) fn end_copy(&self) {
        self.copying.store(0, Ordering::Release);
    }

    /// Where to receive into, so that it is seen after a death what was received.
    ///
    /// # Safety
    /// Only the worker that this journal was given to calls this, in one place at a time.
    #[expect(clippy::mut_from_ref, reason = "the cell is the caller's alone")]
    pub(super) unsafe fn buffer(&self) -> &mut [u8; MAX_MESSAGE] {
        // SAFETY: the caller's promise; the coordinator looks only when the worker is dead.
        unsafe { &mut *self.buffer.get() }
    }

    /// Writes an entry, when there is room.
    pub(super) fn write(&self, entry: Entry) {
        let written = self.written.load(Ordering::Relaxed);
        // Acquire pairs with the release in `drain`: the entry may be overwritten.
        while written - self.read.load(Ordering::Acquire) >= ENTRIES as u64 {
            std::thread::sleep(Duration::from_micros(50));
        }
        self.entries[written as usize % ENTRIES].store(entry.encode(), Ordering::Relaxed);
        // Release pairs with the acquire in `drain`.
        self.written.store(written + 1, Ordering::Release);
    }

    /// Writes down what went wrong, if it is the first.
    pub(super) fn report(&self, problem: &str) {
        if self.problem_len.load(Ordering::Relaxed) > 0 {
            return;
        }
        let len = problem.len().min(PROBLEM_LEN);
        // SAFETY: nobody reads it before its length is stored.
        unsafe { (&mut *self.problem.get())[..len].copy_from_slice(&problem.as_bytes()[..len]) };
        self.problem_len.store(len as u64, Ordering::Release);
    }
}

/// The coordinator's side.
impl Journal {
    /// Makes it a new worker's.
    pub(super) fn clear(&self) {
        self.order.store(Order::Work as u32, Ordering::Relaxed);
        self.step.store(Step::Starting as u32, Ordering::Relaxed);
        for word in [
            &self.steps,
            &self.intended,
            &self.sent,
            &self.unlogged,
            &self.begun,
            &self.copying,
            &self.written,
            &self.read,
            &self.problem_len,
        ] {
            word.store(0, Ordering::Release);
        }
    }

    pub(super) fn give_order(&self, order: Order) {
        self.order.store(order as u32, Ordering::Relaxed);
    }

    pub(super) fn step(&self) -> Step {
        let step = self.step.load(Ordering::Acquire) as usize;
        Step::ALL.get(step).copied().unwrap_or(Step::Starting)
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    pub(super) fn intended(&self) -> u64 {
        self.intended.load(Ordering::Acquire)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// How far it has come in its role, if it had that.
    pub(super) fn turn(&self) -> Option<Turn> {
        let begun = self.begun.load(Ordering::Acquire).checked_sub(1)?;
        let (sure, most) = (self.sent(), self.intended());
        Some(Turn { begun, sure, most })
    }

    pub(super) fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Acquire)
    }

    /// Hands over what is new.
    pub(super) fn drain(&self, mut each: impl FnMut(Entry)) {
        let written = self.written.load(Ordering::Acquire);
        let read = self.read.load(Ordering::Relaxed);
        for position in read..written {
            let bits = self.entries[position as usize % ENTRIES].load(Ordering::Relaxed);
            each(Entry::decode(bits));
        }
        self.read.store(written, Ordering::Release);
    }

    /// The bytes that the dead worker was receiving when it died, if there is no entry of them.
    pub(super) fn copied_unlogged(&self) -> Option<&[u8]> {
        let copying = self.copying.load(Ordering::Acquire);
        if copying == 0 || self.written.load(Ordering::Acquire) >= copying {
            return None;
        }
        // SAFETY: the worker is dead, and the coordinator has not given the journal to another one.
        Some(unsafe { &*self.buffer.get() })
    }

    pub(super) fn problem(&self) -> Option<String> {
        let len = self.problem_len.load(Ordering::Acquire) as usize;
        if len == 0 {
            return None;
        }
        // SAFETY: written before its length, and only once.
        let bytes = unsafe { &(&*self.problem.get())[..len.min(PROBLEM_LEN)] };
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// The journals of all workers.
pub(super) struct Journals {
    base: NonNull<Journal>,
    file: OwnedFd,
}

const LEN: usize = MOST * size_of::<Journal>();

impl Journals {
    /// New ones. Whoever is forked has them as well, and whoever is executed inherits the descriptor.
    pub(super) fn new() -> Result<Self, String> {
        let failed = |errno| format!("no memory for journals: {errno}");
        let file = memfd_create(c"soak-journals", MFdFlags::empty()).map_err(failed)?;
        nix::unistd::ftruncate(&file, LEN as i64).map_err(failed)?;
        Self::map(file).map_err(failed)
    }

    /// Those that this process inherited.
    pub(super) fn inherit(descriptor: RawFd) -> Result<Self, String> {
        // SAFETY: the descriptor was left open for this, and nothing else in this process knows of it.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Self::map(file).map_err(|errno| format!("the journals cannot be mapped: {errno}"))
    }

    fn map(file: OwnedFd) -> nix::Result<Self> {
        let len = NonZeroUsize::new(LEN).ok_or(nix::Error::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let base = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, &file, 0)? };
        Ok(Self {
            base: base.cast(),
            file,
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The journal at `index`, below [`MOST`].
    pub(super) fn at(&self, index: usize) -> &Journal {
        assert!(index < MOST);
        // SAFETY: within the mapping, which lives as long as this; all zero is a journal, and journals
        // are shared by their atomics.
        unsafe { self.base.add(index).as_ref() }
    }
}

impl Drop for Journals {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and references into it borrow this value.
        let _ = unsafe { munmap(self.base.cast::<c_void>(), LEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_it_was_encoded_from() {
        for entry in [
            Entry::Received((u32::MAX >> 2, 7)),
            Entry::Copied((5, u32::MAX.into())),
            Entry::Releasing,
            Entry::Released,
            Entry::GivingBack,
        ] {
            assert_eq!(Entry::decode(entry.encode()), entry);
        }
    }
}
