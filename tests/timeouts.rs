//! Every verb that waits does so for ever, for a time, until a deadline, or not at all, and all of them mean the same on
//! rings, queues, channels and chunk transports.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::address::{QueueKey, SysvKey};
use ringway::chunk::{ChunkReceiver, ChunkRecvError, ChunkSendError, ChunkSender};
use ringway::mq::QueueBuilder;
use ringway::transport::{MessageSink, MessageSource};
use ringway::wait::WaitSet;
use ringway::{Address, Builder, Channel, RecvError, SendError};
use ringway_testing::place::{Backing, Place};
use ringway_testing::table::Row;

/// Nothing happens in it.
const MOMENT: Duration = Duration::from_millis(2);

/// More than the clock can say.
const FOR_EVER: Duration = Duration::MAX;

/// What `verb` answers, and that it took `at_least` so long.
fn timed<T>(at_least: Duration, verb: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let answer = verb();
    assert!(begun.elapsed() >= at_least);
    answer
}

fn soon() -> Instant {
    Instant::now() + MOMENT
}

/// What `verb` says in vain: in each of its forms that do not wait for ever.
macro_rules! in_vain {
    ($verb:ident, $timeout:ident, $deadline:ident on $handle:expr, ($($argument:expr),*), $timed_out:expr) => {
        let answer = timed(MOMENT, || $handle.$timeout($($argument,)* MOMENT).map(drop));
        assert_eq!(answer, Err($timed_out), stringify!($timeout));
        let answer = timed(MOMENT, || $handle.$deadline($($argument,)* soon()).map(drop));
        assert_eq!(answer, Err($timed_out), stringify!($deadline));
        let answer = $handle.$timeout($($argument,)* Duration::ZERO).map(drop);
        assert_eq!(answer, Err($timed_out), stringify!($timeout));
        let answer = $handle.$deadline($($argument,)* Some(Instant::now())).map(drop);
        assert_eq!(answer, Err($timed_out), stringify!($deadline));
    };
}

#[test]
fn each_verb_of_a_sender_waits_as_it_says() {
    for row in Row::on_shm() {
        let (ring, _place) = row.ring();
        let _receiver = ring.receiver().unwrap();
        let mut sender = ring.sender().unwrap();
        sender.send_timeout(b"1", FOR_EVER).unwrap();
        sender.send_deadline(b"2", None).unwrap();
        let parts = [IoSlice::new(b"3")];
        sender.send_vectored(&parts).unwrap();
        sender.send_vectored_timeout(&parts, FOR_EVER).unwrap();
        sender.send_vectored_deadline(&parts, None).unwrap();
        sender.claim(1).unwrap().commit();
        sender.claim_timeout(1, FOR_EVER).unwrap().commit();
        sender.claim_deadline(1, None).unwrap().commit();
        sender.wait_for_peer().unwrap();
        sender.wait_for_peer_timeout(FOR_EVER).unwrap();
        sender.wait_for_peer_deadline(soon()).unwrap();
        while sender.try_send(&[0; 500]).is_ok() {}

        let timed_out = SendError::TimedOut;
        let long = [0; 500];
        in_vain!(send, send_timeout, send_deadline on sender, (&long), timed_out);
        let parts = [IoSlice::new(&long)];
        in_vain!(send_vectored, send_vectored_timeout, send_vectored_deadline on sender, (&parts), timed_out);
        in_vain!(claim, claim_timeout, claim_deadline on sender, (500), timed_out);
        in_vain!(send_parts, send_parts_timeout, send_vectored_deadline on sender, (&parts), timed_out);
        let write = |_: &mut ringway::message::Claim<'_>| panic!("there is no room");
        let answer = timed(MOMENT, || sender.send_with_timeout(500, MOMENT, write));
        assert_eq!(answer, Err(timed_out), "{row}");
        let answer = timed(MOMENT, || sender.send_with_deadline(500, soon(), write));
        assert_eq!(answer, Err(timed_out), "{row}");
        assert_eq!(sender.try_send_with(500, write), Err(SendError::Full));
        let never = &mut |_: &mut dyn ringway::transport::MessageRoom| panic!("there is no room");
        let answer = MessageSink::send_with_timeout(&mut sender, 500, MOMENT, never);
        assert_eq!(answer, Err(timed_out), "{row}");
        let answer = MessageSink::try_send_with(&mut sender, 500, never);
        assert_eq!(answer, Err(SendError::Full), "{row}");
        in_vain!(wait_until_drained, wait_until_drained_timeout, wait_until_drained_deadline on sender, (), timed_out);
        assert_eq!(sender.try_claim(500).map(drop), Err(SendError::Full));
        assert_eq!(sender.try_send_vectored(&parts), Err(SendError::Full));
    }
}

