//! How many cells a batch takes.

use crate::error::SendError;
use crate::memory::layout::Kind;
use crate::memory::region::memory::Memory;
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::producer::Producer;
use crate::testing::cells::HeapCells;

const CELLS: u64 = 32;
const MESSAGE: &[u8] = b"in one cell";

fn ring() -> (Producer<Memory>, Consumer<Memory>) {
    let ring = HeapCells::new(Kind::Mpmc, 1, CELLS, 64).unwrap();
    (ring.producer(0).unwrap(), ring.consumer(0).unwrap())
}

fn send_batch(producer: &mut Producer<Memory>, messages: u64) {
    for _ in 0..messages {
        producer.push(MESSAGE).unwrap();
    }
    assert_eq!(producer.commit_batch(), messages);
}

fn receive(consumer: &mut Consumer<Memory>, messages: u64) {
    for _ in 0..messages {
        assert_eq!(consumer.recv_into(&mut [0; 16], None), Ok(MESSAGE.len()));
    }
}

/// Once a batch moved to a longer run for each few messages when the ring was nearly full, and left cells
/// behind that nobody could use.
#[test]
fn a_batch_in_a_nearly_full_ring_takes_what_is_free_and_wastes_no_cell() {
    let (mut producer, mut consumer) = ring();
    for _ in 0..4 {
        send_batch(&mut producer, 8);
    }
    receive(&mut consumer, 11);
    for _ in 0..5 {
        producer.send(MESSAGE, None).unwrap();
    }
    for _ in 0..6 {
        producer.push(MESSAGE).unwrap();
    }
    assert_eq!(producer.push(MESSAGE), Err(SendError::Full));
    let too_large = producer.push(&[0; 64 * CELLS as usize]);
    assert!(matches!(too_large, Err(SendError::TooLarge { .. })));
    assert_eq!(producer.commit_batch(), 6);
    assert_eq!(producer.member.cursor, CELLS + 11);
    receive(&mut consumer, CELLS);
    // The next one is as long as they were before.
    send_batch(&mut producer, 8);
    assert_eq!(producer.member.cursor, CELLS + 19);
    receive(&mut consumer, 8);
}

#[test]
fn a_batch_takes_cells_that_are_free_though_nobody_has_said_so() {
    let (mut producer, mut consumer) = ring();
    for _ in 0..4 {
        send_batch(&mut producer, 8);
    }
    // Who receives one by one says so now and then.
    receive(&mut consumer, 3);
    assert_eq!(consumer.member.head, 0);
    for _ in 0..3 {
        producer.push(MESSAGE).unwrap();
    }
    assert_eq!(producer.push(MESSAGE), Err(SendError::Full));
    assert_eq!(producer.commit_batch(), 3);
    receive(&mut consumer, CELLS);
}
