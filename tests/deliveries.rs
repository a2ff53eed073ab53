//! What a receiver knows of a message beside its bytes: which one it is, how often it was delivered, and what never
//! came; on every kind of ring, also when receivers die with messages.

mod two_processes;

use std::ops::Range;

use ringway::inspect::stat;
use ringway::message::MessageView;
use ringway::{Receiver, RecvError, Ring, Sender};
use two_processes::messages::{Random, number, number_in};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "take one" => take_one(first),
        "take two" => take_two(first),
        _ => panic!("{role}"),
    });
}

/// So often a message is counted.
const MOST: u32 = 15;

fn send(sender: &mut Sender, numbers: Range<u64>) {
    for nth in numbers {
        sender.try_send(&number(nth)).unwrap();
    }
}

/// Runs a test on each ring, with messages in the ring and with messages in slabs.
fn on_rings(test: impl Fn(&str, Row, &Ring) + Sync) {
    for_each(Row::supported(), |row| {
        for with_slabs in [false, true] {
            let (ring, _place) = row.ring_with(|builder| match with_slabs {
                false => builder,
                true => builder.slabs(4096, 8),
            });
            test(&format!("{row}, slabs: {with_slabs}"), row, &ring);
        }
    });
}

/// A sender whose messages lie in slabs where there are some.
fn sender(ring: &Ring) -> Sender {
    ring.sender().unwrap().with_copy_limit(0)
}

/// What the next message says of itself: what is in it, its number, its deliveries. It is given back.
fn look(receiver: &mut Receiver) -> (u64, u64, u32) {
    let message = receiver.recv_in_place_deadline(watchdog()).unwrap();
    assert_eq!(message.redelivered(), message.deliveries() > 1);
    let text = number_in(&message.to_vec());
    (text, message.number(), message.deliveries())
}

fn of_view(view: &MessageView<'_>) -> (u64, u32) {
    assert_eq!(view.redelivered(), view.deliveries() > 1);
    (number_in(&view.to_vec()), view.deliveries())
}

#[test]
fn deliveries_are_counted_one_by_one_up_to_fifteen() {
    on_rings(|case, _, ring| {
        let mut sender = sender(ring);
        send(&mut sender, 0..2);
        // Of handle after handle.
        for times in 1..2 * MOST {
            let mut receiver = ring.receiver().unwrap();
            let expected = (2 * times - 1).min(MOST);
            assert_eq!(look(&mut receiver).2, expected, "{case}");
            assert_eq!(look(&mut receiver).2, (expected + 1).min(MOST), "{case}");
        }
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(receiver.recv().unwrap(), number(0), "{case}");
        for times in 1..4 {
            assert_eq!(
                (look(&mut receiver).0, look(&mut receiver).2),
                (1, 2 * times),
                "{case}"
            );
        }
    });
}

/// Takes a message.
fn take_one(first: &First) {
    let ring = first.ring();
    let mut receiver = ring.receiver().unwrap();
    let message = receiver.recv_in_place_deadline(watchdog()).unwrap();
    first.say(message.deliveries());
    first.hear();
    drop(message);
}

/// Takes two messages one after the other.
fn take_two(first: &First) {
    let ring = first.ring();
    let mut receiver = ring.receiver().unwrap();
    let mut backlog = receiver.backlog();
    for _ in 0..2 {
        first.say(backlog.next_message().unwrap().unwrap().deliveries());
    }
    first.hear();
}

#[test]
fn what_the_dead_had_is_delivered_once_more() {
    let mut rows = Row::supported();
    // The others are as these.
    rows.retain(|row| row.backing == two_processes::place::Backing::Shm || !row.has_cells());
    for_each(rows, |row| {
        let (ring, _place) = row.ring_with(|builder| builder.slabs(4096, 8));
        let mut sender = ring.sender().unwrap();
        send(&mut sender, 0..3);
        let die = |role, expected: &[&str]| {
            let victim = Second::start(role, &ring);
            for expected in expected {
                assert_eq!(victim.hear(), *expected, "{row}");
            }
            victim.kill();
        };
        die("take one", &["1"]);
        die("take two", &["2", "1"]);
        die("take one", &["3"]);
        let mut receiver = ring.receiver().unwrap();
        let mut backlog = receiver.backlog();
        for expected in [(0, 4), (1, 2), (2, 1)] {
            let view = backlog.next_message().unwrap().unwrap();
            assert_eq!(of_view(&view), expected, "{row}");
        }
    });
}

