//! Every interleaving of two processes within loom's bounds, on the code that ships. A lost wake-up
//! shows as a deadlock, a missing release or acquire as a payload that is not there yet.

mod loans;

use loom::thread;

use crate::error::{RecvError, SendError};
use crate::memory::region::{Load, Region};
use crate::presence::Peer;
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::testing::model::{Model, at_every_change, explorer, lives};
use crate::waiting::{self, WaitOptions, Waited, eventcount};

/// Room for one message of 24 bytes, or for three of eight.
const CAPACITY: usize = 64;

fn model(body: impl Fn() + Sync + Send + 'static) {
    explorer(0).check(body);
}

fn producer(model: &Model) -> Producer<Model> {
    Producer::resume(model.clone()).unwrap()
}

fn consumer(model: &Model) -> Consumer<Model> {
    Consumer::resume(model.clone()).unwrap()
}

fn send_bytes(producer: &mut Producer<Model>, bytes: &[u8]) -> Result<(), SendError> {
    super::send(producer, bytes, Some(&WaitOptions::PARK))
}

fn send(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    send_bytes(producer, &value.to_le_bytes())
}

fn try_send(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    super::send(producer, &value.to_le_bytes(), None)
}

fn receive_into(consumer: &mut Consumer<Model>, bytes: &mut [u8]) -> Result<usize, RecvError> {
    super::receive_into(consumer, bytes, Some(&WaitOptions::PARK))
}

fn receive(consumer: &mut Consumer<Model>) -> Result<u64, RecvError> {
    let mut bytes = [0; 8];
    assert_eq!(receive_into(consumer, &mut bytes)?, 8);
    Ok(u64::from_le_bytes(bytes))
}

fn try_receive(consumer: &mut Consumer<Model>) -> Result<u64, RecvError> {
    let mut bytes = [0; 8];
    assert_eq!(super::receive_into(consumer, &mut bytes, None)?, 8);
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

/// The producer leaves and ends the stream, as `Sender`'s drop does.
fn close(producer: &Producer<Model>) {
    producer.close();
    producer.region.leave(PRODUCER.slot);
    PRODUCER.announce(CONSUMER, &producer.region);
}

/// The consumer leaves and refuses further messages, as `Receiver::close` does.
fn refuse(consumer: &Consumer<Model>) {
    consumer.close();
    consumer.region.leave(CONSUMER.slot);
    CONSUMER.announce(PRODUCER, &consumer.region);
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
            close(&producer);
        });
        for value in 1..=2 {
            assert_eq!(receive(&mut receiving), Ok(value));
        }
        assert_eq!(receive(&mut receiving), Err(RecvError::Closed));
        sender.join().unwrap();
    });
}

/// Receives, and waits for the next producer after each end, until `last` has come. What the ends were.
fn receive_beyond_ends(consumer: &mut Consumer<Model>, last: u64) -> Vec<RecvError> {
    let (mut next, mut ends) = (1, Vec::new());
    while next <= last {
        match receive(consumer) {
            Ok(value) => {
                assert_eq!(value, next);
                next += 1;
            }
            Err(end) => {
                ends.push(end);
                let come = waiting::wait_for_peer(consumer, &WaitOptions::PARK, |consumer| {
                    consumer.may_retry()
                });
                assert_ne!(come, Waited::Forsaken);
            }
        }
    }
    ends
}

/// One producer closes and another one opens again, while the consumer receives, has been told of the end, or sleeps
/// for the next one: the stream goes on, and has an end when the last one has closed.
#[test]
fn the_next_producer_opens_what_the_last_one_closed() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut first = producer(&sending);
            send(&mut first, 1).unwrap();
            close(&first);
            sending.attach(PRODUCER.slot);
            let mut second = producer(&sending);
            send(&mut second, 2).unwrap();
            close(&second);
        });
        let ends = receive_beyond_ends(&mut receiving, 2);
        assert!(ends.iter().all(|end| *end == RecvError::Closed), "{ends:?}");
        assert_eq!(receive(&mut receiving), Err(RecvError::Closed));
        sender.join().unwrap();
    });
}

