//! Any bytes as a message of a queue: foreign, or decoded to something that encodes to the same bytes again.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_mq::frame::{HEADER_LEN, Header, Kind, PLACES, SenderNumber};

/// A frame that differs from a valid one, so that most inputs get past the first comparison.
#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    sender: u64,
    edits: Vec<(u8, u8)>,
    payload: Vec<u8>,
    /// Taken instead of a valid frame.
    raw: Option<Vec<u8>>,
}

fuzz_target!(|input: Input| {
    let valid = Header {
        kind: [Kind::Data, Kind::Closed, Kind::Left][usize::from(input.kind % 3)],
        sender: SenderNumber::of(input.sender % (1 << 61))
            .unwrap_or(SenderNumber::new(0, Duration::ZERO)),
    };
    let mut frame = input
        .raw
        .unwrap_or_else(|| [&valid.encode()[..], &input.payload].concat());
    for (at, byte) in input.edits {
        if let Some(edited) = frame.get_mut(usize::from(at)) {
            *edited ^= byte;
        }
    }
    let Ok((header, payload)) = Header::decode(&frame) else {
        return;
    };
    assert!(header.sender.place() < PLACES, "{header:?}");
    assert!((1..1 << 61).contains(&header.sender.get()), "{header:?}");
    assert!(
        header.kind == Kind::Data || payload.is_empty(),
        "{header:?}"
    );
    let again = [&header.encode()[..], payload].concat();
    assert_eq!(again, frame, "{header:?}");
    assert_eq!(payload.len() + HEADER_LEN, frame.len());
});
