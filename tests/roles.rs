//! Each role has one holder, and is free again when the holder leaves, closes or dies. Closing tells the other side that
//! this was all, until the next one comes.

mod two_processes;

use std::time::Instant;

use ringway::peer::Peer;
use ringway::{Builder, ErrorKind, RecvError, SendError, WaitStrategy};
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
        "leave" => leave(first),
        "attach when told" => attach_when_told(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn a_second_producer_is_refused_and_told_who_has_the_role() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let holder = producer(&ring, 1);
        let error = ring.sender().unwrap_err();
        let pid = holder.pid();
        assert_eq!(error.kind(), ErrorKind::RoleTaken { pid }, "{backing:?}");
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
        assert!(error.next_step().contains(&pid.to_string()), "{error}");
        // Nor is the ring disturbed.
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 0);
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        // Death frees the role.
        holder.kill();
        ring.sender().unwrap();
    }
}

#[test]
fn a_second_consumer_is_refused_and_told_who_has_the_role() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut sender = ring.sender().unwrap();
        let holder = consumer(&ring);
        let pid = holder.pid();
        let error = ring.receiver().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RoleTaken { pid }, "{backing:?}");
        sender.send(&number(3)).unwrap();
        holder.say("next");
        holder.expect("3");
        holder.kill_unreaped();
        ring.receiver().unwrap();
    }
}

#[test]
fn a_process_does_not_hold_a_role_twice() {
    let (ring, _place) = Backing::Shm.ring(4096);
    let (_sender, _receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let pid = std::process::id();
    let taken = ErrorKind::RoleTaken { pid };
    assert_eq!(ring.sender().unwrap_err().kind(), taken);
    assert_eq!(ring.clone().receiver().unwrap_err().kind(), taken);
}

/// Through every way of leaving, the next holder goes on where the ring stands.
#[test]
fn a_role_that_was_left_is_free() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let first = Second::start("leave", &ring);
        first.finish();
        assert_eq!(receiver.peer(), Peer::Absent, "{backing:?}");
        let mut sender = ring.sender().unwrap();
        sender.send(&number(1)).unwrap();
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 0);
        drop(receiver);
        assert_eq!(sender.peer(), Peer::Absent);
        sender.send(&number(2)).unwrap();
        sender.leave();
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 1);
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 2);
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{backing:?}");
    }
}

#[test]
fn a_ring_that_its_producer_closed_is_drained_and_opened_by_the_next_one() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let producer = producer(&ring, 2);
        producer.say("close");
        producer.finish();
        let mut receiver = ring.receiver().unwrap();
        receiver.wait_for_peer().unwrap();
        assert_eq!(number_in(&receiver.recv().unwrap()), 0);
        assert_eq!(number_in(&receiver.recv().unwrap()), 1);
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        let nobody = receiver.wait_for_peer_deadline(Instant::now());
        assert_eq!(nobody, Err(RecvError::TimedOut), "{backing:?}");
        assert_eq!(receiver.peer(), Peer::Closed);
        // Also for the next consumer.
        drop(receiver);
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        let mut sender = ring.sender().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        sender.send(&number(2)).unwrap();
        assert_eq!(number_in(&receiver.recv().unwrap()), 2);
    }
}

#[test]
fn a_consumer_that_closes_wakes_the_blocked_producer() {
    for backing in Backing::ALL {
        for wait in WAITS {
            let (ring, _place) = backing.ring(4096);
            let mut sender = ring.sender().unwrap().with_wait(wait);
            fill(&mut sender);
            let consumer = consumer(&ring);
            let end = while_blocked(
                wait,
                || consumer.say("close"),
                || sender.send_deadline(&number(0), watchdog()),
            );
            assert_eq!(end, Err(SendError::Closed), "{backing:?} {wait:?}");
            assert_eq!(sender.try_send(&number(0)), Err(SendError::Closed));
            let drained = sender.wait_until_drained_deadline(watchdog());
            assert_eq!(drained, Err(SendError::Closed));
            consumer.finish();
        }
    }
}

