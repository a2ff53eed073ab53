//! Any header of a ring with slabs, then a ring of that geometry, in which a peer writes words of slabs, tickets
//! and records between the operations of the others: refused or used, without a panic and without an
//! access outside of the slabs.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::{Header, PoolRing, PoolStep, PoolWrite};

#[derive(Arbitrary, Debug)]
struct Input {
    cells: bool,
    capacity_log2: u8,
    classes: Vec<(u8, u8)>,
    /// Changes of the header.
    edits: Vec<(u8, u8)>,
    acts: Vec<Act>,
    /// Whether each slab is a segment of its own.
    slab_segments: bool,
}

/// As short as can be.
#[derive(Arbitrary, Debug)]
enum Act {
    Flip(u8, u64),
    Free(u8, u8),
    Held(u8, u8, u8, u8),
    Ticket(u8, u8, u8, Option<u64>),
    FlipData(u16, u64),
    Kill(bool, u8),
    Send(bool, u16),
    Claim(bool, u16),
    Commit(bool, u16),
    Abort(bool),
    Receive(bool, u16),
    Drain(bool, u8),
    Detach(bool),
    Drop(bool),
    Next(bool, bool),
}

/// Larger rings are not made, in bytes.
const MOST: u64 = 1 << 20;

impl Act {
    fn write(&self) -> Option<PoolWrite> {
        Some(match *self {
            Self::Flip(slab, bits) => PoolWrite::Flip(slab.into(), bits),
            Self::Free(slab, generation) => PoolWrite::Free(slab.into(), generation.into()),
            Self::Held(slab, slot, epoch, generation) => {
                PoolWrite::Held(slab.into(), slot.into(), epoch, generation.into())
            }
            Self::Ticket(nth, slab, generation, len) => {
                PoolWrite::Ticket(nth, slab.into(), generation.into(), len.unwrap_or(100))
            }
            Self::FlipData(word, bits) => PoolWrite::FlipData(word.into(), bits),
            Self::Kill(true, nth) => PoolWrite::KillProducer(nth.into()),
            Self::Kill(false, nth) => PoolWrite::KillConsumer(nth.into()),
            _ => return None,
        })
    }

    fn step(&self) -> Option<PoolStep> {
        Some(match *self {
            Self::Send(who, len) => PoolStep::Send(who.into(), len.into()),
            Self::Claim(who, len) => PoolStep::Claim(who.into(), len.into()),
            Self::Commit(who, len) => PoolStep::Commit(who.into(), len.into()),
            Self::Abort(who) => PoolStep::Abort(who.into()),
            Self::Receive(who, len) => PoolStep::Receive(who.into(), len.into()),
            Self::Drain(who, most) => PoolStep::Drain(who.into(), most),
            Self::Detach(who) => PoolStep::Detach(who.into()),
            Self::Drop(who) => PoolStep::Drop(who.into()),
            Self::Next(true, who) => PoolStep::NextProducer(who.into()),
            Self::Next(false, who) => PoolStep::NextConsumer(who.into()),
            _ => return None,
        })
    }
}

fuzz_target!(|input: Input| {
    let capacity = 256 << (input.capacity_log2 % 8);
    let header = match input.cells {
        true => Header::with_cells(capacity),
        false => Header::new(capacity),
    };
    let classes: Vec<_> = input
        .classes
        .iter()
        .map(|&(bits, count)| (12 + bits % 30, count.into()))
        .collect();
    let Some(valid) = header.and_then(|header| header.with_slabs(&classes)) else {
        return;
    };
    let valid = match input.slab_segments {
        true => valid.with_slab_segments(),
        false => valid,
    };
    let mut bytes = valid.encode();
    for (at, byte) in input.edits {
        bytes[usize::from(at)] ^= byte;
    }
    let Ok(header) = Header::decode(&bytes, u64::MAX) else {
        return;
    };
    let (data, total) = header.extents();
    let (words, slabs) = header.slab_extents();
    if slabs.is_empty() {
        assert_eq!(data.end, total, "{header:?}");
    } else {
        assert!(
            data.end <= words.start && words.end <= slabs.start,
            "{header:?}"
        );
        assert_eq!(slabs.end, total, "{header:?}");
    }
    let Some(mut ring) = PoolRing::of(&header, MOST) else {
        return;
    };
    for act in &input.acts {
        if let Some(write) = act.write() {
            ring.write(&write);
        }
        if let Some(step) = act.step() {
            ring.act(&step);
        }
    }
});
