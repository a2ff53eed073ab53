//! What went through a stream ring.

use super::{MOST_LOOKS, ParticipantStat, Traffic, is_held, is_there};
use crate::memory::layout::control::{
    CONSUMER_CLOSED, HEAD, PRODUCER_CLOSED, RECEIVED, SENT, TAIL,
};
use crate::memory::layout::participant::Role;
use crate::rings::stream::walk::{self, Reach};
use crate::store::View;

pub(super) fn traffic(view: &View, slots: &[Option<ParticipantStat>]) -> Traffic {
    let load64 = |offset| view.load64(offset).unwrap_or(0);
    let load32 = |offset| view.load32(offset).unwrap_or(0);
    // Head before tail: the difference can then only be too large, and is cut.
    let head = load64(HEAD);
    let mut received = load64(RECEIVED);
    let (mut tail, mut sent) = (load64(TAIL), load64(SENT));
    // A side that died in an operation may have left its counters behind or ahead of the records, which
    // tell the truth once nobody changes them.
    if !is_there(slots, Role::Consumer) {
        received = walk::received(&view.region(), head, received).unwrap_or(received);
    }
    if !is_there(slots, Role::Producer)
        && let Some(reach) = reach(view, head).filter(|reach| reach.is_all)
    {
        (tail, sent) = (reach.tail, reach.sent(sent, received));
    }
    let closed = |role, mark| !is_held(slots, role) && load32(mark) != 0;
    Traffic {
        used_bytes: tail
            .saturating_sub(head)
            .min(view.header().geometry.capacity()),
        sent: sent.max(received),
        received,
        overwritten: 0,
        producer_closed: closed(Role::Producer, PRODUCER_CLOSED),
        consumer_closed: closed(Role::Consumer, CONSUMER_CLOSED),
    }
}

/// Messages from the head to the stop word; of more records than an observer counts, those that it came to. `None` if
/// it came to none, or to what contradicts itself.
pub(super) fn undelivered(view: &View) -> Option<u64> {
    let reach = reach(view, view.load64(HEAD)?)?;
    (reach.is_all || reach.messages > 0).then_some(reach.messages)
}

fn reach(view: &View, head: u64) -> Option<Reach> {
    let region = view.region();
    let reach = walk::reach(&region, head, MOST_LOOKS).ok()?;
    (!region.is_short()).then_some(reach)
}
