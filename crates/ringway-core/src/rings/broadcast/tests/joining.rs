//! Where newcomers begin, and whose cursors they do not inherit.

use super::Ring;
use crate::error::{RecvError, SendError};
use crate::rings::broadcast::{Policy, Refused, Start};

/// Bytes of a record with a number.
const RECORD: u64 = 16;
const CAPACITY: u64 = 1024;

#[test]
fn each_start_begins_where_it_says() {
    for policy in [Policy::Block, Policy::Lossy] {
        let ring = Ring::new(CAPACITY, 8);
        let mut producer = ring.producer();
        producer.numbers(20);
        let begin = |slot, start| ring.consumer(slot, policy, start).number();
        assert_eq!(begin(1, Start::Oldest), 0);
        assert_eq!(begin(2, Start::Latest), 20);
        assert_eq!(begin(3, Start::Last(3)), 17);
        assert_eq!(begin(4, Start::Last(100)), 0);
        assert_eq!(begin(5, Start::Number(7)), 7);
        assert_eq!(begin(6, Start::Number(100)), 20);
    }
}

/// What is asked for and gone is told, and counted exactly; what is there comes whole.
#[test]
fn who_asks_for_more_than_there_is_is_told_from_where_it_got() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    producer.numbers(1000);
    for start in [Start::Number(5), Start::Last(995)] {
        let mut consumer = ring.consumer(1, Policy::Block, start);
        let first = consumer.number();
        // All but what lies at the edge: two strides, of those that were granted and the one that is not whole.
        assert!(first <= 1000 - CAPACITY / RECORD * 13 / 16, "{first}");
        let missed = first - 5;
        assert_eq!(consumer.try_number(), Err(RecvError::Lagged { missed }));
        assert_eq!(consumer.missed(), missed);
        let (numbers, end) = consumer.all_numbers();
        assert_eq!(numbers, (first..1000).collect::<Vec<_>>());
        assert_eq!(end, RecvError::Empty);
        ring.leave(1);
    }
    // Who asks for what there is asks for no more.
    let mut oldest = ring.consumer(1, Policy::Block, Start::Oldest);
    assert!(oldest.try_number().is_ok());
}

/// Every number is found, wherever in the ring it is, at every place of the tail.
#[test]
fn every_number_that_is_there_is_found() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    for sent in 1..400 {
        let message = vec![0; (sent * 7 % 40) as usize];
        producer.try_send(&message).unwrap();
        let oldest = ring.consumer(1, Policy::Lossy, Start::Oldest).number();
        for number in oldest..=sent {
            let start = Start::Number(number);
            let mut consumer = ring.consumer(1, Policy::Lossy, start);
            assert_eq!(consumer.number(), number);
            if number < sent {
                let len = consumer.peek().unwrap().len as u64;
                assert_eq!(len, (number + 1) * 7 % 40);
            }
        }
    }
}

/// The next holder of a slot neither holds the producer where the last one stood, nor begins there.
#[test]
fn no_cursor_is_inherited() {
    let ring = Ring::new(CAPACITY, 1);
    let mut producer = ring.producer();
    drop(ring.consumer(1, Policy::Block, Start::Oldest));
    while producer.try_number().is_ok() {}
    assert_eq!(producer.try_number(), Err(SendError::Full));
    // It has come and said nothing yet.
    ring.leave(1);
    ring.attach(1);
    producer.numbers(200);
    let mut next = ring.consumer(1, Policy::Block, Start::Oldest);
    assert!(next.number() > 100);
    assert_eq!(next.try_number(), Ok(next.number() - 1));
}

#[test]
fn a_name_finds_its_place_again() {
    let ring = Ring::new(CAPACITY, 4);
    let mut producer = ring.producer();
    producer.numbers(20);
    let mut audit = ring.named(1, "audit").unwrap();
    assert_eq!((audit.try_number(), audit.try_number()), (Ok(0), Ok(1)));
    assert_eq!(ring.named(2, "audit").unwrap_err(), Refused::NameTaken);
    let other = ring.named(3, "other").unwrap();
    assert_eq!(other.number(), 0);
    ring.leave(2);
    // It had found the third message, and not released it.
    audit.peek().unwrap();
    ring.kill(1);
    let mut again = ring.named(2, "audit").unwrap();
    assert_eq!(again.try_number(), Ok(2));
    // In its old slot as well.
    ring.leave(2);
    ring.leave(3);
    producer.numbers(1000);
    let mut late = ring.named(1, "audit").unwrap();
    let missed = late.number() - 3;
    assert_eq!(late.try_number(), Err(RecvError::Lagged { missed }));
    assert!(late.try_number().is_ok());
}

#[test]
fn there_are_so_many_names_and_no_more() {
    let ring = Ring::new(CAPACITY, 1);
    let _producer = ring.producer();
    for name in 0..128 {
        assert!(ring.named(1, &format!("name {name}")).is_ok(), "{name}");
    }
    assert_eq!(ring.named(1, "one more").unwrap_err(), Refused::NoName);
    assert!(ring.named(1, "name 77").is_ok());
}
