//! What the short ways do, and that they are taken: by a limit that is wrong, nothing else would notice them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{RecvError, SendError};
use crate::memory::layout::Geometry;
use crate::memory::layout::control::{HEAD, RECEIVED, SENT};
use crate::memory::layout::record::{Record, SEQUENCE_MASK};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;

const CAPACITY: u64 = 1024;

fn ring() -> (Arc<Heap>, Producer<Memory>, Consumer<Memory>) {
    let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
    let producer = Producer::resume(heap.region()).unwrap();
    let consumer = Consumer::resume(heap.region()).unwrap();
    (heap, producer, consumer)
}

/// In steady state the long way is taken a few times a lap, and by no means more.
#[test]
fn most_messages_take_the_short_ways() {
    let (_, mut producer, mut consumer) = ring();
    let (mut sent, mut received) = (0, 0);
    for number in 0..4000_u64 {
        let message = number.to_le_bytes();
        match producer.send_at_once(&message) {
            true => sent += 1,
            false => producer.send(&message, None).unwrap(),
        }
        let mut buffer = [0; 8];
        match consumer.recv_at_once(&mut buffer) {
            Some(len) => {
                assert_eq!(len, 8);
                received += 1;
            }
            None => assert_eq!(consumer.recv_into(&mut buffer, None), Ok(8)),
        }
        assert_eq!(buffer, message);
    }
    // A lap has 64 messages: of those a producer has to look anew three times.
    assert!(sent >= 4000 - 4 * 63, "{sent}");
    assert!(received >= 4000 - 2 * 63, "{received}");
}

/// The same of batches, and of what is looked at in place.
#[test]
fn most_messages_of_batches_take_the_short_ways() {
    let (_, mut producer, mut consumer) = ring();
    let (mut pushed, mut shown) = (0, 0);
    for batch in 0..400_u64 {
        let mut pending = None;
        for number in 0..10 {
            let message = (batch * 10 + number).to_le_bytes();
            match producer.push_at_once(&mut pending, &message) {
                true => pushed += 1,
                false => producer.push(&mut pending, &message).unwrap(),
            }
        }
        producer.commit(pending.unwrap());
        let mut last = None;
        for nth in 0..10 {
            let at_once = consumer.show_at_once(last.as_ref(), nth);
            shown += u64::from(at_once.is_some());
            let found = at_once.or_else(|| match &last {
                None => consumer.take(None).ok(),
                Some(last) => consumer.peek_behind(last, nth).unwrap(),
            });
            let found = found.unwrap();
            let mut bytes = [0; 8];
            consumer.region.read(found.payload, &mut bytes);
            assert_eq!(bytes, (batch * 10 + nth).to_le_bytes());
            last = Some(found);
        }
        consumer.release(&last.unwrap(), 10);
    }
    // Of a batch, what lies in the next lap takes the long way; and what is committed behind its first message.
    assert!(pushed >= 4000 - 13 * 63, "{pushed}");
    assert!(shown >= 4000 - 11 * 63, "{shown}");
}

/// The number in the word begins anew after 2^30 messages.
#[test]
fn the_short_ways_go_on_when_numbers_begin_anew() {
    let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
    let region = heap.region();
    let first = 5 * (SEQUENCE_MASK + 1) - 3;
    for counter in [SENT, RECEIVED] {
        region.store64(counter, first, Ordering::Relaxed);
    }
    let mut producer = Producer::resume(heap.region()).unwrap();
    let mut consumer = Consumer::resume(heap.region()).unwrap();
    for number in first..first + 40 {
        // Empty ones need the fewest bytes.
        for _ in 0..2 {
            assert_eq!(
                super::receive_into(&mut consumer, &mut [], None),
                Err(RecvError::Empty)
            );
        }
        let at = region.load64(HEAD, Ordering::Relaxed);
        super::send(&mut producer, &[], None).unwrap();
        let word = region.load_word(at, Ordering::Relaxed);
        assert_eq!(word, Record::message(0, number), "{number}");
        assert_eq!(super::receive_into(&mut consumer, &mut [], None), Ok(0));
        assert_eq!(
            (producer.sent(), consumer.received()),
            (number + 1, number + 1)
        );
    }
    let mut pending = None;
    for _ in 0..40 {
        super::push(&mut producer, &mut pending, &[]).unwrap();
    }
    producer.commit(pending.unwrap());
    for _ in 0..40 {
        assert_eq!(super::receive_into(&mut consumer, &mut [], None), Ok(0));
    }
}

