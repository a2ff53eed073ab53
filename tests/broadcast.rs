//! A broadcast to several processes: each gets all that its policy promises, whoever is stopped, killed, started again or late.

mod two_processes;

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::peer::Peer;
use ringway::{ErrorKind, Kind, RecvError, Ring, SendError, Sender};
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, in_time, play, watchdog};

/// How many messages; ten million show the same in a release build.
const MESSAGES: &str = "RINGWAY_TEST_MESSAGES";

/// Bytes of the ring, in which so many messages find room.
const CAPACITY: u64 = 64 << 10;
const ROOM: u64 = CAPACITY / 16;

/// How long the producer waits for one that may be evicted.
const BOUND: Duration = Duration::from_millis(50);

fn messages() -> u64 {
    let asked = std::env::var(MESSAGES).ok();
    asked.map_or(100_000, |asked| asked.parse().unwrap())
}

#[test]
fn child_role() {
    play(|role, first| match role {
        "consume" => consume(first),
        _ => panic!("{role}"),
    });
}

/// Says with which message it begins, when it has a thousand, and at the end how many it got and missed, and why it ended.
fn consume(first: &First) {
    let wish = first.hear();
    let (policy, name) = wish.split_once(' ').unwrap();
    let subscription = Subscription::new().policy(match policy {
        "block" => Policy::Block,
        "lossy" => Policy::Lossy,
        _ => Policy::Evict(EvictAfter::Waiting(BOUND)),
    });
    let subscription = match name {
        "" => subscription,
        name => subscription.name(name),
    };
    let mut receiver = first.ring().subscribe(&subscription).unwrap();
    let begin = receiver.next_number().unwrap() - receiver.lost();
    first.say(begin);
    let (mut next, mut got) = (begin, 0);
    let mut buffer = [0; 64];
    let end = loop {
        match receiver.recv_into(&mut buffer) {
            Ok(len) => {
                assert_eq!(number_in(&buffer[..len]), next);
                (next, got) = (next + 1, got + 1);
                if got == 1000 {
                    first.say("a thousand");
                }
            }
            Err(RecvError::Lagged { missed }) => next += missed,
            Err(error) => break error,
        }
    };
    assert_eq!(begin + got + receiver.lost(), next);
    let name = format!("{end:?}");
    let name = name.split(':').next().unwrap();
    first.say(format!("{got} {} {name}", receiver.lost()));
}

/// A consumer in a process of its own.
struct Consumer {
    process: Second,
    begin: u64,
}

/// What it says at its end.
struct Outcome {
    got: u64,
    missed: u64,
    end: String,
}

impl Consumer {
    fn start(ring: &Ring, policy: &str, name: &str) -> Self {
        let process = Second::start("consume", ring);
        process.say(format!("{policy} {name}"));
        let begin = process.hear().parse().unwrap();
        Self { process, begin }
    }

    fn outcome(self) -> Outcome {
        let mut said = self.process.hear();
        if said == "a thousand" {
            said = self.process.hear();
        }
        let mut words = said.split(' ');
        let mut next = || words.next().unwrap();
        let outcome = Outcome {
            got: next().parse().unwrap(),
            missed: next().parse().unwrap(),
            end: next().to_owned(),
        };
        self.process.finish();
        outcome
    }
}

fn ring() -> (Ring, Place) {
    let mut place = Place::new(Backing::Shm);
    let builder = place.builder().kind(Kind::Broadcast).capacity(CAPACITY);
    let ring = builder.participants(100).create().unwrap();
    place.address = ring.address().clone();
    (ring, place)
}

/// Sends messages that say their numbers, up to number `end`.
fn send_up_to(sender: &mut Sender, end: u64) {
    for index in sender.sent()..end {
        let message = number(index);
        sender.send_deadline(&message, watchdog()).unwrap();
    }
}

#[test]
fn who_is_stopped_is_waited_for_missed_or_evicted_as_it_chose() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    let [block, lossy, evict] =
        ["block", "lossy", "evict"].map(|policy| Consumer::start(&ring, policy, ""));
    send_up_to(&mut sender, 1000);
    for consumer in [&block, &lossy, &evict] {
        consumer.process.expect("a thousand");
        consumer.process.stop();
    }
    // A process that is stopped lives: all of the ring is for the one that blocks.
    let full = loop {
        let index = sender.sent();
        if let Err(full) = sender.send_timeout(&number(index), 4 * BOUND) {
            break full;
        }
    };
    assert_eq!(full, SendError::TimedOut);
    // It has a thousand; whether it had released the last one when it stopped is not known.
    assert!((998 + ROOM..=1000 + ROOM).contains(&sender.sent()));
    block.process.signal(Signal::SIGCONT);
    let all = messages().max(10 * ROOM);
    send_up_to(&mut sender, all);
    lossy.process.signal(Signal::SIGCONT);
    evict.process.signal(Signal::SIGCONT);
    sender.close();

    let outcome = block.outcome();
    assert_eq!((outcome.got, outcome.missed), (all, 0));
    assert_eq!(outcome.end, "Closed");
    let outcome = lossy.outcome();
    assert_eq!(outcome.got + outcome.missed, all);
    assert!(outcome.missed > 0 && outcome.got > 1000);
    assert_eq!(outcome.end, "Closed");
    let outcome = evict.outcome();
    assert!(outcome.got <= 1000, "it got {}", outcome.got);
    assert_eq!(outcome.end, "Evicted");
}

