//! What a ring's creator says of its messages is checked when another program has typed handles made: between processes, in rings of every
//! kind and backing, and whatever a peer writes in its place.

mod two_processes;

use std::os::unix::net::UnixStream;

use bytemuck::{Pod, Zeroable};
use ringway::broadcast::Subscription;
use ringway::inspect::stat;
use ringway::message::MessageType;
use ringway::{Builder, Channel, Error, ErrorKind, Kind, Ring};
use ringway_testing::table::Row;
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, bytes, in_time, play};

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Order {
    price: u64,
    amount: u64,
}

const ORDER: MessageType = MessageType::of::<Order>("shop.order").with_version(2);
const SHOWN: &str = "shop.order version 2 (16 bytes, alignment 8)";

/// What others mean, of which one thing differs each; and how it is shown.
const OTHERS: [(MessageType, &str); 4] = [
    (
        MessageType::of::<Order>("shop.offer").with_version(2),
        "shop.offer version 2 (16 bytes, alignment 8)",
    ),
    (
        MessageType::of::<Order>("shop.order"),
        "shop.order (16 bytes, alignment 8)",
    ),
    (
        MessageType::of::<[u64; 3]>("shop.order").with_version(2),
        "shop.order version 2 (24 bytes, alignment 8)",
    ),
    (
        MessageType::of::<[u32; 4]>("shop.order").with_version(2),
        "shop.order version 2 (16 bytes, alignment 4)",
    ),
];

/// Offset of what the creator says, and the end of it.
const TYPE: std::ops::Range<usize> = 648..768;

fn order(number: u64) -> Order {
    Order {
        price: number,
        amount: !number,
    }
}

fn meaning(builder: Builder, message_type: &MessageType) -> Builder {
    builder.message_type(message_type.clone())
}

/// Asserts that it is refused for its type, and what to do is said.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.expect_err("another type is refused");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(!error.next_step().is_empty(), "{error}");
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    text
}

#[test]
fn child_role() {
    play(|role, first| match role {
        "mean the same" => mean_the_same(first),
        "mean others" => mean_others(first),
        _ => panic!("{role}"),
    });
}

fn mean_the_same(first: &First) {
    let builder = Builder::at(first.address().clone());
    let ring = meaning(builder, &ORDER).open().unwrap().typed::<Order>();
    let mut sender = ring.sender().unwrap();
    sender.send(&order(1)).unwrap();
    drop(sender);
    first.say("sent");
}

fn mean_others(first: &First) {
    for (other, _) in &OTHERS {
        let builder = Builder::at(first.address().clone());
        first.say(refused(meaning(builder.clone(), other).open()));
        first.say(refused(meaning(builder, other).open_or_create()));
    }
    // Who has said nothing has handles for bytes, and no typed ones.
    let ring = first.ring();
    first.say(refused(ring.clone().typed::<Order>().sender()));
    ring.sender().unwrap().send(b"bytes").unwrap();
    first.say("sent");
}

#[test]
fn programs_that_mean_another_type_are_told_both_and_what_to_do() {
    for backing in Backing::NAMED {
        for kind in [Kind::Spsc, Kind::Mpmc, Kind::Broadcast] {
            let place = Place::new(backing);
            let ring = meaning(place.builder(), &ORDER)
                .kind(kind)
                .create()
                .unwrap();
            let typed = ring.clone().typed::<Order>();
            let mut receiver = match kind {
                Kind::Broadcast => typed.subscribe(&Subscription::new().name("audit")),
                _ => typed.receiver(),
            }
            .unwrap();
            let same = Second::start("mean the same", &ring);
            same.expect("sent");
            same.finish();
            let received = in_time(|deadline| receiver.recv_deadline(deadline));
            assert_eq!(received, Ok(order(1)));

            let others = Second::start("mean others", &ring);
            for (_, shown) in &OTHERS {
                for _ in ["open", "open_or_create"] {
                    let text = others.hear();
                    let both = format!("its messages are {SHOWN}, and this program means {shown};");
                    assert!(text.contains(&both), "{text}");
                    assert!(text.contains(&place.address.to_string()), "{text}");
                }
            }
            let text = others.hear();
            let both = format!(
                "its messages are {SHOWN}, and this program has not said what its type (16 bytes, alignment 8) is"
            );
            assert!(text.contains(&both), "{text}");
            others.expect("sent");
            others.finish();
            let received = in_time(|deadline| receiver.untyped().recv_deadline(deadline));
            assert_eq!(received.unwrap(), b"bytes");
        }
    }
}

