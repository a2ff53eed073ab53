//! `log:DIR` on the command line: appended, read from anywhere, recorded from rings and replayed to them, looked at and removed.

mod common;

use common::{Place, Running, assert_says, assert_status, json, lines, run, run_with, text};
use tempfile::TempDir;

fn log() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("log:{}", directory.path().join("orders").display());
    (directory, address)
}

#[test]
fn what_is_sent_is_received_from_anywhere_and_stays() {
    let (_directory, at) = log();
    let at = at.as_str();
    let missing = run(["recv", at]);
    assert_status(&missing, 1);
    assert_says(&missing.stderr, &["make it with send --create"]);
    assert_status(&run_with(["send", at, "--create"], &lines(0, 5000)), 0);
    let again = ["send", at, "--durability", "each", "-m", "one more"];
    assert_status(&run(again), 0);
    let all = run(["recv", at]);
    assert_status(&all, 0);
    assert!(all.stdout == [lines(0, 5000), b"one more\n".to_vec()].concat());
    for (from, expected) in [
        ("number:4999", "line 4999\none more\n"),
        ("last:2", "line 4999\none more\n"),
        ("latest", ""),
        ("time:2100-01-01T00:00:00Z", ""),
    ] {
        let found = run(["recv", at, "--from", from]);
        assert_status(&found, 0);
        assert_eq!(text(&found.stdout), expected, "{from}");
    }
    assert_eq!(run(["recv", at, "--from", "ago:1h"]).stdout, all.stdout);
    let stat = json(&run(["stat", at, "--json"]));
    assert_eq!(stat["next_number"], 5001);
    assert_says(
        &run(["stat", at]).stdout,
        &["5001, from 0 to 5000", "nobody"],
    );
    assert_status(&run(["rm", at]), 0);
    assert_status(&run(["stat", at]), 1);
}

#[test]
fn a_name_goes_on_behind_what_was_written_out() {
    let (_directory, at) = log();
    let at = at.as_str();
    assert_status(&run_with(["send", at, "--create"], &lines(0, 10)), 0);
    let some = run(["recv", at, "--name", "audit", "--count", "4"]);
    assert_eq!(some.stdout, lines(0, 4));
    let shown = run(["recv", at, "--name", "audit", "--peek", "--count", "2"]);
    assert_eq!(shown.stdout, lines(4, 6));
    let rest = run(["recv", at, "--name", "audit"]);
    assert_eq!(rest.stdout, lines(4, 10));
    assert_says(&run(["stat", at]).stdout, &["audit: next is 10, 0 behind"]);
    assert_eq!(run(["recv", at]).stdout, lines(0, 10));
}

#[test]
fn who_follows_gets_what_comes_from_one_writer_and_the_next() {
    let (_directory, at) = log();
    let at = at.as_str();
    assert_status(&run_with(["send", at, "--create"], &lines(0, 3)), 0);
    let follower = Running::start(["recv", at, "--follow", "--count", "9"]);
    assert_status(&run_with(["send", at], &lines(3, 6)), 0);
    let killed = Running::open(["send", at], &lines(6, 8));
    common::eventually("two more are there", || {
        json(&run(["stat", at, "--json"]))["next_number"] == 8
    });
    killed.kill();
    assert_status(&run(["send", at, "-m", "line 8"]), 0);
    let followed = follower.finish();
    assert_status(&followed, 0);
    assert_eq!(followed.stdout, lines(0, 9));
}

#[test]
fn who_waits_for_a_writer_that_dies_is_told() {
    let (_directory, at) = log();
    let at = at.as_str();
    let writer = Running::open(["send", at, "--create"], &lines(0, 2));
    common::eventually("both are there", || {
        let stat = run(["stat", at, "--json"]);
        stat.status.success() && json(&stat)["next_number"] == 2
    });
    let refused = run(["send", at, "-m", "x"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["writes to it, and one can"]);
    let reader = Running::start(["recv", at]);
    common::eventually("it reads", || !reader_waits_not(at));
    writer.kill();
    let told = reader.finish();
    assert_eq!(told.stdout, lines(0, 2));
    // It may have come after the death, and found it.
    assert_status(&told, 1);
    assert_says(&told.stderr, &["the writer died before it closed"]);
}

/// The writer lives: so whoever reads now waits at the end.
fn reader_waits_not(at: &str) -> bool {
    json(&run(["stat", at, "--json"]))["participants"] == serde_json::json!([])
}

#[test]
fn a_ring_is_recorded_and_replayed() {
    for kind in ["spsc", "mpmc", "broadcast"] {
        let (_directory, at) = log();
        let (place, copy) = (Place::new("shm"), Place::new("shm"));
        let (ring, copy) = (place.address.as_str(), copy.address.as_str());
        assert_status(&run(["create", ring, "--kind", kind]), 0);
        assert_status(&run_with(["send", ring], &lines(0, 3000)), 0);
        let recorded = run(["record", ring, &at]);
        assert_status(&recorded, 0);
        assert!(run(["recv", &at]).stdout == lines(0, 3000), "{kind}");
        let out = run([
            "replay",
            &at,
            "-",
            "--from",
            "number:10",
            "--to",
            "number:20",
        ]);
        assert_status(&out, 0);
        assert_eq!(out.stdout, lines(10, 20));
        let replay = Running::start(["replay", &at, copy, "--create"]);
        let received = run(["recv", copy, "--wait", "60"]);
        assert_status(&replay.finish(), 0);
        assert!(received.stdout == lines(0, 3000), "{kind}");
        // It goes on, and records nothing twice.
        assert_status(&run_with(["send", ring], &lines(3000, 3010)), 0);
        assert_status(&run(["record", ring, &at]), 0);
        assert!(run(["recv", &at]).stdout == lines(0, 3010), "{kind}");
    }
}

#[test]
fn what_a_log_has_not_is_refused_and_what_only_a_log_has() {
    let (_directory, at) = log();
    for (args, says) in [
        (["send", &at, "--create", "--whole"], "leave out --whole"),
        (
            ["send", &at, "--create", "--overwrite"],
            "has no --overwrite",
        ),
        (["recv", &at, "--policy", "lossy"], "leave out --policy"),
        (["send", "shm:x", "--durability", "each"], "shm:x is no log"),
        (["recv", "shm:x", "--wait=0", "--synced"], "shm:x is no log"),
        (
            ["create", &at, "--capacity", "4096"],
            "is a log: recv reads it, send appends to it",
        ),
    ] {
        let refused = run(args);
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &[says]);
    }
}
