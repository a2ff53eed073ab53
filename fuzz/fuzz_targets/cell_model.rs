//! Any sequence of operations by several participants, who come, go and die: the ring is a queue that they
//! share.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::Queue;
use ringway_fuzz::{Act, Ring};

#[derive(Arbitrary, Debug)]
struct Input {
    ring: Ring,
    /// Whether the laps that words tell begin anew soon.
    late: bool,
    acts: Vec<(u8, Act)>,
}

fuzz_target!(|input: Input| {
    let first = input.ring.setup(0);
    let setup = match input.late {
        true => input.ring.setup((1 << 44) / first.cells - 2),
        false => first,
    };
    let mut queue = Queue::new(setup).expect("memory");
    for (who, act) in &input.acts {
        queue.act((*who).into(), &act.step(&setup));
    }
    queue.finish();
});
