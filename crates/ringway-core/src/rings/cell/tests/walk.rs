//! What an observer counts.

use crate::memory::layout::Corrupt;
use crate::memory::layout::Kind;
use crate::rings::cell::walk::{Tally, tally};
use crate::testing::cells::{HeapCells, KEY, Leaving, Setup};

const CELL_LEN: u32 = 64;

fn ring() -> HeapCells {
    let setup = Setup {
        kind: Kind::Mpmc,
        each: 2,
        cells: 64,
        cell_len: CELL_LEN,
        lap: 3,
        late: false,
        overwrite: false,
        lock: false,
        bell: false,
        settles: true,
    };
    HeapCells::of(setup).unwrap()
}

fn count(ring: &HeapCells, looks: u64) -> (Tally, Result<bool, Corrupt>) {
    tally(ring.region(), CELL_LEN, KEY, looks)
}

#[track_caller]
fn assert_counts(ring: &HeapCells, messages: u64, cells: u64) {
    let (tally, end) = count(ring, 1000);
    assert_eq!((tally.messages, tally.cells), (messages, cells));
    assert_eq!(end, Ok(true));
}

#[test]
fn each_message_counts_once_also_those_that_were_taken_together() {
    let ring = ring();
    assert_counts(&ring, 0, 0);
    let mut producer = ring.produce(ring.region(), 0).unwrap();
    let mut consumer = ring.consume(ring.region(), 0).unwrap();
    // Of one, three, two and one cells.
    for len in [10, 150, 100, 10] {
        producer.send(&vec![1; len], None).unwrap();
    }
    assert_counts(&ring, 4, 7);
    let mut taken = Some(consumer.take(3, None).unwrap());
    let mut held = 0;
    while taken.is_some() {
        held += 1;
        taken = consumer.next_held(3 - held).unwrap();
    }
    assert_eq!(held, 3);
    assert_counts(&ring, 4, 7);
    // Dead or alive.
    ring.part_consumer(&mut consumer, 0, Leaving::Dying);
    assert_counts(&ring, 4, 7);
    // What is claimed takes cells and is no message.
    producer.claim(100, None).unwrap();
    assert_counts(&ring, 4, 9);
}

#[test]
fn a_count_ends_where_it_shall() {
    let ring = ring();
    let mut producer = ring.produce(ring.region(), 0).unwrap();
    for _ in 0..5 {
        producer.send(&[1; 10], None).unwrap();
    }
    for looks in 0..6 {
        let (tally, end) = count(&ring, looks);
        assert_eq!((tally.messages, end), (looks.min(5), Ok(false)));
    }
    assert_eq!(count(&ring, 6).1, Ok(true));
}