/// The same in the middle of one batch.
#[test]
fn a_batch_goes_on_when_numbers_begin_anew() {
    let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
    let region = heap.region();
    let first = SEQUENCE_MASK - 4;
    for counter in [SENT, RECEIVED] {
        region.store64(counter, first, Ordering::Relaxed);
    }
    let mut producer = Producer::resume(heap.region()).unwrap();
    let mut consumer = Consumer::resume(heap.region()).unwrap();
    let mut pending = None;
    for _ in 0..20 {
        super::push(&mut producer, &mut pending, &[]).unwrap();
    }
    producer.commit(pending.unwrap());
    let mut last = None;
    for nth in 0..20 {
        let found = match &last {
            None => consumer.take(None).ok(),
            Some(last) => consumer.peek_behind(last, nth).unwrap(),
        };
        let found = found.unwrap();
        let word = region.load_word(found.payload - 8, Ordering::Relaxed);
        assert_eq!(word, Record::message(0, first + nth));
        last = Some(found);
    }
    consumer.release(&last.unwrap(), 20);
    assert_eq!(consumer.received(), first + 20);
}

/// A word with another number, or the length of a record that would wrap, is refused, however it is received.
#[test]
fn what_is_not_next_is_corrupt_on_the_short_way_too() {
    let words = [
        Record::message(8, 1),
        Record::message(8, SEQUENCE_MASK),
        Record::message(CAPACITY as u32, 0),
        Record::message(u32::MAX, 0),
        Record::padding(8, 0),
        Record::loaned(0),
        1,
        u64::MAX,
    ];
    for word in words {
        let (heap, _, mut consumer) = ring();
        heap.region().store_word(0, word, Ordering::Release);
        let mut buffer = vec![0; 2 * CAPACITY as usize];
        assert_eq!(consumer.recv_at_once(&mut buffer), None, "{word:#x}");
        assert_eq!(consumer.show_at_once(None, 0), None, "{word:#x}");
        for _ in 0..2 {
            let received = super::receive_into(&mut consumer, &mut buffer, None);
            assert_eq!(received, Err(RecvError::Corrupt), "{word:#x}");
        }
        // From then on the short way is closed, whatever comes.
        heap.region()
            .store_word(0, Record::message(8, 0), Ordering::Release);
        assert_eq!(consumer.recv_at_once(&mut buffer), None);
        assert_eq!(consumer.take(None), Err(RecvError::Corrupt));
    }
}

/// A head that no consumer writes closes the short way of sending.
#[test]
fn a_producer_that_has_found_the_ring_corrupt_sends_nothing() {
    let (heap, mut producer, _) = ring();
    while producer.send_at_once(&[7; 8]) {}
    heap.region().store64(HEAD, 7, Ordering::Release);
    let mut sent = Ok(());
    for _ in 0..CAPACITY {
        sent = super::send(&mut producer, &[7; 8], None);
        if sent.is_err() {
            break;
        }
    }
    assert_eq!(sent, Err(SendError::Corrupt));
    assert!(!producer.send_at_once(&[]));
    assert!(!producer.push_at_once(&mut None, &[]));
}

/// What a batch that is given up has left does not let pass what is too long.
#[test]
fn a_batch_that_is_given_up_leaves_the_limit_as_it_was() {
    let (_, mut producer, _) = ring();
    let mut pending = None;
    for _ in 0..40 {
        super::push(&mut producer, &mut pending, &[7; 8]).unwrap();
    }
    producer.abort();
    let max = producer.max_len() as usize;
    for len in [max + 1, max + 8, CAPACITY as usize] {
        let too_large = Err(SendError::TooLarge { len, max });
        assert_eq!(super::send(&mut producer, &vec![7; len], None), too_large);
    }
    super::send(&mut producer, &vec![7; max], None).unwrap();
}
