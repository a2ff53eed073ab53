//! How long `send` and `recv` wait for what, and how fast they send.

mod common;

use std::time::{Duration, Instant};

use common::{
    Place, QUEUES, Running, assert_says, assert_status, lines, run, run_with, waiting_sender,
};

#[test]
fn a_sender_without_room_gives_up_after_the_timeout() {
    for (scheme, options) in [
        ("shm", &["--capacity", "4K"][..]),
        ("file", &["--capacity", "4K", "--kind", "mpmc"]),
        ("shm", &["--capacity", "4K", "--whole"]),
        ("mq", &[]),
        ("sysvmq", &[]),
        ("mq", &["--whole"]),
    ] {
        let place = Place::new(scheme);
        let send = ["send", &place.address, "--create", "--timeout", "0.05"];
        let send = send.into_iter().chain(options.iter().copied());
        let send = run_with(send, &lines(0, 100_000));
        assert_status(&send, 1);
        assert_says(&send.stderr, &["room", "in time"]);
        // What was sent before is there, and whoever receives it learns that it is not all.
        if !options.contains(&"--whole") {
            let recv = run(["recv", &place.address]);
            assert_status(&recv, 1);
            assert_says(&recv.stderr, &["died"]);
            let count = recv.stdout.iter().filter(|byte| **byte == b'\n').count();
            assert!(
                count > 0 && recv.stdout == lines(0, count as u64),
                "{scheme}"
            );
        }
    }
}

#[test]
fn a_sender_that_finds_room_in_time_sends_all() {
    for scheme in ["shm", "mq", "sysvmq"] {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address]), 0);
        let recv = Running::start(["recv", &place.address]);
        let send = ["send", &place.address, "--timeout", "60"];
        let send = Running::feed(send, &lines(0, 50_000));
        let recv = recv.finish();
        assert_status(&send.finish(), 0);
        assert_status(&recv, 0);
        assert!(recv.stdout == lines(0, 50_000), "{scheme}");
    }
}

#[test]
fn a_sender_gives_up_on_receivers_after_the_timeout() {
    // Nobody comes, for a message or for the news that there is none.
    for input in [&b"one\n"[..], b""] {
        let place = Place::new("shm");
        let send = ["send", &place.address, "--create", "--unlink"];
        let send = run_with(send.into_iter().chain(["--timeout", "0.05"]), input);
        assert_status(&send, 1);
        assert_says(&send.stderr, &["in time"]);
    }
    // Of an earlier run one died, and no other follows.
    let place = Place::new("shm");
    let mut recv = Running::start(["recv", &place.address, "--create"]);
    let pid = recv.id();
    common::eventually("the receiver", || {
        place.exists() && place.participants().iter().any(|one| one["pid"] == pid)
    });
    recv.kill();
    let send = ["send", &place.address, "--whole", "--timeout", "0.05"];
    let send = run_with(send, b"one\n");
    assert_status(&send, 1);
    assert_says(&send.stderr, &["no receiver came in time"]);
}

#[test]
fn a_number_without_a_unit_is_seconds_and_a_month_no_minute() {
    let place = Place::new("shm");
    let _send = waiting_sender(&place, &[], b"one\n");
    for timeout in ["0", "0.01", "10ms"] {
        assert_status(&run(["recv", &place.address, "--timeout", timeout]), 1);
    }
    for words in [
        ["recv", &place.address, "--timeout", "1M"],
        ["recv", &place.address, "--wait", "1M"],
        ["send", &place.address, "--timeout", "1M"],
        ["gc", "-n", "--older-than", "1M"],
    ] {
        let refused = run(words);
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["1min", "month"]);
    }
}

#[test]
fn a_wait_outlasts_a_directory_that_is_not_there_yet() {
    let top = tempfile::tempdir().unwrap();
    let directory = top.path().join("not/there/yet");
    let address = format!("file:{}", directory.join("ring").display());
    let recv = Running::start(["recv", &address, "--wait", "60"]);
    let recv = std::thread::scope(|scope| {
        let recv = scope.spawn(|| recv.finish());
        std::thread::sleep(Duration::from_millis(20));
        std::fs::create_dir_all(&directory).unwrap();
        assert_status(&run_with(["send", &address, "--create"], b"one\n"), 0);
        recv.join().unwrap()
    });
    assert_status(&recv, 0);
    assert_eq!(recv.stdout, b"one\n");

    let nowhere = format!("file:{}", top.path().join("no/where").display());
    let recv = run(["recv", &nowhere, "--wait", "0.05"]);
    assert_status(&recv, 1);
    assert_says(&recv.stderr, &["directory", "appeared"]);
}

#[test]
fn messages_are_sent_as_fast_as_was_asked_for_and_no_faster() {
    for scheme in ["shm"].iter().chain(&QUEUES) {
        let place = Place::new(scheme);
        let started = Instant::now();
        let send = ["send", &place.address, "--create", "--rate", "200"];
        assert_status(&run_with(send, &lines(0, 6)), 0);
        // The first at once, and five more.
        assert!(started.elapsed() >= Duration::from_millis(25), "{scheme}");
        assert_eq!(
            run(["recv", &place.address]).stdout,
            lines(0, 6),
            "{scheme}"
        );
    }
    for wrong in ["0", "-1", "many", "1e300"] {
        assert_status(&run(["send", "shm:a", "--rate", wrong]), 2);
    }
}
