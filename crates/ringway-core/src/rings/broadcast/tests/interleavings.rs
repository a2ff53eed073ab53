//! Every interleaving of a producer and its consumers within loom's bounds, on the code that ships. A lost wake-up shows as a
//! deadlock, payload that is overwritten while it is read as a race.

use loom::thread;

use crate::error::{RecvError, SendError};
use crate::memory::layout::broadcast::allowed;
use crate::rings::broadcast::consumer::Consumer;
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{EvictAfter, Policy, Refused, Start, Wish, forget};
use crate::testing::model::{Model, at_every_change, lives};
use crate::waiting::WaitOptions;

/// Room for three messages of eight bytes.
const CAPACITY: usize = 64;

fn model(body: impl Fn() + Sync + Send + 'static) {
    model_with(3, body);
}

/// Joining takes many steps, and three processes more.
fn model_with(most: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(most).min(most);
    builder.preemption_bound = Some(bound);
    builder.check(body);
}

fn ring(consumers: u32) -> (Model, u32) {
    let slots = 1 + consumers;
    (Model::broadcast(CAPACITY, slots), slots)
}

fn producer((ring, slots): &(Model, u32)) -> Producer<Model> {
    ring.attach(0);
    Producer::resume(ring.clone(), *slots, allowed::ALL).unwrap()
}

fn consumer(
    (ring, slots): &(Model, u32),
    slot: u32,
    policy: Policy,
    start: Start,
) -> Consumer<Model> {
    let epoch = ring.attach(slot);
    let wish = Wish {
        policy,
        start,
        name: None,
    };
    Consumer::join(ring.clone(), *slots, (slot, epoch), &wish).unwrap()
}

/// Sends the next message, which says its number.
fn send(producer: &mut Producer<Model>, wait: Option<&WaitOptions>) -> Result<(), SendError> {
    let bytes = producer.sent().to_le_bytes();
    match producer.send_at_once(&bytes) {
        true => Ok(()),
        false => producer.send(&bytes, wait),
    }
}

/// Receives the next message, which says its number.
fn receive(consumer: &mut Consumer<Model>, wait: Option<&WaitOptions>) -> Result<u64, RecvError> {
    let number = consumer.number();
    let mut bytes = [0; 8];
    assert_eq!(consumer.recv_into(&mut bytes, wait)?, 8);
    assert_eq!(u64::from_le_bytes(bytes), number, "another message");
    Ok(number)
}

/// The producer leaves and ends the stream, as `Sender`'s drop does.
fn close(producer: &Producer<Model>) {
    producer.close();
    producer.region.leave(0);
    producer.announce();
}

/// All messages from the one on with which the consumer begins, up to the end; of one that blocks none is missing.
fn receive_all(consumer: &mut Consumer<Model>, sent: u64) {
    for number in consumer.number()..sent {
        assert_eq!(receive(consumer, Some(&WaitOptions::PARK)), Ok(number));
    }
    let end = receive(consumer, Some(&WaitOptions::PARK));
    assert_eq!(end, Err(RecvError::Closed));
}

/// A newcomer comes while the producer raises its limit: what it begins with stays until it has it.
#[test]
fn a_newcomer_is_not_overrun() {
    for start in [Start::Oldest, Start::Latest] {
        model_with(2, move || {
            let ring = ring(1);
            let mut sending = producer(&ring);
            // The next one needs more room than the producer may use.
            (0..3).for_each(|_| send(&mut sending, None).unwrap());
            let sender = thread::spawn(move || {
                send(&mut sending, Some(&WaitOptions::PARK)).unwrap();
                close(&sending);
            });
            let mut receiving = consumer(&ring, 1, Policy::Block, start);
            receive_all(&mut receiving, 4);
            sender.join().unwrap();
        });
    }
}

