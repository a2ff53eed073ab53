//! An entry of a board as the algorithms see it: a few words that lie together, and two buffers.

use std::fmt::Debug;
use std::sync::atomic::Ordering;

use bytemuck::Pod;

/// Where they are: offsets that come from a checked geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the words begin, in the segment.
    pub(crate) words: usize,
    /// Where the buffers begin, in the data region; multiples of eight. What has an even number is in the first.
    pub(crate) buffers: [u64; 2],
}

/// The words and the buffers at a [`Place`] of a [`Region`](super::Region), found once, and kept beside the region.
///
/// A `field` is a constant of the layout: the offset of a word from the first one. Each call names the region, so that one
/// lives while it is accessed: the one of which the pane was [made](super::Region::pane).
///
/// # Safety
/// Who copies vouches for it that the buffer is one of a pane of that region, and that so many bytes lie in it.
pub(crate) trait Pane<R: ?Sized>: Copy + Debug {
    /// Where one of the buffers is.
    type Buffer: Copy + Debug;
    /// The buffer of what has this number.
    fn buffer(&self, number: u64) -> Self::Buffer;
    /// Loads a word.
    fn load64(&self, region: &R, field: usize, order: Ordering) -> u64;
    /// Stores a word.
    fn store64(&self, region: &R, field: usize, word: u64, order: Ordering);
    /// As [`Control::may_have`](super::Control::may_have), of the 32-bit word `field` of these, and of the control word at `offset`, at once.
    fn either_may_have(&self, region: &R, field: usize, offset: usize, bits: u32) -> bool;
    /// Copies so many bytes out of a buffer, to where there is room for them. They may be overwritten meanwhile.
    ///
    /// # Safety
    /// As said at the trait, and `bytes` is valid for writes of `len` bytes, and no part of the region. All of them are written.
    unsafe fn read(region: &R, buffer: Self::Buffer, bytes: *mut u8, len: usize);
    /// The same, of a length that the compiler knows.
    ///
    /// # Safety
    /// As said at the trait.
    unsafe fn read_value<T: Pod>(region: &R, buffer: Self::Buffer) -> T;
    /// Copies into a buffer, `at` bytes in.
    ///
    /// # Safety
    /// As said at the trait, of `at` bytes more.
    unsafe fn write(region: &R, buffer: Self::Buffer, at: usize, bytes: &[u8]);
    /// Copies a value of a length that the compiler knows into a buffer.
    ///
    /// # Safety
    /// As said at the trait.
    unsafe fn write_value<T: Pod>(region: &R, buffer: Self::Buffer, value: &T);
}

/// For a region that finds them anew for each use. A buffer is a position in the data region.
#[cfg(any(test, feature = "verify"))]
impl<R: super::Region> Pane<R> for Place {
    type Buffer = u64;

    fn buffer(&self, number: u64) -> u64 {
        self.buffers[number as usize % 2]
    }
    fn load64(&self, region: &R, field: usize, order: Ordering) -> u64 {
        region.load64(self.words + field, order)
    }
    fn store64(&self, region: &R, field: usize, word: u64, order: Ordering) {
        region.store64(self.words + field, word, order);
    }
    fn either_may_have(&self, _: &R, _: usize, _: usize, _: u32) -> bool {
        true
    }
    unsafe fn read(region: &R, buffer: u64, bytes: *mut u8, len: usize) {
        // SAFETY: valid for writes of so many bytes, as the caller says, and initialized before the slice is made.
        let bytes = unsafe {
            bytes.write_bytes(0, len);
            std::slice::from_raw_parts_mut(bytes, len)
        };
        region.read_racy(buffer, bytes);
    }
    unsafe fn read_value<T: Pod>(region: &R, buffer: u64) -> T {
        let mut value = T::zeroed();
        region.read_racy(buffer, bytemuck::bytes_of_mut(&mut value));
        value
    }
    unsafe fn write(region: &R, buffer: u64, at: usize, bytes: &[u8]) {
        region.write(buffer + at as u64, bytes);
    }
    unsafe fn write_value<T: Pod>(region: &R, buffer: u64, value: &T) {
        region.write(buffer, bytemuck::bytes_of(value));
    }
}
