//! Rings in files, after a reboot.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;
use crate::memory::layout::header::BOOT_ID_OFFSET;
use crate::sys::futex;

/// What a process of another boot left: words that no kernel will ever mark.
fn leave_behind(fixture: &Fixture, boot_id: [u8; 16]) {
    let made = Segment::create(&fixture.request(), &plan()).unwrap();
    for slot in 0..2 {
        liveness_word(&made, slot).store(77 | futex::WAITERS, Ordering::Relaxed);
    }
    let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
    file.write_all_at(&boot_id, BOOT_ID_OFFSET as u64).unwrap();
}

#[test]
fn under_another_boot_nobody_is_attached_any_more() {
    let fixture = Fixture::file();
    leave_behind(&fixture, [3; 16]);
    let opened = Segment::open(&fixture.request()).unwrap();
    assert_eq!(liveness_word(&opened, 0).load(Ordering::Relaxed), 0);
    assert_eq!(liveness_word(&opened, 1).load(Ordering::Relaxed), 0);
    // Who opens it next finds this boot's words.
    liveness_word(&opened, 0).store(88, Ordering::Relaxed);
    let again = Segment::open(&fixture.request()).unwrap();
    assert_eq!(again.header, opened.header);
    assert_ne!(again.header.boot_id, [3; 16]);
    assert_eq!(liveness_word(&again, 0).load(Ordering::Relaxed), 88);
}

#[test]
fn half_a_boot_id_is_another_one() {
    let fixture = Fixture::file();
    let made = Segment::create(&fixture.request(), &plan()).unwrap();
    let mut torn = made.header.boot_id;
    torn[8..].fill(1);
    fixture.clean();
    leave_behind(&fixture, torn);
    let opened = Segment::open(&fixture.request()).unwrap();
    assert_eq!(liveness_word(&opened, 1).load(Ordering::Relaxed), 0);
}

#[test]
fn only_the_first_opener_of_a_boot_clears_the_words() {
    let fixture = Fixture::file();
    for _ in 0..50 {
        leave_behind(&fixture, [3; 16]);
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (start, fixture) = (&start, &fixture);
                scope.spawn(move || {
                    start.wait();
                    let opened = Segment::open(&fixture.request()).unwrap();
                    // Whoever is through may attach, and stays attached.
                    liveness_word(&opened, 0).fetch_or(1 << thread, Ordering::AcqRel);
                });
            }
        });
        let opened = Segment::open(&fixture.request()).unwrap();
        let word = liveness_word(&opened, 0).load(Ordering::Relaxed);
        assert_eq!(word, 0xff);
        fixture.clean();
    }
}

#[test]
fn memory_does_not_care_for_boots() {
    let fixture = Fixture::shm();
    let made = Segment::create(&fixture.request(), &plan()).unwrap();
    assert_eq!(made.header.boot_id, boot_id::NONE);
    liveness_word(&made, 0).store(99, Ordering::Relaxed);
    // The same object by its path: its words are those of this boot.
    let by_path = Address::File(fixture.path());
    let opened = Segment::open(&Request::new(&by_path)).unwrap();
    assert_eq!(liveness_word(&opened, 0).load(Ordering::Relaxed), 99);
}
