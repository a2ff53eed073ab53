//! A peer that writes to the words of a broadcast ring before any access of its producer and consumers: where they stand, how
//! far the producer may go, waypoints, names, states, records. Typed errors, no panic, no access outside of the ring, and an end.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::{BroadcastRing, BroadcastWrite, ForgedPhase};
use ringway_fuzz::broadcast::Wish;

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    turns: Vec<Turn>,
}

#[derive(Arbitrary, Debug)]
struct Turn {
    act: Act,
    /// Each together with how many accesses come before it.
    forgeries: Vec<(u8, Forgery)>,
}

#[derive(Arbitrary, Debug)]
enum Act {
    Send(u8),
    SendSoon(u8),
    Claim(u8, Option<u8>),
    Batch(Vec<u8>, bool),
    Drained,
    EndProducer(bool, bool),
    Join(u8, Wish),
    Leave(u8, bool),
    Receive(u8),
    ReceiveSoon(u8),
    Look(u8, u8, u8),
}

/// A write, as short as can be.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Forgery {
    Small(u16, u8),
    Huge(u16, u8),
    Any(u16, u64),
    Add(u16, i8),
    Cursor(u8, u16),
    Data(u16, u64),
    Record(u16, u16, i8),
    LongRecord(u16, u32),
    State(u8, u8, i8),
    Life(u8, u8),
}

impl Forgery {
    fn write(self) -> BroadcastWrite {
        match self {
            Self::Small(at, word) => BroadcastWrite::Set(at.into(), word.into()),
            Self::Huge(at, less) => BroadcastWrite::Set(at.into(), u64::MAX - u64::from(less)),
            Self::Any(at, word) => BroadcastWrite::Set(at.into(), word),
            Self::Add(at, more) => BroadcastWrite::Add(at.into(), i64::from(more) as u64),
            Self::Cursor(slot, more) => BroadcastWrite::Cursor(slot.into(), more.into()),
            Self::Data(at, word) => BroadcastWrite::SetData(at.into(), word),
            Self::Record(at, len, numbers) => {
                BroadcastWrite::Record(at.into(), len.into(), i64::from(numbers) as u64)
            }
            Self::LongRecord(at, len) => BroadcastWrite::Record(at.into(), len, 0),
            Self::State(slot, phase, epochs) => {
                let phases = [
                    ForgedPhase::Joining,
                    ForgedPhase::Active,
                    ForgedPhase::Bounded,
                    ForgedPhase::Evicted,
                ];
                let phase = phases[usize::from(phase) % phases.len()];
                BroadcastWrite::State(slot.into(), phase, i64::from(epochs) as u64)
            }
            Self::Life(slot, life) => BroadcastWrite::Life(slot.into(), life),
        }
    }
}

fuzz_target!(|input: Input| {
    let Some(mut ring) = BroadcastRing::new(64 << (input.capacity_log2 % 6)) else {
        return;
    };
    let bytes = |len: u8| vec![0xa5; usize::from(len)];
    for turn in &input.turns {
        let forgeries = turn.forgeries.iter();
        let writes: Vec<_> = forgeries
            .map(|(after, forgery)| (u64::from(*after), forgery.write()))
            .collect();
        let max = ring.max_len();
        let fits = |message: Vec<u8>| assert!(message.len() <= max);
        match &turn.act {
            Act::Send(len) => drop(ring.send(&bytes(*len), &writes)),
            Act::SendSoon(len) => drop(ring.send_soon(&bytes(*len), &writes)),
            Act::Claim(len, commits) => {
                let _ = ring.claim(&bytes(*len), commits.map(usize::from), &writes);
            }
            Act::Batch(lens, commits) => {
                let messages: Vec<_> = lens.iter().map(|len| bytes(*len)).collect();
                ring.batch(&messages, *commits, &writes);
            }
            Act::Drained => {
                let _ = ring.is_drained(&writes);
            }
            Act::EndProducer(closes, dies) => ring.end_producer(*closes, *dies, &writes),
            Act::Join(who, wish) => {
                let _ = ring.join((*who).into(), &wish.subscription(), &writes);
            }
            Act::Leave(who, dies) => {
                let _ = ring.leave((*who).into(), *dies, &writes);
            }
            Act::Receive(who) => drop(ring.receive((*who).into(), &writes).map(fits)),
            Act::ReceiveSoon(who) => drop(ring.receive_soon((*who).into(), &writes).map(fits)),
            Act::Look(who, most, releases) => {
                let most = usize::from(*most) % 9;
                drop(ring.look((*who).into(), most, (*releases).into(), &writes));
            }
        }
    }
});
