//! What a ring costs a process beyond the segment itself: far less than a mebibyte.

use std::fs;

use ringway::Builder;

/// Kibibytes of this process in memory, without shared memory: `/proc/self/status`.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    field("RssAnon:") + field("RssFile:")
}

/// The only test here, so that no other one's memory is counted.
#[test]
fn a_ring_costs_less_than_a_mebibyte_beyond_its_segment() {
    // Touched before, so that the code of a message is there already.
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
    let before = resident_kib();
    let held = use_ring(64 << 20);
    let cost = resident_kib().saturating_sub(before);
    println!("{cost} KiB beyond 64 MiB of segment");
    assert!(cost < 1024, "{cost} KiB");
    drop(held);
}
