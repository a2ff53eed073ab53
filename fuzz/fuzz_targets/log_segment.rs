//! A segment of a durable log with anything in it, read, repaired and written on: no panic, no endless loop, and what is appended
//! then is read back.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_log::format::{RecordKind, SegmentHeader, encode};
use ringway_log::ordeal::try_segment;
use ringway_log::place::{Place, Told};

#[derive(Arbitrary, Debug)]
struct Input {
    header: Option<Header>,
    parts: Vec<Part>,
    flips: Vec<u16>,
    told: Option<ToldBy>,
}

/// What a writer has told.
#[derive(Arbitrary, Debug)]
struct ToldBy {
    /// Segment, offset, and the next number.
    place: Option<(u8, u16, u8)>,
    synced: u8,
    syncing: bool,
    poisoned: bool,
}

#[derive(Arbitrary, Debug)]
enum Header {
    Raw(Vec<u8>),
    Of { base: u64, seed: u32 },
}

#[derive(Arbitrary, Debug)]
enum Part {
    Raw(Vec<u8>),
    Zeros(u16),
    Message { skip: u8, len: u8 },
    Gap(u8),
    Mark(u8),
    Seal,
}

fuzz_target!(|input: Input| {
    // That of the log which it is put in.
    let (mut nonce, mut seed) = (7_u128 << 64 | 7, 7);
    let header = input.header.as_ref().map(|header| match header {
        Header::Raw(bytes) => bytes.clone(),
        Header::Of { base, seed: of } => {
            nonce = 7 << 64 | 7;
            seed = *of;
            let header = SegmentHeader {
                nonce,
                base: *base % 4,
                time: 1,
                seed,
            };
            header.encode().to_vec()
        }
    });
    let (mut bytes, mut next) = (Vec::new(), 0_u64);
    for part in &input.parts {
        match part {
            Part::Raw(raw) => bytes.extend_from_slice(raw),
            Part::Zeros(len) => bytes.resize(bytes.len() + usize::from(*len % 2048), 0),
            Part::Message { skip, len } => {
                next += u64::from(skip / 200);
                let payload = vec![*len; usize::from(*len)];
                encode(&mut bytes, seed, RecordKind::Message, next, 3, &payload);
                next += 1;
            }
            Part::Gap(len) => {
                let to = next + 1 + u64::from(*len);
                encode(
                    &mut bytes,
                    seed,
                    RecordKind::Gap,
                    next,
                    3,
                    &to.to_le_bytes(),
                );
                next = to;
            }
            Part::Mark(back) => {
                let synced = next.saturating_sub(u64::from(*back));
                encode(
                    &mut bytes,
                    seed,
                    RecordKind::Mark,
                    next,
                    3,
                    &synced.to_le_bytes(),
                );
            }
            Part::Seal => encode(&mut bytes, seed, RecordKind::Seal, next, 3, &[]),
        }
    }
    for flip in &input.flips {
        if !bytes.is_empty() {
            let bit = usize::from(*flip) % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    let told = input.told.map(|told| Told {
        place: told.place.map(|(segment, offset, next)| Place {
            segment: u64::from(segment % 4),
            offset: u64::from(offset),
            next: u64::from(next),
        }),
        synced: u64::from(told.synced),
        syncing: told.syncing,
        poisoned: told.poisoned,
    });
    try_segment(&bytes, header.as_deref(), told);
});
