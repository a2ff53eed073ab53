//! A process dies: who waits for it learns so, and who comes after it goes on where the ring stands.

mod two_processes;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use ringway::peer::Peer;
use ringway::{RecvError, SendError};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::procfs::while_blocked;
use two_processes::roles::{consumer, fill, producer, receive, send};
use two_processes::{First, Second, WAITS, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        "hold a message" => hold_a_message(first),
        "panic and live" => panic_and_live(first),
        _ => panic!("{role}"),
    });
}

type Kill = fn(&Second);

/// How the victim ends.
const ENDS: [(&str, Kill); 2] = [
    ("reaped", Second::kill),
    ("a zombie", Second::kill_unreaped),
];

#[test]
fn a_blocked_consumer_gets_all_that_was_committed_and_then_learns_of_the_death() {
    for backing in Backing::ALL {
        for wait in WAITS {
            for (how, kill) in ENDS {
                let (ring, _place) = backing.ring(4096);
                let mut receiver = ring.receiver().unwrap().with_wait(wait);
                let producer = producer(&ring, 10);
                let end = while_blocked(
                    wait,
                    || kill(&producer),
                    || {
                        for expected in 0..10 {
                            let message = receiver.recv_deadline(watchdog()).unwrap();
                            assert_eq!(number_in(&message), expected);
                        }
                        receiver.recv_deadline(watchdog())
                    },
                );
                assert_eq!(end, Err(RecvError::PeerDied), "{backing:?} {wait:?} {how}");
                assert_eq!(receiver.peer(), Peer::Died);
                assert_eq!(receiver.try_recv(), Err(RecvError::PeerDied));
            }
        }
    }
}

#[test]
fn a_producer_blocked_on_a_full_ring_learns_of_the_death() {
    for backing in Backing::ALL {
        for wait in WAITS {
            for (how, kill) in ENDS {
                let (ring, _place) = backing.ring(4096);
                let mut sender = ring.sender().unwrap().with_wait(wait);
                fill(&mut sender);
                let consumer = consumer(&ring);
                let end = while_blocked(
                    wait,
                    || kill(&consumer),
                    || sender.send_deadline(&number(0), watchdog()),
                );
                assert_eq!(end, Err(SendError::PeerDied), "{backing:?} {wait:?} {how}");
                assert_eq!(sender.peer(), Peer::Died);
                assert_eq!(sender.try_send(&number(0)), Err(SendError::PeerDied));
            }
        }
    }
}

#[test]
fn who_waits_until_all_is_received_learns_of_the_death() {
    for wait in WAITS {
        let (ring, _place) = Backing::Shm.ring(4096);
        let mut sender = ring.sender().unwrap().with_wait(wait);
        sender.send(&number(0)).unwrap();
        let consumer = consumer(&ring);
        let end = while_blocked(
            wait,
            || consumer.kill_unreaped(),
            || sender.wait_until_drained_deadline(watchdog()),
        );
        assert_eq!(end, Err(SendError::PeerDied), "{wait:?}");
    }
}

#[test]
fn a_second_producer_goes_on_and_the_consumer_never_left() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let mut expected = 0;
        for _ in 0..3 {
            let producer = producer(&ring, 7);
            producer.kill();
            // What the dead one left is as good as its presence.
            receiver.wait_for_peer_deadline(Instant::now()).unwrap();
            for number in 0..7 {
                let message = receiver.recv_deadline(watchdog()).unwrap();
                assert_eq!(number_in(&message), number, "{backing:?}");
                expected += 1;
            }
            let end = receiver.recv_deadline(watchdog());
            assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
            let nobody = receiver.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(RecvError::TimedOut), "{backing:?}");
        }
        assert_eq!(expected, 21);
        // In this process: the ring was never closed.
        let sender = ring.sender().unwrap();
        assert_eq!(receiver.peer(), Peer::Alive);
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
    }
}

#[test]
fn a_second_consumer_gets_exactly_what_the_first_did_not_acknowledge() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut sender = ring.sender().unwrap();
        for index in 0..30 {
            sender.send(&number(index)).unwrap();
        }
        let mut next = 0;
        for _ in 0..4 {
            let consumer = consumer(&ring);
            for _ in 0..5 {
                consumer.say("next");
                consumer.expect(&next.to_string());
                next += 1;
            }
            consumer.kill();
            assert_eq!(sender.peer(), Peer::Died, "{backing:?}");
        }
        let mut receiver = ring.receiver().unwrap();
        for index in next..30 {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), index);
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{backing:?}");
        sender.wait_until_drained_deadline(watchdog()).unwrap();
    }
}

#[test]
fn a_message_that_was_read_but_not_released_comes_again() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut sender = ring.sender().unwrap();
        sender.send(&number(7)).unwrap();
        sender.send(&number(8)).unwrap();
        for _ in 0..3 {
            let consumer = Second::start("hold a message", &ring);
            consumer.expect("7");
            consumer.kill();
        }
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 7, "{backing:?}");
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 8);
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    }
}

#[test]
fn a_handle_dropped_by_a_panic_is_a_death_though_the_process_lives() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let producer = Second::start("panic and live", &ring);
        assert_eq!(
            number_in(&receiver.recv_deadline(watchdog()).unwrap()),
            0,
            "{backing:?}"
        );
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
        producer.expect("alive");
        // And its role is free.
        ring.sender().unwrap();
    }
}

fn hold_a_message(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    let message = receiver.recv_in_place().unwrap();
    first.say(number_in(&message.to_vec()));
    first.hear();
    message.release();
}

fn panic_and_live(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        sender.send(&number(0)).unwrap();
        // As a panic, but nothing is printed.
        resume_unwind(Box::new("a panic"));
    }));
    assert!(panicked.is_err());
    first.say("alive");
    first.hear();
}