#[test]
fn what_nobody_looked_at_was_not_delivered() {
    on_rings(|case, _, ring| {
        let mut sender = sender(ring);
        let mut receiver = ring.receiver().unwrap();
        send(&mut sender, 0..1);
        let unseen = |receiver: &mut Receiver| {
            for _ in 0..3 {
                let short = receiver.try_recv_into(&mut [0; 3]);
                assert_eq!(short, Err(RecvError::BufferTooSmall { len: 8 }), "{case}");
                assert_eq!(receiver.skip_unreadable(), Ok(false), "{case}");
                receiver.wait().unwrap();
            }
        };
        for times in 1..4 {
            unseen(&mut receiver);
            assert_eq!(look(&mut receiver).2, times, "{case}");
        }
        unseen(&mut receiver);
        receiver.recv().unwrap();
    });
}

#[test]
fn numbers_grow_and_stay() {
    on_rings(|case, row, ring| {
        let mut sender = sender(ring);
        let mut receiver = ring.receiver().unwrap();
        let mut last = None;
        let mut note = |text: u64, number: u64| {
            assert!(last < Some(number), "{case}: {number} behind {last:?}");
            if !row.has_cells() {
                assert_eq!(number, text, "{case}");
            }
            last = Some(number);
        };
        let mut next = 0;
        for _ in 0..20 {
            send(&mut sender, next..next + 5);
            let (text, number, _) = look(&mut receiver);
            assert_eq!(text, next, "{case}");
            let message = receiver.recv_in_place().unwrap();
            assert_eq!(message.number(), number, "{case}");
            let detached = message.detach().unwrap();
            assert_eq!(
                (detached.number(), detached.deliveries()),
                (number, 2),
                "{case}"
            );
            assert!(detached.redelivered(), "{case}");
            note(next, number);
            let mut backlog = receiver.backlog();
            let mut numbers = Vec::new();
            for _ in 0..4 {
                numbers.push(backlog.next_message().unwrap().unwrap().number());
            }
            backlog.release_first(1);
            note(next + 1, numbers[0]);
            let mut nth = 1;
            let drained = receiver.drain(3, |view| {
                assert_eq!(view.number(), numbers[nth], "{case}");
                assert_eq!(of_view(&view), (next + 1 + nth as u64, 2), "{case}");
                note(next + 1 + nth as u64, view.number());
                nth += 1;
            });
            assert_eq!(drained, Ok(3), "{case}");
            next += 5;
        }
    });
}

/// Who receives in a ring that overwrites knows of each gap, and how long it is.
#[test]
fn no_loss_is_invisible() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let mut sender = ring.sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        let mut random = Random(1);
        let (mut sent, mut expected, mut lost) = (0, 0, 0);
        for _ in 0..200 {
            let more = random.below(60);
            send(&mut sender, sent..sent + more);
            sent += more;
            for _ in 0..random.below(40) {
                expected += receiver.lost() - lost;
                lost = receiver.lost();
                match receiver.try_recv() {
                    Ok(message) => assert_eq!(number_in(&message), expected, "{row}"),
                    Err(error) => {
                        assert_eq!((error, expected), (RecvError::Empty, sent), "{row}");
                        break;
                    }
                }
                expected += 1;
            }
        }
        assert!(lost > 0, "{row}");
        assert_eq!(receiver.received() + lost, expected, "{row}");
    });
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        while sender.try_send(b"no room in the end").is_ok() {}
        assert_eq!(ring.receiver().unwrap().lost(), 0, "{row}");
    });
}

#[test]
fn an_open_ring_tells_what_its_address_tells() {
    on_rings(|case, row, ring| {
        let mut sender = sender(ring);
        let mut receiver = ring.receiver().unwrap();
        send(&mut sender, 0..5);
        receiver.recv().unwrap();
        let seen = ring.stat();
        assert_eq!(
            (seen.sent, seen.received, seen.kind),
            (5, 1, row.kind),
            "{case}"
        );
        assert_eq!(seen.participants.len(), 2, "{case}");
        assert!(seen.participants.iter().all(|one| one.alive), "{case}");
        assert_eq!(
            seen.slabs.len(),
            usize::from(case.ends_with("true")),
            "{case}"
        );
        match stat(ring.address()) {
            Ok(mut from_outside) => {
                // Whose it is, and who may open it, its name tells.
                assert!(from_outside.owner.take().is_some(), "{case}");
                assert!(from_outside.mode.take().is_some(), "{case}");
                assert_eq!(seen, from_outside, "{case}");
            }
            Err(error) => assert_eq!(*ring.address(), ringway::Address::Memfd, "{case}: {error}"),
        }
        // Also when its name leads nowhere.
        if ringway::remove(ring.address(), true).is_ok() {
            assert_eq!(ring.stat(), seen, "{case}");
        }
    });
}
