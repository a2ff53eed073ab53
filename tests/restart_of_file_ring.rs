//! A ring in a file keeps what was not acknowledged when every process is gone, and when the machine
//! has been started anew.

mod two_processes;

use ringway::{ErrorKind, RecvError};
use two_processes::messages::number_in;
use two_processes::place::{Backing, Place};
use two_processes::roles::{receive, send};
use two_processes::{Second, bytes, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

/// A ring that no process has open, in which messages 0 to 3 of 10 have been acknowledged. Whether its
/// processes died or left in order.
fn left_alone(backing: Backing, killed: bool) -> Place {
    let (ring, place) = backing.ring(4096);
    drop(ring);
    let producer = Second::start_at("send", &place.address);
    let consumer = Second::start_at("receive", &place.address);
    producer.say(10);
    producer.expect("10");
    consumer.expect("attached");
    for number in 0..4 {
        consumer.say("next");
        consumer.expect(&number.to_string());
    }
    if killed {
        producer.kill();
        consumer.kill();
    } else {
        producer.say("leave");
        producer.finish();
        consumer.say("leave");
        consumer.finish();
    }
    place
}

/// Asserts that the ring goes on: with message 4, and with a new producer.
#[track_caller]
fn assert_goes_on(place: &Place) {
    let ring = place.builder().open().unwrap();
    let mut receiver = ring.receiver().unwrap();
    for number in 4..10 {
        assert_eq!(number_in(&receiver.try_recv().unwrap()), number);
    }
    let mut sender = ring.sender().unwrap();
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    sender.send(b"on we go").unwrap();
    assert_eq!(receiver.try_recv().unwrap(), b"on we go");
}

#[test]
fn what_was_not_acknowledged_is_there_when_all_processes_are_gone() {
    for backing in Backing::FOUND {
        for killed in [true, false] {
            assert_goes_on(&left_alone(backing, killed));
        }
    }
}

#[test]
fn a_copy_of_the_file_is_the_ring_as_it_was() {
    let place = left_alone(Backing::File, true);
    let copy = bytes::copy(&place);
    assert_goes_on(&place);
    ringway::remove(&place.address, false).unwrap();
    std::fs::write(place.path(), copy).unwrap();
    assert_goes_on(&place);
}

/// As after a power failure: the words say that processes are attached, and no kernel will ever mark
/// them.
#[test]
fn after_a_reboot_the_roles_are_free_and_the_messages_are_there() {
    let place = left_alone(Backing::File, true);
    let somebody = (0x8000_0000_u32 | 4242).to_le_bytes();
    bytes::forge(&place, bytes::PRODUCER, &somebody);
    bytes::forge(&place, bytes::CONSUMER, &somebody);
    {
        // Under this boot they would count.
        let ring = place.builder().open().unwrap();
        let taken = |kind| matches!(kind, ErrorKind::RoleTaken { .. });
        assert!(taken(ring.sender().unwrap_err().kind()));
        assert!(taken(ring.receiver().unwrap_err().kind()));
        let in_use = ringway::remove(&place.address, false).unwrap_err();
        assert!(matches!(in_use.kind(), ErrorKind::InUse { .. }));
    }
    bytes::forge(&place, bytes::BOOT_ID, &[0x5a; 16]);
    assert_goes_on(&place);
}

/// Nobody has opened the ring since the reboot; an observer and whoever clears up must not take the
/// dead for alive either.
#[test]
fn after_a_reboot_an_observer_sees_nobody_alive() {
    let place = left_alone(Backing::File, true);
    let somebody = (0x8000_0000_u32 | 4242).to_le_bytes();
    bytes::forge(&place, bytes::PRODUCER, &somebody);
    bytes::forge(&place, bytes::BOOT_ID, &[0x5a; 16]);
    let stat = ringway::inspect::stat(&place.address).unwrap();
    let alive = stat.participants.iter().filter(|who| who.alive).count();
    assert_eq!(alive, 0, "{stat:?}");
    assert_eq!((stat.sent, stat.received), (10, 4));
    ringway::remove(&place.address, false).unwrap();
    assert!(!place.is_taken());
}
