//! What peers could do to a board at worst.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::directory::board;
use crate::error::{GetError, SetError};
use crate::memory::layout::board::{MAX_KEY, MAX_SHORT};
use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::Region;
use crate::memory::region::memory::Heap;
use crate::presence::Outlook;
use crate::rings::board::reader::{Reader, Value, copy};
use crate::rings::board::watcher::Watcher;
use crate::rings::board::writer::{Refused, Wakes, Writer};
use crate::rings::board::{Slate, TOO_HIGH, directory};
use crate::testing::liar::Liar;
use crate::waiting::{WaitOptions, WaitStrategy};

fn patience() -> WaitOptions<'static> {
    WaitOptions::new(WaitStrategy::Park).within(Duration::from_millis(1))
}

fn liar(seed: u64) -> (Liar, Slate) {
    let (region, slate) = board(3);
    // Small numbers, as of slots and lengths, or those of entries.
    (
        Liar::new(region, seed, |random, truth| truth ^ (random % 512)),
        slate,
    )
}

/// Every call comes to its end, and touches nothing beyond the entry's buffers (or the region, or the heap, would tell).
#[test]
fn no_lie_leads_out_of_the_entry_or_round_in_circles() {
    for seed in 1..=if cfg!(miri) { 3 } else { 300 } {
        let (region, slate) = liar(seed);
        let entry = directory::find_or_add(&region, &slate, b"key");
        let entry = entry.unwrap_or(slate.entry(1));
        let mut writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0));
        let mut bytes = Vec::new();
        for _ in 0..10 {
            if let Ok(writer) = &mut writer {
                let _ = writer.set(&[7; 100]);
                let _ = writer.set_short(9, [7; 2], &[7; 30], Wakes::All);
            }
            let (region, slate) = liar(seed);
            region
                .truth
                .store64(entry.number(), seed, Ordering::Release);
            let mut reader = Reader::new(region, slate, b"key");
            let _ = reader.get(&mut bytes);
            assert!(bytes.len() as u64 <= slate.max_len());
            let _ = reader.get_if_newer(&mut bytes);
            let _ = reader.writer();
            let (region, slate) = liar(!seed);
            region
                .truth
                .store64(entry.number(), seed, Ordering::Release);
            let mut watcher = Watcher::new(region, slate);
            if let Ok(Some((key, _))) = watcher.newer(&mut bytes) {
                assert!(key.len() <= MAX_KEY);
            }
        }
        if let Ok(writer) = &mut writer {
            writer.leave();
        }
    }
}

#[test]
fn a_number_that_runs_away_is_given_up() {
    let (region, slate) = board(1);
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    region.store64(entry.number(), 5, Ordering::Release);
    region.store64(entry.begun(), 7, Ordering::Release);
    let mut reader = Reader::new(region, slate, b"key");
    let mut bytes = Vec::new();
    assert_eq!(reader.get(&mut bytes), Err(GetError::Changing));
    assert_eq!(
        reader.wait_newer(&patience(), &mut bytes),
        Err(GetError::Changing)
    );
}

#[test]
fn a_length_beyond_the_buffer_is_corrupt() {
    let (region, slate) = board(1);
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    for len in [slate.max_len() + 1, u64::MAX >> 1] {
        region.store64(entry.length(1), len, Ordering::Release);
        region.store64(entry.number(), 1, Ordering::Release);
        region.store64(entry.begun(), 1, Ordering::Release);
        let mut bytes = Vec::new();
        // SAFETY: the slate, from which the entry is, is of the region's geometry.
        let read = unsafe { copy(&region, &entry, 0, &mut bytes) };
        assert_eq!(read.err(), Some(GetError::Corrupt));
    }
}

/// Its words end with its two lines, whatever its length says.
#[test]
fn a_short_value_that_is_too_long_is_corrupt_and_one_that_was_not_begun_is_changing() {
    let (region, slate) = board(1);
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    region.store64(entry.number(), 1, Ordering::Release);
    let read = |length, begun| {
        region.store64(entry.length(1), length, Ordering::Release);
        region.store64(entry.short_begun(), begun, Ordering::Release);
        let mut bytes = Vec::new();
        // SAFETY: the entry is one of that board's.
        let read = unsafe { copy(&region, &entry, 0, &mut bytes) };
        (read.map(|read| read.map(|read| read.number)), bytes.len())
    };
    for len in [MAX_SHORT as u64 + 1, u64::from(u32::MAX)] {
        assert_eq!(read(1 << 63 | len, 1), (Err(GetError::Corrupt), 0));
    }
    assert_eq!(
        read(1 << 63 | MAX_SHORT as u64, 1),
        (Ok(Some(1)), MAX_SHORT)
    );
    assert_eq!(read(u64::MAX, 1), (Err(GetError::Corrupt), 0));
    for begun in [0, 2, u64::MAX] {
        assert_eq!(read(1 << 63 | 8, begun), (Err(GetError::Changing), 0));
    }
}

