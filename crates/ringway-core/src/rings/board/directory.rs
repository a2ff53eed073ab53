//! Entries by their keys.

use std::sync::atomic::Ordering;

use super::{Entry, Slate};
use crate::memory::layout::board::{MAX_KEY, fingerprint};
use crate::memory::region::{Load, Region};

/// The entry with that key, if there is one.
pub(crate) fn find(region: &impl Load, slate: &Slate, key: &[u8]) -> Option<Entry> {
    let wanted = fingerprint(key);
    for (_, entry) in slate.all() {
        // Acquire: who finds an entry finds those before it.
        match region.load64(entry.fingerprint(), Ordering::Acquire) {
            0 => return None,
            found if found == wanted && is_key(region, entry, key) => return Some(entry),
            _ => {}
        }
    }
    None
}

/// The same, which is added if there is none; `None` if all entries are taken by others.
pub(crate) fn find_or_add(region: &impl Region, slate: &Slate, key: &[u8]) -> Option<Entry> {
    let wanted = fingerprint(key);
    for (_, entry) in slate.all() {
        let mut found = region.load64(entry.fingerprint(), Ordering::Acquire);
        if found == 0 {
            found = match region.replace64(entry.fingerprint(), 0, wanted) {
                Ok(()) => wanted,
                Err(other) => other,
            };
        }
        if found == wanted && is_key(region, entry, key) {
            write_key(region, entry, key);
            return Some(entry);
        }
    }
    None
}

/// Whether an entry with the fingerprint of `key` has that key. One whose key is not written yet has.
fn is_key(region: &impl Load, entry: Entry, key: &[u8]) -> bool {
    // Acquire pairs with the release in `write_key` (E4).
    match region.load32(entry.key_len(), Ordering::Acquire) as usize {
        0 => true,
        len => len == key.len() && load_key(region, entry, len) == key,
    }
}

/// Writes the key, if that was not done: the same words as whoever else does it.
fn write_key(region: &impl Region, entry: Entry, key: &[u8]) {
    if region.load32(entry.key_len(), Ordering::Acquire) != 0 {
        return;
    }
    for (nth, bytes) in key.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        region.store64(entry.key() + 8 * nth, word, Ordering::Relaxed);
    }
    // Release pairs with the acquire in `is_key` and `key` (E4).
    region.store32(entry.key_len(), key.len() as u32, Ordering::Release);
}

/// The key of an entry; `None` of one that has none yet.
pub(crate) fn key(region: &impl Load, entry: Entry) -> Option<Vec<u8>> {
    match region.load32(entry.key_len(), Ordering::Acquire) as usize {
        0 => None,
        len => Some(load_key(region, entry, len)),
    }
}

fn load_key(region: &impl Load, entry: Entry, len: usize) -> Vec<u8> {
    // Whatever a peer says.
    let len = len.min(MAX_KEY);
    let words = (0..len.div_ceil(8)).map(|nth| entry.key() + 8 * nth);
    let mut key: Vec<u8> = words
        .flat_map(|at| region.load64(at, Ordering::Relaxed).to_le_bytes())
        .collect();
    key.truncate(len);
    key
}

/// A key as a text; what a peer wrote there may be none.
pub(crate) fn text(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
}
