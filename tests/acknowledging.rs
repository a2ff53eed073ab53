//! A message comes again until it is acknowledged: on every kind of ring, in the ring and in a slab, and on every
//! transport.

mod two_processes;

use std::time::Duration;

use ringway::address::{QueueKey, SysvKey};
use ringway::channel::{ChannelMessage, ChannelReceiver};
use ringway::chunk::{ChunkReceiver, ChunkSender};
use ringway::mq::QueueBuilder;
use ringway::peer::Role;
use ringway::transport::{MessageSource, ReceivedMessage};
use ringway::{Address, Builder, Channel, Kind, Receiver, RecvError, Ring};
use two_processes::messages::number;
use two_processes::place::{Backing, Place};
use two_processes::table::{Row, for_each};
use two_processes::watchdog;

/// Each row with messages in the ring, and with messages in slabs.
fn on_rings(test: impl Fn(&str, &Ring) + Sync) {
    for_each(Row::supported(), |row| {
        for with_slabs in [false, true] {
            let (ring, _place) = row.ring_with(|builder| match with_slabs {
                false => builder,
                true => builder.slabs(4096, 8),
            });
            test(&format!("{row}, slabs: {with_slabs}"), &ring);
        }
    });
}

/// Sends a message that is that long in a ring with slabs that it lies in one.
fn send(ring: &Ring, nth: u64) {
    let mut bytes = number(nth).to_vec();
    if nth % 2 == 1 {
        bytes.resize(3000, 0);
    }
    let mut sender = ring.sender().unwrap().with_copy_limit(1000);
    if bytes.len() as u64 > sender.max_message_len() {
        bytes.truncate(1000);
    }
    sender.try_send(&bytes).unwrap();
    sender.leave();
}

fn number_of(message: &impl ReceivedMessage) -> u64 {
    let mut bytes = [0; 8];
    assert_eq!(message.read_at(0, &mut bytes), 8);
    two_processes::messages::number_in(&bytes)
}

/// One way to have a message and not to acknowledge it.
type Way = fn(&mut Receiver) -> u64;

const WAYS: [(&str, Way); 3] = [
    ("dropped", |receiver| {
        number_of(&receiver.recv_in_place().unwrap())
    }),
    ("an early return", |receiver| {
        let early = |receiver: &mut Receiver| -> Result<(), u64> {
            let message = receiver.try_recv_in_place().unwrap();
            Err(number_of(&message))?;
            message.release();
            Ok(())
        };
        early(receiver).unwrap_err()
    }),
    ("work that fails", |receiver| {
        let failed = receiver.process(|message| Err::<(), _>(number_of(message)));
        failed.unwrap().unwrap_err()
    }),
];

#[test]
fn what_is_not_acknowledged_comes_again() {
    on_rings(|case, ring| {
        let mut receiver = ring.receiver().unwrap();
        for nth in 0..8 {
            send(ring, 2 * nth);
            send(ring, 2 * nth + 1);
            for expected in [2 * nth, 2 * nth + 1] {
                for (way, have) in WAYS {
                    assert_eq!(have(&mut receiver), expected, "{case}: {way}");
                }
                let message = receiver.recv_in_place().unwrap();
                assert_eq!(number_of(&message), expected, "{case}");
                message.release();
            }
            assert_eq!(receiver.try_recv().ok(), None, "{case}");
        }
        assert_eq!(receiver.received(), 16, "{case}");
    });
}

#[test]
fn work_that_succeeds_acknowledges() {
    on_rings(|case, ring| {
        let mut receiver = ring.receiver().unwrap();
        (0..3).for_each(|nth| send(ring, nth));
        let number = |message: &ringway::Message<'_>| Ok::<_, ()>(number_of(message));
        assert_eq!(receiver.process(number), Ok(Ok(0)), "{case}");
        assert_eq!(
            receiver.process_deadline(watchdog(), number),
            Ok(Ok(1)),
            "{case}"
        );
        assert_eq!(receiver.try_process(number), Ok(Ok(2)), "{case}");
        assert!(receiver.try_process(number).is_err(), "{case}");
        assert_eq!(receiver.received(), 3, "{case}");
    });
}

/// Where several share the messages, another one gets what one gives back, while that one lives.
#[test]
fn another_receiver_gets_what_one_gives_back() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let mut first = ring.receiver().unwrap();
        let mut second = ring.receiver().unwrap();
        send(&ring, 0);
        let message = first.recv_in_place().unwrap();
        assert!(second.try_recv().is_err(), "{row}");
        message.give_back();
        let message = second.recv_in_place_deadline(watchdog()).unwrap();
        assert_eq!(number_of(&message), 0, "{row}");
        message.release();
        assert!(first.try_recv().is_err(), "{row}");
    });
}

/// One that is only dropped is its receiver's next one, and another one's when that receiver has left.
#[test]
fn another_receiver_gets_what_one_has_dropped_when_that_one_leaves() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let mut first = ring.receiver().unwrap();
        let mut second = ring.receiver().unwrap();
        (0..2).for_each(|nth| send(&ring, nth));
        drop(first.recv_in_place().unwrap());
        let again = first.recv_in_place().unwrap();
        assert_eq!(number_of(&again), 0, "{row}");
        drop(again);
        let message = second.try_recv_in_place().unwrap();
        assert_eq!(number_of(&message), 1, "{row}");
        message.release();
        assert!(second.try_recv().is_err(), "{row}");
        drop(first);
        let message = second.recv_in_place_deadline(watchdog()).unwrap();
        assert_eq!(number_of(&message), 0, "{row}");
        message.release();
    });
}

