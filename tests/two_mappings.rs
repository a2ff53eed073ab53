//! A segment lies at another address in each process, and nothing in it is a pointer.

mod two_processes;

use ringway::Receiver;
use two_processes::messages::message;
use two_processes::place::{Backing, again};
use two_processes::{First, Second, bytes, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "be attached" => be_attached(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn a_ring_mapped_twice_carries_messages_from_one_address_to_the_other() {
    for backing in Backing::ALL {
        let (here, _place) = backing.ring(4096);
        let there = again(&here);
        assert_eq!(here.nonce(), there.nonce());
        let mut sender = here.sender().unwrap();
        sender.send(b"message").unwrap();
        let addresses = [&here, &there].map(|ring| address_of_first(&mut ring.receiver().unwrap()));
        assert_ne!(addresses[0], addresses[1], "{backing:?}");
        let mut receiver = there.receiver().unwrap();
        assert_eq!(receiver.try_recv().unwrap(), b"message");
        let max = here.max_message_len() as usize;
        // Some laps.
        for number in 2..2000 {
            sender.try_send(&message(number, max)).unwrap();
            assert_eq!(receiver.try_recv().unwrap(), message(number, max));
        }
        // Either mapping goes without the other.
        drop(sender);
        drop(here);
        assert_eq!(receiver.try_recv(), Err(ringway::RecvError::Closed));
    }
}

/// Where the receiver's next message lies; gives it back.
fn address_of_first(receiver: &mut Receiver) -> usize {
    let message = receiver.try_recv_in_place().unwrap();
    // SAFETY: nobody writes before the release.
    let address = unsafe { message.as_slice() }.as_ptr().addr();
    drop(message);
    address
}

/// While processes are attached at both ends and messages lie in the ring, no word of the segment is
/// an address of anything in any of them.
#[test]
fn nothing_in_a_segment_is_a_pointer() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let mut sender = ring.sender().unwrap();
        let consumer = Second::start("be attached", &ring);
        sender.send(b"one").unwrap();
        consumer.expect("attached");
        sender.send(b"two").unwrap();
        let ranges = [std::process::id(), consumer.pid()].map(mapped_ranges);
        for (index, word) in bytes::copy(&place).chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            let points = ranges
                .iter()
                .flatten()
                .any(|(start, end)| (*start..*end).contains(&word));
            assert!(!points, "{backing:?}: {word:#x} at {}", index * 8);
        }
    }
}

fn mapped_ranges(process: u32) -> Vec<(u64, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
    let range = |line: &str| {
        let (start, rest) = line.split_once('-').unwrap();
        let (end, _) = rest.split_once(' ').unwrap();
        (number(start), number(end))
    };
    maps.lines().map(range).collect()
}

fn be_attached(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    assert_eq!(receiver.recv().unwrap(), b"one");
    first.say("attached");
    first.hear();
}
