//! One of several processes is stopped while the others work: with a claim, with a message, or wherever it
//! happens to be. However long that lasts, it is not dead: nobody passes its claim or gets its message. When
//! it runs again, everything arrives exactly once.
//!
//! `RINGWAY_FROZEN_SECONDS=60 cargo test --release --test stopped_under_load` stops it for so long.

mod two_processes;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::inspect::stat;
use ringway::peer::Role;
use ringway::{Kind, Ring, SyncKind};
use two_processes::messages::{signature, signed};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| {
        // The test's watchdog counts the time that we are stopped.
        nix::unistd::alarm::set((2 * frozen().as_secs() + 120) as libc::c_uint);
        match role {
            "produce" => produce(first),
            "consume" => consume(first),
            _ => panic!("{role}"),
        }
    });
}

/// For how long one is stopped.
fn frozen() -> Duration {
    let seconds = std::env::var("RINGWAY_FROZEN_SECONDS");
    Duration::from_secs_f64(seconds.map_or(1.0, |seconds| seconds.parse().unwrap()))
}

/// For how long all work before and after.
const MARGIN: Duration = Duration::from_millis(200);

/// Who is stopped, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    WithAClaim,
    WithAMessage,
    Any(Role),
}

const MOMENTS: [Moment; 4] = [
    Moment::WithAClaim,
    Moment::WithAMessage,
    Moment::Any(Role::Producer),
    Moment::Any(Role::Consumer),
];

#[test]
fn what_is_stopped_is_alive_and_nothing_is_lost() {
    let mut rows = Row::on_shm();
    rows.retain(|row| row.kind == Kind::Mpmc || row.sync == SyncKind::Futex && !row.has_cells());
    for_each(rows, |row| {
        // They sleep most of the time.
        std::thread::scope(|scope| {
            let stops = MOMENTS.map(|moment| scope.spawn(move || stop_one(row, moment)));
            for stop in stops {
                stop.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
    });
}

fn stop_one(row: Row, moment: Moment) {
    let (ring, _place) = row.ring();
    let start = |role, many| -> Vec<Second> {
        let members = (0..many).map(|name| start(&ring, role, name));
        members.collect()
    };
    let producers = start("produce", row.up_to(3, Role::Producer));
    let consumers = start("consume", row.up_to(3, Role::Consumer));
    let go = |members: &[Second]| members.iter().for_each(|member| member.say("go"));
    let (victim, others): (&Second, [&[Second]; 2]) = match moment {
        Moment::WithAClaim | Moment::Any(Role::Producer) => {
            (&producers[0], [&producers[1..], &consumers])
        }
        _ => (&consumers[0], [&producers, &consumers[1..]]),
    };
    match moment {
        Moment::WithAClaim => hold(victim),
        Moment::WithAMessage => {
            go(&producers);
            hold(victim);
            go(&consumers[1..]);
        }
        Moment::Any(_) => {
            others.into_iter().for_each(go);
            victim.say("go");
            std::thread::sleep(MARGIN);
        }
    }
    victim.stop();
    if moment == Moment::WithAClaim {
        others.into_iter().for_each(go);
    }
    for _ in 0..2 {
        std::thread::sleep(frozen() / 2);
        let seen = stat(ring.address()).unwrap();
        assert_eq!(seen.participants.len(), producers.len() + consumers.len());
        assert!(seen.participants.iter().all(|who| who.alive), "{row}");
        match moment {
            // It was the first.
            Moment::WithAClaim => assert_eq!(seen.received, 0, "{row}"),
            Moment::WithAMessage => assert!(seen.sent <= MOST_BEHIND, "{row}: {}", seen.sent),
            Moment::Any(_) => {}
        }
    }
    victim.signal(Signal::SIGCONT);
    if !matches!(moment, Moment::Any(_)) {
        victim.say("go");
    }
    std::thread::sleep(MARGIN);
    producers.iter().for_each(|producer| producer.say("end"));
    let sum = |members: &[Second]| {
        let sums = members.iter().map(|member| Sum::parse(&member.hear()));
        sums.fold(Sum::default(), Sum::plus)
    };
    let (sent, received) = (sum(&producers), sum(&consumers));
    println!("{row} {moment:?}: {} messages", sent.count);
    assert!(sent.count > 0, "{row} {moment:?}");
    assert_eq!(received, sent, "{row} {moment:?}");
    for member in producers.into_iter().chain(consumers) {
        member.finish();
    }
}

/// Messages that are in the small ring at most.
const MOST_BEHIND: u64 = 4096 / 8;

fn start(ring: &Ring, role: &str, name: usize) -> Second {
    let member = Second::start(role, ring);
    member.say(name);
    member.expect("attached");
    member
}

fn hold(victim: &Second) {
    victim.say("hold");
    victim.expect("holds");
}

/// A number of messages, and the sum of their hashes: equal for the same messages in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, message: (u32, u64)) {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        *self = self.plus(Self { count: 1, hash });
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            hash: self.hash.wrapping_add(other.hash),
        }
    }

    fn say(self, first: &First) {
        first.say(format!("{} {}", self.count, self.hash));
    }

    fn parse(line: &str) -> Self {
        let (count, hash) = line.split_once(' ').unwrap();
        Self {
            count: count.parse().unwrap(),
            hash: hash.parse().unwrap(),
        }
    }
}

/// Sends until it is told to end. "hold": with the first message claimed, waits.
fn produce(first: &First) {
    let ring = first.ring();
    let max = ring.max_message_len() as usize;
    let name: u32 = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap();
    first.say("attached");
    let holds = first.hear() == "hold";
    let mut sum = Sum::default();
    let mut send = |number, hold: bool| {
        let bytes = signed(name, number, max);
        let mut claim = sender.claim(bytes.len()).unwrap();
        if hold {
            first.say("holds");
            assert_eq!(first.hear(), "go");
        }
        claim.write_at(0, &bytes);
        claim.commit();
        sum.add((name, number));
    };
    send(0, holds);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(first.hear(), "end");
            ends.store(true, Ordering::Relaxed);
        });
        let mut next = 1;
        while !ends.load(Ordering::Relaxed) {
            send(next, false);
            next += 1;
        }
    });
    sender.close();
    sum.say(first);
}

/// Receives to the end. "hold": with the first message borrowed, waits.
fn consume(first: &First) {
    let ring = first.ring();
    let max = ring.max_message_len() as usize;
    first.hear();
    let mut receiver = ring.receiver().unwrap();
    first.say("attached");
    let holds = first.hear() == "hold";
    let mut sum = Sum::default();
    let mut youngest = HashMap::new();
    while let Ok(message) = receiver.recv_in_place() {
        if holds && sum.count == 0 {
            let before = message.to_vec();
            first.say("holds");
            assert_eq!(first.hear(), "go");
            assert_eq!(message.to_vec(), before);
        }
        let (name, number) = signature(&message.to_vec(), max);
        message.release();
        let last = youngest.insert(name, number);
        assert!(last < Some(number), "{number} of {name} after {last:?}");
        sum.add((name, number));
    }
    sum.say(first);
}
