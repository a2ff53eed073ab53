//! System V segments that are found half-made, and keys that others use.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::process::{command, half_made_segment, run_to_death};
use super::*;
use crate::sys::semget;

#[test]
fn a_half_made_segment_is_said_to_be_one() {
    for play in ["die before the lock", "die holding the lock"] {
        let fixture = Fixture::sysv();
        run_to_death(play, &fixture.address);
        let creator = shmget::status(fixture.id()).unwrap().creator_pid;
        let error = assert_fails(Segment::open(&fixture.request()), ErrorKind::HalfMade);
        let text = error.to_string();
        assert!(text.contains(&creator.to_string()), "{text}");
        assert!(text.contains("ringway rm sysv:0x"), "{text}");
        assert_fails(View::open(&fixture.address), ErrorKind::HalfMade);
        let result = Segment::create(&fixture.request(), &plan());
        assert_fails(result, ErrorKind::AlreadyExists);
        assert!(!list().contains(&fixture.address));
        let request = Request {
            wait: Some(Duration::from_millis(20)),
            ..fixture.request()
        };
        assert_fails(Segment::open(&request), ErrorKind::TimedOut);
        remove(&fixture.address).unwrap();
        assert!(!fixture.exists());
    }
}

#[test]
fn a_half_made_segment_is_taken_over() {
    for play in ["die before the lock", "die holding the lock"] {
        let fixture = Fixture::sysv();
        run_to_death(play, &fixture.address);
        let id = fixture.id();
        let (made, created) = Segment::open_or_create(&fixture.request(), &plan()).unwrap();
        assert!(created);
        assert_eq!(fixture.id(), id);
        assert_eq!(shmget::status(id).unwrap().mode, 0o600);
        let opened = Segment::open(&fixture.request()).unwrap();
        assert_eq!(opened.header, made.header);
        assert_eq!(data_word(&opened).load(Ordering::Relaxed), 0);
        // Nor is the dead one's type of messages left, which none was said of here.
        let word = |at| Some(opened.map.word64(at)?.load(Ordering::Relaxed));
        assert_eq!(message_type::load(word), NO_TYPE);
    }
}

#[test]
fn a_half_made_segment_of_another_size_is_replaced() {
    for play in ["die before the lock", "die holding the lock"] {
        let fixture = Fixture::sysv();
        run_to_death(play, &fixture.address);
        let id = fixture.id();
        let larger = plan_of(1 << 20);
        let (made, created) = Segment::open_or_create(&fixture.request(), &larger).unwrap();
        assert!(created);
        assert_ne!(fixture.id(), id);
        assert_eq!(made.map.len() as u64, larger.geometry.total_len());
    }
}

#[test]
fn one_of_many_takes_a_half_made_segment_over() {
    let fixture = Fixture::sysv();
    for play in ["die before the lock", "die holding the lock"] {
        run_to_death(play, &fixture.address);
        let racers = 8;
        let start = std::sync::Barrier::new(racers);
        let race = || {
            start.wait();
            Segment::open_or_create(&fixture.request(), &plan())
                .unwrap()
                .1
        };
        let creators = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..racers).map(|_| scope.spawn(race)).collect();
            let created = racers.into_iter().map(|racer| racer.join().unwrap());
            created.filter(|created| *created).count()
        });
        assert_eq!(creators, 1);
        fixture.clean();
    }
}

/// A waiting opener is woken when the creator dies and a successor finishes.
#[test]
fn a_creator_that_lives_is_waited_for_and_one_that_dies_is_noticed() {
    let fixture = Fixture::sysv();
    let mut child = command("hold the lock", &fixture.address)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line.ends_with("held"))
    );

    // Alive: nobody may take it from it.
    let pid = child.id();
    let error = assert_fails(remove(&fixture.address), ErrorKind::InUse { pid });
    assert!(error.to_string().contains(&pid.to_string()));
    let request = Request {
        wait: Some(Duration::from_millis(20)),
        ..fixture.request()
    };
    assert_fails(Segment::open(&request), ErrorKind::TimedOut);
    let made = Segment::open_or_create(&fixture.request(), &plan());
    assert_fails(made, ErrorKind::HalfMade);

    let request = Request {
        wait: Some(Duration::from_secs(60)),
        ..fixture.request()
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Segment::open(&request).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        child.kill().unwrap();
        child.wait().unwrap();
        let (made, created) = Segment::open_or_create(&fixture.request(), &plan()).unwrap();
        assert!(created);
        assert_eq!(waiting.join().unwrap().header, made.header);
    });
}

#[test]
fn what_others_keep_under_a_key_is_left_alone() {
    let len = plan().geometry.total_len() as usize;
    // Ours are told apart even from segments of the same length that hold nothing yet.
    for (len, mode) in [
        (len, 0o600),
        (len, 0o777),
        (len, 0o770),
        (4096, 0o666),
        (100, 0o600),
    ] {
        let fixture = Fixture::sysv();
        let id = shmget::get(fixture.key(), len, libc::IPC_CREAT | mode).unwrap();
        let error = assert_fails(Segment::open(&fixture.request()), ErrorKind::NotARing);
        assert!(error.to_string().contains("same key"), "{error}");
        let result = Segment::open_or_create(&fixture.request(), &plan());
        assert_fails(result, ErrorKind::NotARing);
        assert_fails(View::open(&fixture.address), ErrorKind::NotARing);
        assert_fails(remove(&fixture.address), ErrorKind::NotARing);
        let result = Segment::create(&fixture.request(), &plan());
        assert_fails(result, ErrorKind::AlreadyExists);
        assert!(!list().contains(&fixture.address));
        assert_eq!(fixture.id(), id);
    }
}

