//! Frames of several senders in any order, some of them dropped, damaged or repeated: the reassembler tells
//! what the model tells, which the property tests of `ringway-chunk` use too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::World;

#[path = "../../crates/ringway-chunk/tests/model/mod.rs"]
mod model;

fuzz_target!(|input: &[u8]| {
    let [max_message, max_messages, steps @ ..] = input else {
        return;
    };
    let mut world = World::new(*max_message, *max_messages);
    for step in steps.chunks_exact(4) {
        if let Ok(step) = step.try_into() {
            world.step(step);
        }
    }
});