/// One that nobody waits for believes nothing that was overwritten while it was read, and is told exactly what it missed.
#[test]
fn a_lossy_read_is_whole_or_told() {
    model(|| {
        let ring = ring(1);
        let mut sending = producer(&ring);
        (0..3).for_each(|_| send(&mut sending, None).unwrap());
        let mut receiving = consumer(&ring, 1, Policy::Lossy, Start::Oldest);
        let mut next = receiving.number();
        assert_eq!(next, 0);
        let sender = thread::spawn(move || {
            send(&mut sending, None).unwrap();
            send(&mut sending, None).unwrap();
        });
        for _ in 0..2 {
            match receive(&mut receiving, None) {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(RecvError::Lagged { missed }) => next += missed,
                Err(RecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            }
            assert_eq!(receiving.number(), next);
        }
        sender.join().unwrap();
    });
}

/// One that is evicted while it reads believes nothing that was overwritten.
#[test]
fn an_evicted_read_is_whole_or_told() {
    model(|| {
        let ring = ring(1);
        let mut sending = producer(&ring);
        (0..3).for_each(|_| send(&mut sending, None).unwrap());
        let policy = Policy::Evict(EvictAfter::Bytes(0));
        let mut receiving = consumer(&ring, 1, policy, Start::Oldest);
        let sender = thread::spawn(move || send(&mut sending, None).unwrap());
        match receive(&mut receiving, None) {
            Ok(number) => assert_eq!(number, 0),
            Err(error) => assert_eq!(error, RecvError::Evicted),
        }
        sender.join().unwrap();
    });
}

/// Both consumers sleep when they must, and so does the producer: nobody is forgotten.
#[test]
fn sleepers_are_woken() {
    model_with(2, || {
        let ring = ring(2);
        let mut sending = producer(&ring);
        let mut other = consumer(&ring, 1, Policy::Block, Start::Oldest);
        let mut one = consumer(&ring, 2, Policy::Block, Start::Oldest);
        (0..3).for_each(|_| send(&mut sending, None).unwrap());
        let first = thread::spawn(move || receive_all(&mut one, 4));
        let second = thread::spawn(move || receive_all(&mut other, 4));
        send(&mut sending, Some(&WaitOptions::PARK)).unwrap();
        close(&sending);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A consumer for which the producer waits dies, after any change that it makes: the producer goes on, and the other one
/// gets all.
#[test]
fn a_dead_consumer_holds_nobody_up() {
    let few = |body: Box<dyn Fn() + Sync + Send>| model_with(2, body);
    at_every_change(few, |changes| {
        let ring = ring(1);
        let mut sending = producer(&ring);
        (0..3).for_each(|_| send(&mut sending, None).unwrap());
        let epoch = ring.0.attach(1);
        let dying = ring.0.clone();
        let region = ring.0.clone();
        region.dies_after(changes);
        let victim = thread::spawn(move || {
            let lived = lives(|| {
                let wish = Wish {
                    policy: Policy::Block,
                    start: Start::Oldest,
                    name: None,
                };
                let joined = Consumer::join(region, 2, (1, epoch), &wish);
                // What it begins with may be gone, and then there is nothing yet.
                let _ = receive(&mut joined.unwrap(), None);
            });
            dying.kill(1);
            lived
        });
        send(&mut sending, Some(&WaitOptions::PARK)).unwrap();
        send(&mut sending, Some(&WaitOptions::PARK)).unwrap();
        victim.join().unwrap()
    });
}

/// A producer dies after any change, and another one goes on where the ring stands.
#[test]
fn a_producer_dies_and_another_follows() {
    at_every_change(model, |changes| {
        let ring = ring(1);
        let mut victim = producer(&ring);
        let mut receiving = consumer(&ring, 1, Policy::Block, Start::Oldest);
        (0..2).for_each(|_| send(&mut victim, None).unwrap());
        (0..2).for_each(|number| assert_eq!(receive(&mut receiving, None), Ok(number)));
        victim.region.dies_after(changes);
        let dying = ring.0.clone();
        let sender = thread::spawn(move || {
            let lived = lives(|| (0..2).for_each(|_| send(&mut victim, None).unwrap()));
            dying.kill(0);
            lived
        });
        let mut received = 2;
        loop {
            match receive(&mut receiving, Some(&WaitOptions::PARK)) {
                Ok(number) => {
                    assert_eq!(number, received);
                    received += 1;
                }
                Err(end) => {
                    assert_eq!(end, RecvError::PeerDied);
                    break;
                }
            }
        }
        let lived = sender.join().unwrap();
        assert!(!lived || received == 4);
        let mut next = producer(&ring);
        assert_eq!(next.sent(), received);
        send(&mut next, None).unwrap();
        assert_eq!(receive(&mut receiving, None), Ok(received));
        lived
    });
}

/// A ring with names.
fn with_names(consumers: u32) -> (Model, u32) {
    let (ring, slots) = ring(consumers);
    (ring.with_names(), slots)
}

/// The consumer of that name, if it can come now.
fn named((ring, slots): &(Model, u32), slot: u32, name: &str) -> Result<Consumer<Model>, Refused> {
    let epoch = ring.attach(slot);
    let wish = Wish {
        policy: Policy::Lossy,
        start: Start::Oldest,
        name: Some(name),
    };
    Consumer::join(ring.clone(), *slots, (slot, epoch), &wish)
}

/// All entries are other names', and one is forgotten. Of two that come with one new name at most one has it, and it has no more than
/// one entry: after that there is no room for another name.
#[test]
fn a_forgotten_entry_becomes_one_names() {
    model_with(2, || {
        let ring = with_names(3);
        let _producer = producer(&ring);
        for name in ["one", "other"] {
            named(&ring, 1, name).unwrap();
            ring.0.leave(1);
        }
        let epoch = ring.0.attach(1);
        assert_eq!(forget(&ring.0, ring.1, (1, epoch), "one"), Ok(true));
        let there = ring.0.clone();
        let newcomer = thread::spawn(move || named(&(there, 4), 2, "new").is_ok());
        let first = named(&ring, 3, "new").is_ok();
        let second = newcomer.join().unwrap();
        assert!(!(first && second), "two have a name");
        (2..4).for_each(|slot| ring.0.leave(slot));
        assert!(named(&ring, 2, "new").is_ok());
        ring.0.leave(2);
        assert!(named(&ring, 2, "other").is_ok());
        ring.0.leave(2);
        assert_eq!(named(&ring, 2, "third").err(), Some(Refused::NoName));
    });
}

/// All entries are forgotten. Of two that come with one name at most one has it, whoever looked before the other one had its entry.
#[test]
fn two_forgotten_entries_do_not_become_one_names() {
    model_with(2, || {
        let ring = with_names(3);
        let _producer = producer(&ring);
        for name in ["one", "other"] {
            named(&ring, 1, name).unwrap();
            ring.0.leave(1);
        }
        for name in ["one", "other"] {
            let epoch = ring.0.attach(1);
            assert_eq!(forget(&ring.0, ring.1, (1, epoch), name), Ok(true));
            ring.0.leave(1);
        }
        let there = ring.0.clone();
        let newcomer = thread::spawn(move || named(&(there, 4), 2, "new").is_ok());
        let first = named(&ring, 3, "new").is_ok();
        let second = newcomer.join().unwrap();
        assert!(!(first && second), "two have a name");
        (2..4).for_each(|slot| ring.0.leave(slot));
        // One of the entries is left for another one.
        for name in ["new", "another"] {
            assert!(named(&ring, 2, name).is_ok());
            ring.0.leave(2);
        }
    });
}

/// A name is forgotten while somebody comes by it, or by another one that takes its entry: nobody has an entry of another name.
#[test]
fn who_comes_while_its_name_is_forgotten_has_it_or_not() {
    model_with(2, || {
        let ring = with_names(3);
        let _producer = producer(&ring);
        for name in ["one", "other"] {
            named(&ring, 1, name).unwrap();
            ring.0.leave(1);
        }
        let there = ring.0.clone();
        let newcomer = thread::spawn(move || named(&(there, 4), 2, "one").is_ok());
        let epoch = ring.0.attach(1);
        let forgotten = forget(&ring.0, ring.1, (1, epoch), "one");
        ring.0.leave(1);
        let third = named(&ring, 3, "third").is_ok();
        let came = newcomer.join().unwrap();
        assert!(!(came && third), "two have one entry: {forgotten:?}");
        // Who came has an entry that others find.
        let again = named(&ring, 1, "one").err();
        assert!(!came || again == Some(Refused::NameTaken), "{again:?}");
        ring.0.leave(1);
        (2..4).for_each(|slot| ring.0.leave(slot));
        assert!(named(&ring, 2, "other").is_ok());
    });
}
