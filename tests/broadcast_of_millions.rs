//! One broadcast of numbered messages to five processes, by all that can happen to them: two are stopped and go on, one is evicted and
//! comes back, one is killed again and again and comes back by its name, one comes late. Of each the policy's promise is counted.
//!
//! `RINGWAY_TEST_MESSAGES=10000000 cargo test --release --test broadcast_of_millions -- --nocapture` is the long version.

mod two_processes;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::{Kind, Receiver, RecvError, Ring, SendError, Sender};
use two_processes::messages::{Random, number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play, watchdog};

/// How many messages.
const MESSAGES: &str = "RINGWAY_TEST_MESSAGES";

/// Bytes of the ring, in which so many messages find room.
const CAPACITY: u64 = 64 << 10;
const ROOM: u64 = CAPACITY / 16;

/// How many messages lie between two blows. The ring is passed twice meanwhile.
const PART: u64 = 2 * ROOM + 1000;

/// The most bytes that the one which may be evicted may be behind.
const BEHIND: u64 = CAPACITY / 2;

/// The name of the one that is killed.
const NAME: &str = "audit";

#[test]
fn child_role() {
    play(|role, first| {
        let outcome = match role {
            "audit" => audit(first),
            _ => listen(role, first),
        };
        first.say(outcome);
    });
}

/// What a consumer has counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// The number of its first message.
    begin: u64,
    /// Messages that it had, each once.
    got: u64,
    /// Messages that it was told to have missed.
    missed: u64,
    /// Messages that it had another time.
    again: u64,
    /// How often it was evicted.
    evicted: u64,
}

impl Counts {
    const WORDS: usize = 5;

    /// The number of its next message.
    fn next(&self) -> u64 {
        self.begin + self.got + self.missed
    }

    fn words(self) -> [u64; Self::WORDS] {
        [self.begin, self.got, self.missed, self.again, self.evicted]
    }

    fn of(words: [u64; Self::WORDS]) -> Self {
        let [begin, got, missed, again, evicted] = words;
        Self {
            begin,
            got,
            missed,
            again,
            evicted,
        }
    }

    fn line(self) -> String {
        self.words().map(|word| word.to_string()).join(" ")
    }

    fn from_line(line: &str) -> Self {
        let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        Self::of(words.try_into().unwrap())
    }
}

/// One that is not killed: it receives until the producer has closed.
fn listen(policy: &str, first: &First) -> String {
    let wish = Subscription::new().policy(match policy {
        "lossy" => Policy::Lossy,
        "evict" => Policy::Evict(EvictAfter::Bytes(BEHIND)),
        _ => Policy::Block,
    });
    let ring = first.ring();
    let mut receiver = ring.subscribe(&wish.clone().start(Start::Oldest)).unwrap();
    let begin = receiver.next_number().unwrap();
    let mut counts = Counts {
        begin,
        ..Counts::default()
    };
    first.say(begin);
    let mut buffer = [0; 64];
    loop {
        match receiver.recv_into(&mut buffer) {
            Ok(len) => {
                assert_eq!(number_in(&buffer[..len]), counts.next());
                counts.got += 1;
            }
            Err(RecvError::Lagged { missed }) => counts.missed += missed,
            Err(RecvError::Evicted) => {
                counts.evicted += 1;
                // It gives its place back first.
                drop(receiver);
                let next = wish.clone().start(Start::Number(counts.next()));
                receiver = ring.subscribe(&next).unwrap();
            }
            Err(RecvError::Closed) => return counts.line(),
            Err(error) => panic!("{policy}: {error}"),
        }
    }
}

/// One that is killed, and started again: it writes down what it has before it releases it.
fn audit(first: &First) -> String {
    let book = File::options()
        .read(true)
        .write(true)
        .open(first.hear())
        .unwrap();
    let mut counts = read(&book);
    let ring = first.ring();
    let mut receiver = ring.subscribe(&Subscription::new().name(NAME)).unwrap();
    let next = receiver.next_number().unwrap();
    // What it had written down and not released comes again; what was overwritten meanwhile it missed.
    match next < counts.next() {
        true => counts.again += counts.next() - next,
        false => counts.missed += next - counts.next(),
    }
    assert!(next + 1 >= counts.next(), "{next} comes again: {counts:?}");
    write(&book, counts);
    first.say(next);
    loop {
        match receive(&mut receiver, &book, &mut counts) {
            Ok(()) => {}
            // It was told so before the number that it began with.
            Err(RecvError::Lagged { .. }) if receiver.received() == 0 => {}
            Err(RecvError::Closed) => return counts.line(),
            Err(error) => panic!("audit: {error}"),
        }
    }
}

fn receive(receiver: &mut Receiver, book: &File, counts: &mut Counts) -> Result<(), RecvError> {
    let message = receiver.recv_in_place()?;
    let number = number_in(&message.to_vec());
    if number == counts.next() {
        counts.got += 1;
        write(book, *counts);
    } else {
        assert_eq!(number + 1, counts.next());
    }
    message.release();
    Ok(())
}

/// One call of the kernel, so all of it is there or nothing.
fn write(book: &File, counts: Counts) {
    let bytes: Vec<u8> = counts
        .words()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    book.write_all_at(&bytes, 0).unwrap();
}