/// That nobody writes there, whatever a ring does, is what lets rings that know no types be opened.
#[test]
fn what_is_stored_stays_and_where_nothing_is_stored_all_types_pass() {
    for row in Row::on_shm() {
        for message_type in [Some(ORDER), None] {
            let (mut builder, place) = row.builder();
            if let Some(message_type) = &message_type {
                builder = meaning(builder, message_type);
            }
            let ring = builder.create().unwrap();
            let stored = || bytes::copy(&place)[TYPE].to_vec();
            let before = stored();
            assert_eq!(before == [0; 120], message_type.is_none(), "{row}");
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            let receiving = std::thread::spawn(move || {
                for number in 0..2000 {
                    assert_eq!(receiver.recv_pod(), Ok(order(number)));
                }
            });
            for number in 0..2000 {
                sender.send_pod(&order(number)).unwrap();
            }
            receiving.join().unwrap();
            drop(sender);
            assert!(stored() == before, "{row}");
            assert_eq!(stat(&place.address).unwrap().message_type, message_type);
            assert_eq!(ring.stat().message_type, message_type);
            assert_eq!(ring.message_type(), message_type);
            if message_type.is_none() {
                let again = row.shape(place.builder());
                let again = meaning(again, &ORDER).open_or_create().unwrap();
                assert!(!again.is_new());
                again.typed::<Order>().sender().unwrap();
                ring.typed::<u8>().sender().unwrap();
            }
        }
    }
}

#[test]
fn whatever_a_peer_writes_there_is_another_type_and_nothing_else() {
    let named = |name: &[u8]| {
        let mut forged = [0; 120];
        forged[0] = 16;
        forged[8] = 2;
        forged[12] = 8;
        forged[16..16 + name.len()].copy_from_slice(name);
        forged
    };
    let forgeries = [
        [0xff; 120],
        named(b""),
        named(b"shop.order\xff"),
        named(b"shop.order\0more"),
        // Without an end.
        named(&[b'x'; 104]),
        named(b"\x1b]0;title\x07\r\n"),
        named("\u{202e}redro".as_bytes()),
        named(b"shop.order \xf0\x9f"),
    ];
    for backing in Backing::FOUND {
        let mut place = Place::new(backing);
        let ring = meaning(place.builder(), &ORDER).create().unwrap();
        place.address = ring.address().clone();
        let mut open = ring.clone().typed::<Order>().sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        for forged in &forgeries {
            bytes::forge(&place, TYPE.start as u64, forged);
            let found = stat(&place.address).unwrap().message_type.unwrap();
            assert!(!found.to_string().contains(char::is_control), "{found:?}");
            let said = refused(meaning(place.builder(), &ORDER).open());
            assert!(
                said.contains(SHOWN) && said.contains(&found.to_string()),
                "{said}"
            );
            refused(ring.clone().typed::<Order>().receiver());
            let untyped = place.builder().open().unwrap();
            refused(untyped.clone().typed::<Order>().receiver());
            // Who had its handle, and who takes bytes, go on.
            open.send(&order(3)).unwrap();
            assert_eq!(receiver.recv_pod(), Ok(order(3)));
        }
        bytes::forge(&place, TYPE.start as u64, &named(b"shop.order"));
        meaning(place.builder(), &ORDER).open().unwrap();
        bytes::forge(&place, TYPE.start as u64, &[0; 120]);
        meaning(place.builder(), &OTHERS[0].0).open().unwrap();
    }
}

#[test]
fn a_copy_and_a_memfd_have_it_as_well() {
    let place = Place::new(Backing::File);
    drop(meaning(place.builder(), &ORDER).create().unwrap());
    let copy = Place::new(Backing::File);
    std::fs::copy(place.path(), copy.path()).unwrap();
    refused(meaning(copy.builder(), &OTHERS[0].0).open());
    let ring = meaning(copy.builder(), &ORDER).open().unwrap();
    ring.typed::<Order>().sender().unwrap();

    let memfd = || Builder::new("memfd:").unwrap();
    let ring: Ring = meaning(memfd(), &ORDER).create().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    for (other, _) in &OTHERS {
        ring.hand_over(&here).unwrap();
        let text = refused(meaning(memfd(), other).take_over(&there));
        assert!(!text.contains("ringway rm"), "{text}");
    }
    ring.hand_over(&here).unwrap();
    let (same, _) = meaning(memfd(), &ORDER).take_over(&there).unwrap();
    same.typed::<Order>().receiver().unwrap();
}

#[test]
fn what_is_said_must_be_said_right() {
    let place = Place::new(Backing::Shm);
    let nameless = [
        MessageType::of::<u8>(""),
        MessageType::of::<u8>("two\nlines"),
    ];
    for message_type in &nameless {
        let error = meaning(place.builder(), message_type).create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(!place.is_taken());
    }
    // It is not what the handles are for.
    let ring = meaning(place.builder(), &ORDER).create().unwrap();
    let text = refused(ring.clone().typed::<u64>().sender());
    let both = format!("it was opened for {SHOWN}, and not for a type of 8 bytes, alignment 8");
    assert!(text.contains(&both), "{text}");
    ring.typed::<Order>().sender().unwrap();
    // A queue cannot store it.
    let queue = Builder::new(&format!("mq:/ringway-test-types-{}", std::process::id())).unwrap();
    let error = Channel::create(meaning(queue, &ORDER)).unwrap_err();
    assert!(
        error.to_string().contains("a type of its messages"),
        "{error}"
    );
}
