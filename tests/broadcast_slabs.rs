//! Long messages of broadcast rings, in slabs: each consumer gets all that its policy promises, a slab is written anew only when nobody
//! needs it, and all come back, whoever is stopped or killed.

mod two_processes;

use std::thread;
use std::time::Duration;

use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::{Kind, Receiver, RecvError, Ring, SendError, Sender};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, in_time, play, watchdog};

/// Bytes of the slabs, and how many there are.
const SLAB: usize = 128 << 10;
const SLABS: u64 = 4;
/// A message that needs none.
const SHORT: &[u8] = b"short";

#[test]
fn child_role() {
    play(|role, first| match role {
        "hold" => hold(first),
        "claim" => claim(first),
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

/// Shows a message, and goes on with all others when it is told to.
fn hold(first: &First) {
    let latest = Subscription::new().start(Start::Latest);
    let mut receiver = first.ring().subscribe(&latest).unwrap();
    first.say("there");
    let message = receiver.recv_in_place().unwrap();
    first.say(number_in(&message.to_vec()));
    first.hear();
    first.say(number_in(&message.to_vec()));
    message.release();
    while let Ok(message) = receiver.recv() {
        match &message[..] {
            SHORT => first.say("short"),
            long => first.say(number_in(long)),
        }
    }
}

/// Sends a message, and is in the middle of the next one.
fn claim(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    let number = sender.sent();
    sender.send(&message(number)).unwrap();
    let mut claim = sender.try_claim(SLAB).unwrap();
    claim.write_at(0, &message(number + 1)[..SLAB / 2]);
    first.say("claimed");
    first.hear();
}

/// Sends messages without end, as fast as it can.
fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    let messages = long_messages();
    first.say("there");
    loop {
        let number = sender.sent() as usize;
        sender.send(&messages[number % MANY]).unwrap();
    }
}

/// Bytes of messages that take a while to be copied, and how many there are that differ in each byte.
const LONG: usize = 1 << 20;
const MANY: usize = 7;

fn long_messages() -> Vec<Vec<u8>> {
    let bytes = 1..=MANY as u8;
    bytes.map(|byte| vec![byte; LONG]).collect()
}

/// A message that knows its number: each word of it says so.
fn message(number: u64) -> Vec<u8> {
    let len = SLAB / 8 - (number % 5) as usize;
    (0..len)
        .flat_map(|at| (number << 20 | at as u64).to_le_bytes())
        .collect()
}

/// The number of a message, all of which must be that message's.
#[track_caller]
fn number_in(bytes: &[u8]) -> u64 {
    let first = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let number = first >> 20;
    assert!(bytes == message(number), "a torn message {number}");
    number
}

fn ring_with(backing: Backing, apart: bool) -> (Ring, Place) {
    let mut place = Place::new(backing);
    let builder = place.builder().kind(Kind::Broadcast).capacity(64 << 10);
    let builder = builder.slabs(SLAB as u64, SLABS as u32);
    let ring = builder.slab_segments(apart).create().unwrap();
    place.address = ring.address().clone();
    (ring, place)
}

fn ring() -> (Ring, Place) {
    ring_with(Backing::Shm, false)
}

fn send_next(sender: &mut Sender) -> Result<(), SendError> {
    let number = sender.sent();
    sender.try_send(&message(number))
}

fn lossy(ring: &Ring) -> Receiver {
    ring.subscribe(&Subscription::new().policy(Policy::Lossy))
        .unwrap()
}

#[test]
fn each_consumer_gets_all_by_every_way_of_receiving() {
    for (backing, apart) in [
        (Backing::Shm, false),
        (Backing::Shm, true),
        (Backing::File, true),
        (Backing::SysvKey, false),
        (Backing::Memfd, false),
    ] {
        let (ring, _place) = ring_with(backing, apart);
        assert_eq!(ring.max_message_len(), SLAB as u64);
        let mut sender = ring.sender().unwrap();
        let mut by_copy = ring.receiver().unwrap();
        let mut in_place = ring.receiver().unwrap();
        let mut may_be_passed = lossy(&ring);
        let bound = EvictAfter::Waiting(Duration::from_secs(60));
        let mut bounded = ring
            .subscribe(&Subscription::new().policy(Policy::Evict(bound)))
            .unwrap();
        let mut buffer = vec![0; SLAB];
        for number in 0..100 {
            match number % 3 {
                0 => sender.send(&message(number)).unwrap(),
                1 => {
                    let mut claim = sender.claim(SLAB).unwrap();
                    claim.write_at(0, &message(number));
                    claim.commit_len(message(number).len());
                }
                _ => {
                    sender.try_send(&number.to_le_bytes()).unwrap();
                    for receiver in [
                        &mut by_copy,
                        &mut in_place,
                        &mut may_be_passed,
                        &mut bounded,
                    ] {
                        assert_eq!(receiver.recv().unwrap(), number.to_le_bytes());
                    }
                    continue;
                }
            }
            assert_eq!(number_in(&by_copy.recv().unwrap()), number);
            let shown = in_place.recv_in_place().unwrap();
            assert_eq!(shown.number(), number);
            // SAFETY: the producer writes there when the message is released.
            assert_eq!(number_in(unsafe { shown.as_slice() }), number);
            match number % 2 {
                0 => shown.release(),
                _ => {
                    let kept = shown.detach().unwrap();
                    assert!(kept.is_copy());
                    assert_eq!(number_in(&kept.to_vec()), number);
                }
            }
            let len = may_be_passed.recv_into(&mut buffer).unwrap();
            assert_eq!(number_in(&buffer[..len]), number);
            let mut seen = 0;
            bounded
                .drain(10, |message| {
                    seen += 1;
                    assert_eq!(number_in(&message.to_vec()), number);
                })
                .unwrap();
            assert_eq!(seen, 1);
        }
        assert_eq!(may_be_passed.lost(), 0);
    }
}

#[test]
fn who_holds_a_slab_holds_the_producer_up_and_nobody_else() {
    let (ring, _place) = ring();
    let holder = Second::start("hold", &ring);
    holder.expect("there");
    let mut sender = ring.sender().unwrap();
    let mut other = ring.receiver().unwrap();
    for number in 0..SLABS {
        send_next(&mut sender).unwrap();
        assert_eq!(number_in(&other.recv().unwrap()), number);
    }
    holder.expect("0");
    assert_eq!(send_next(&mut sender), Err(SendError::Full));
    // What is short goes on.
    sender.try_send(SHORT).unwrap();
    assert_eq!(other.recv().unwrap(), SHORT);
    holder.stop();
    assert_eq!(send_next(&mut sender), Err(SendError::Full));
    holder.signal(nix::sys::signal::Signal::SIGCONT);
    let number = sender.sent();
    thread::scope(|scope| {
        let sending =
            scope.spawn(|| in_time(|until| sender.send_deadline(&message(number), until)));
        holder.say("go on");
        holder.expect("0");
        sending.join().unwrap().unwrap();
    });
    assert_eq!(number_in(&other.recv().unwrap()), number);
    // The holder gets the rest, too, up to the end.
    for number in 1..SLABS {
        holder.expect(&number.to_string());
    }
    holder.expect("short");
    holder.expect(&number.to_string());
    drop(sender);
    holder.finish();
}

#[test]
fn what_a_dead_consumer_held_is_free_at_once() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    for _ in 0..3 {
        let holder = Second::start("hold", &ring);
        holder.expect("there");
        let first = sender.sent();
        for _ in 0..SLABS {
            send_next(&mut sender).unwrap();
        }
        holder.expect(&first.to_string());
        assert_eq!(send_next(&mut sender), Err(SendError::Full));
        holder.kill_unreaped();
        for _ in 0..2 * SLABS {
            send_next(&mut sender).unwrap();
        }
    }
}

#[test]
fn who_waits_for_a_slab_is_woken_by_a_death() {
    let (ring, _place) = ring();
    let holder = Second::start("hold", &ring);
    holder.expect("there");
    let mut sender = ring.sender().unwrap();
    for _ in 0..SLABS {
        send_next(&mut sender).unwrap();
    }
    holder.expect("0");
    let number = sender.sent();
    thread::scope(|scope| {
        let sending =
            scope.spawn(|| in_time(|until| sender.send_deadline(&message(number), until)));
        holder.kill_unreaped();
        sending.join().unwrap().unwrap();
    });
}

#[test]
fn who_may_be_passed_is_told_what_it_missed() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    let mut receiver = lossy(&ring);
    let bound = Policy::Evict(EvictAfter::Bytes(32 << 10));
    let mut bounded = ring.subscribe(&Subscription::new().policy(bound)).unwrap();
    for _ in 0..20 {
        send_next(&mut sender).unwrap();
    }
    let Err(RecvError::Lagged { missed }) = receiver.try_recv() else {
        panic!("it was not overtaken");
    };
    // The slabs are what the ring still holds; one of them goes with each message, and a waypoint may be a message behind.
    assert!((16..20).contains(&missed), "{missed}");
    for number in missed..20 {
        assert_eq!(number_in(&receiver.try_recv().unwrap()), number);
    }
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    assert_eq!(receiver.lost(), missed);
    assert_eq!(bounded.try_recv(), Err(RecvError::Evicted));
}

