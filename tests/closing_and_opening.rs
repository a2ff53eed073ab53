//! A stream ends when its last producer has closed, and the next one opens it again, in every ring there is; so do
//! consumers. Whoever dies meanwhile has died: what those before it said is nothing any more.

mod two_processes;

use std::time::Instant;

use ringway::channel::ChannelReceiver;
use ringway::mq::QueueReceiver;
use ringway::peer::Peer;
use ringway::transport::{MessageSource, ReceivedMessage};
use ringway::{Receiver, RecvError, Ring, SendError, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::procfs::while_blocked;
use two_processes::roles::{consumer, producer, receive, send};
use two_processes::table::{Row, for_each};
use two_processes::{WAITS, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

/// One program after the other sends something and ends, by closing or by just letting its handle go.
#[test]
fn each_stream_has_its_end_and_the_next_one_begins() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        for round in 0..4 {
            let mut sender = ring.sender().unwrap();
            assert_eq!(receiver.peer(), Peer::Alive, "{row}");
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            sender.send(&number(round)).unwrap();
            match round % 2 {
                0 => sender.close(),
                _ => drop(sender),
            }
            assert_eq!(number_in(&receiver.recv().unwrap()), round, "{row}");
            for _ in 0..2 {
                assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
                assert_eq!(receiver.try_recv(), Err(RecvError::Closed), "{row}");
            }
            assert_eq!(receiver.peer(), Peer::Closed, "{row}");
            let nobody = receiver.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(RecvError::TimedOut), "{row}");
            // The end is there for whoever comes, until somebody sends.
            drop(receiver);
            receiver = ring.receiver().unwrap();
            assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
        }
        // One that only leaves ends nothing, whatever those before it did.
        ring.sender().unwrap().leave();
        assert_eq!(receiver.peer(), Peer::Absent, "{row}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
    });
}

/// The next producer comes before the receiver has got to the end: the stream goes on.
#[test]
fn a_successor_that_comes_before_all_is_received_goes_on_with_the_stream() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        for first in [0, 2] {
            let mut sender = ring.sender().unwrap();
            sender.send(&number(first)).unwrap();
            sender.close();
            let mut sender = ring.sender().unwrap();
            assert_eq!(number_in(&receiver.recv().unwrap()), first, "{row}");
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            sender.send(&number(first + 1)).unwrap();
            sender.close();
            assert_eq!(number_in(&receiver.recv().unwrap()), first + 1, "{row}");
            assert_eq!(receiver.try_recv(), Err(RecvError::Closed), "{row}");
        }
    });
}

/// The receiver has been told of the end and sleeps for the next producer.
#[test]
fn who_sleeps_after_the_end_is_woken_by_the_next_producer() {
    for_each(Row::supported(), |row| {
        for wait in WAITS {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap().with_wait(wait);
            drop(ring.sender().unwrap());
            assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
            let mut next = None;
            while_blocked(
                wait,
                || next = Some(ring.sender().unwrap()),
                || receiver.wait_for_peer_deadline(watchdog()),
            )
            .unwrap();
            next.unwrap().send(&number(7)).unwrap();
            assert_eq!(number_in(&receiver.recv().unwrap()), 7, "{row}");
            assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
        }
    });
}

/// A consumer that closes refuses messages until the next one comes, also to a sender that sleeps for room.
#[test]
fn the_next_consumer_takes_what_the_last_one_refused() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        for _ in 0..2 {
            ring.receiver().unwrap().close();
            assert_eq!(sender.peer(), Peer::Closed, "{row}");
            assert_eq!(sender.try_send(&number(0)), Err(SendError::Closed), "{row}");
            assert_eq!(sender.send(&number(0)), Err(SendError::Closed), "{row}");
            let nobody = sender.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(SendError::TimedOut), "{row}");
            let mut receiver = while_blocked_get(
                || ring.receiver().unwrap(),
                || sender.wait_for_peer_deadline(watchdog()).unwrap(),
            );
            sender.send(&number(1)).unwrap();
            assert_eq!(number_in(&receiver.recv().unwrap()), 1, "{row}");
            // One that leaves refuses nothing.
            receiver.leave();
            assert_eq!(sender.peer(), Peer::Absent, "{row}");
            sender.send(&number(2)).unwrap();
            drop(ring.receiver().unwrap());
            sender.send(&number(3)).unwrap();
            let mut receiver = ring.receiver().unwrap();
            for expected in 2..4 {
                assert_eq!(number_in(&receiver.recv().unwrap()), expected, "{row}");
            }
        }
    });
}

