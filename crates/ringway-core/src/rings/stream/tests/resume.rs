//! A side dies between any two stores of an operation; the next one takes over where it stood.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{RecvError, SendError};
use crate::memory::layout::Geometry;
use crate::memory::layout::control::{HEAD, RECEIVED, SENT, TAIL};
use crate::memory::region::memory::Heap;
use crate::memory::region::{Load, Region};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;

fn heap() -> Arc<Heap> {
    Heap::new(Geometry::stream(128).unwrap()).unwrap()
}

fn send(heap: &Arc<Heap>, message: &[u8]) -> Result<(), SendError> {
    let mut producer = Producer::resume(heap.region()).unwrap();
    super::send(&mut producer, message, None)
}

fn receive(heap: &Arc<Heap>) -> Result<Vec<u8>, RecvError> {
    let mut consumer = Consumer::resume(heap.region()).unwrap();
    let found = consumer.peek()?;
    let mut message = vec![0; found.len];
    consumer.region.read(found.payload, &mut message);
    consumer.release(&found, 1);
    Ok(message)
}

/// Every operation by a new handle: nothing that matters is in the old one.
#[test]
fn each_operation_by_another_process() {
    let heap = heap();
    for round in 0..100_u8 {
        let lens = [usize::from(round) % 41, 3, 0];
        for len in lens {
            send(&heap, &vec![round; len]).unwrap();
        }
        for len in lens {
            assert_eq!(receive(&heap).unwrap(), vec![round; len]);
        }
        assert_eq!(receive(&heap), Err(RecvError::Empty));
    }
    let region = heap.region();
    assert_eq!(region.load64(SENT, Ordering::Relaxed), 300);
    assert_eq!(region.load64(RECEIVED, Ordering::Relaxed), 300);
    assert_eq!(
        region.load64(TAIL, Ordering::Relaxed),
        region.load64(HEAD, Ordering::Relaxed)
    );
}

/// The producer dies after the commit, before its counters.
#[test]
fn the_counters_catch_up_with_the_records() {
    let heap = heap();
    send(&heap, b"one").unwrap();
    let region = heap.region();
    let (tail, sent) = (
        region.load64(TAIL, Ordering::Relaxed),
        region.load64(SENT, Ordering::Relaxed),
    );
    send(&heap, b"two").unwrap();
    region.store64(TAIL, tail, Ordering::Relaxed);
    region.store64(SENT, sent, Ordering::Relaxed);
    send(&heap, b"three").unwrap();
    assert_eq!(region.load64(SENT, Ordering::Relaxed), 3);
    for message in [&b"one"[..], b"two", b"three"] {
        assert_eq!(receive(&heap).unwrap(), message);
    }
}

/// As before, and the consumer has taken everything in between: no record tells the number.
#[test]
fn the_counters_catch_up_when_all_is_received() {
    let heap = heap();
    send(&heap, b"one").unwrap();
    let region = heap.region();
    region.store64(TAIL, 0, Ordering::Relaxed);
    region.store64(SENT, 0, Ordering::Relaxed);
    assert_eq!(receive(&heap).unwrap(), b"one");
    send(&heap, b"two").unwrap();
    assert_eq!(region.load64(SENT, Ordering::Relaxed), 2);
    assert_eq!(receive(&heap).unwrap(), b"two");
}

/// The consumer dies between its count and its head: the message comes again, and is counted once.
#[test]
fn what_was_counted_but_not_released_comes_again() {
    let heap = heap();
    for message in [&b"one"[..], b"two", b"three"] {
        send(&heap, message).unwrap();
    }
    assert_eq!(receive(&heap).unwrap(), b"one");
    let region = heap.region();
    // A drain of two had counted both.
    region.store64(RECEIVED, 3, Ordering::Relaxed);
    assert_eq!(receive(&heap).unwrap(), b"two");
    assert_eq!(region.load64(RECEIVED, Ordering::Relaxed), 2);
    assert_eq!(receive(&heap).unwrap(), b"three");
    assert_eq!(region.load64(RECEIVED, Ordering::Relaxed), 3);
}

/// The producer dies in a batch: its words lie behind a stop word, and nobody ever takes them for
/// messages.
#[test]
fn an_unfinished_batch_is_never_seen() {
    let heap = heap();
    for round in 0..20_u8 {
        let mut producer = Producer::resume(heap.region()).unwrap();
        let mut pending = None;
        for _ in 0..2 {
            super::push(&mut producer, &mut pending, &[0xff; 16]).unwrap();
        }
        drop(producer);
        assert_eq!(receive(&heap), Err(RecvError::Empty));
        send(&heap, &[round; 8]).unwrap();
        assert_eq!(receive(&heap).unwrap(), [round; 8]);
        assert_eq!(receive(&heap), Err(RecvError::Empty));
    }
}

/// The limit that the error names is the limit: the longest message fits at every position.
#[test]
fn the_longest_message_fits_wherever_it_starts() {
    let heap = heap();
    for step in 0..40 {
        let max = Producer::resume(heap.region()).unwrap().max_len() as usize;
        assert_eq!(max, 56);
        send(&heap, &vec![step; max]).unwrap();
        assert_eq!(receive(&heap).unwrap(), vec![step; max]);
        let too_large = SendError::TooLarge { len: max + 1, max };
        assert_eq!(send(&heap, &vec![0; max + 1]), Err(too_large));
        // Move by one word.
        send(&heap, b"").unwrap();
        assert_eq!(receive(&heap).unwrap(), b"");
    }
}
