//! Of a ring with a lock no word without an owner is changed but under that, whatever the message is.

use crate::memory::layout::Kind;
use crate::testing::cells::{HeapCells, Setup};

/// An empty message was claimed without the lock once: its length was not above the limit of the short way, which was 0.
#[test]
fn every_message_takes_the_lock() {
    let setup = Setup {
        kind: Kind::Mpmc,
        each: 2,
        cells: 8,
        cell_len: 64,
        lap: 0,
        late: false,
        overwrite: false,
        lock: true,
        bell: false,
        settles: true,
    };
    let ring = HeapCells::of(setup).unwrap();
    let (mut producer, mut consumer) = (ring.producer(0).unwrap(), ring.consumer(0).unwrap());
    // By the first one the producer learns that there is a consumer.
    for len in [1, 0, 8, 48, 49] {
        // Whoever gets the lock of a dead holder says then that all is consistent.
        ring.script.die();
        producer.send(&vec![7; len], None).unwrap();
        assert!(!ring.script.is_dirty(), "{len} bytes sent without the lock");
        ring.script.die();
        assert_eq!(consumer.recv_into(&mut [0; 64], None), Ok(len));
        assert!(
            !ring.script.is_dirty(),
            "{len} bytes received without the lock"
        );
    }
}