/// Does something while another thread is blocked in a call, and returns what came of it.
fn while_blocked_get<T: Send>(act: impl FnOnce() -> T + Send, call: impl FnOnce()) -> T {
    let mut made = None;
    while_blocked(WaitStrategy::Park, || made = Some(act()), call);
    made.unwrap()
}

/// Between two streams that end in order somebody dies: before it has sent, after it has, before or after the receiver
/// has seen it. That is a death and no end, and the next one opens the ring all the same.
#[test]
fn who_dies_between_two_streams_has_died() {
    for_each(Row::supported(), |row| {
        for sent in [0, 2] {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap();
            ends_in_order(&ring, &mut receiver);
            let victim = producer(&ring, sent);
            if sent == 0 {
                assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            }
            victim.kill();
            for expected in 0..sent {
                assert_eq!(number_in(&receiver.recv().unwrap()), expected, "{row}");
            }
            assert_eq!(receiver.recv(), Err(RecvError::PeerDied), "{row}");
            drop(receiver);
            let mut receiver = ring.receiver().unwrap();
            assert_eq!(receiver.recv(), Err(RecvError::PeerDied), "{row}");
            ends_in_order(&ring, &mut receiver);
        }
    });
}

fn ends_in_order(ring: &Ring, receiver: &mut Receiver) {
    let mut sender = ring.sender().unwrap();
    sender.send(&number(9)).unwrap();
    drop(sender);
    assert_eq!(number_in(&receiver.recv().unwrap()), 9);
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
}

/// The receiver dies when it has been told of the end, or before: the next one is told.
#[test]
fn a_receiver_that_dies_takes_no_end_along() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let victim = consumer(&ring);
        let mut sender = ring.sender().unwrap();
        sender.send(&number(3)).unwrap();
        victim.say("next");
        victim.expect("3");
        sender.close();
        victim.kill();
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
        ends_in_order(&ring, &mut receiver);
    });
}

/// A consumer dies where the one before it had closed: senders see a death, and the next one opens the ring again.
#[test]
fn a_consumer_that_dies_after_another_closed_has_died() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        ring.receiver().unwrap().close();
        assert_eq!(sender.try_send(&number(0)), Err(SendError::Closed), "{row}");
        let victim = consumer(&ring);
        sender.send(&number(1)).unwrap();
        victim.kill();
        assert_eq!(sender.peer(), Peer::Died, "{row}");
        let end = loop {
            if let Err(end) = sender.try_send(&number(2)) {
                break end;
            }
        };
        assert_eq!(end, SendError::PeerDied, "{row}");
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.recv().unwrap()), 1, "{row}");
        sender.send(&number(2)).unwrap();
    });
}

/// A loop that goes on after a death: the compiler must see that an error borrows nothing.
const _: fn(&mut Receiver) -> Result<u64, RecvError> = |receiver| {
    loop {
        match receiver.recv_in_place() {
            Ok(message) => return Ok(number_in(&message.to_vec())),
            Err(RecvError::PeerDied) => receiver.wait_for_peer()?,
            Err(error) => return Err(error),
        }
    }
};
/// The same of queues and channels.
const _: fn(&mut QueueReceiver) -> Result<u64, RecvError> = |receiver| {
    loop {
        match receiver.recv_in_place() {
            Ok(message) => return Ok(number_in(&message.to_vec())),
            Err(RecvError::PeerDied) => receiver.wait_for_peer()?,
            Err(error) => return Err(error),
        }
    }
};
const _: fn(&mut ChannelReceiver) -> Result<usize, RecvError> = |receiver| {
    loop {
        match receiver.receive() {
            Ok(message) => return Ok(message.len()),
            Err(RecvError::PeerDied) => receiver.wait_for_peer()?,
            Err(error) => return Err(error),
        }
    }
};
