//! Handles that were idle while the ring was used up any number of times.

use crate::error::RecvError;
use crate::memory::layout::Kind;
use crate::memory::layout::cell::LAPS_END;
use crate::memory::region::memory::Memory;
use crate::rings::cell::producer::Producer;
use crate::testing::cells::HeapCells;

const CELLS: u64 = 4;
/// A message of two cells.
const LONG: [u8; 100] = [2; 100];

fn ring() -> HeapCells {
    HeapCells::new(Kind::Mpmc, 2, CELLS, 64).unwrap()
}

/// Laps after which one of the lap's bits is all that differs, and those after which all bits are the same that
/// the word of a record with an owner tells.
fn gaps() -> impl Iterator<Item = u64> {
    (0..54).map(|bit| 1 << bit).chain([3 * LAPS_END / CELLS])
}

/// A producer that has its place at the second cell, and was idle while the ring was used up so often.
fn idle(ring: &HeapCells, laps: u64) -> Producer<Memory> {
    let (mut idle, mut consumer) = (ring.producer(0).unwrap(), ring.consumer(0).unwrap());
    idle.send(&[0], None).unwrap();
    assert_eq!(consumer.recv_into(&mut [0; 8], None), Ok(1));
    ring.use_up(laps).unwrap();
    idle
}

/// Once it took the word of its place for the one that it knew, 2^20 laps ago, and claimed that cell although
/// others before it were free: the next longer message ran over what it had sent.
#[test]
fn a_producer_that_was_idle_sends_where_others_do() {
    for laps in gaps() {
        let ring = ring();
        let mut idle = idle(&ring, laps);
        let mut other = ring.producer(1).unwrap();
        let mut consumer = ring.consumer(0).unwrap();
        idle.send(&[1], None).unwrap();
        other.send(&LONG, None).unwrap();
        let mut buffer = [0; 128];
        assert_eq!(consumer.recv_into(&mut buffer, None), Ok(1), "{laps} laps");
        assert_eq!(buffer[0], 1);
        assert_eq!(
            consumer.recv_into(&mut buffer, None),
            Ok(LONG.len()),
            "{laps} laps"
        );
        assert_eq!(consumer.recv_into(&mut buffer, None), Err(RecvError::Empty));
    }
}

/// Once the last bytes of a message that ended within a cell's word could make that the word that an idle producer
/// knew: it claimed the cell, inside the other's record, and its own message was lost in there.
#[test]
fn a_producer_that_was_idle_claims_nothing_inside_a_record() {
    // In a ring of four cells four bits of the lap are in the word's first byte.
    let most = if cfg!(miri) { 1 } else { 15 };
    for laps in 1..=most {
        for byte in 0..=u8::MAX {
            let ring = ring();
            let mut idle = idle(&ring, laps);
            let mut other = ring.producer(1).unwrap();
            let mut consumer = ring.consumer(0).unwrap();
            // Its second cell is the idle one's place, and its last byte the first of what was that cell's word.
            let mut long = [7; 49];
            long[48] = byte;
            other.send(&long, None).unwrap();
            idle.send(&[1], None).unwrap();
            let mut buffer = [0; 128];
            assert_eq!(consumer.recv_into(&mut buffer, None), Ok(49));
            assert_eq!(buffer[..49], long, "{laps} laps");
            assert_eq!(consumer.recv_into(&mut buffer, None), Ok(1));
            assert_eq!(buffer[0], 1);
        }
    }
}

/// The same for one that is about to wait for what it saw there.
#[test]
fn a_consumer_that_was_idle_receives_in_order() {
    for laps in gaps() {
        let ring = ring();
        let mut consumer = ring.consumer(0).unwrap();
        let mut producer = idle(&ring, laps);
        assert_eq!(consumer.recv_into(&mut [0; 8], None), Err(RecvError::Empty));
        for value in 1..=CELLS as u8 {
            producer.send(&[value], None).unwrap();
        }
        for value in 1..=CELLS as u8 {
            let mut buffer = [0; 8];
            assert_eq!(consumer.recv_into(&mut buffer, None), Ok(1), "{laps} laps");
            assert_eq!(buffer[0], value);
        }
    }
}

/// Nothing that was seen of a record before is taken for the record that is there now.
#[test]
fn what_was_seen_long_ago_is_not_what_is_there() {
    let laps = (0..54).map(|bit| 1_u64 << bit);
    for laps in laps {
        let ring = ring();
        let mut producer = ring.producer(0).unwrap();
        producer.send(&[0], None).unwrap();
        let cells = &producer.member.cells;
        let seen = cells.load(0);
        ring.use_up(laps).unwrap();
        let mut producer = ring.producer(1).unwrap();
        producer.send(&[1], None).unwrap();
        let cells = &producer.member.cells;
        let freed = cells.freed(laps * CELLS);
        assert!(!cells.change(laps * CELLS, seen, freed), "{laps} laps");
    }
}
