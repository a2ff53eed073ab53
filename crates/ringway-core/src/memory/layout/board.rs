//! The entries of a board: two lines for each, one that its writer alone writes, and one for who it is, who writes it
//! and who waits for it. `LAYOUT.md` ("Entries of a board") has the table.
//!
//! The values lie in the data region: two buffers of equal length for each entry, of which the lowest bit of the
//! value's number says which one it is in.

use super::LINE;
use super::participant::table_end;

/// The most entries of a board.
pub(crate) const MAX_ENTRIES: u32 = 4096;
/// Bytes of an entry's lines.
pub(crate) const ENTRY_LEN: usize = 2 * LINE;
/// Bytes of the longest key.
pub(crate) const MAX_KEY: usize = 104;

/// The writer's line. The number of the value that is published; 0 before the first.
pub(crate) const NUMBER: usize = 0;
/// The number of the last value that the writer began to write.
pub(crate) const BEGUN: usize = 8;
/// Bytes of the value in each of the two buffers.
pub(crate) const LENGTHS: usize = 16;
/// The first words of a short value, which lies here and not in a buffer; the others are at [`SHORT_REST`].
pub(crate) const SHORT: usize = 32;
/// The number of the last short value that the writer began to write: the first word of the line of 64 bytes behind the one that readers poll.
pub(crate) const SHORT_BEGUN: usize = 64;
/// What the writer has noted for who comes after it.
pub(crate) const MARK: usize = 72;
/// The rest of a short value.
pub(crate) const SHORT_REST: usize = 80;
/// Bytes of the longest short value.
pub const MAX_SHORT: usize = SHORT_BEGUN - SHORT + LINE - SHORT_REST;

/// The other line. The event that readers of this entry sleep on.
pub(crate) const CHANGED: usize = LINE;
/// Bytes of the key; 0 until it is written.
pub(crate) const KEY_LEN: usize = LINE + 4;
/// Who writes the entry: the id of an attachment, or 0.
pub(crate) const OWNER: usize = LINE + 8;
/// The fingerprint of the key; 0 of an entry that is free.
pub(crate) const FINGERPRINT: usize = LINE + 16;
/// The key.
pub(crate) const KEY: usize = LINE + 24;

const _: () = assert!(KEY + MAX_KEY == ENTRY_LEN);

/// Where the entries begin in a board with so many slots.
pub(crate) const fn entries_offset(participants: u32) -> usize {
    table_end(participants).next_multiple_of(LINE)
}

/// Where entry `index` begins.
pub(crate) const fn entry_offset(participants: u32, index: u32) -> usize {
    entries_offset(participants) + index as usize * ENTRY_LEN
}

/// The end of the entries.
pub(crate) const fn entries_end(participants: u32, entries: u32) -> usize {
    entry_offset(participants, entries)
}

/// Bytes of each buffer of a board with so many entries and so much data.
pub(crate) const fn buffer_len(capacity: u64, entries: u32) -> u64 {
    capacity / 2 / entries.next_power_of_two() as u64
}

/// The shortest buffer.
pub(crate) const MIN_BUFFER_LEN: u64 = 64;

/// A number for a key: FNV-1a of its bytes, stirred; never 0. Two keys that have the same are told apart by their
/// bytes, once these are written.
pub(crate) fn fingerprint(key: &[u8]) -> u64 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let stirred = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (stirred ^ stirred >> 32).max(1)
}
