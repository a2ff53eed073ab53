//! A peer that writes anything anywhere, before the operations of several participants and in their midst:
//! typed errors, no panic, no access outside of the ring, and an end.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::{HostileRing, Write};
use ringway_fuzz::{Act, Ring};

#[derive(Arbitrary, Debug)]
struct Input {
    ring: Ring,
    lap: Lap,
    turns: Vec<Turn>,
}

#[derive(Arbitrary, Debug)]
struct Turn {
    who: u8,
    act: Act,
    /// Each together with how many accesses come before it.
    forgeries: Vec<(u8, Forgery)>,
}

/// How often the ring has been used up.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Lap {
    First,
    /// The laps that words tell begin anew soon.
    Late,
    /// Positions come to an end soon.
    Last,
}

/// A write, as short as can be.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Forgery {
    Flip(u8, u64),
    Add(u8, i8),
    FlipData(u16, u64),
    Word(u8, u8, u8, i8, u8, i8),
    LongWord(u8, u8, u8, u32),
    Describe(u8, u16, u8),
    LongDescribe(u8, u32, u32),
    Slot(u8, u8, i8),
    Lock(u8),
}

impl Forgery {
    fn write(self) -> Write {
        let word = |cell: u8, state: u8, slot: u8, epochs: i8, extent, laps: i8| Write::Word {
            cell: cell.into(),
            state: state.into(),
            slot: slot.into(),
            epochs: i64::from(epochs) as u64,
            extent,
            laps: i64::from(laps) as u64,
        };
        match self {
            Self::Flip(at, bits) => Write::Flip(at.into(), bits),
            Self::Add(at, more) => Write::Add(at.into(), i64::from(more) as u64),
            Self::FlipData(at, bits) => Write::FlipData(at.into(), bits),
            Self::Word(cell, state, slot, epochs, extent, laps) => {
                word(cell, state, slot, epochs, extent.into(), laps)
            }
            Self::LongWord(cell, state, slot, extent) => {
                word(cell, state, slot, 0, extent.into(), 0)
            }
            Self::Describe(cell, len, extent) => {
                Write::Describe(cell.into(), len.into(), extent.into())
            }
            Self::LongDescribe(cell, len, extent) => Write::Describe(cell.into(), len, extent),
            Self::Slot(slot, liveness, epochs) => {
                Write::Slot(slot.into(), liveness, i64::from(epochs) as u64)
            }
            Self::Lock(what) => Write::Lock(what),
        }
    }
}

fuzz_target!(|input: Input| {
    let first = input.ring.setup(0);
    let setup = input.ring.setup(match input.lap {
        Lap::First => 0,
        // Where the laps of words that have an owner begin anew.
        Lap::Late => (1 << 44) / first.cells - 2,
        Lap::Last => (u64::MAX >> 8) / first.cells - 1,
    });
    let mut ring = HostileRing::new(setup).expect("memory");
    for turn in &input.turns {
        let forgeries = turn.forgeries.iter();
        let writes: Vec<_> = forgeries
            .map(|(after, forgery)| (u64::from(*after), forgery.write()))
            .collect();
        ring.act(turn.who.into(), &turn.act.step(&setup), &writes);
    }
});
