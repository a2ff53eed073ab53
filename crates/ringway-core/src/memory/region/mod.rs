//! The seam between the ring algorithms and memory.
//!
//! The algorithms in [`crate::rings::stream`], [`crate::rings::cell`] and [`crate::waiting`] are written once, over [`Region`]. The same
//! code runs on a mapping (production), on the heap (unit tests, property tests, Miri, fuzzing), on
//! regions that lie at every read or are written to between any two accesses (hostile peers), and under
//! loom. loom's atomics cannot be laid over a mapping, so a region gives operations, not references.

pub(crate) mod copy;
pub(crate) mod memory;
pub(crate) mod pane;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use bytemuck::{AnyBitPattern, NoUninit};

use crate::error::Error;
pub(crate) use crate::sys::futex::{Change, MOST_WORDS};
use crate::sys::futex::{MonotonicTime, Wake};
use pane::{Pane, Place};

/// Why the memory of a slab is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// What is there in its place is not that slab.
    Corrupt,
    /// The kernel does not give it, with this error number.
    Os(i32),
}

/// By what to ask whether the ring's name still leads to it.
pub(crate) trait RingName: std::fmt::Debug + Send + Sync {
    /// Whether no name leads to the ring any more.
    fn is_removed(&self) -> Result<bool, Error>;
    /// Whether nobody can come to the ring any more, but this process itself. "No" where the kernel does not tell.
    fn is_forsaken(&self) -> bool;
}

/// Slabs that lie in segments of their own, which this process maps when it needs them.
///
/// # Safety
/// The bytes at the pointer that [`bytes`](Self::bytes) returns are mapped for reading and writing as long as this lives,
/// and nobody accesses them but by atomics and by copies that allow for races.
pub(crate) unsafe trait SlabMemory: std::fmt::Debug + Send + Sync {
    /// Maps the slab with the byte `at`, in bytes from the start of the first, if that was not done before.
    fn reach(&self, at: u64) -> Result<(), Unreachable>;
    /// Where so many bytes of a slab that was [reached](Self::reach) are; `None` of others, and if they do not all lie in one.
    fn bytes(&self, at: u64, len: usize) -> Option<*mut u8>;
}

/// Memory with a ring in it, to look at: control words by their offset in the segment, and a data region of a
/// power of two bytes by position (positions grow for ever; the region wraps them).
///
/// Every operation is safe for every argument: offsets are the constants of [`crate::memory::layout`] and
/// lie in every segment, and positions wrap. What walks over records is written over this half, so that those who
/// only look ([`crate::store::View`]) walk as those do who take part.
pub(crate) trait Load {
    /// Bytes of the data region.
    fn capacity(&self) -> u64;
    /// Loads the 32-bit control word at `offset`.
    fn load32(&self, offset: usize, order: Ordering) -> u32;
    /// Loads the 64-bit control word at `offset`.
    fn load64(&self, offset: usize, order: Ordering) -> u64;
    /// Loads the record word at `position`, a multiple of eight.
    fn load_word(&self, position: u64, order: Ordering) -> u64;
    /// Loads the word of slab `index` of the ring's pool, with acquire; of one that is not there, something
    /// that nobody writes.
    fn load_slab(&self, index: u32) -> u64;
}

/// The record word at some position of a [`Region`], found once: to be used more than once.
pub(crate) trait Spot: Copy {
    /// Loads the word.
    fn load(self, order: Ordering) -> u64;
    /// Stores the word.
    fn store(self, word: u64, order: Ordering);
    /// As [`Region::replace_word`]; whether it was so.
    fn replace(self, current: u64, new: u64) -> bool;
    /// The word so many bytes further on.
    ///
    /// # Safety
    /// So many bytes, a multiple of eight, lie between this word and another one before the end of the region.
    unsafe fn behind(self, bytes: u64) -> Self;
    /// Copies payload in behind the word.
    ///
    /// # Safety
    /// So many bytes lie between the word and the end of the region.
    unsafe fn write(self, bytes: &[u8]);
    /// Copies payload out from behind the word.
    ///
    /// # Safety
    /// So many bytes lie between the word and the end of the region.
    unsafe fn read(self, bytes: &mut [u8]);
    /// Copies a value out from behind the word, which is initialised then.
    ///
    /// # Safety
    /// So many bytes lie between the word and the end of the region.
    unsafe fn read_value<T: NoUninit + AnyBitPattern>(self, value: &mut MaybeUninit<T>) {
        let value = value.write(T::zeroed());
        // SAFETY: passed on.
        unsafe { self.read(bytemuck::bytes_of_mut(value)) };
    }
}