#[test]
fn who_comes_late_gets_the_slabs_that_are_there() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    for _ in 0..20 {
        send_next(&mut sender).unwrap();
    }
    let oldest = Subscription::new().start(Start::Oldest);
    let mut receiver = ring.subscribe(&oldest).unwrap();
    let first = receiver.next_number().unwrap();
    assert!((16..20).contains(&first), "{first}");
    for number in first..20 {
        assert_eq!(number_in(&receiver.try_recv().unwrap()), number);
    }
}

#[test]
fn a_producer_that_dies_leaves_its_slabs_to_the_next_one() {
    let (ring, _place) = ring();
    let mut receiver = ring.receiver().unwrap();
    for round in 0..3 {
        let producer = Second::start("claim", &ring);
        producer.expect("claimed");
        producer.kill_unreaped();
        let mut sender = ring.sender().unwrap();
        let first = sender.sent() - 1;
        // What the dead one sent was not received; what it had claimed is free.
        for _ in 0..SLABS - 1 {
            send_next(&mut sender).unwrap();
        }
        assert_eq!(send_next(&mut sender), Err(SendError::Full), "{round}");
        let last = sender.sent();
        for number in first..last {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), number);
        }
        for _ in 0..2 * SLABS {
            send_next(&mut sender).unwrap();
            receiver.try_recv().unwrap();
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        sender.leave();
    }
}

