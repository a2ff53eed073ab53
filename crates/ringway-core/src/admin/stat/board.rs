//! The entries of a board.

use std::sync::atomic::Ordering;

use super::{ParticipantStat, Traffic};
use crate::memory::region::Load;
use crate::presence::participant::{epoch_of, slot_of};
use crate::rings::board::short::Short;
use crate::rings::board::{Slate, directory};
use crate::store::View;

/// An entry of a [`Board`](crate::Board).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryStat {
    /// Its key. What is no text in it is shown as the replacement character.
    pub key: String,
    /// How many values it has had; 0 if it has none yet.
    pub number: u64,
    /// Bytes of its value.
    pub len: u64,
    /// The process id of its writer, as that one's own pid namespace counts it; `None` if nobody has written it, or
    /// the last one left.
    pub writer: Option<u32>,
    /// Whether the writer lives.
    pub writer_alive: bool,
}

/// All entries whose keys can be read.
pub(super) fn look(view: &View, slots: &[Option<ParticipantStat>]) -> Vec<EntryStat> {
    let Some(slate) = Slate::of(&view.header().geometry) else {
        return Vec::new();
    };
    let region = view.region();
    let load64 = |offset| region.load64(offset, Ordering::Acquire);
    let entries = slate
        .all()
        .take_while(|(_, entry)| load64(entry.fingerprint()) != 0);
    let stats = entries.filter_map(|(_, entry)| {
        let key = directory::text(directory::key(&region, entry)?);
        let (owner, number) = (load64(entry.owner()), load64(entry.number()));
        let len = match number {
            0 => 0,
            number => {
                let length = load64(entry.length(number));
                let short = Short::of(length).map(|short| short.len.into());
                short.unwrap_or(length).min(slate.max_len())
            }
        };
        // Who is not in its slot any more has died: one that leaves gives the role up first.
        let holder = slots.get(slot_of(owner) as usize).and_then(Option::as_ref);
        let holder = holder.filter(|holder| holder.epoch == epoch_of(owner));
        Some(EntryStat {
            key,
            number,
            len,
            writer: (owner != 0).then(|| holder.map_or(0, |holder| holder.pid)),
            writer_alive: holder.is_some_and(|holder| holder.alive),
        })
    });
    stats.collect()
}

pub(super) fn traffic(entries: &[EntryStat]) -> Traffic {
    let sum = |of: fn(&EntryStat) -> u64| entries.iter().map(of).fold(0, u64::saturating_add);
    Traffic {
        used_bytes: sum(|entry| entry.len),
        sent: sum(|entry| entry.number),
        received: 0,
        overwritten: 0,
        producer_closed: false,
        consumer_closed: false,
    }
}

/// How many entries have a value.
pub(super) fn values(view: &View) -> u64 {
    let with_value = |entry: &EntryStat| entry.number > 0;
    let entries = look(view, &[]);
    entries.iter().filter(|entry| with_value(entry)).count() as u64
}
