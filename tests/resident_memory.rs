//! What a ring costs a process beyond the segment itself: far less than a mebibyte.

use std::fs;

use ringway::Builder;

/// Kibibytes of this process in memory of one sort: a field of `/proc/self/status`. Shared memory is another one.
fn resident_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The only test here, so that no other one's memory is counted.
#[test]
fn a_ring_costs_less_than_a_mebibyte_beyond_its_segment() {
    let use_ring = |capacity: u64| {
        let ring = Builder::new("memfd:")
            .unwrap()
            .capacity(capacity)
            .create()
            .unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut buffer = vec![0; 1000];
        for _ in 0..capacity / 500 {
            sender.send(&buffer).unwrap();
            receiver.recv_into(&mut buffer).unwrap();
        }
        (ring, sender, receiver)
    };
    let private = resident_kib("RssAnon:");
    // Touches the code of a message, which is the program's and no ring's: how much of it there is depends on the build.
    drop(use_ring(4096));
    let mapped = resident_kib("RssFile:");
    let held = use_ring(64 << 20);
    let cost = resident_kib("RssAnon:").saturating_sub(private)
        + resident_kib("RssFile:").saturating_sub(mapped);
    println!("{cost} KiB beyond 64 MiB of segment");
    assert!(cost < 1024, "{cost} KiB");
    drop(held);
}
