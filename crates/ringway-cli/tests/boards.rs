//! `set`, `get` and `watch`: the latest values, from the shell.

mod common;

use common::{
    Place, Running, SCHEMES, assert_says, assert_status, eventually, json, run, run_with, text,
};

#[test]
fn a_value_is_set_and_shown_as_it_is() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let at = place.address.as_str();
        assert_status(&run(["get", at, "speed"]), 1);
        assert_status(&run(["set", at, "speed", "50"]), 0);
        let got = run(["get", at, "speed"]);
        assert_status(&got, 0);
        assert_eq!(got.stdout, b"50", "{scheme}");
        let bytes = common::binary(4096);
        assert_status(&run_with(["set", at, "picture"], &bytes), 0);
        assert!(run(["get", at, "picture"]).stdout == bytes);
        assert_eq!(run(["get", at, "speed"]).stdout, b"50");
        let none = run(["get", at, "no such"]);
        assert_status(&none, 1);
        assert_says(&none.stderr, &["no%20such has no value on"]);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing_that_was_made() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let refused = run_with(["set", at, "key"], &[7; 4097]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["a value of 4097 bytes does not fit"]);
    assert!(!place.exists());
    assert_status(
        &run(["set", at, "key", "1", "--value-len", "64", "--entries", "1"]),
        0,
    );
    let refused = run(["set", at, "other", "1"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["all of its 1 entries have other keys"]);
    assert_eq!(run(["get", at, "key"]).stdout, b"1");
    let refused = run(["set", at, "key", "1", "--entries", "2"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["with entries 1 and not 2"]);
}

#[test]
fn each_change_is_a_line() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let mut one = Running::start(["watch", at, "speed", "--wait", "60", "-n", "3"]);
    let mut all = Running::start(["watch", at, "--wait", "60", "-n", "4"]);
    for (key, value) in [
        ("speed", "50"),
        ("level", "low\n"),
        ("speed", "60"),
        ("speed", "one\ntwo"),
    ] {
        assert_status(&run(["set", at, key, value]), 0);
        // Only the latest is shown, so each is waited for.
        eventually("they sleep", || {
            [one.id(), all.id()].iter().all(|pid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                stat.is_ok_and(|stat| stat.contains(") S ") || stat.contains(") Z "))
            })
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (one, all) = (one.finish(), all.finish());
    assert_status(&one, 0);
    assert_eq!(text(&one.stdout), "50\n60\none%0atwo\n");
    assert_eq!(
        text(&all.stdout),
        "speed\t50\nlevel\tlow\nspeed\t60\nspeed\tone%0atwo\n"
    );
}

#[test]
fn a_watch_ends_when_the_board_is_removed() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["set", at, "key", "1"]), 0);
    let watch = Running::start(["watch", at]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_status(&run(["rm", at]), 0);
    let ended = watch.finish();
    assert_status(&ended, 1);
    assert_says(&ended.stderr, &["was removed"]);
}

#[test]
fn a_board_is_listed_and_described() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["set", at, "my key", "12345"]), 0);
    let stat = run(["stat", at]);
    assert_says(
        &stat.stdout,
        &["kind        board", "1 value", "my%20key       1      5  -"],
    );
    let stat = place.stat();
    assert_eq!(stat["kind"], "board");
    assert_eq!(stat["entries"][0]["key"], "my key");
    assert_eq!(stat["entries"][0]["value_bytes"], 5);
    let listed = text(&run(["ls"]).stdout);
    let line = listed.lines().find(|line| line.contains(at)).unwrap();
    assert!(line.contains("board"), "{line}");
    let kept = json(&run(["gc", at, "--json"]));
    assert_eq!(kept["objects"][0]["why"], "in-order");
}

#[test]
fn who_sends_to_a_board_or_sets_on_a_ring_is_told() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["set", at, "key", "1"]), 0);
    let refused = run_with(["send", at], b"line\n");
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["it is a board, and no ring"]);
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at]), 0);
    let refused = run(["set", at, "key", "1"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["it is a ring, and no board"]);
}