/// The control words of a [`Region`], found once.
pub(crate) trait Control: Copy {
    /// Loads the 32-bit control word at `offset`.
    fn load32(self, offset: usize, order: Ordering) -> u32;
    /// Stores the 64-bit control word at `offset`.
    fn store64(self, offset: usize, value: u64, order: Ordering);
    /// Whether any of these bits of the 32-bit control word at `offset` may be set, after what was published before. Where that
    /// takes no fence it looks; else it says yes, and the caller makes the [fence](Region::publish_fence) and looks.
    fn may_have(self, offset: usize, bits: u32) -> bool;
}

/// The control words of a region that finds them anew for each use.
#[cfg(any(test, feature = "verify"))]
#[derive(Debug)]
pub(crate) struct Of<'a, R>(pub(crate) &'a R);

#[cfg(any(test, feature = "verify"))]
impl<R> Clone for Of<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

#[cfg(any(test, feature = "verify"))]
impl<R> Copy for Of<'_, R> {}

#[cfg(any(test, feature = "verify"))]
impl<R: Region> Control for Of<'_, R> {
    fn load32(self, offset: usize, order: Ordering) -> u32 {
        self.0.load32(offset, order)
    }
    fn store64(self, offset: usize, value: u64, order: Ordering) {
        self.0.store64(offset, value, order);
    }
    fn may_have(self, _: usize, _: u32) -> bool {
        true
    }
}

/// A spot of a region that finds it anew for each use.
#[cfg(any(test, feature = "verify"))]
#[derive(Debug)]
pub(crate) struct At<'a, R>(pub(crate) &'a R, pub(crate) u64);

#[cfg(any(test, feature = "verify"))]
impl<R> Clone for At<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

#[cfg(any(test, feature = "verify"))]
impl<R> Copy for At<'_, R> {}

#[cfg(any(test, feature = "verify"))]
impl<R: Region> Spot for At<'_, R> {
    fn load(self, order: Ordering) -> u64 {
        self.0.load_word(self.1, order)
    }
    fn store(self, word: u64, order: Ordering) {
        self.0.store_word(self.1, word, order);
    }
    fn replace(self, current: u64, new: u64) -> bool {
        self.0.replace_word(self.1, current, new).is_ok()
    }
    unsafe fn behind(self, bytes: u64) -> Self {
        let capacity = self.0.capacity();
        assert!(bytes.is_multiple_of(8) && self.1 % capacity + bytes < capacity);
        Self(self.0, self.1 + bytes)
    }
    unsafe fn write(self, bytes: &[u8]) {
        self.0.write(self.1 + 8, bytes);
    }
    unsafe fn read(self, bytes: &mut [u8]) {
        self.0.read(self.1 + 8, bytes);
    }
}

/// Memory with a ring in it, to take part. What is said of [`Load`] holds here too, and a copy that would leave
/// the region is not made.
pub(crate) trait Region: Load {
    /// A record word of this region.
    type Spot<'a>: Spot
    where
        Self: 'a;
    /// The record word at `position`, a multiple of eight.
    fn spot(&self, position: u64) -> Self::Spot<'_>;
    /// The control words of this region.
    type Control<'a>: Control
    where
        Self: 'a;
    /// The control words.
    fn control(&self) -> Self::Control<'_>;
    /// Where the words and buffers of an entry of a board are in this region.
    type Pane: Pane<Self>;
    /// Those at `place`.
    ///
    /// # Safety
    /// The place is an entry of a board with the geometry of this region, with which alone the pane is used: with this very
    /// region, that is, wherever it is moved.
    unsafe fn pane(&self, place: &Place) -> Self::Pane;

