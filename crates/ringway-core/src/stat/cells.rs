//! What went through a cell ring.

use super::{ParticipantStat, Traffic, is_there};
use crate::layout::cell::{LEN_AT, State, Word, key};
use crate::layout::control::HEAD;
use crate::layout::participant::{CLOSED, MESSAGES, OVERWRITTEN, Role, slot_offset};
use crate::segment::View;

/// Where the first cell of a record says how many it has.
const EXTENT_AT: usize = LEN_AT as usize + 4;

pub(super) fn traffic(view: &View, cell_len: u32, slots: &[Option<ParticipantStat>]) -> Traffic {
    let geometry = view.header().geometry;
    let sum = |role, counter| {
        geometry.slots(role).fold(0u64, |sum, slot| {
            sum.saturating_add(view.load64(slot_offset(slot) + counter).unwrap_or(0))
        })
    };
    let closed = |role| {
        let marked = |slot| view.load32(slot_offset(slot) + CLOSED).unwrap_or(0) != 0;
        !is_there(slots, role) && geometry.slots(role).any(marked)
    };
    // Received before sent: what is received was sent before.
    let received = sum(Role::Consumer, MESSAGES);
    let overwritten = sum(Role::Producer, OVERWRITTEN);
    let sent = sum(Role::Producer, MESSAGES).max(received.saturating_add(overwritten));
    Traffic {
        used_bytes: used_cells(view, cell_len) * u64::from(cell_len),
        sent,
        received,
        overwritten,
        producer_closed: closed(Role::Producer),
        consumer_closed: closed(Role::Consumer),
    }
}

/// Messages from the head to the first free cell, those that the dead had taken included.
pub(super) fn undelivered(view: &View, cell_len: u32) -> Option<u64> {
    let geometry = view.header().geometry;
    let cells = geometry.capacity() / u64::from(cell_len);
    let key = key(view.header().nonce);
    let offset = |cell: u64| {
        let at = geometry.data_offset() + (cell & (cells - 1)) * u64::from(cell_len);
        at as usize
    };
    let word = |cell: u64| Word::decode(view.load64(offset(cell))?, key);
    let mut head = view.load64(HEAD).filter(|&head| head <= u64::MAX / 2)?;
    // `HEAD` lags, and what is done with may be in use in the next lap.
    for _ in 0..cells {
        if word(head)?.is_of_lap(head / cells) {
            break;
        }
        head += 1;
    }
    let (mut at, mut messages) = (head, 0);
    while at < head + cells {
        let found = word(at)?;
        // Done with before its predecessors.
        if !found.is_of_lap(at / cells) {
            at += 1;
            continue;
        }
        messages += match found.state {
            State::Free => break,
            State::Full | State::Returned => 1,
            State::Taken => {
                // The highest bit says where the payload is.
                let first = view.load32(offset(at) + EXTENT_AT)? & u32::MAX >> 1;
                let rest = run(&word, at + u64::from(first), at + found.extent);
                1 + rest?
            }
            // Never committed, or acknowledged.
            State::Claimed | State::Aborted | State::Freeing => 0,
        };
        at = at.checked_add(found.extent).filter(|&next| next > at)?;
    }
    Some(messages)
}

/// How many records there are from cell `at` to `end`, inside of what was taken together.
fn run(word: &impl Fn(u64) -> Option<Word>, mut at: u64, end: u64) -> Option<u64> {
    let mut records = 0;
    while at < end {
        let found = word(at).filter(|found| found.extent > 0)?;
        records += 1;
        at += found.extent;
    }
    (at == end).then_some(records)
}

/// Cells of the records that are not done with.
fn used_cells(view: &View, cell_len: u32) -> u64 {
    let geometry = view.header().geometry;
    let cells = geometry.capacity() / u64::from(cell_len);
    let key = key(view.header().nonce);
    let head = view.load64(HEAD).unwrap_or(0);
    let (mut at, mut used) = (0, 0);
    while at < cells {
        let index = head.wrapping_add(at) & (cells - 1);
        let offset = geometry.data_offset() + index * u64::from(cell_len);
        let stored = view.load64(offset as usize).unwrap_or(0);
        match Word::decode(stored, key) {
            // Done with.
            Some(word) if !word.is_of_lap(head.wrapping_add(at) / cells) => at += 1,
            // Not claimed yet.
            Some(word) if word.state == State::Free => break,
            Some(word) => {
                used += word.extent;
                at += word.extent;
            }
            // Whoever uses the ring now was faster than we.
            None => break,
        }
    }
    used.min(cells)
}