#[test]
fn a_finished_ring_of_another_size_is_opened_as_it_is() {
    let fixture = Fixture::sysv();
    let made = Segment::create(&fixture.request(), &plan()).unwrap();
    let (opened, created) = Segment::open_or_create(&fixture.request(), &plan_of(1 << 20)).unwrap();
    assert!(!created);
    assert_eq!(opened.header, made.header);
}

#[test]
fn a_removed_segment_is_gone_for_newcomers() {
    let fixture = Fixture::sysv();
    let made = Segment::create(&fixture.request(), &plan()).unwrap();
    let id = fixture.id();
    remove(&fixture.address).unwrap();
    let by_id = Address::Sysv(SysvKey::Id(id));
    assert_fails(Segment::open(&Request::new(&by_id)), ErrorKind::NotFound);
    assert!(!list().contains(&by_id));
    data_word(&made).store(1, Ordering::Relaxed);
}

/// A creator is stopped before it has the lock, and others act in the meantime.
#[test]
fn a_creator_that_comes_late_leaves_the_ring_of_another_alone() {
    let fixture = Fixture::sysv();
    let late = half_made_segment(&fixture, &plan());
    let (made, created) = Segment::open_or_create(&fixture.request(), &plan()).unwrap();
    assert!(created);
    let attempt = Attempt {
        action: "create",
        address: &fixture.address,
    };
    let finished = late.finish(attempt, &fixture.request(), &plan()).unwrap();
    assert!(finished.is_none());
    let opened = Segment::open(&fixture.request()).unwrap();
    assert_eq!(opened.header, made.header);
    assert!(late.remove_half_made(attempt).unwrap().is_none());
    assert!(fixture.exists());
}

#[test]
fn a_creator_that_comes_late_uses_no_segment_that_was_removed() {
    let fixture = Fixture::sysv();
    let late = half_made_segment(&fixture, &plan());
    remove(&fixture.address).unwrap();
    let attempt = Attempt {
        action: "create",
        address: &fixture.address,
    };
    let finished = late.finish(attempt, &fixture.request(), &plan()).unwrap();
    assert!(finished.is_none());
}

/// The id of the set beside a half-made ring.
fn left_behind(fixture: &Fixture) -> i32 {
    run_to_death("die before the magic", &fixture.address);
    let view = super::peek::Peek::of_sysv(fixture.id()).unwrap();
    let bytes = view.header_bytes().unwrap();
    let id = crate::memory::layout::header::Raw::of(&bytes).semaphores as i32 - 1;
    assert_eq!(semget::value(id, 0), Ok(1));
    id
}

#[test]
fn the_semaphores_of_a_half_made_segment_go_with_it() {
    let fixture = Fixture::sysv();
    // Taken over by one that makes the same, by one that makes another ring, and removed.
    let set = left_behind(&fixture);
    Segment::open_or_create(&fixture.request(), &locked_plan()).unwrap();
    assert!(semget::value(set, 0).is_err());
    remove(&fixture.address).unwrap();

    let set = left_behind(&fixture);
    Segment::open_or_create(&fixture.request(), &plan()).unwrap();
    assert!(semget::value(set, 0).is_err());
    remove(&fixture.address).unwrap();

    let set = left_behind(&fixture);
    remove(&fixture.address).unwrap();
    assert!(semget::value(set, 0).is_err());
}

/// Whether a creator is slow, stopped or dead before it has the lock, nobody can tell, and no time does.
#[test]
fn what_was_not_begun_is_not_finished_yet_and_nobody_is_said_to_have_died() {
    let fixture = Fixture::sysv();
    let half = super::process::half_made_segment(&fixture, &plan());
    let error = assert_fails(Segment::open(&fixture.request()), ErrorKind::HalfMade);
    assert!(error.to_string().contains("not finished yet"), "{error}");
    assert!(!error.to_string().contains("died"), "{error}");
    let error = assert_fails(View::open(&fixture.address), ErrorKind::HalfMade);
    assert!(error.to_string().contains("not finished yet"), "{error}");
    // Who waits has a deadline of its own.
    let request = Request {
        wait: Some(Duration::from_millis(1)),
        ..fixture.request()
    };
    let error = assert_fails(Segment::open(&request), ErrorKind::TimedOut);
    assert!(error.to_string().contains("has not finished"), "{error}");
    drop(half);
}

#[test]
fn a_creator_that_the_kernel_says_is_dead_died() {
    let fixture = Fixture::sysv();
    super::process::run_to_death("die holding the lock", &fixture.address);
    let error = assert_fails(Segment::open(&fixture.request()), ErrorKind::HalfMade);
    assert!(error.to_string().contains("died"), "{error}");
}

#[test]
fn a_segment_that_would_go_with_its_last_user_is_refused() {
    super::process::run(
        "segments that go when they are left",
        &Fixture::sysv().address,
    );
}
