//! What the module's documentation shows word by word is what the code does.

use std::sync::atomic::Ordering;

use crate::error::RecvError;
use crate::memory::layout::Geometry;
use crate::memory::layout::control::{HEAD, TAIL};
use crate::memory::layout::record::Record;
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;

fn send(producer: &mut Producer<Memory>, message: &[u8]) {
    super::send(producer, message, None).unwrap();
}

fn receive(consumer: &mut Consumer<Memory>) -> Vec<u8> {
    let found = consumer.take(None).unwrap();
    let mut message = vec![0; found.len];
    consumer.region.read(found.payload, &mut message);
    consumer.release(&found, 1);
    message
}

/// The words at offsets 0 to 56, tail and head.
fn picture(region: &Memory) -> ([u64; 8], u64, u64) {
    let words = [0, 8, 16, 24, 32, 40, 48, 56].map(|at| region.load_word(at, Ordering::Relaxed));
    let [tail, head] = [TAIL, HEAD].map(|at| region.load64(at, Ordering::Relaxed));
    (words, tail, head)
}

fn text(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

#[test]
fn once_around_word_by_word() {
    let heap = Heap::new(Geometry::stream(64).unwrap()).unwrap();
    let region = heap.region();
    let mut producer = Producer::resume(heap.region()).unwrap();
    let mut consumer = Consumer::resume(heap.region()).unwrap();
    assert_eq!(picture(&region), ([0; 8], 0, 0));

    send(&mut producer, b"ABCDEFGHIJ");
    send(&mut producer, b"abcdefgh");
    let (words, tail, head) = picture(&region);
    assert_eq!(words[..2], [Record::message(10, 0), text(b"ABCDEFGH")]);
    assert_eq!(words[2] & 0xffff, u64::from_le_bytes(*b"IJ\0\0\0\0\0\0"));
    assert_eq!(words[3..6], [Record::message(8, 1), text(b"abcdefgh"), 0]);
    assert_eq!((tail, head), (40, 0));

    assert_eq!(receive(&mut consumer), b"ABCDEFGHIJ");
    assert_eq!(receive(&mut consumer), b"abcdefgh");
    assert_eq!(picture(&region), (words, 40, 40));

    send(&mut producer, b"QRSTUVWXYZabcdefghijklmn");
    let (words, tail, head) = picture(&region);
    let payload = [text(b"QRSTUVWX"), text(b"YZabcdef"), text(b"ghijklmn")];
    assert_eq!(words[0], Record::message(24, 2));
    assert_eq!(words[1..4], payload);
    assert_eq!(words[4..6], [0, Record::padding(16, 2)]);
    assert_eq!((tail, head), (96, 40));

    // One that dies right after the commit has not stored TAIL.
    region.store64(TAIL, 40, Ordering::Relaxed);
    let successor = Producer::resume(heap.region()).unwrap();
    assert_eq!(successor.sent(), 3);
    assert_eq!(region.load64(TAIL, Ordering::Relaxed), 96);

    assert_eq!(receive(&mut consumer), b"QRSTUVWXYZabcdefghijklmn");
    assert_eq!(picture(&region), (words, 96, 96));
    assert_eq!(consumer.peek().unwrap_err(), RecvError::Empty);
}