#[test]
fn a_producer_that_closes_wakes_the_blocked_consumer() {
    for backing in Backing::ALL {
        for wait in WAITS {
            let (ring, _place) = backing.ring(4096);
            let mut receiver = ring.receiver().unwrap().with_wait(wait);
            let producer = Second::start("send", &ring);
            let end = while_blocked(
                wait,
                || producer.say("close"),
                || receiver.recv_deadline(watchdog()),
            );
            assert_eq!(end, Err(RecvError::Closed), "{backing:?} {wait:?}");
            producer.finish();
        }
    }
}

#[test]
fn a_peer_is_waited_for() {
    for backing in Backing::ALL {
        for wait in WAITS {
            let (ring, _place) = backing.ring(4096);
            let mut receiver = ring.receiver().unwrap().with_wait(wait);
            let nobody = receiver.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(RecvError::TimedOut));
            let producer = Second::start("attach when told", &ring);
            while_blocked(
                wait,
                || producer.say("producer"),
                || receiver.wait_for_peer_deadline(watchdog()),
            )
            .unwrap();
            assert_eq!(receiver.peer(), Peer::Alive, "{backing:?} {wait:?}");
            drop(receiver);

            let (ring, _place) = backing.ring(4096);
            let mut sender = ring.sender().unwrap().with_wait(wait);
            let nobody = sender.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(SendError::TimedOut));
            let consumer = Second::start("attach when told", &ring);
            while_blocked(
                wait,
                || consumer.say("consumer"),
                || sender.wait_for_peer_deadline(watchdog()),
            )
            .unwrap();
            assert_eq!(sender.peer(), Peer::Alive, "{backing:?} {wait:?}");
        }
    }
}

#[test]
fn a_blocked_consumer_waits_on_for_the_successor_of_one_that_left() {
    for wait in WAITS {
        let (ring, _place) = Backing::Shm.ring(4096);
        let mut receiver = ring.receiver().unwrap().with_wait(wait);
        Second::start("leave", &ring).finish();
        assert_eq!(number_in(&receiver.recv_deadline(watchdog()).unwrap()), 0);
        let successor = Second::start("send", &ring);
        let message = while_blocked(
            wait,
            || successor.say(1),
            || receiver.recv_deadline(watchdog()),
        );
        assert_eq!(number_in(&message.unwrap()), 0, "{wait:?}");
    }
}

#[test]
fn a_producer_waits_until_all_is_received() {
    for backing in Backing::ALL {
        for wait in WAITS {
            let (ring, _place) = backing.ring(4096);
            let mut sender = ring.sender().unwrap().with_wait(wait);
            sender.wait_until_drained().unwrap();
            let consumer = consumer(&ring);
            sender.send(&number(0)).unwrap();
            sender.send(&number(1)).unwrap();
            consumer.say("next");
            consumer.expect("0");
            let not_yet = sender.wait_until_drained_deadline(Instant::now());
            assert_eq!(not_yet, Err(SendError::TimedOut));
            while_blocked(
                wait,
                || consumer.say("next"),
                || sender.wait_until_drained_deadline(watchdog()),
            )
            .unwrap();
            consumer.expect("1");
        }
    }
}

#[test]
fn an_open_waits_for_the_ring_to_appear() {
    for backing in Backing::NAMED {
        let place = two_processes::place::Place::new(backing);
        let opened = while_blocked(
            WaitStrategy::Park,
            || drop(place.builder().capacity(4096).create().unwrap()),
            || {
                Builder::at(place.address.clone())
                    .wait(watchdog() - Instant::now())
                    .open()
            },
        );
        assert_eq!(opened.unwrap().capacity(), 4096, "{backing:?}");
    }
}

fn leave(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    sender.send(&number(0)).unwrap();
    sender.leave();
}

fn attach_when_told(first: &First) {
    let ring = first.ring();
    let role = first.hear();
    let _handles = match role.as_str() {
        "producer" => (Some(ring.sender().unwrap()), None),
        _ => (None, Some(ring.receiver().unwrap())),
    };
    first.hear();
}
