//! Keys and their entries.

use crate::memory::layout::board::{MAX_KEY, fingerprint};
use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::board::{Slate, directory};
use std::sync::atomic::Ordering;

pub(super) fn board(entries: u32) -> (Memory, Slate) {
    let capacity = 4096 * u64::from(entries.next_power_of_two());
    let geometry = Geometry::new(Kind::Board, Shape::Board(entries), 2, capacity).unwrap();
    let slate = Slate::of(&geometry).unwrap();
    (Heap::new(geometry).unwrap().region(), slate)
}

#[test]
fn keys_are_found_and_added_in_turn_up_to_the_bound() {
    let (region, slate) = board(3);
    let keys = ["a".to_owned(), "12345678".to_owned(), "k".repeat(MAX_KEY)];
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(directory::find(&region, &slate, key.as_bytes()), None);
        let added = directory::find_or_add(&region, &slate, key.as_bytes());
        assert_eq!(added, Some(slate.entry(index as u32)));
        assert_eq!(
            directory::key(&region, added.unwrap()).unwrap(),
            key.as_bytes()
        );
    }
    for (index, key) in keys.iter().enumerate() {
        let found = directory::find(&region, &slate, key.as_bytes());
        assert_eq!(found, Some(slate.entry(index as u32)));
    }
    assert_eq!(directory::find_or_add(&region, &slate, b"one more"), None);
}

/// One that died, or is stopped, behind its compare-and-swap.
#[test]
fn an_entry_without_its_key_is_completed_by_who_wants_it_and_passed_by_others() {
    let (region, slate) = board(3);
    let entry = slate.entry(0);
    region.store64(
        entry.fingerprint(),
        fingerprint(b"wanted"),
        Ordering::Release,
    );
    assert_eq!(
        directory::find_or_add(&region, &slate, b"other"),
        Some(slate.entry(1))
    );
    assert_eq!(directory::key(&region, entry), None);
    assert_eq!(directory::find(&region, &slate, b"wanted"), Some(entry));
    assert_eq!(
        directory::find_or_add(&region, &slate, b"wanted"),
        Some(entry)
    );
    assert_eq!(directory::key(&region, entry).unwrap(), b"wanted");
}

#[test]
fn keys_with_the_same_fingerprint_are_told_apart_by_their_bytes() {
    let (region, slate) = board(2);
    let first = directory::find_or_add(&region, &slate, b"first").unwrap();
    let forged = fingerprint(b"second");
    region.store64(first.fingerprint(), forged, Ordering::Release);
    let second = directory::find_or_add(&region, &slate, b"second");
    assert_eq!(second, Some(slate.entry(1)));
    assert_eq!(
        region.load64(first.fingerprint(), Ordering::Acquire),
        forged
    );
}

#[test]
fn a_fingerprint_is_never_that_of_a_free_entry() {
    assert!((0..10_000_u32).all(|key| fingerprint(&key.to_le_bytes()) != 0));
}