/// One closes, and the next one opens and only leaves: that is no end, whatever the first one said.
#[test]
fn who_opens_again_and_leaves_without_closing_has_ended_nothing() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        close(&producer(&ring));
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            sending.attach(PRODUCER.slot);
            let mut second = producer(&sending);
            send(&mut second, 1).unwrap();
            sending.leave(PRODUCER.slot);
            PRODUCER.announce(CONSUMER, &sending);
        });
        let ends = receive_beyond_ends(&mut receiving, 1);
        // Told before the second one came, or not at all.
        assert!(ends.iter().all(|end| *end == RecvError::Closed), "{ends:?}");
        assert_eq!(try_receive(&mut receiving), Err(RecvError::Empty));
        sender.join().unwrap();
        assert_eq!(PRODUCER.state(&ring), Peer::Absent);
    });
}

/// A producer dies after any change of sending and closing, also between its mark and its leaving: that is a death. The
/// next one dies after any change of opening, or leaves without closing; of the first one's mark nothing is left then.
#[test]
fn a_producer_dies_while_it_closes() {
    at_every_change(model, |changes| {
        let ring = Model::attached(CAPACITY);
        let (mut victim, mut receiving) = (producer(&ring), consumer(&ring));
        victim.region.dies_after(changes);
        let dying = ring.clone();
        let sender = thread::spawn(move || {
            let lived = lives(|| {
                send(&mut victim, 1).unwrap();
                victim.close();
            });
            dying.kill(PRODUCER.slot);
            lived
        });
        let (values, end) = receive_all(&mut receiving);
        assert_eq!(end, RecvError::PeerDied);
        let lived = sender.join().unwrap();
        assert!([1].starts_with(&values) && (values.len() == 1 || !lived));
        ring.attach(PRODUCER.slot);
        drop(producer(&ring));
        ring.leave(PRODUCER.slot);
        assert_eq!(try_receive(&mut receiving), Err(RecvError::Empty));
        lived
    });
}

/// The ring is closed. A producer dies after any change of opening it: it has died, or was never seen. The next one opens it all
/// the same.
#[test]
fn a_producer_dies_while_it_opens_again() {
    at_every_change(model, |changes| {
        let ring = Model::attached(CAPACITY);
        close(&producer(&ring));
        let mut receiving = consumer(&ring);
        let coming = ring.clone();
        coming.dies_after(changes);
        let sender = thread::spawn(move || {
            coming.attach(PRODUCER.slot);
            let lived = lives(|| drop(Producer::resume(coming.of_the_same_process()).unwrap()));
            coming.kill(PRODUCER.slot);
            lived
        });
        let end = receive(&mut receiving).unwrap_err();
        assert!([RecvError::Closed, RecvError::PeerDied].contains(&end));
        let lived = sender.join().unwrap();
        assert_eq!(receive(&mut receiving), Err(RecvError::PeerDied));
        ring.attach(PRODUCER.slot);
        let mut next = producer(&ring);
        assert_eq!(try_receive(&mut receiving), Err(RecvError::Empty));
        send(&mut next, 1).unwrap();
        close(&next);
        assert_eq!(receive_all(&mut receiving), (vec![1], RecvError::Closed));
        lived
    });
}

/// The producer finds the ring full and sleeps; records wrap, with padding before the end.
#[test]
fn full_then_room() {
    model(|| {
        let (ring, mut sending) = full();
        assert_eq!(try_send(&mut sending, 4), Err(SendError::Full));
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
        send_bytes(&mut sending, &long).unwrap();
        assert_eq!(receive(&mut receiving), Ok(1));
        send(&mut sending, 3).unwrap();
        let receiver = thread::spawn(move || {
            let mut bytes = [0; 24];
            assert_eq!(receive_into(&mut receiving, &mut bytes), Ok(24));
            assert_eq!(bytes, long);
        });
        send_bytes(&mut sending, &[9; 24]).unwrap();
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
            let words = [4_u64.to_le_bytes(), 5_u64.to_le_bytes()].concat();
            send_bytes(&mut sending, &words).unwrap();
        });
        let mut bytes = [0; 16];
        assert_eq!(receive_into(&mut receiving, &mut bytes), Ok(16));
        assert_eq!((bytes[0], bytes[8]), (4, 5));
        sender.join().unwrap();
    });
}