fn read(book: &File) -> Counts {
    let mut bytes = [0; 8 * Counts::WORDS];
    book.read_exact_at(&mut bytes, 0).unwrap();
    let (words, _) = bytes.as_chunks::<8>();
    Counts::of(std::array::from_fn(|nth| u64::from_le_bytes(words[nth])))
}

/// A consumer in a process of its own, and the number of its first message.
fn start(role: &str, ring: &Ring, book: Option<&Path>) -> (Second, u64) {
    let process = Second::start(role, ring);
    if let Some(book) = book {
        process.say(book.display());
    }
    let begin = process.hear().parse().unwrap();
    (process, begin)
}

fn outcome(process: Second) -> Counts {
    let counts = Counts::from_line(&process.hear());
    process.finish();
    counts
}

/// Sends messages up to number `end`, whoever has to be waited for.
fn send_up_to(sender: &mut Sender, end: u64) {
    for index in sender.sent()..end {
        sender.send_deadline(&number(index), watchdog()).unwrap();
    }
}

/// Sends up to number `end`, or until the ring has stayed full for a moment.
fn send_until_full(sender: &mut Sender, end: u64) {
    while sender.sent() < end {
        let index = sender.sent();
        match sender.send_timeout(&number(index), Duration::from_millis(20)) {
            Ok(()) => {}
            Err(SendError::TimedOut) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_policy_keeps_its_promise_over_all_messages() {
    let asked = std::env::var(MESSAGES).ok();
    let all: u64 = asked.map_or(300_000, |asked| asked.parse().unwrap());
    let begun = Instant::now();
    let mut place = Place::new(Backing::Shm);
    let builder = place.builder().kind(Kind::Broadcast).capacity(CAPACITY);
    let ring = builder.create().unwrap();
    place.address = ring.address().clone();
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("book");
    std::fs::write(&book, [0; 8 * Counts::WORDS]).unwrap();

    let mut sender = ring.sender().unwrap();
    let [block, lossy, evict] = ["block", "lossy", "evict"].map(|role| start(role, &ring, None).0);
    let mut killed = start("audit", &ring, Some(&book)).0;
    let mut late = None;
    let mut random = Random(all);
    // Stopped: each; killed: while nothing is sent, and while much is.
    let (mut stops, mut kills) = ([0_u64; 3], [0_u64; 2]);
    while sender.sent() + PART < all {
        let end = sender.sent() + PART;
        if late.is_none() && end > all / 2 {
            let before = sender.sent();
            let (process, begin) = start("late", &ring, None);
            // What the ring holds: all but what lies at the edge.
            assert!(before - begin <= ROOM && before - begin > ROOM - ROOM / 4);
            late = Some((process, begin));
        }
        // The consumers are up to a ring behind, and so at work.
        send_up_to(&mut sender, end - PART + random.below(500));
        match random.below(5) {
            0 => {
                block.stop();
                send_until_full(&mut sender, end);
                // It lives, so it is waited for, as long as it takes.
                assert!(sender.sent() < end);
                block.signal(Signal::SIGCONT);
                stops[0] += 1;
            }
            1 => {
                lossy.stop();
                send_up_to(&mut sender, end);
                lossy.signal(Signal::SIGCONT);
                stops[1] += 1;
            }
            2 => {
                evict.stop();
                send_up_to(&mut sender, end);
                evict.signal(Signal::SIGCONT);
                stops[2] += 1;
            }
            3 => {
                killed.kill();
                let missed = read(&File::open(&book).unwrap()).missed;
                killed = start("audit", &ring, Some(&book)).0;
                // Nothing was overwritten meanwhile, so nothing is missing.
                assert_eq!(read(&File::open(&book).unwrap()).missed, missed);
                kills[0] += 1;
            }
            _ => {
                killed.kill();
                let before = read(&File::open(&book).unwrap());
                send_up_to(&mut sender, end);
                killed = start("audit", &ring, Some(&book)).0;
                // What the ring cannot hold any more, and not more than that.
                let now = read(&File::open(&book).unwrap());
                let missed = now.missed - before.missed;
                let gone = end.saturating_sub(before.next() + ROOM);
                assert!(
                    (gone..=gone + ROOM / 4).contains(&missed),
                    "{missed} of {gone}"
                );
                kills[1] += 1;
            }
        }
    }
    send_up_to(&mut sender, all);
    sender.close();

    let (late, begin) = late.expect("somebody came late");
    let [block, lossy, evict, killed, late] = [block, lossy, evict, killed, late].map(outcome);
    println!(
        "{all} messages in {:?}; block, lossy, evict stopped {stops:?} times, audit killed {kills:?} times",
        begun.elapsed()
    );
    for (name, counts) in [
        ("block", block),
        ("lossy", lossy),
        ("evict", evict),
        ("audit", killed),
        ("late", late),
    ] {
        println!("{name}: {counts:?}");
        // Each message came or was told to be missing.
        assert_eq!(counts.next(), all, "{name}");
    }
    assert!(
        stops.iter().chain(&kills).all(|count| *count > 0),
        "all of it happened"
    );
    assert_eq!(
        block.got, all,
        "who blocks loses nothing, however long it was stopped"
    );
    assert_eq!((late.begin, late.got), (begin, all - begin));
    assert!(lossy.missed > 0 && lossy.evicted == 0);
    // One that was stopped for a whole ring was evicted; it may also have been slow.
    assert!(evict.evicted >= stops[2] && evict.missed > 0);
    assert!(
        killed.again <= kills[0] + kills[1],
        "once more for each death at most"
    );
}
