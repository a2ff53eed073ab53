//! `ringway tap` shows what is in a ring, and takes nothing.

mod common;

use std::io::{BufRead, BufReader};

use common::{
    Place, Running, SCHEMES, assert_says, assert_status, eventually, run, run_with, text,
};
use serde_json::{Value, json};

#[test]
fn what_is_seen_is_received_all_the_same() {
    for scheme in SCHEMES {
        for kind in ["spsc", "mpsc", "spmc", "mpmc"] {
            let place = Place::new(scheme);
            let at = place.address.as_str();
            assert_status(&run(["create", at, "--kind", kind]), 0);
            assert_status(&run(["tap", at]), 1);
            let sent = run_with(["send", at], b"one\nt\\wo\nth\x1bree\n");
            assert_status(&sent, 0);
            for _ in 0..2 {
                let seen = run(["tap", at]);
                assert_status(&seen, 0);
                assert_eq!(text(&seen.stdout), "one\nt\\\\wo\nth\\u{1b}ree\n");
            }
            let last = run(["tap", at, "--last", "1"]);
            assert_eq!(text(&last.stdout), "th\\u{1b}ree\n");
            assert_status(&run(["tap", at, "--last", "0"]), 0);
            let received = run(["recv", at]);
            assert_eq!(text(&received.stdout), "one\nt\\wo\nth\x1bree\n");
            let nothing = run(["tap", at]);
            assert_status(&nothing, 1);
            assert_says(&nothing.stderr, &["no message"]);
        }
    }
}

#[test]
fn bytes_are_shown_in_hexadecimal_and_as_json() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at, "--kind", "broadcast"]), 0);
    assert_status(&run_with(["send", at, "-0"], b"text\0\xff\n\0"), 0);
    let seen = text(&run(["tap", at, "--hex"]).stdout);
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[0], "message 0, 4 bytes");
    assert!(lines[1].starts_with("00000000  74 65 78 74 "), "{seen}");
    assert!(lines[1].ends_with("  |text|"), "{seen}");
    assert_eq!(lines[2], "message 1, 2 bytes");
    let seen = text(&run(["tap", at, "--json"]).stdout);
    let seen: Vec<Value> = seen
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        json!({ "number": 0, "bytes": 4, "text": "text", "hex": null }),
        json!({ "number": 1, "bytes": 2, "text": null, "hex": "ff0a" }),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn who_follows_sees_what_comes_until_the_ring_is_removed() {
    for kind in ["spsc", "mpmc", "broadcast"] {
        let place = Place::new("shm");
        let at = place.address.as_str();
        assert_status(&run(["create", at, "--kind", kind]), 0);
        assert_status(&run(["send", at, "-m", "before", "-m", "last"]), 0);
        let mut tap = Running::start(["tap", at, "--follow", "--last", "1"]);
        let stdout = tap.child().stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let mut next = || lines.next().unwrap().unwrap();
        assert_eq!(next(), "last");
        for number in 0..20 {
            let message = format!("number {number}");
            assert_status(&run(["send", at, "-m", &message]), 0);
            assert_eq!(next(), message);
        }
        assert_status(&run(["rm", at]), 0);
        assert!(lines.next().is_none());
        let ended = tap.finish();
        assert_status(&ended, 0);
        assert_says(&ended.stderr, &["was removed"]);
    }
}

#[test]
fn what_passes_unseen_is_told() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at, "--capacity", "4K"]), 0);
    assert_status(&run(["send", at, "-m", "first"]), 0);
    let mut tap = Running::start(["tap", at, "--follow", "--last", "1"]);
    let stdout = tap.child().stdout.take().unwrap();
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    // Stopped, it sees nothing of what comes and goes.
    tap.signal(nix::sys::signal::Signal::SIGSTOP);
    let pid = tap.id();
    eventually("that it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") T ")
    });
    assert_status(&run_with(["send", at], &common::lines(0, 50)), 0);
    assert_status(&run(["recv", at, "--count", "51"]), 0);
    assert_status(&run(["send", at, "-m", "here"]), 0);
    tap.signal(nix::sys::signal::Signal::SIGCONT);
    line.clear();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    assert_status(&run(["rm", at]), 0);
    let ended = tap.finish();
    assert_status(&ended, 0);
    assert_says(&ended.stderr, &["50 messages passed unseen"]);
}

#[test]
fn what_cannot_be_seen_is_told() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let make = ["create", at, "--slabs", "4Kx2"];
    assert_status(&run(make), 0);
    let message = "x".repeat(4000);
    let send = ["send", at, "--copy-limit", "100", "-m", &message];
    assert_status(&run(send), 0);
    assert_says(&run(["tap", at]).stdout, &["in a slab"]);

    let queue = Place::new("mq");
    let send = run(["send", &queue.address, "--create", "-m", "one"]);
    assert_status(&send, 0);
    let refused = run(["tap", &queue.address]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["message queue"]);
    let board = Place::new("shm");
    assert_status(&run(["set", &board.address, "key", "value"]), 0);
    let refused = run(["tap", &board.address]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["board"]);
    let refused = run(["tap", "log:/nowhere"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["recv"]);
    assert_status(&run(["tap", "shm:not-there-at-all"]), 1);
}