    /// Stores the 32-bit control word at `offset`.
    fn store32(&self, offset: usize, value: u32, order: Ordering);
    /// Stores the 64-bit control word at `offset`.
    fn store64(&self, offset: usize, value: u64, order: Ordering);
    /// Sets bits of the 32-bit control word at `offset`, and returns what it held. Acquires and releases.
    fn set32(&self, offset: usize, bits: u32) -> u32;
    /// Replaces the 32-bit control word at `offset` if it holds `current`; else returns what it holds.
    /// Acquires and releases.
    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32>;
    /// Adds to the 32-bit control word at `offset`. Acquires and releases.
    fn add32(&self, offset: usize, more: u32);
    /// Replaces the 64-bit control word at `offset` if it holds `current`; else returns what it holds.
    /// Acquires and releases.
    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64>;

    /// Clears the bits of the 64-bit control word at `offset` that are not in `bits`, with release, and returns what it
    /// held.
    fn mask64(&self, offset: usize, bits: u64) -> u64;

    /// Stores the record word at `position`, a multiple of eight.
    fn store_word(&self, position: u64, word: u64, order: Ordering);
    /// Replaces the record word at `position`, a multiple of eight, if it holds `current`; else returns
    /// what it holds. Acquires and releases.
    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64>;
    /// Copies payload in.
    fn write(&self, position: u64, bytes: &[u8]);
    /// Copies payload out.
    fn read(&self, position: u64, bytes: &mut [u8]);
    /// Copies payload out that may be overwritten meanwhile: who calls this finds out afterwards whether it was, see
    /// [`copied_fence`](Self::copied_fence).
    fn read_racy(&self, position: u64, bytes: &mut [u8]) {
        self.read(position, bytes);
    }
    /// Where the payload at `position` is in memory, for who takes a pointer at own risk.
    fn pointer(&self, position: u64) -> *mut u8;
    /// A hint that the line of `position` will be read soon, given again and again by one that spins.
    ///
    /// While a processor waits for one line, it executes hundreds of later polls in advance, and their hints with
    /// them: all would be given before the line is written, when they are of no use. So each hint is made to depend on
    /// the one before it, through `pace`, which is 0 and stays 0. That spreads them over the wait.
    fn prefetch(&self, position: u64, pace: &mut u64);
    /// A hint that the line of `position` will be written soon.
    fn prefetch_to_write(&self, position: u64);
    /// The same of the line of the control word at `offset`.
    fn prefetch64_to_write(&self, offset: usize) {
        // Not every region has lines.
        let _ = offset;
    }

    /// Replaces the word of slab `index` if it holds `current`; else returns what it holds. Acquires and
    /// releases.
    fn replace_slab(&self, index: u32, current: u64, new: u64) -> Result<(), u64>;
    /// Sees to it that the slab with the byte `at` can be written and read, and stays so: to be called when
    /// it is lent, and when a ticket for it has been accepted.
    fn reach_slab(&self, at: u64) -> Result<(), Unreachable> {
        // What lies in the region is there.
        let _ = at;
        Ok(())
    }
    /// Copies into the slabs, `at` bytes from the start of the first.
    fn write_slab(&self, at: u64, bytes: &[u8]);
    /// Copies out of the slabs, `at` bytes from the start of the first.
    fn read_slab(&self, at: u64, bytes: &mut [u8]);
    /// Where `at` bytes from the start of the first slab is in memory, for who takes a pointer at own risk.
    fn slab_pointer(&self, at: u64) -> *mut u8;