#[test]
fn each_verb_of_a_receiver_waits_as_it_says() {
    for row in Row::on_shm() {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let timed_out = RecvError::TimedOut;
        in_vain!(wait_for_peer, wait_for_peer_timeout, wait_for_peer_deadline on receiver, (), timed_out);
        in_vain!(wait_for_producers, wait_for_producers_timeout, wait_for_producers_deadline on receiver, (1), timed_out);
        let mut sender = ring.sender().unwrap();
        in_vain!(recv, recv_timeout, recv_deadline on receiver, (), timed_out);
        let mut buffer = [0; 8];
        in_vain!(recv_into, recv_into_timeout, recv_into_deadline on receiver, (&mut buffer), timed_out);
        in_vain!(recv_in_place, recv_in_place_timeout, recv_in_place_deadline on receiver, (), timed_out);
        in_vain!(wait, wait_timeout, wait_deadline on receiver, (), timed_out);
        in_vain!(receive, receive_timeout, recv_in_place_deadline on receiver, (), timed_out);
        timed(MOMENT, || {
            receiver.wait_while_attached_timeout(&[sender.id()], MOMENT)
        });
        timed(MOMENT, || {
            receiver.wait_while_attached_deadline(&[sender.id()], soon())
        });
        let mut set = WaitSet::new();
        set.add(&mut receiver);
        timed(MOMENT, || set.wait_timeout(MOMENT)).unwrap_err();
        timed(MOMENT, || set.wait_deadline(soon())).unwrap_err();

        for number in 0..8 {
            sender.send(&[number]).unwrap();
        }
        receiver.wait().unwrap();
        receiver.wait_timeout(FOR_EVER).unwrap();
        receiver.wait_deadline(None).unwrap();
        assert_eq!(receiver.recv().unwrap(), [0], "{row}");
        assert_eq!(receiver.recv_timeout(FOR_EVER).unwrap(), [1]);
        assert_eq!(receiver.recv_deadline(None).unwrap(), [2]);
        assert_eq!(receiver.recv_into(&mut buffer), Ok(1));
        assert_eq!(receiver.recv_into_timeout(&mut buffer, FOR_EVER), Ok(1));
        assert_eq!(receiver.recv_into_deadline(&mut buffer, soon()), Ok(1));
        receiver.recv_in_place_timeout(FOR_EVER).unwrap().release();
        receiver.recv_in_place_deadline(None).unwrap().release();
        receiver.wait_for_peer().unwrap();
        receiver.wait_for_producers(1).unwrap();
    }
}

#[test]
fn queues_channels_and_chunk_transports_wait_as_rings_do() {
    let timed_out = (SendError::TimedOut, RecvError::TimedOut);
    let (ring, _place) = Backing::Memfd.ring(4096);
    let queue = Queue::new();
    for channel in [Channel::from(ring), queue.channel()] {
        let mut receiver = channel.receiver().unwrap();
        in_vain!(wait_for_peer, wait_for_peer_timeout, wait_for_peer_deadline on receiver, (), timed_out.1);
        let mut sender = channel.sender().unwrap();
        sender.wait_for_peer().unwrap();
        in_vain!(recv, recv_timeout, recv_deadline on receiver, (), timed_out.1);
        let mut buffer = [0; 8];
        in_vain!(recv_into, recv_into_timeout, recv_into_deadline on receiver, (&mut buffer), timed_out.1);
        in_vain!(recv_in_place, recv_in_place_timeout, recv_in_place_deadline on receiver, (), timed_out.1);
        assert_eq!(receiver.try_recv_into(&mut buffer), Err(RecvError::Empty));
        sender.send_timeout(b"1", FOR_EVER).unwrap();
        assert_eq!(receiver.recv_timeout(FOR_EVER).unwrap(), b"1");
        while sender.try_send(&[0; 500]).is_ok() {}
        in_vain!(send, send_timeout, send_deadline on sender, (&[0; 500]), timed_out.0);

        let mut sender = ChunkSender::new(sender);
        for error in [
            sender.send_timeout(&[0; 500], MOMENT),
            sender.send_deadline(&[0; 500], soon()),
            sender
                .send_from_timeout(&[0; 500][..], None, MOMENT, drop)
                .map(drop),
        ] {
            let Err(ChunkSendError::Transport { error, sent: 0 }) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error, timed_out.0);
        }
        let Err(ChunkSendError::Transport { error, .. }) = sender.try_send(&[0; 500]) else {
            panic!("it is full");
        };
        assert_eq!(error, SendError::Full);
        while receiver.try_recv().is_ok() {}
        let mut receiver = ChunkReceiver::new(receiver);
        for error in [
            receiver.recv_timeout(MOMENT).map(drop),
            receiver.recv_deadline(soon()).map(drop),
            receiver.recv_gathered_timeout(MOMENT).map(drop),
            receiver.recv_to_timeout(Vec::new(), MOMENT, drop).map(drop),
            receiver.stream_timeout(MOMENT).map(drop),
        ] {
            let Err(ChunkRecvError::Transport(error)) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error, timed_out.1);
        }
        sender.try_send(b"short").unwrap();
        assert_eq!(receiver.try_recv().unwrap(), b"short");
        sender.send_timeout(b"short", FOR_EVER).unwrap();
        assert_eq!(receiver.recv_timeout(FOR_EVER).unwrap(), b"short");
    }
}

#[test]
fn a_queue_waits_as_it_says_with_a_priority_as_well() {
    let there = Queue::new();
    let queue = QueueBuilder::at(there.0.clone()).open().unwrap();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send_with_priority(b"1", 0).unwrap();
    sender
        .send_with_priority_timeout(b"2", 0, FOR_EVER)
        .unwrap();
    sender.send_with_priority_deadline(b"3", 0, None).unwrap();
    while sender.try_send_with_priority(b"4", 0).is_ok() {}
    let timed_out = SendError::TimedOut;
    in_vain!(send_with_priority, send_with_priority_timeout, send_with_priority_deadline on sender, (b"5", 0), timed_out);
    assert_eq!(receiver.recv_timeout(FOR_EVER).unwrap(), b"1");
    sender.close_timeout(FOR_EVER).unwrap();
}

/// A message queue that goes with the test.
struct Queue(Address);

impl Queue {
    fn new() -> Self {
        let Address::Sysv(SysvKey::Key(key)) = Place::new(Backing::SysvKey).address else {
            panic!("no key");
        };
        let address = Address::Sysvmq(QueueKey::Key(key));
        QueueBuilder::at(address.clone()).create().unwrap();
        Self(address)
    }

    fn channel(&self) -> Channel {
        Channel::open(Builder::at(self.0.clone())).unwrap()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = ringway::mq::remove(&self.0, true);
    }
}