#[test]
fn who_is_killed_holds_nobody_up_and_goes_on_by_its_name() {
    let (ring, place) = ring();
    let mut sender = ring.sender().unwrap();
    let killed = Consumer::start(&ring, "block", "audit");
    let other = Consumer::start(&ring, "block", "");
    send_up_to(&mut sender, 1500);
    killed.process.expect("a thousand");
    let taken = ring.subscribe(&Subscription::new().name("audit"));
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::RoleTaken { pid: 0 });
    killed.process.stop();
    let pid = killed.process.pid();
    let stat = ringway::inspect::stat(&place.address).unwrap();
    let slot = stat.participants.iter().find(|one| one.pid == pid).unwrap();
    let released = slot.subscription.as_ref().unwrap().next_number;
    assert!(released >= 999);
    killed.process.kill();
    // Nothing that it had not released is gone yet.
    let again = Consumer::start(&ring, "block", "audit");
    assert_eq!(again.begin, released);
    send_up_to(&mut sender, released + 1000);
    again.process.expect("a thousand");
    again.process.stop();
    again.process.kill();
    // Now it is, and it is told so, to the message.
    let all = messages().max(10 * ROOM);
    send_up_to(&mut sender, all);
    let late = Consumer::start(&ring, "block", "audit");
    let begin = late.begin;
    assert!((released + 999..=released + 1000).contains(&begin));
    sender.close();
    let outcome = late.outcome();
    assert_eq!(begin + outcome.got + outcome.missed, all);
    assert!(outcome.missed > 0 && outcome.got > ROOM / 2);
    let outcome = other.outcome();
    assert_eq!((outcome.got, outcome.missed), (all, 0));
}

#[test]
fn who_comes_late_gets_what_the_ring_holds() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    send_up_to(&mut sender, 10 * ROOM);
    let late = Consumer::start(&ring, "block", "");
    let begin = late.begin;
    assert!((9 * ROOM..9 * ROOM + ROOM / 4).contains(&begin), "{begin}");
    let all = messages().max(20 * ROOM);
    send_up_to(&mut sender, all);
    sender.close();
    let outcome = late.outcome();
    assert_eq!((begin + outcome.got, outcome.missed), (all, 0));
}

/// The kernel wakes a producer that sleeps for room when the one that holds it up dies.
#[test]
fn a_death_frees_a_sleeping_producer() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    let dies = Consumer::start(&ring, "block", "");
    send_up_to(&mut sender, 1000);
    dies.process.expect("a thousand");
    dies.process.stop();
    while sender.try_send(&number(sender.sent())).is_ok() {}
    thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            let message = number(sender.sent());
            in_time(|deadline| sender.send_deadline(&message, deadline)).unwrap();
            sender
        });
        thread::sleep(Duration::from_millis(20));
        dies.process.kill();
        let sender = blocked.join().unwrap();
        assert_eq!(sender.peer(), Peer::Died);
    });
}

/// The next producer goes on with the numbers of the one before, and all consumers with it.
#[test]
fn consumers_go_on_with_the_next_producer() {
    let (ring, _place) = ring();
    let consumers = [(); 2].map(|()| Consumer::start(&ring, "block", ""));
    for part in 1..=5 {
        let mut sender = ring.sender().unwrap();
        send_up_to(&mut sender, part * 1000);
        match part {
            5 => sender.close(),
            _ => sender.leave(),
        }
    }
    for consumer in consumers {
        let outcome = consumer.outcome();
        assert_eq!((outcome.got, outcome.missed), (5000, 0));
        assert_eq!(outcome.end, "Closed");
    }
}

#[test]
fn a_hundred_consumers_have_room() {
    let (ring, _place) = ring();
    let mut sender = ring.sender().unwrap();
    let mut receivers: Vec<_> = (0..100).map(|_| ring.receiver().unwrap()).collect();
    assert!(ring.receiver().is_err());
    sender.send(b"for all").unwrap();
    for receiver in &mut receivers {
        assert_eq!(receiver.recv().unwrap(), b"for all");
    }
}

/// What a broadcast ring does not have is refused, with the reason.
#[test]
fn what_it_does_not_have_is_refused() {
    let place = Place::new(Backing::Shm);
    let broadcast = || place.builder().kind(Kind::Broadcast);
    for (builder, text) in [
        (
            broadcast().sync(ringway::SyncKind::Pthread),
            "cannot have sync pthread",
        ),
        (broadcast().overwrite_oldest(true), "policy lossy"),
        (place.builder().policies(&[Policy::Block]), "kind broadcast"),
    ] {
        let error = builder.create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCapacity, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let other = place.builder().create().unwrap();
    let refused = other.subscribe(&Subscription::new().start(Start::Latest));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(other.subscribe(&Subscription::new()).is_ok());
}
