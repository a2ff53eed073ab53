//! Many creators, one ring.

use std::sync::Barrier;

use super::*;

const RACERS: usize = 16;
const ROUNDS: usize = 40;

#[test]
fn of_many_that_open_or_create_one_creates() {
    for fixture in named() {
        for _ in 0..ROUNDS {
            let start = Barrier::new(RACERS);
            let race = || {
                start.wait();
                Segment::open_or_create(&fixture.request(), &plan_of(4096)).unwrap()
            };
            let rings: Vec<_> = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
                racers
                    .into_iter()
                    .map(|racer| racer.join().unwrap())
                    .collect()
            });
            let creators = rings.iter().filter(|(_, created)| *created).count();
            assert_eq!(creators, 1, "{}", fixture.address);
            let nonce = rings[0].0.header.nonce;
            assert!(rings.iter().all(|(ring, _)| ring.header.nonce == nonce));
            fixture.clean();
        }
    }
}

#[test]
fn of_many_that_create_one_succeeds() {
    for fixture in named() {
        for _ in 0..ROUNDS / 4 {
            let start = Barrier::new(RACERS);
            let race = || {
                start.wait();
                match Segment::create(&fixture.request(), &plan_of(4096)) {
                    Ok(_) => 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                        0
                    }
                }
            };
            let creators: usize = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).sum()
            });
            assert_eq!(creators, 1, "{}", fixture.address);
            Segment::open(&fixture.request()).unwrap();
            fixture.clean();
        }
    }
}

/// Removers join in: whatever happens in between, each gets a whole ring, and nobody hangs.
#[test]
fn creators_and_removers_never_meet_half_a_ring() {
    for fixture in named() {
        std::thread::scope(|scope| {
            for index in 0..8 {
                let fixture = &fixture;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if index < 6 {
                            let plan = plan_of(4096 << (index & 1));
                            let (ring, _) =
                                Segment::open_or_create(&fixture.request(), &plan).unwrap();
                            assert_eq!(magic(&ring.map), crate::memory::layout::header::MAGIC);
                        } else if let Err(error) = remove(&fixture.address) {
                            assert!(
                                matches!(
                                    error.kind(),
                                    ErrorKind::NotFound | ErrorKind::InUse { .. }
                                ),
                                "{error}"
                            );
                        }
                    }
                });
            }
        });
    }
}
