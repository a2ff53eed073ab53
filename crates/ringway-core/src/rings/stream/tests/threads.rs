//! Two threads on one ring, as two processes would be: on real processors natively, and under Miri,
//! which reports every data race and every access outside of the memory.

use super::{push, receive_into, send};
use crate::error::{RecvError, SendError};
use crate::memory::layout::Geometry;
use crate::memory::region::Region;
use crate::memory::region::memory::{Heap, Memory};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::waiting::{WaitOptions, WaitStrategy};

/// So small that both sides wait for each other all the time.
const CAPACITY: u64 = 512;
const MESSAGES: u64 = if cfg!(miri) { 150 } else { 20_000 };

/// The message of that number: its length, then its bytes, all told by the number.
fn message(number: u64) -> Vec<u8> {
    let len = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    (0..len.min(200))
        .map(|at| number.wrapping_mul(31).wrapping_add(at) as u8)
        .collect()
}

fn send_some(producer: &mut Producer<Memory>, number: u64) -> Result<u64, SendError> {
    // Every third time a batch, as long as there is room.
    if number.is_multiple_of(3) {
        let mut pending = None;
        for next in number..(number + 4).min(MESSAGES) {
            match push(producer, &mut pending, &message(next)) {
                Err(SendError::Full) => break,
                pushed => pushed?,
            }
        }
        if let Some(pending) = pending {
            producer.commit(pending);
            return Ok(pending.messages());
        }
    }
    let wait = WaitOptions::new(WaitStrategy::Spin);
    send(producer, &message(number), Some(&wait)).map(|()| 1)
}

/// By turns into a buffer, and looked at where it is.
fn receive(consumer: &mut Consumer<Memory>) -> Result<Vec<u8>, RecvError> {
    let wait = WaitOptions::new(WaitStrategy::Spin);
    if consumer.received().is_multiple_of(2) {
        let mut bytes = vec![0; 200];
        let len = receive_into(consumer, &mut bytes, Some(&wait))?;
        bytes.truncate(len);
        return Ok(bytes);
    }
    let found = consumer.take(Some(&wait))?;
    let mut bytes = vec![0; found.len];
    consumer.region.read(found.payload, &mut bytes);
    consumer.release(&found, 1);
    Ok(bytes)
}

#[test]
fn every_message_arrives_whole_and_in_order() {
    let heap = Heap::new(Geometry::stream(CAPACITY).unwrap()).unwrap();
    let mut producer = Producer::resume(heap.region()).unwrap();
    let mut consumer = Consumer::resume(heap.region()).unwrap();
    let sender = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < MESSAGES {
            sent += send_some(&mut producer, sent).unwrap();
        }
        producer.close();
        PRODUCER.announce(CONSUMER, &producer.region);
    });
    for number in 0..MESSAGES {
        assert_eq!(
            receive(&mut consumer),
            Ok(message(number)),
            "message {number}"
        );
    }
    assert_eq!(receive(&mut consumer), Err(RecvError::Closed));
    sender.join().unwrap();
}
