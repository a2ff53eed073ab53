//! Of many processes that race for an address, one makes the ring, and all get the same one. A creator
//! that is killed never blocks the address.

mod two_processes;

use std::time::Duration;

use ringway::{Address, Builder, Error, Ring};
use two_processes::messages::{Random, number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "race to open or create" => race(first, Builder::open_or_create),
        "race to create" => race(first, Builder::create),
        "create for ever" => create_for_ever(first),
        _ => panic!("{role}"),
    });
}

const RACERS: usize = 8;
const RACES: usize = 15;

#[test]
fn racers_that_open_or_create_all_get_one_ring_that_works() {
    for backing in Backing::NAMED {
        let racers = racers("race to open or create", backing);
        for race in 0..RACES {
            let place = Place::new(backing);
            let nonces = run(&racers, &place);
            let same = nonces.iter().all(|nonce| *nonce == nonces[0]);
            assert!(same, "{backing:?}: {nonces:?}");
            assert!(nonces[0].parse::<u128>().is_ok(), "{nonces:?}");
            let (producer, consumer) = (race % RACERS, (race + 1) % RACERS);
            for (index, racer) in racers.iter().enumerate() {
                racer.say(match index {
                    _ if index == producer => "send",
                    _ if index == consumer => "receive",
                    _ => "leave",
                });
            }
            for racer in &racers {
                racer.expect("well");
            }
        }
    }
}

#[test]
fn of_racers_that_create_one_wins_and_the_others_find_it_taken() {
    for backing in Backing::NAMED {
        let racers = racers("race to create", backing);
        for _ in 0..RACES {
            let place = Place::new(backing);
            let results = run(&racers, &place);
            let winners = results.iter().filter(|nonce| nonce.parse::<u128>().is_ok());
            assert_eq!(winners.count(), 1, "{backing:?}: {results:?}");
            let losers = results.iter().filter(|kind| *kind == "AlreadyExists");
            assert_eq!(losers.count(), RACERS - 1, "{backing:?}: {results:?}");
            for racer in &racers {
                racer.say("leave");
                racer.expect("well");
            }
        }
    }
}

#[test]
fn a_creator_killed_at_any_moment_never_blocks_the_address() {
    for backing in Backing::NAMED {
        let place = Place::new(backing);
        let mut random = Random(3);
        for _ in 0..100 {
            let creator = Second::start_at("create for ever", &place.address);
            creator.expect("begun");
            std::thread::sleep(Duration::from_micros(random.below(1000)));
            creator.kill();
            let ring = place.builder().capacity(4096).open_or_create();
            let ring = ring.unwrap_or_else(|error| panic!("{error}"));
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            sender.send(&number(1)).unwrap();
            assert_eq!(number_in(&receiver.try_recv().unwrap()), 1);
            ringway::remove(&place.address, true).unwrap();
            assert!(!place.is_taken(), "{}", place.address);
        }
        if let Address::File(path) = &place.address {
            let rest = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(rest, 0, "the dead left files");
        }
    }
}

/// Racers that are all ready to start.
fn racers(role: &str, backing: Backing) -> Vec<Second> {
    let place = Place::new(backing);
    let racers: Vec<_> = (0..RACERS)
        .map(|_| Second::start_at(role, &place.address))
        .collect();
    for racer in &racers {
        racer.expect("ready");
    }
    racers
}

/// A race for `place`; what each of the racers got.
fn run(racers: &[Second], place: &Place) -> Vec<String> {
    for racer in racers {
        racer.say(&place.address);
    }
    racers.iter().map(Second::hear).collect()
}

fn race(first: &First, make: fn(Builder) -> Result<Ring, Error>) {
    first.say("ready");
    loop {
        let address: Address = first.hear().parse().unwrap();
        let made = make(Builder::at(address).capacity(1 << 16));
        first.say(match &made {
            Ok(ring) => ring.nonce().to_string(),
            Err(error) => format!("{:?}", error.kind()),
        });
        match (first.hear().as_str(), made) {
            ("send", Ok(ring)) => {
                let mut sender = ring.sender().unwrap();
                for index in 0..100 {
                    sender.send(&number(index)).unwrap();
                }
            }
            ("receive", Ok(ring)) => {
                let mut receiver = ring.receiver().unwrap();
                for index in 0..100 {
                    let message = receiver.recv_deadline(watchdog()).unwrap();
                    assert_eq!(number_in(&message), index);
                }
            }
            _ => {}
        }
        first.say("well");
    }
}

fn create_for_ever(first: &First) {
    first.say("begun");
    loop {
        let builder = Builder::at(first.address().clone()).capacity(4096);
        let ring = builder.open_or_create().unwrap();
        ringway::remove(first.address(), true).unwrap();
        drop(ring);
    }
}
