//! What went through a cell ring.

use super::{MOST_LOOKS, ParticipantStat, Traffic, is_held};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::key;
use crate::memory::layout::participant::{CLOSED, MESSAGES, OVERWRITTEN, Role, slot_offset};
use crate::rings::cell::walk::{Tally, tally};
use crate::store::View;

pub(super) fn traffic(view: &View, cell_len: u32, slots: &[Option<ParticipantStat>]) -> Traffic {
    let geometry = view.header().geometry;
    let sum = |role, counter| {
        geometry.slots(role).fold(0u64, |sum, slot| {
            sum.saturating_add(view.load64(slot_offset(slot) + counter).unwrap_or(0))
        })
    };
    let closed = |role| {
        let marked = |slot| view.load32(slot_offset(slot) + CLOSED).unwrap_or(0) != 0;
        !is_held(slots, role) && geometry.slots(role).any(marked)
    };
    // Received before sent: what is received was sent before.
    let received = sum(Role::Consumer, MESSAGES);
    // Consumers count what they held too long.
    let roles = [Role::Producer, Role::Consumer];
    let overwritten = roles.map(|role| sum(role, OVERWRITTEN));
    let overwritten = overwritten.into_iter().fold(0, u64::saturating_add);
    let sent = sum(Role::Producer, MESSAGES).max(received.saturating_add(overwritten));
    Traffic {
        used_bytes: count(view, cell_len).0.cells * u64::from(cell_len),
        sent,
        received,
        overwritten,
        producer_closed: closed(Role::Producer),
        consumer_closed: closed(Role::Consumer),
    }
}

/// Messages from the head to the first free cell, those that the dead had taken included; of more records than an
/// observer counts, those that it came to. `None` if it came to none, or to what contradicts itself.
pub(super) fn undelivered(view: &View, cell_len: u32) -> Option<u64> {
    match count(view, cell_len) {
        (Tally { messages, .. }, Ok(is_all)) if is_all || messages > 0 => Some(messages),
        _ => None,
    }
}

fn count(view: &View, cell_len: u32) -> (Tally, Result<bool, Corrupt>) {
    let key = key(view.header().nonce);
    tally(view.region(), cell_len, key, MOST_LOOKS)
}
