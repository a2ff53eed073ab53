//! Entries of a board in such memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use bytemuck::Pod;

use super::Memory;
use crate::memory::region::copy;
use crate::memory::region::pane::{Pane, Place};

/// Where the words and the buffers of one entry are in memory. It stays there as long as the region lives, wherever that is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    /// Where the words begin: aligned, and so many that every field lies before the data region.
    words: NonNull<u8>,
    /// Looked up when it is known which one, and not computed.
    buffers: [NonNull<u8>; 2],
}

// SAFETY: the pointers are to memory that the region keeps, without which nothing is accessed, and all access to it is by
// atomics or the copies that allow for races.
unsafe impl Send for Near {}
// SAFETY: as for Send.
unsafe impl Sync for Near {}

impl Near {
    /// What is at a place of that memory.
    ///
    /// # Safety
    /// As [`Region::pane`](crate::memory::region::Region::pane).
    pub(super) unsafe fn of(memory: &Memory, place: &Place) -> Self {
        debug_assert!(place.words < memory.control_len());
        debug_assert!(place.buffers.iter().all(|at| *at <= memory.mask));
        // SAFETY: an entry of a board with this geometry lies before its data region, and its buffers lie in that, as
        // the caller says.
        unsafe {
            Self {
                words: memory.base.add(place.words),
                buffers: place.buffers.map(|at| memory.data.add(at as usize)),
            }
        }
    }

    /// Where a word is.
    #[inline(always)]
    fn at(&self, field: usize) -> NonNull<u8> {
        // SAFETY: a field of the entry, which lies before the data region.
        unsafe { self.words.add(field) }
    }

    #[inline(always)]
    fn word<'a>(&self, _: &'a Memory, field: usize) -> &'a AtomicU64 {
        // SAFETY: a field of an entry is aligned, and mapped as long as the memory is borrowed. All processes access it
        // atomically.
        unsafe { AtomicU64::from_ptr(self.at(field).cast().as_ptr()) }
    }
}

/// Where one buffer is: whole words in the data region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer(NonNull<u8>);

// SAFETY: as for `Near`.
unsafe impl Send for Buffer {}
// SAFETY: as for `Near`.
unsafe impl Sync for Buffer {}

impl Pane<Memory> for Near {
    type Buffer = Buffer;

    #[inline(always)]
    fn buffer(&self, number: u64) -> Buffer {
        Buffer(self.buffers[(number & 1) as usize])
    }

    #[inline(always)]
    fn load64(&self, memory: &Memory, field: usize, order: Ordering) -> u64 {
        self.word(memory, field).load(order)
    }

    #[inline(always)]
    fn store64(&self, memory: &Memory, field: usize, word: u64, order: Ordering) {
        self.word(memory, field).store(word, order);
    }

    #[inline(always)]
    fn either_may_have(&self, memory: &Memory, field: usize, offset: usize, bits: u32) -> bool {
        // The processor's part of this fence is in the sleeper's membarrier.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as for `word`; the memory is borrowed.
        let own = unsafe { AtomicU32::from_ptr(self.at(field).cast().as_ptr()) };
        let other = memory.word32(offset).load(Ordering::Relaxed);
        (own.load(Ordering::Relaxed) | other | memory.unsure) & bits != 0
    }

    #[inline(always)]
    unsafe fn read(_: &Memory, buffer: Buffer, bytes: *mut u8, len: usize) {
        // SAFETY: so many bytes lie in the buffer, which is whole words, and there is room for them, as the caller says.
        unsafe { copy::from_shared::<0>(bytes, buffer.0.as_ptr(), len) };
    }

    #[inline(always)]
    unsafe fn read_value<T: Pod>(_: &Memory, buffer: Buffer) -> T {
        // SAFETY: so many bytes lie in the buffer, as the caller says; it begins with a word.
        unsafe { copy::value_from_shared(buffer.0.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn write(_: &Memory, buffer: Buffer, at: usize, bytes: &[u8]) {
        // SAFETY: so many bytes lie in the buffer, which is whole words, as the caller says.
        unsafe { copy::to_shared::<0>(buffer.0.as_ptr().add(at), bytes.as_ptr(), bytes.len()) };
    }

    #[inline(always)]
    unsafe fn write_value<T: Pod>(_: &Memory, buffer: Buffer, value: &T) {
        // SAFETY: as for `read_value`.
        unsafe { copy::value_to_shared(buffer.0.as_ptr(), value) };
    }
}
