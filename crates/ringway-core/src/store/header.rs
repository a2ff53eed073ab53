//! The header in a segment, and what else its creator writes.

use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::namespace;
use super::request::Plan;
use crate::error::{Attempt, Error};
use crate::memory::layout::header::{
    self, CREATION_LOCK_OFFSET, FileId, HEADER_LEN, Header, MAGIC, MAGIC_OFFSET, SLABS,
};
use crate::memory::layout::{self, Shape, message_type};
use crate::memory::map::Map;
use crate::sys::{getrandom, now_ns};
use crate::waiting::sync;

/// The header of a new ring.
pub(super) fn new_header(
    attempt: Attempt<'_>,
    plan: &Plan,
    boot_id: [u8; 16],
) -> Result<Header, Error> {
    let nonce =
        getrandom::nonce().map_err(|errno| attempt.os("getrandom gives no randomness", errno))?;
    Ok(Header {
        kind: plan.kind,
        sync: plan.sync,
        overwrite: plan.overwrite,
        persistent: plan.persistent,
        policies: plan.policies,
        fence: plan.fence,
        nonce,
        created_ns: now_ns(),
        geometry: plan.geometry,
        boot_id,
        file: FileId::default(),
        companions: nonce,
        ipc_namespace: namespace::ipc(),
    })
}

/// Writes the cells, the type of the messages, and all of the header but the magic. The creation lock, which its holder may have
/// taken, and the words of others behind it are left alone. (The words of free slabs are zero, as new memory is.)
pub(super) fn write_header(map: &Map, header: &Header, plan: &Plan) -> Result<(), Errno> {
    let words: [u64; HEADER_LEN / 8] = bytemuck::must_cast(header.encode());
    let fields = (MAGIC_OFFSET + 8..CREATION_LOCK_OFFSET).chain(SLABS.start..HEADER_LEN);
    for at in fields.step_by(8) {
        map.word64(at)
            .ok_or(Errno::EFAULT)?
            .store(words[at / 8], Ordering::Relaxed);
    }
    // Also if there is none: a creator that died may have written another one.
    for (at, word) in message_type::offsets().zip(plan.message_type) {
        map.word64(at)
            .ok_or(Errno::EFAULT)?
            .store(word, Ordering::Relaxed);
    }
    write_cells(map, header)
}

/// Makes all cells of a cell ring free.
fn write_cells(map: &Map, header: &Header) -> Result<(), Errno> {
    let Shape::Cells(cell_len) = header.geometry.shape() else {
        return Ok(());
    };
    let word = layout::cell::new_word(layout::cell::key(header.nonce));
    let (start, end) = (header.geometry.data_offset(), header.geometry.data_end());
    for at in (start..end).step_by(cell_len as usize) {
        let at = usize::try_from(at).map_err(|_| Errno::EFAULT)?;
        map.word64(at)
            .ok_or(Errno::EFAULT)?
            .store(word, Ordering::Relaxed);
    }
    Ok(())
}

/// Removes what lies beside the ring in `map`, whose magic may be missing.
pub(super) fn discard(map: &Map) {
    if let Some(bytes) = header_bytes(map) {
        remove_beside(&header::finished(bytes), map.len() as u64);
    }
}

/// Removes what lies beside the ring whose header is `bytes`, in a segment of `len` bytes.
pub(super) fn remove_beside(bytes: &[u8; HEADER_LEN], len: u64) {
    // What this version cannot read has nothing that it could find.
    if let Ok(header) = Header::decode(bytes, len) {
        sync::remove(&header, header::Raw::of(bytes).semaphores);
    }
}

/// Declares the segment finished.
pub(super) fn publish_magic(map: &Map) -> Result<(), Errno> {
    // Release pairs with the Acquire in `magic`: who sees the magic sees the header.
    map.word64(MAGIC_OFFSET)
        .ok_or(Errno::EFAULT)?
        .store(MAGIC, Ordering::Release);
    Ok(())
}

/// The magic, or what is there instead.
pub(super) fn magic(map: &Map) -> u64 {
    map.word64(MAGIC_OFFSET)
        .map_or(0, |word| word.load(Ordering::Acquire))
}

/// A private copy of the header's bytes.
pub(super) fn header_bytes(map: &Map) -> Option<[u8; HEADER_LEN]> {
    let mut words = [0; HEADER_LEN / 8];
    for (index, word) in words.iter_mut().enumerate() {
        // Acquire matters for the magic, which is read first.
        *word = map.word64(index * 8)?.load(Ordering::Acquire);
    }
    Some(bytemuck::must_cast(words))
}
