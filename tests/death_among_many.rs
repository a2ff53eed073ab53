//! Of several producers and consumers that work on one ring, one is killed at a random moment. The
//! others go on to the end (and another one in place of the only consumer): nothing that was sent is lost, nothing that was released comes again,
//! nothing is torn, nobody hangs.
//!
//! `RINGWAY_KILLS=200 cargo test --release --test death_among_many` kills so many in each row, and
//! `RINGWAY_TEST_ROWS=mpmc/pthread` does it in some rows only.

mod two_processes;

use std::time::{Duration, Instant};

use ringway::Kind;
use ringway::inspect::stat;
use ringway::peer::Role;
use two_processes::crowd::{self, Crowd, Task, Victim};
use two_processes::messages::Random;
use two_processes::table::{Row, for_each};
use two_processes::{play, watchdog};

/// Messages of each producer.
const COUNT: u64 = 300;

#[test]
fn child_role() {
    play(crowd::take_part);
}

#[test]
fn one_of_many_dies_and_the_others_finish() {
    for_each(Row::on_shm(), |row| {
        let many = row.kind == Kind::Mpmc;
        kill_some(row, if many { kills() } else { kills().div_ceil(2) });
    });
}

fn kills() -> u32 {
    let kills = std::env::var("RINGWAY_KILLS").ok();
    kills.map_or(5, |kills| kills.parse().unwrap())
}

/// All on the same ring, as long as somebody can still attach, so that the deaths add up.
fn kill_some(row: Row, kills: u32) {
    let mut random = Random(row.to_string().bytes().map(u64::from).sum());
    let mut rings = row.ring();
    for kill in 0..kills {
        if !row.has_many(Role::Producer) {
            rings = row.ring();
        }
        let (ring, _) = &rings;
        let task = Task {
            producers: row.up_to(4, Role::Producer),
            consumers: row.up_to(3, Role::Consumer),
            count: COUNT,
            first_name: kill * 8,
            copies: false,
            waits: ["park", "adaptive"],
        };
        let look = || stat(ring.address()).unwrap();
        let before = look();
        let mut crowd = Crowd::start(ring, task);
        let members = task.producers + task.consumers;
        let alive = |members: &ringway::inspect::ParticipantStat| members.alive;
        let begun = look();
        assert_eq!(
            begun.participants.iter().filter(|who| alive(who)).count(),
            members
        );
        assert_eq!(
            begun.producers_ever,
            before.producers_ever + task.producers as u64
        );
        let victim = match random.below(members as u64) as usize {
            index if index < task.producers => Victim::Producer(index),
            index => Victim::Consumer(index - task.producers),
        };
        let moment = random.below(COUNT * task.producers as u64 * 9 / 10);
        let then = Duration::from_micros(random.below(300));
        crowd.go();
        let deadline = watchdog();
        while look().sent < before.sent + moment {
            assert!(Instant::now() < deadline, "{row}: {}", crowd.state());
        }
        std::thread::sleep(then);
        crowd.kill(victim);
        if task.consumers == 1 && victim == Victim::Consumer(0) {
            crowd.add_consumer();
        }
        crowd.finish(Some(victim));
        assert!(!look().participants.iter().any(alive), "{row}");
    }
}