    /// Gives the slab of so many bytes that starts `at` bytes from the start of the first other memory, so that
    /// whoever still writes to its old one changes nothing that anybody sees. What was in it is lost. `false` if
    /// that did not work.
    fn renew_slab(&self, at: u64, len: u64) -> bool {
        // Nobody but the program writes to what is no mapping.
        let _ = (at, len);
        true
    }

    /// Orders what was read before it ahead of payload that is written after it, for who reads that
    /// payload with acquire.
    ///
    /// What was stored before it is seen by who has read of that payload, and then makes the
    /// [`copied_fence`](Self::copied_fence).
    fn claim_fence(&self);
    /// Orders payload that was read before it ahead of what is loaded after it. Pairs with
    /// [`claim_fence`](Self::claim_fence).
    #[inline]
    fn copied_fence(&self) {
        fence(Ordering::Acquire);
    }
    /// Of two sides that store, call this and load what the other one stores, at least one sees the other's store.
    /// Both pay for it, whatever the ring's fences are.
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }
    /// The fence between publishing and looking whether anyone sleeps. Pairs with
    /// [`sleep_fence`](Self::sleep_fence): of the two sides, at least one sees the other's store.
    fn publish_fence(&self);
    /// The fence between saying that one sleeps and looking again.
    fn sleep_fence(&self);
    /// Whether the fence between publishing and looking for sleepers is the sleeper's, unless the publisher
    /// [makes it](Self::fences) as well.
    fn is_asymmetric(&self) -> bool {
        false
    }
    /// Whether this handle makes the [`publish_fence`](Self::publish_fence).
    fn fences(&self) -> bool {
        true
    }
    /// Has this handle make it, or make it no more, in a ring whose fences are [asymmetric](Self::is_asymmetric).
    fn set_fences(&mut self, _: bool) {}
    /// What there is in place of the [`sleep_fence`](Self::sleep_fence) where all publishers make theirs, and the sleeper has made the
    /// [`full_fence`](Self::full_fence).
    fn sleep_fenced(&self) {}
    /// Sleeps while each of the words of all `rings`, and each of those `beside` them (at most [`MOST_WORDS`] in all), holds
    /// the value beside it.
    fn wait_on(
        rings: &[(&Self, &[(usize, u32)])],
        beside: &[(&AtomicU32, u32)],
        deadline: Option<MonotonicTime>,
    ) -> Wake
    where
        Self: Sized;
    /// Sleeps while each of the words holds the value beside it.
    fn wait(&self, words: &[(usize, u32)], deadline: Option<MonotonicTime>) -> Wake
    where
        Self: Sized,
    {
        Self::wait_on(&[(self, words)], &[], deadline)
    }
    /// Wakes all that sleep on the word at `offset`.
    fn wake(&self, offset: usize);
    /// Changes the word at `offset` and wakes all that sleep on it, in one step: nothing that happens to this
    /// process can fall in between. Acquires and releases. `false`: this kernel does not do that, and nothing was
    /// done.
    #[must_use]
    fn change_and_wake(&self, offset: usize, change: Change) -> bool;
    /// Returns when a process that is marked dead can do nothing more to the region, if
    /// [`settles`](Self::settles). `false`: it should, and cannot any more. Then what the dead hold is left alone.
    #[must_use]
    fn settle(&self) -> bool;
    /// Whether [`settle`](Self::settle) can keep its promise. If not, one that is marked dead may execute
    /// a few more instructions, so nobody may change by a plain store what others repair.
    fn settles(&self) -> bool;

    /// The ring's name, if it can have one.
    fn name(&self) -> Option<&dyn RingName> {
        // What is no segment has no name.
        None
    }

    /// What says that a call which waits is to end, if anything can say so ([`crate::waiting::interrupt`]).
    fn interrupted(&self) -> Option<&AtomicBool> {
        None
    }

    /// Whether this process is a child of `fork` that inherited the region.
    fn is_forked(&self) -> bool;
    /// A number that is another one in every child of `fork` that inherited the region, and never all ones.
    fn process(&self) -> u64;
}
