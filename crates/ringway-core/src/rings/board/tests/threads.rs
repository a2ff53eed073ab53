//! A writer that never rests, and readers.

use std::sync::atomic::{AtomicBool, Ordering};

use super::directory::board;
use crate::error::GetError;
use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::memory::{Heap, Memory};
use crate::presence::Outlook;
use crate::rings::board::reader::{Reader, Value};
use crate::rings::board::writer::Writer;
use crate::rings::board::{Slate, directory};

/// How many values are written.
const VALUES: u64 = if cfg!(miri) { 20 } else { 20_000 };

/// Two that read until it is done, beside a writer of an entry.
fn beside_a_writer(
    read: impl Fn(Reader<Memory>, &AtomicBool) + Sync,
    write: impl FnOnce(Writer<Memory>),
) {
    let geometry = Geometry::new(Kind::Board, Shape::Board(1), 2, 4096).unwrap();
    let (heap, slate) = (Heap::new(geometry).unwrap(), Slate::of(&geometry).unwrap());
    let region = heap.region();
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    let writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0)).unwrap();
    let (done, read) = (&AtomicBool::new(false), &read);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let region = heap.region();
            scope.spawn(move || read(Reader::new(region, slate, b"key"), done));
        }
        write(writer);
        // Release pairs with the acquire of readers: whoever sees it finds the last value.
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_value_that_was_read_is_whole_and_never_an_earlier_one() {
    let read = |mut reader: Reader<Memory>, done: &AtomicBool| {
        let (mut bytes, mut last) = (Vec::new(), 0);
        while !done.load(Ordering::Acquire) {
            match reader.get_if_newer(&mut bytes) {
                Ok(None) | Err(GetError::Changing) => {}
                Ok(Some((number, ()))) => {
                    assert!(number > last, "{number} after {last}");
                    last = number;
                    let is_its = |byte: &u8| *byte == number as u8;
                    assert!(bytes.iter().all(is_its), "value {number} is torn");
                    assert_eq!(bytes.len() as u64, number % 2048 + 1);
                }
                Err(error) => panic!("{error}"),
            }
        }
        reader.get(&mut bytes).unwrap();
        assert_eq!(reader.seen(), VALUES);
    };
    beside_a_writer(read, |mut writer| {
        for number in 1..=VALUES {
            let value = vec![number as u8; (number % 2048 + 1) as usize];
            assert_eq!(writer.set(&value), Ok(number));
        }
    });
}

/// By a type, and whether it was read before or not.
#[test]
fn a_typed_value_that_is_read_again_and_again_is_whole() {
    let read = |mut reader: Reader<Memory>, done: &AtomicBool| {
        let mut last = 0;
        while !done.load(Ordering::Acquire) {
            match reader.get(&mut Value::<[u64; 12]>::room()) {
                Ok(None) | Err(GetError::Changing) => {}
                Ok(Some((number, value))) => {
                    assert!(number >= last, "{number} after {last}");
                    last = number;
                    assert_eq!(value, [number; 12], "value {number} is torn");
                }
                Err(error) => panic!("{error}"),
            }
        }
        let end = reader.get(&mut Value::<[u64; 12]>::room());
        assert_eq!(end, Ok(Some((VALUES, [VALUES; 12]))));
    };
    beside_a_writer(read, |mut writer| {
        for number in 1..=VALUES {
            assert_eq!(writer.set_value(&[number; 12]), Ok(number));
        }
    });
}

#[test]
fn a_value_that_is_too_long_leaves_the_last_one() {
    let (region, slate) = board(1);
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    let mut writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0)).unwrap();
    let longest = vec![7; writer.max_len() as usize];
    assert_eq!(writer.set(&longest), Ok(1));
    assert!(writer.set(&[&longest[..], &[7]].concat()).is_err());
    assert_eq!(writer.number(), 1);
}
