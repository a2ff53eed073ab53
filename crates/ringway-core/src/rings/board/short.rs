//! Short values, which lie beside their numbers.

use std::sync::atomic::Ordering;

use super::Entry;
use super::reader::Room;
use crate::error::{GetError, SetError};
use crate::memory::layout::board::MAX_SHORT;
use crate::memory::region::Region;

/// The bit of a length that says that the value is short. The lowest half has the bytes, and the 16 bits above the tag.
const IS_SHORT: u64 = 1 << 63;
const TAG_SHIFT: u32 = 32;

/// Bytes of the two words that each begins with.
const HEADER: usize = 16;

/// Words of the longest one.
const WORDS: usize = MAX_SHORT / 8;

/// A short value as words, the last one filled up with zeros.
pub(crate) type Words = [[u8; 8]; WORDS];

/// What a length says of a short value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    /// Whatever the segment says.
    pub(crate) len: u32,
    tag: u16,
}

impl Short {
    /// `None` if it is none.
    #[inline]
    pub(crate) fn of(length: u64) -> Option<Self> {
        (length & IS_SHORT != 0).then_some(Self {
            len: length as u32,
            tag: (length >> TAG_SHIFT) as u16,
        })
    }

    /// Copies it, of the entry's value `number`. `None`: another one was being written meanwhile.
    #[inline]
    pub(super) fn copy<T: Room>(
        self,
        region: &impl Region,
        entry: Entry,
        number: u64,
        room: &mut T,
    ) -> Option<Result<T::Copy, GetError>> {
        let len = (self.len as usize).min(MAX_SHORT);
        let words: Words = std::array::from_fn(|index| {
            let word = match 8 * index < len {
                true => region.load64(entry.short(index), Ordering::Relaxed),
                false => 0,
            };
            word.to_le_bytes()
        });
        // (E5) Pairs with the release fence in `write`: if a word is another value's, this load sees that it was begun.
        region.copied_fence();
        if region.load64(entry.short_begun(), Ordering::Relaxed) != number {
            return None;
        }
        if self.len as usize > MAX_SHORT {
            return Some(Err(GetError::Corrupt));
        }
        let put = room.put(&words, len, self.tag);
        Some(put.ok_or(GetError::WrongLength { len }))
    }
}

/// Writes the entry's value `number`, to be published: two words, and bytes behind them.
#[inline]
pub(super) fn write(
    region: &impl Region,
    entry: Entry,
    number: u64,
    tag: u16,
    header: [u64; 2],
    bytes: &[u8],
) -> Result<(), SetError> {
    let len = HEADER + bytes.len();
    let mut rest = [[0; 8]; WORDS - HEADER / 8];
    let Some(room) = rest.as_flattened_mut().get_mut(..bytes.len()) else {
        let max = MAX_SHORT;
        return Err(SetError::TooLarge { len, max });
    };
    room.copy_from_slice(bytes);
    region.store64(entry.short_begun(), number, Ordering::Relaxed);
    // (E5) Pairs with the acquire fence of readers: who has copied a word of this value sees that it was begun.
    region.claim_fence();
    // From the back to the front: the line that readers poll changes hands once.
    for index in (0..rest.len()).rev() {
        if 8 * index < bytes.len() {
            let (at, word) = (entry.short(HEADER / 8 + index), rest[index]);
            region.store64(at, u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }
    region.store64(entry.short(1), header[1], Ordering::Relaxed);
    region.store64(entry.short(0), header[0], Ordering::Relaxed);
    let length = IS_SHORT | u64::from(tag) << TAG_SHIFT | len as u64;
    region.store64(entry.length(number), length, Ordering::Relaxed);
    Ok(())
}
