//! Every interleaving of two processes within loom's bounds, on the code that ships. A lost wake-up
//! shows as a deadlock, a missing release or acquire as a payload that is not there yet.

mod loans;

use loom::thread;

use crate::error::{RecvError, SendError};
use crate::region::model::{Model, at_every_change, lives};
use crate::region::{Load, Region};
use crate::stream::consumer::Consumer;
use crate::stream::producer::Producer;
use crate::stream::{CONSUMER, PRODUCER, Peer};
use crate::wait::{self, Wait, eventcount};

/// Room for one message of 24 bytes, or for three of eight.
const CAPACITY: usize = 64;

fn model(body: impl Fn() + std::marker::Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(3);
    }
    builder.check(body);
}

fn producer(model: &Model) -> Producer<Model> {
    Producer::resume(model.clone()).unwrap()
}

fn consumer(model: &Model) -> Consumer<Model> {
    Consumer::resume(model.clone()).unwrap()
}

fn send(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    let reservation = producer.reserve_until(8, Wait::Park, None)?;
    producer.write_and_commit(reservation, &value.to_le_bytes());
    Ok(())
}

fn receive(consumer: &mut Consumer<Model>) -> Result<u64, RecvError> {
    let found = consumer.peek_until(Wait::Park, None)?;
    let mut bytes = [0; 8];
    assert_eq!(consumer.take_into(&found, &mut bytes), Ok(8));
    Ok(u64::from_le_bytes(bytes))
}

/// Receives until there will be nothing more.
fn receive_all(consumer: &mut Consumer<Model>) -> (Vec<u64>, RecvError) {
    let mut values = Vec::new();
    loop {
        match receive(consumer) {
            Ok(value) => values.push(value),
            Err(end) => return (values, end),
        }
    }
}

/// A ring through which so many messages have gone: what they left in its memory is there.
fn used(messages: u64) -> Model {
    let ring = Model::attached(CAPACITY);
    let (mut sending, mut receiving) = (producer(&ring), consumer(&ring));
    for value in 0..messages {
        send(&mut sending, value).unwrap();
        assert_eq!(receive(&mut receiving), Ok(value));
    }
    ring
}

/// A full ring and its producer: messages 1 to 3 are in it.
fn full() -> (Model, Producer<Model>) {
    let ring = Model::attached(CAPACITY);
    let mut sending = producer(&ring);
    (1..=3).for_each(|value| send(&mut sending, value).unwrap());
    (ring, sending)
}

/// Both sides sleep when they must; messages arrive whole and in order, and then the end.
#[test]
fn messages_then_close() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut producer = producer(&sending);
            for value in 1..=2 {
                send(&mut producer, value).unwrap();
            }
            producer.close();
        });
        for value in 1..=2 {
            assert_eq!(receive(&mut receiving), Ok(value));
        }
        assert_eq!(receive(&mut receiving), Err(RecvError::Closed));
        sender.join().unwrap();
    });
}

/// The producer finds the ring full and sleeps; records wrap, with padding before the end.
#[test]
fn full_then_room() {
    model(|| {
        let (ring, mut sending) = full();
        assert_eq!(sending.reserve(8).unwrap_err(), SendError::Full);
        let receiving = ring.clone();
        let receiver = thread::spawn(move || {
            let mut consumer = consumer(&receiving);
            for value in 1..=3 {
                assert_eq!(receive(&mut consumer), Ok(value));
            }
            consumer
        });
        send(&mut sending, 4).unwrap();
        let mut consumer = receiver.join().unwrap();
        assert_eq!(receive(&mut consumer), Ok(4));
    });
}

/// A payload that goes where another was read, into the very room whose release is awaited, is written
/// after that was read.
#[test]
fn room_is_read_before_it_is_written() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let (mut sending, mut receiving) = (producer(&ring), consumer(&ring));
        let long = [7; 24];
        send(&mut sending, 1).unwrap();
        let reservation = sending.reserve(long.len()).unwrap();
        sending.write_and_commit(reservation, &long);
        assert_eq!(receive(&mut receiving), Ok(1));
        send(&mut sending, 3).unwrap();
        let receiver = thread::spawn(move || {
            let found = receiving.peek().unwrap();
            let mut bytes = [0; 24];
            receiving.take_into(&found, &mut bytes).unwrap();
            assert_eq!(bytes, long);
        });
        let reservation = sending.reserve_until(24, Wait::Park, None).unwrap();
        sending.write_and_commit(reservation, &[9; 24]);
        receiver.join().unwrap();
    });
}

/// A message that does not fit before the end of the region is committed together with its padding.
#[test]
fn padding_and_message_are_one() {
    model(|| {
        let ring = used(3);
        let (mut sending, mut receiving) = (producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || {
            let reservation = sending.reserve_until(16, Wait::Park, None).unwrap();
            let words = [4_u64.to_le_bytes(), 5_u64.to_le_bytes()].concat();
            sending.write_and_commit(reservation, &words);
        });
        let found = receiving.peek_until(Wait::Park, None).unwrap();
        assert_eq!(found.len, 16);
        let mut bytes = [0; 16];
        receiving.region.read(found.payload, &mut bytes);
        assert_eq!((bytes[0], bytes[8]), (4, 5));
        sender.join().unwrap();
    });
}

/// A batch is seen whole or not at all.
#[test]
fn a_batch_is_one() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut producer = producer(&sending);
            let mut pending = None;
            for value in 1..=2_u64 {
                let reservation = producer.reserve_behind(&pending, 8).unwrap();
                producer
                    .region
                    .write(reservation.payload(), &value.to_le_bytes());
                pending = Some(producer.lay(pending, reservation, 8));
            }
            producer.commit(pending.unwrap());
        });
        let first = receiving.peek_until(Wait::Park, None).unwrap();
        assert!(receiving.peek_behind(&first, 1).unwrap().is_some());
        sender.join().unwrap();
    });
}

