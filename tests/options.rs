//! What one asks for is what one gets: options that were set must be true of what is there, or an error names both values;
//! what was not set is not compared.

use ringway::address::{QueueKey, SysvKey};
use ringway::mq::QueueBuilder;
use ringway::{Address, Builder, Channel, ErrorKind, Kind, SyncKind};
use ringway_testing::place::{Backing, Place};

/// Sets an option.
type Set = fn(Builder) -> Builder;

/// Each option that shapes a ring, set otherwise than for [`there`]; and what an error says then.
const OTHERS: [(Set, &str); 11] = [
    (
        |builder| builder.kind(Kind::Spsc),
        "with kind mpmc and not spsc",
    ),
    (
        |builder| builder.sync(SyncKind::Mqueue),
        "with sync futex and not mqueue",
    ),
    (
        |builder| builder.capacity(100 << 10),
        "with a capacity of 64 KiB and not 128 KiB (for 100 KiB)",
    ),
    (
        |builder| builder.participants(5),
        "with participants 4 and not 5",
    ),
    (
        |builder| builder.cell_len(200),
        "with cells of 128 bytes and not 256 bytes",
    ),
    (
        |builder| builder.overwrite_oldest(true),
        "with senders waiting when it is full and not overwriting",
    ),
    (
        |builder| builder.persistent(true),
        "with a mark that lets a collector remove it and not that keeps it whoever dies",
    ),
    (
        |builder| builder.slabs(8192, 3),
        "with slabs: 2 of 8 KiB and not 3 of 8 KiB",
    ),
    (
        |builder| builder.slab_segments(true),
        "with slabs in the ring's segment and not in segments of their own",
    ),
    (|builder| builder.mode(0o640), "with mode 600 and not 640"),
    (
        |builder| builder.huge_pages(true),
        "with pages of the usual size and not of reserved huge ones",
    ),
];

/// The ring that is there, with all options as they are or as they become.
fn there(builder: Builder) -> Builder {
    builder
        .kind(Kind::Mpmc)
        .capacity(60 << 10)
        .participants(4)
        .cell_len(100)
        .slabs(5000, 2)
}

#[test]
fn what_is_set_is_true_of_the_ring_that_is_there_or_an_error_names_both_values() {
    for backing in Backing::FOUND {
        let mut place = Place::new(backing);
        let ring = there(place.builder()).create().unwrap();
        place.address = ring.address().clone();
        let ways: [fn(Builder) -> _; 2] = [Builder::open, Builder::open_or_create];
        for get in ways {
            // Nothing, or the same, which is rounded as it was.
            for same in [place.builder(), there(place.builder())] {
                assert_eq!(get(same).unwrap().nonce(), ring.nonce());
            }
            let defaults = place.builder().sync(SyncKind::Futex).mode(0o600);
            let defaults = defaults.overwrite_oldest(false).slab_segments(false);
            let defaults = defaults.huge_pages(false);
            assert_eq!(
                get(defaults.persistent(false)).unwrap().nonce(),
                ring.nonce()
            );
            for (other, expected) in OTHERS {
                // What only makes sense with another option gets that, too.
                let error = get(other(place.builder())).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
                let text = error.to_string();
                assert!(text.contains(expected), "{text}");
                assert!(text.contains(&place.address.to_string()), "{text}");
            }
        }
    }
}

#[test]
fn options_that_mean_nothing_to_a_ring_are_not_compared() {
    let (ring, place) = Backing::Shm.ring(4096);
    let same = place.builder().cell_len(64).participants(7);
    let same = same.slab_segments(true).open().unwrap();
    assert_eq!(same.nonce(), ring.nonce());
}

#[test]
fn a_ring_that_is_taken_over_is_as_was_asked_as_well() {
    let ring = Builder::at(Address::Memfd).create().unwrap();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    ring.hand_over(&here).unwrap();
    let builder = Builder::at(Address::Memfd).mode(0o660);
    builder.clone().take_over(&there).unwrap();
    ring.hand_over(&here).unwrap();
    let error = builder.capacity(4096).take_over(&there).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    assert!(text.contains("a capacity of 4 MiB and not 4 KiB"), "{text}");
}

#[test]
fn an_error_for_want_of_room_names_what_was_asked_for_and_what_that_became() {
    let place = Place::new(Backing::Shm);
    let builder = place.builder().capacity((1 << 45) + 1).slabs(5000, 1);
    for make in [Builder::create, Builder::open_or_create] {
        let error = make(builder.clone()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("the capacity of 32.0 TiB to 64 TiB, slabs of 4.9 KiB to 8 KiB"),
            "{text}"
        );
    }
}

#[test]
fn a_queue_that_is_there_is_as_was_asked() {
    let posix = |name: &str| format!("ringway-test-options-{name}-{}", std::process::id());
    let Address::Sysv(SysvKey::Key(key)) = Place::new(Backing::SysvKey).address else {
        panic!("no key");
    };
    let there = Queue(Address::Mq(posix("queue")));
    let builder = || QueueBuilder::at(there.0.clone());
    builder().messages(3).message_len(100).create().unwrap();
    builder().open_or_create().unwrap();
    builder()
        .messages(3)
        .message_len(100)
        .priorities(true)
        .open()
        .unwrap();
    let other = builder()
        .messages(4)
        .message_len(50)
        .priorities(false)
        .mode(0o640);
    for get in [QueueBuilder::open, QueueBuilder::open_or_create] {
        let error = get(other.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        let text = error.to_string();
        for expected in [
            "with priorities and not without",
            "for 3 messages and not 4",
            "for messages of 100 bytes and not 50",
            "with mode 600 and not 640",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
    // A channel has no wish of its own.
    Channel::open(Builder::at(there.0.clone())).unwrap();
    let sysv = Queue(Address::Sysvmq(QueueKey::Key(key)));
    let builder = || QueueBuilder::at(sysv.0.clone());
    let there = || builder().priorities(false).messages(3).message_len(100);
    there().mode(0o620).create().unwrap();
    there().mode(0o620).open().unwrap();
    builder().open_or_create().unwrap();
    for (other, expected) in [
        (
            there().priorities(true),
            "without priorities and not with them",
        ),
        (there().messages(4), "for 3 messages and not 4"),
        (
            there().message_len(50),
            "for messages of 100 bytes and not 50",
        ),
        (there().mode(0o600), "with mode 620 and not 600"),
    ] {
        for get in [QueueBuilder::open, QueueBuilder::open_or_create] {
            let error = get(other.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Incompatible);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
    // A channel's wish is the queue's.
    let error = Channel::open(Builder::at(sysv.0.clone()).mode(0o600)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
}

#[test]
fn a_channel_does_not_open_a_queue_for_what_only_a_ring_has() {
    let queue = Queue(Address::Mq(format!(
        "ringway-test-options-channel-{}",
        std::process::id()
    )));
    QueueBuilder::at(queue.0.clone()).create().unwrap();
    let builder = || Builder::at(queue.0.clone());
    for wish in [
        builder().kind(Kind::Mpmc),
        builder().slabs(4096, 1),
        builder().capacity(1 << 20),
    ] {
        let ways: [fn(Builder) -> _; 3] = [Channel::open, Channel::create, Channel::open_or_create];
        for get in ways {
            let error = get(wish.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
    Channel::open(builder().kind(Kind::Mpsc)).unwrap();
}

/// A message queue that goes with the test.
struct Queue(Address);

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = ringway::mq::remove(&self.0, true);
    }
}
