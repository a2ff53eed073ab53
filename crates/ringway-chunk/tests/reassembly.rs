//! Whatever order the frames of several senders come in, and whatever is dropped, damaged or comes again:
//! the reassembler tells what the model tells.

mod model;

use proptest::prelude::*;

use model::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reassembler_does_what_the_model_does(
        max_message in 50..=255_u8,
        max_messages: u8,
        steps in prop::collection::vec(any::<[u8; 4]>(), 0..200),
    ) {
        let mut world = World::new(max_message, max_messages);
        for step in steps {
            world.step(step);
        }
    }
}