/// A message in a slab that was given back is lent again, and its slab is free when it is released.
#[test]
fn slabs_of_messages_that_come_again_are_free_when_those_are_released() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.slabs(4096, 1));
        let mut sender = ring.sender().unwrap().with_copy_limit(0);
        let mut receiver = ring.receiver().unwrap();
        for nth in 0..5 {
            sender.try_send(&number(nth)).unwrap();
            for _ in 0..3 {
                assert_eq!(number_of(&receiver.recv_in_place().unwrap()), nth, "{row}");
            }
            assert_eq!(
                sender.try_send(&[0; 3000]),
                Err(ringway::SendError::Full),
                "{row}"
            );
            receiver.recv_in_place().unwrap().release();
        }
    });
}

/// Runs a test on channels of each sort: a ring, a queue of each system with and without priorities.
fn on_channels(test: impl Fn(&str, &Channel)) {
    let (ring, _place) = Backing::Shm.ring(4096);
    test("ring", &Channel::from(ring));
    for priorities in [true, false] {
        // A name and a key that no other test has.
        let key = match Place::new(Backing::SysvKey).address {
            Address::Sysv(SysvKey::Key(key)) => key,
            ref address => panic!("{address}"),
        };
        for address in [
            Address::Mq(format!("ringway-test-acknowledging-{key}")),
            Address::Sysvmq(QueueKey::Key(key)),
        ] {
            let _gone = Gone(&address);
            let builder = QueueBuilder::at(address.clone()).priorities(priorities);
            builder.messages(4).message_len(112).create().unwrap();
            let channel = Channel::open(Builder::at(address.clone())).unwrap();
            test(&address.to_string(), &channel);
        }
    }
}

/// Removes a queue.
struct Gone<'a>(&'a Address);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = ringway::mq::remove(self.0, true);
    }
}

#[test]
fn work_that_succeeds_acknowledges_on_every_transport() {
    on_channels(|case, channel| {
        let mut sender = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        (0..4).for_each(|nth| sender.send(&number(nth)).unwrap());
        let work = |message: &ChannelMessage<'_>| match message.deliveries() {
            1 => Err("not now"),
            _ => Ok(number_of(message)),
        };
        let long = Duration::from_secs(60);
        for nth in 0..4 {
            let once = |receiver: &mut ChannelReceiver| match nth {
                0 => receiver.process(work),
                1 => receiver.process_timeout(long, work),
                2 => receiver.process_deadline(watchdog(), work),
                _ => receiver.try_process(work),
            };
            assert_eq!(once(&mut receiver), Ok(Err("not now")), "{case}");
            assert_eq!(once(&mut receiver), Ok(Ok(nth)), "{case}");
        }
        assert_eq!(receiver.try_process(work), Err(RecvError::Empty), "{case}");
        let short = Duration::from_millis(1);
        let timed_out = receiver.process_timeout(short, work);
        assert_eq!(timed_out, Err(RecvError::TimedOut), "{case}");
    });
}

#[test]
fn it_is_so_on_every_transport() {
    on_channels(|case, channel| {
        let mut sender = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        for nth in 0..10 {
            sender.send(&number(nth)).unwrap();
            sender.send(&number(nth + 100)).unwrap();
            for expected in [nth, nth + 100] {
                for _ in 0..3 {
                    let message = receiver.receive_deadline(Some(watchdog())).unwrap();
                    assert_eq!(number_of(&message), expected, "{case}");
                    drop(message);
                    assert_eq!(
                        number_of(&receiver.try_receive().unwrap()),
                        expected,
                        "{case}"
                    );
                }
                receiver.try_receive().unwrap().release();
            }
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{case}");
        }
        sender.send(&number(7)).unwrap();
        drop(receiver.receive().unwrap());
        let mut buffer = [0; 8];
        assert_eq!(receiver.recv_into(&mut buffer), Ok(8), "{case}");
        let received = match &receiver {
            ChannelReceiver::Ring(receiver) => receiver.received(),
            ChannelReceiver::Queue(receiver) => receiver.received(),
            other => panic!("{other:?}"),
        };
        assert_eq!(received, 21, "{case}");
    });
}

/// Large messages are copied fragment by fragment, each of which is acknowledged.
#[test]
fn fragments_are_acknowledged_when_they_are_copied() {
    on_channels(|case, channel| {
        let mut sender = ChunkSender::new(channel.sender().unwrap());
        let mut receiver = ChunkReceiver::new(channel.receiver().unwrap());
        for len in [0_usize, 1, 200] {
            let message = vec![7; len];
            sender.send_deadline(&message, watchdog()).unwrap();
            assert_eq!(
                receiver.recv_deadline(watchdog()).unwrap(),
                message,
                "{case}"
            );
        }
        let left = receiver.into_inner().try_recv();
        assert_eq!(left, Err(RecvError::Empty), "{case}");
    });
}

/// A message that is no fragment is told of once.
#[test]
fn what_is_no_fragment_does_not_come_again() {
    let ring = Builder::new("memfd:")
        .unwrap()
        .kind(Kind::Mpsc)
        .create()
        .unwrap();
    ring.sender().unwrap().send(b"no fragment").unwrap();
    let _sender = ring.sender().unwrap();
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    let told = receiver.try_recv();
    assert!(
        matches!(told, Err(ringway::chunk::ChunkRecvError::Frame(_))),
        "{told:?}"
    );
    let told = receiver.try_recv();
    let empty = ringway::chunk::ChunkRecvError::Transport(RecvError::Empty);
    assert_eq!(format!("{told:?}"), format!("{:?}", Err::<(), _>(empty)));
}
