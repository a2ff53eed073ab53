//! A message's reader shows exactly the message, however it is read and wherever it lies.

use std::io::{BufRead, Read};

use ringway::message::MessageReader;
use ringway::{Builder, Receiver, Sender};

/// Bytes of a reader's block; nothing but the choice of lengths depends on it.
const BLOCK: usize = 2048;
/// Bytes of a slab.
const SLAB: usize = 5 * BLOCK;
/// What a ring without slabs takes.
const IN_RING: usize = 3 * BLOCK;

fn message(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 31 + at / 251 + len) as u8)
        .collect()
}

fn lengths(longest: usize) -> impl Iterator<Item = usize> {
    let around = (1..=longest / BLOCK).flat_map(|blocks| blocks * BLOCK - 9..=blocks * BLOCK + 9);
    (0..20).chain(around).filter(move |len| *len <= longest)
}

fn ends(slabs: bool) -> (Sender, Receiver) {
    let builder = Builder::new("memfd:").unwrap().capacity(32 * BLOCK as u64);
    let builder = match slabs {
        true => builder.slabs(SLAB as u64, 2),
        false => builder,
    };
    let ring = builder.create().unwrap();
    let sender = ring.sender().unwrap();
    let sender = match slabs {
        true => sender.with_copy_limit(0),
        false => sender,
    };
    (sender, ring.receiver().unwrap())
}

/// All that is left, as the blocks come.
fn blocks(reader: &mut MessageReader<'_>) -> Vec<u8> {
    let mut seen = Vec::new();
    loop {
        let block = reader.fill_buf().unwrap();
        if block.is_empty() {
            return seen;
        }
        seen.extend_from_slice(block);
        let len = block.len();
        reader.consume(len);
    }
}

/// Reads a message of these bytes in many ways.
#[track_caller]
fn check(reader: &MessageReader<'_>, bytes: &[u8]) {
    let len = bytes.len();
    assert_eq!(reader.remaining(), len);
    assert_eq!(blocks(&mut reader.clone()), bytes, "{len} by blocks");

    // In parts that fit into a block, or cover some, from anywhere in a block on.
    for part in [1, 7, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
        if part == 1 && len > BLOCK + 9 {
            continue;
        }
        let mut reader = reader.clone();
        let mut seen = Vec::new();
        let mut buffer = vec![0; part];
        loop {
            let read = reader.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..read]);
            assert_eq!(reader.remaining(), len - seen.len());
            if read == 0 {
                break;
            }
        }
        assert_eq!(seen, bytes, "{len} in parts of {part}");
    }

    // Looked at, half consumed, looked at again; more than there is cannot be consumed.
    let mut reader = reader.clone();
    let block = reader.fill_buf().unwrap().to_vec();
    let half = block.len() / 2;
    reader.consume(half);
    assert_eq!(reader.remaining(), len - half);
    assert_eq!(reader.fill_buf().unwrap(), &block[half..]);
    let mut rest = Vec::new();
    reader.clone().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes[half..], "{len} from {half} on");
    reader.consume(usize::MAX);
    assert_eq!(reader.remaining(), len - block.len());
    assert_eq!(blocks(&mut reader), bytes[block.len()..]);
    assert_eq!(reader.read(&mut [0; 2 * BLOCK]).unwrap(), 0);
}

#[test]
fn every_length_around_the_ends_of_blocks_is_shown_whole() {
    for slabs in [true, false] {
        let (mut sender, mut receiver) = ends(slabs);
        for len in lengths(if slabs { SLAB } else { IN_RING }) {
            let bytes = message(len);
            // In the ring they come to lie at ever other offsets.
            for _ in 0..2 {
                sender.send(&bytes).unwrap();
            }
            let found = receiver.recv_in_place().unwrap();
            check(&found.reader(), &bytes);
            found.release();
            let mut shown = 0;
            let drained = receiver.drain(1, |view| {
                check(&view.reader(), &bytes);
                shown += 1;
            });
            assert_eq!((drained, shown), (Ok(1), 1));
        }
    }
}

#[test]
fn a_detached_message_is_read_where_it_is_kept() {
    for slabs in [true, false] {
        let (mut sender, mut receiver) = ends(slabs);
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, IN_RING] {
            let bytes = message(len);
            sender.send(&bytes).unwrap();
            let kept = receiver.recv_in_place().unwrap().detach().unwrap();
            assert_eq!(kept.is_copy(), !slabs || len == 0);
            check(&kept.reader(), &bytes);
        }
    }
}

#[test]
fn lines_are_read_across_the_ends_of_blocks() {
    let (mut sender, mut receiver) = ends(true);
    let lines: Vec<String> = (0..1000).map(|nth| format!("line {nth}")).collect();
    sender.send(lines.join("\n").as_bytes()).unwrap();
    let message = receiver.recv_in_place().unwrap();
    let seen: Vec<String> = message.reader().lines().map(Result::unwrap).collect();
    assert_eq!(seen, lines);
}