/// What is written in place is whole when it is read there.
#[test]
fn what_is_written_in_place_is_read_in_place() {
    model(|| {
        let ring = Model::attached(CAPACITY);
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut producer = producer(&sending);
            for value in 1..=2_u64 {
                let reservation = producer.reserve(8, None).unwrap();
                let payload = reservation.payload();
                producer.region.write(payload, &value.to_le_bytes());
                super::commit(&mut producer, reservation, 8);
            }
        });
        for value in 1..=2_u64 {
            let found = receiving.take(Some(&WaitOptions::PARK)).unwrap();
            let mut bytes = [0; 8];
            receiving.region.read(found.payload, &mut bytes);
            assert_eq!(u64::from_le_bytes(bytes), value);
            assert!(receiving.release_at_once(&found, 1));
        }
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
                super::push(&mut producer, &mut pending, &value.to_le_bytes()).unwrap();
            }
            producer.commit(pending.unwrap());
        });
        let first = receiving.take(Some(&WaitOptions::PARK)).unwrap();
        assert!(receiving.peek_behind(&first, 1).unwrap().is_some());
        sender.join().unwrap();
    });
}

/// Behind a message nothing is there, whatever the memory held before: behind the last one of a lap, which goes the long
/// way, and behind the first one.
#[test]
fn nothing_is_behind_a_message() {
    for before in [3, 4] {
        model(move || {
            let ring = used(before);
            let (mut sending, mut receiving) = (producer(&ring), consumer(&ring));
            let sender = thread::spawn(move || send(&mut sending, 4).unwrap());
            assert_eq!(receive(&mut receiving), Ok(4));
            assert_eq!(try_receive(&mut receiving), Err(RecvError::Empty));
            sender.join().unwrap();
        });
    }
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
            close(&sending);
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
        let receiver = thread::spawn(move || refuse(&consumer(&closing)));
        assert_eq!(send(&mut sending, 4), Err(SendError::Closed));
        receiver.join().unwrap();
    });
}

/// A consumer closes, and the next one opens again, while the producer sleeps for room or has been refused: it goes on.
#[test]
fn the_next_consumer_opens_what_the_last_one_closed() {
    model(|| {
        let (ring, mut sending) = full();
        let receiving = ring.clone();
        let receiver = thread::spawn(move || {
            refuse(&consumer(&receiving));
            receiving.attach(CONSUMER.slot);
            let mut next = consumer(&receiving);
            for value in 1..=3 {
                assert_eq!(receive(&mut next), Ok(value));
            }
            next
        });
        while let Err(error) = send(&mut sending, 4) {
            assert_eq!(error, SendError::Closed);
            let come = waiting::wait_for_peer(&mut sending, &WaitOptions::PARK, |_| false);
            assert_eq!(come, Waited::Ready);
        }
        let mut next = receiver.join().unwrap();
        assert_eq!(receive(&mut next), Ok(4));
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
            waiting::wait_for_peer(&mut receiving, &WaitOptions::PARK, |_| false),
            Waited::Ready
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
        assert_eq!(sending.drained_until(&WaitOptions::PARK), Ok(()));
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

/// Both sides only try, on the short way or not: what is there is whole, and room is not taken twice.
#[test]
fn both_only_try() {
    model(|| {
        let (ring, mut sending) = full();
        let mut receiving = consumer(&ring);
        let sender = thread::spawn(move || [4, 5].map(|value| try_send(&mut sending, value)));
        let mut values: Vec<u64> = (0..4).flat_map(|_| try_receive(&mut receiving)).collect();
        let sent = sender.join().unwrap();
        values.extend(std::iter::from_fn(|| try_receive(&mut receiving).ok()));
        let all = [4, 5].into_iter().zip(sent);
        let all = all.filter_map(|(value, sent)| sent.ok().map(|()| value));
        assert!(values.into_iter().eq((1..=3).chain(all)));
    });
}

/// A kernel that does not wake and clear in one step: slower, and nobody sleeps through what it waits for.
#[test]
fn an_old_kernel_wakes() {
    model(|| {
        let ring = Model::attached(CAPACITY).under_an_old_kernel();
        let mut receiving = consumer(&ring);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut producer = producer(&sending);
            (1..=2).for_each(|value| send(&mut producer, value).unwrap());
        });
        for value in 1..=2 {
            assert_eq!(receive(&mut receiving), Ok(value));
        }
        sender.join().unwrap();
    });
}
