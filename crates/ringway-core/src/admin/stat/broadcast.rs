//! What went through a broadcast ring.

use super::{MOST_LOOKS, ParticipantStat, SubscriptionStat, Traffic, is_held, is_there};
use crate::memory::layout::broadcast::{
    CURSOR, Holds, NAME_KEY, NAME_NUMBER, NAMES, NUMBER, Phase, STATE, State, name_offset,
};
use crate::memory::layout::control::{PRODUCER_CLOSED, SENT, TAIL};
use crate::memory::layout::participant::{EPOCH, Role, slot_offset};
use crate::rings::broadcast::records::{self, Place};
use crate::store::View;

pub(super) fn traffic(view: &View, slots: &mut [Option<ParticipantStat>]) -> Traffic {
    let tail = tail(view, !is_there(slots, Role::Producer));
    let geometry = view.header().geometry;
    // How far the slowest is that lives and is waited for; or, if there is none, how far any has ever been.
    let (mut behind, mut slowest, mut farthest) = (0, None::<u64>, 0);
    for slot in geometry.slots(Role::Consumer) {
        let at = slot_offset(slot);
        let load = |field| view.load64(at + field).unwrap_or(0);
        let (cursor, number) = (load(CURSOR), load(NUMBER).min(tail.number));
        farthest = farthest.max(number);
        let state = State::decode(load(STATE)).filter(|state| state.is_of(load(EPOCH)));
        let Some(participant) = slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            continue;
        };
        let Some(state) = state.filter(|state| state.phase != Phase::Joining) else {
            continue;
        };
        participant.subscription = Some(SubscriptionStat {
            policy: match state.holds {
                Holds::Always => "block",
                Holds::Never => "lossy",
                Holds::Bounded => "evict",
            },
            evicted: state.phase == Phase::Evicted,
            next_number: number,
            behind: tail.number - number,
        });
        if participant.alive && state.phase == Phase::Active && state.holds != Holds::Never {
            behind = behind.max(tail.position.saturating_sub(cursor));
            slowest = Some(slowest.map_or(number, |slowest| slowest.min(number)));
        }
    }
    if let Some(producer) = slots.first_mut().and_then(Option::as_mut) {
        producer.messages = tail.number;
    }
    Traffic {
        used_bytes: behind.min(geometry.capacity()),
        sent: tail.number,
        received: slowest.unwrap_or(farthest),
        overwritten: 0,
        producer_closed: !is_held(slots, Role::Producer)
            && view.load32(PRODUCER_CLOSED).unwrap_or(0) != 0,
        consumer_closed: false,
    }
}

/// Messages that nobody has received, or that somebody who has a name has not. `None` if the ring contradicts itself.
pub(super) fn undelivered(view: &View) -> Option<u64> {
    let tail = walk(view)?;
    let geometry = view.header().geometry;
    let load = |offset| view.load64(offset).unwrap_or(0);
    let consumers = geometry.slots(Role::Consumer);
    let farthest = consumers.map(|slot| load(slot_offset(slot) + NUMBER)).max();
    let names = (0..NAMES).map(|index| name_offset(geometry.participants(), index));
    let named = names
        .filter(|at| load(at + NAME_KEY) != 0)
        .filter_map(|at| load(at + NAME_NUMBER).checked_sub(1))
        .min();
    let received = farthest.unwrap_or(0).min(named.unwrap_or(u64::MAX));
    Some(tail.number.saturating_sub(received))
}

/// Where the next message will be. If the producer is gone, its words may be behind.
fn tail(view: &View, is_gone: bool) -> Place {
    let load64 = |offset| view.load64(offset).unwrap_or(0);
    let told = Place {
        position: load64(TAIL),
        number: load64(SENT),
    };
    match is_gone {
        true => walk(view).unwrap_or(told),
        false => told,
    }
}

fn walk(view: &View) -> Option<Place> {
    let region = view.region();
    let begin = records::tail(&region)?;
    let tail = begin.walk(&region, begin.number.saturating_add(MOST_LOOKS));
    tail.ok().filter(|_| !region.is_short())
}