/// Behind a message nothing is there, whatever the memory held before.
#[test]
fn nothing_is_behind_a_message() {
    model(|| {
        let ring = used(3);
        let (mut sending, mut receiving) = (producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || send(&mut sending, 4).unwrap());
        assert_eq!(receive(&mut receiving), Ok(4));
        assert_eq!(receiving.peek(), Err(RecvError::Empty));
        sender.join().unwrap();
    });
}

/// A producer dies after any change, and another one goes on where the ring stands.
#[test]
fn a_producer_dies_and_another_follows() {
    at_every_change(model, |changes| {
        let ring = used(3);
        let (mut victim, mut receiving) = (producer(&ring), consumer(&ring));
        victim.region.dies_after(changes);
        let dying = ring.clone();
        let sender = thread::spawn(move || {
            let lived = lives(|| [1, 2].map(|value| send(&mut victim, value).unwrap()));
            dying.kill(PRODUCER.slot);
            lived
        });
        let (values, end) = receive_all(&mut receiving);
        assert_eq!(end, RecvError::PeerDied);
        let lived = sender.join().unwrap();
        let sent = if lived { 2..=2 } else { 0..=2 };
        assert!(sent.contains(&values.len()) && [1, 2].starts_with(&values));
        ring.attach(PRODUCER.slot);
        let mut next = producer(&ring);
        assert_eq!(next.sent(), 3 + values.len() as u64);
        send(&mut next, 3).unwrap();
        assert_eq!(receive(&mut receiving), Ok(3));
        lived
    });
}

/// A consumer dies after any change, and another one goes on where the ring stands: with what was not
/// acknowledged.
#[test]
fn a_consumer_dies_and_another_follows() {
    at_every_change(model, |changes| {
        let ring = used(3);
        let (mut sending, mut victim) = (producer(&ring), consumer(&ring));
        (1..=2).for_each(|value| send(&mut sending, value).unwrap());
        victim.region.dies_after(changes);
        let mut received = 0;
        let lived = lives(|| {
            for value in 1..=2 {
                assert_eq!(receive(&mut victim), Ok(value));
                received = value;
            }
        });
        ring.kill(CONSUMER.slot);
        ring.attach(CONSUMER.slot);
        let mut next = consumer(&ring);
        let sender = thread::spawn(move || {
            send(&mut sending, 3).unwrap();
            sending.close();
        });
        let (values, end) = receive_all(&mut next);
        assert_eq!(end, RecvError::Closed);
        // Of the message that it was releasing the dead one did not say so any more.
        let first = values[0];
        assert!(values.iter().copied().eq(first..=3));
        assert!(first == received + 1 || first == received + 2 && !lived);
        sender.join().unwrap();
        lived
    });
}

/// A sleeping consumer is woken by the death of its producer, after what that committed.
#[test]
fn the_producer_dies() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut receiving = consumer(&ring);
        let dying = ring.clone();
        let sender = thread::spawn(move || {
            send(&mut producer(&dying), 1).unwrap();
            dying.kill(PRODUCER.slot);
        });
        assert_eq!(receive(&mut receiving), Ok(1));
        assert_eq!(receive(&mut receiving), Err(RecvError::PeerDied));
        sender.join().unwrap();
    });
}

/// A producer that sleeps for room is woken by the death of its consumer.
#[test]
fn the_consumer_dies() {
    model(|| {
        let (ring, mut sending) = full();
        let dying = ring.clone();
        let receiver = thread::spawn(move || dying.kill(CONSUMER.slot));
        assert_eq!(send(&mut sending, 4), Err(SendError::PeerDied));
        receiver.join().unwrap();
    });
}

/// A producer that sleeps for room is woken when its consumer closes.
#[test]
fn the_consumer_closes() {
    model(|| {
        let (ring, mut sending) = full();
        let closing = ring.clone();
        let receiver = thread::spawn(move || consumer(&closing).close());
        assert_eq!(send(&mut sending, 4), Err(SendError::Closed));
        receiver.join().unwrap();
    });
}

/// A consumer that sleeps before anybody is there learns of a producer that attaches and dies, even if
/// it dies before it has notified anybody.
#[test]
fn a_producer_comes_and_dies_at_once() {
    model(|| {
        let ring = Model::empty(CAPACITY);
        ring.attach(CONSUMER.slot);
        let mut receiving = consumer(&ring);
        let dying = ring.clone();
        let sender = thread::spawn(move || {
            dying.attach(PRODUCER.slot);
            dying.kill(PRODUCER.slot);
        });
        assert_eq!(receive(&mut receiving), Err(RecvError::PeerDied));
        sender.join().unwrap();
    });
}

/// After a death, waiting for the next peer ends when it attaches.
#[test]
fn a_successor_is_noticed() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        ring.kill(PRODUCER.slot);
        let mut receiving = consumer(&ring);
        let next = ring.clone();
        let sender = thread::spawn(move || {
            next.attach(PRODUCER.slot);
            eventcount::notify(&next, CONSUMER.event);
        });
        assert_eq!(
            wait::wait_for_peer(&mut receiving, Wait::Park, None, |_| false),
            Peer::Alive
        );
        sender.join().unwrap();
    });
}

/// The producer sleeps until all is drained.
#[test]
fn drained() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut sending = producer(&ring);
        send(&mut sending, 1).unwrap();
        let receiving = ring.clone();
        let receiver = thread::spawn(move || receive(&mut consumer(&receiving)).unwrap());
        assert_eq!(sending.drained_until(Wait::Park, None), Ok(()));
        assert_eq!(receiver.join().unwrap(), 1);
    });
}
