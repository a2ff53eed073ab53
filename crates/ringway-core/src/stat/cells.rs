//! What went through a cell ring.

use super::{ParticipantStat, Traffic, is_there};
use crate::layout::cell::{State, Word, key};
use crate::layout::control::HEAD;
use crate::layout::participant::{CLOSED, MESSAGES, OVERWRITTEN, Role, slot_offset};
use crate::segment::View;

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