#[test]
fn what_producers_that_left_had_sent_is_received() {
    let (ring, _place) = ring();
    let mut receiver = ring.receiver().unwrap();
    for number in 0..3 * SLABS {
        let mut sender = ring.sender().unwrap();
        send_next(&mut sender).unwrap();
        sender.leave();
        if number >= 2 {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), number - 2);
        }
    }
}

/// A producer that never rests, and two slabs: what is copied out of one is overwritten meanwhile, more often than not.
#[test]
fn nobody_is_shown_a_slab_that_is_written_anew() {
    let mut place = Place::new(Backing::Shm);
    let builder = place.builder().kind(Kind::Broadcast).capacity(64 << 10);
    let ring = builder.slabs(LONG as u64, 2).create().unwrap();
    place.address = ring.address().clone();
    let producer = Second::start("send", &ring);
    producer.expect("there");
    let messages = long_messages();
    thread::scope(|scope| {
        for policy in [Policy::Lossy, Policy::Evict(EvictAfter::Bytes(8192))] {
            let (ring, messages) = (&ring, &messages);
            scope.spawn(move || {
                let subscription = Subscription::new().policy(policy);
                let mut receiver = ring.subscribe(&subscription).unwrap();
                let mut buffer = vec![0; LONG];
                let (mut next, mut got, mut passed) = (receiver.next_number().unwrap(), 0, 0);
                while got < 10 || passed < 100 {
                    match receiver.recv_into_deadline(&mut buffer, watchdog()) {
                        Ok(len) => {
                            assert!(buffer[..len] == messages[next as usize % MANY], "torn");
                            (next, got) = (next + 1, got + 1);
                        }
                        Err(RecvError::Lagged { missed }) => {
                            (next, passed) = (next + missed, passed + 1);
                        }
                        Err(RecvError::Evicted) => {
                            receiver = ring.subscribe(&subscription).unwrap();
                            (next, passed) = (receiver.next_number().unwrap(), passed + 1);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    producer.kill();
}
