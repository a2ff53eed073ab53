//! Any bytes as the header of a segment: refused, or decoded to something that lies within the segment
//! and encodes to the same bytes again.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::Header;

/// A header that differs from a valid one, so that most inputs get past the first comparison.
#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    edits: Vec<(u8, u8)>,
    /// Taken instead of a valid header.
    raw: Option<[u8; Header::LEN]>,
    segment_len: Option<u64>,
}

/// What encoding may change: bytes that mean nothing to the reader of this version.
const RESERVED: [std::ops::Range<usize>; 3] = [104..112, 128..152, 200..Header::LEN];

fuzz_target!(|input: Input| {
    let Some(valid) = Header::new(64 << (input.capacity_log2 % 41)) else {
        return;
    };
    let mut bytes = input.raw.unwrap_or(valid.encode());
    for (at, byte) in input.edits {
        bytes[usize::from(at)] ^= byte;
    }
    let segment_len = input.segment_len.unwrap_or(u64::MAX);
    let Ok(header) = Header::decode(&bytes, segment_len) else {
        return;
    };
    let (data, total) = header.extents();
    assert!(total <= segment_len, "{header:?} in {segment_len} bytes");
    assert!(
        data.start >= Header::LEN as u64 && data.end <= total,
        "{header:?}"
    );
    let mut again = header.encode();
    for range in RESERVED {
        again[range.clone()].copy_from_slice(&bytes[range]);
    }
    assert_eq!(again, bytes, "{header:?}");
});