/// A type that is longer than the buffers is no reason to read on behind them, whatever length is said.
#[test]
fn a_length_that_a_type_has_and_no_buffer_is_corrupt() {
    let geometry = Geometry::new(Kind::Board, Shape::Board(1), 2, 4096).unwrap();
    let (heap, slate) = (Heap::new(geometry).unwrap(), Slate::of(&geometry).unwrap());
    let region = heap.region();
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    assert_eq!(slate.max_len(), 2048);
    region.store64(entry.length(1), 4096, Ordering::Release);
    region.store64(entry.number(), 1, Ordering::Release);
    region.store64(entry.begun(), 1, Ordering::Release);
    let mut reader = Reader::new(heap.region(), slate, b"key");
    let read = reader.get(&mut Value::<[u8; 4096]>::room());
    assert_eq!(read, Err(GetError::Corrupt));
    let mut writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0)).unwrap();
    let refused = SetError::TooLarge {
        len: 4096,
        max: 2048,
    };
    assert_eq!(writer.set_value(&[7_u8; 4096]), Err(refused));
}

/// A length that somebody writes over is put right by the next value, whose writer does not store it where it is right.
#[test]
fn a_length_that_was_forged_is_put_right_by_the_next_value_in_its_buffer() {
    let geometry = Geometry::new(Kind::Board, Shape::Board(1), 2, 4096).unwrap();
    let (heap, slate) = (Heap::new(geometry).unwrap(), Slate::of(&geometry).unwrap());
    let region = heap.region();
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    let mut writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0)).unwrap();
    let mut reader = Reader::new(heap.region(), slate, b"key");
    let (mut bytes, mut value) = (Vec::new(), Value::<[u8; 8]>::room());
    for number in 1..=4 {
        assert_eq!(writer.set_value(&[number as u8; 8]), Ok(number));
        writer
            .region()
            .store64(entry.length(number), 3, Ordering::Release);
    }
    assert_eq!(writer.set_value(&[5_u8; 8]), Ok(5));
    assert_eq!(reader.get(&mut value), Ok(Some((5, [5; 8]))));
    assert_eq!(writer.set(b"other"), Ok(6));
    assert_eq!(reader.get(&mut bytes), Ok(Some((6, ()))));
    assert_eq!(bytes, b"other");
    let wrong = GetError::WrongLength { len: 5 };
    assert_eq!(reader.get(&mut value), Err(wrong));
}

#[test]
fn a_number_that_no_writer_reaches_is_no_ones_to_follow() {
    let (region, slate) = board(1);
    let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
    region.store64(entry.number(), TOO_HIGH, Ordering::Release);
    let take = |region| Writer::take(region, entry, 1 << 8, Outlook::new(2, 0));
    assert_eq!(take(region).err(), Some(Refused::Corrupt));
}

/// No slot of the board's, an epoch that was never: whoever that is, it does not keep the role for ever.
#[test]
fn who_cannot_be_there_keeps_no_role() {
    for owner in [77, u64::MAX, 2 | 1 << 8, 1 << 8 | 1, 5 << 8] {
        let (region, slate) = board(1);
        let entry = directory::find_or_add(&region, &slate, b"key").unwrap();
        region.store64(entry.owner(), owner, Ordering::Release);
        let writer = Writer::take(region, entry, 1 << 8, Outlook::new(2, 0));
        assert!(writer.is_ok(), "{owner:#x}");
    }
}

/// A deadline that has passed is believed, whoever changes what is slept on.
#[test]
fn a_wait_ends_at_its_deadline() {
    let (region, slate) = board(1);
    let mut reader = Reader::new(region, slate, b"key");
    let mut bytes = Vec::new();
    assert_eq!(
        reader.wait_newer(&patience(), &mut bytes),
        Err(GetError::TimedOut)
    );
}
