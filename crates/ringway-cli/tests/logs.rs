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
        let bytes = lines(0, 3000).len() - 3000;
        let words = format!("recorded 3000 messages, {bytes} bytes");
        assert_says(&recorded.stderr, &[&words]);
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

fn next_of(at: &str, name: &str) -> u64 {
    let stat = json(&run(["stat", at, "--json"]));
    let cursors = stat["cursors"].as_array().unwrap();
    let found = cursors.iter().find(|cursor| cursor["name"] == name);
    found.map_or(0, |cursor| cursor["next_number"].as_u64().unwrap())
}

#[test]
fn a_command_is_run_for_each_message_and_the_cursor_goes_behind_it() {
    for words in [
        &["work", "--", "sh", "-c", "cat; echo"][..],
        &["recv", "--ack-after", "cat {} && echo"],
    ] {
        let (_directory, at) = log();
        assert_status(&run_with(["send", &at, "--create"], &lines(0, 5)), 0);
        let mut words = words.to_vec();
        words.insert(1, &at);
        words.splice(2..2, ["--count", "3"]);
        let some = run(words.iter().copied());
        assert_status(&some, 0);
        assert_eq!(text(&some.stdout), text(&lines(0, 3)));
        assert_says(&some.stderr, &["did 3 messages"]);
        assert_eq!(next_of(&at, "work"), 3);
        words.drain(2..4);
        let rest = run(words.iter().copied());
        assert_status(&rest, 0);
        assert_eq!(text(&rest.stdout), text(&lines(3, 5)));
        // Another name has all of them to do.
        words.splice(2..2, ["--name", "other"]);
        assert_eq!(text(&run(words.iter().copied()).stdout), text(&lines(0, 5)));
        // Nothing was taken away.
        assert_eq!(run(["recv", &at]).stdout, lines(0, 5));
    }
}

#[test]
fn a_task_that_fails_comes_again_and_at_last_goes_to_the_dead_letters() {
    let (_directory, at) = log();
    let dead = Place::new("shm");
    assert_status(
        &run_with(["send", &at, "--create"], b"good\nbad\nbetter\n"),
        0,
    );
    let failing = "read x; echo $RINGWAY_NUMBER $RINGWAY_DELIVERIES $x; test $x != bad";
    let once = run(["recv", &at, "--ack-after", failing, "--count", "1"]);
    assert_eq!(text(&once.stdout), "0 1 good\n");
    let mut work = vec!["recv", &at, "--ack-after", failing, "--tries", "3"];
    work.extend(["--dead-letters", &dead.address]);
    let refused = run(work.iter().copied());
    assert_status(&refused, 1);
    assert_says(&refused.stderr, &["ringway create", "--create"]);
    work.push("--create");
    let done = run(work.iter().copied());
    assert_status(&done, 1);
    assert_eq!(
        text(&done.stdout),
        "1 1 bad\n1 2 bad\n1 3 bad\n2 1 better\n"
    );
    assert_says(
        &done.stderr,
        &[
            "1 task failed 3 times and went to",
            "task 1 failed: status 1",
        ],
    );
    assert_eq!(text(&run(["recv", &dead.address]).stdout), "bad\n");
    assert_eq!(next_of(&at, "work"), 3);
}

#[test]
fn the_task_of_a_killed_worker_begins_again_and_is_counted() {
    let (directory, at) = log();
    let dead = Place::new("shm");
    let mark = directory.path().join("mark");
    assert_status(&run_with(["send", &at, "--create"], b"deadly\nother\n"), 0);
    let script = format!(
        "read x; test $x = other || {{ echo > {}; sleep 600; }}",
        mark.display()
    );
    let mut words = vec![
        "recv",
        &at,
        "--ack-after",
        &script,
        "--create",
        "--tries",
        "2",
    ];
    words.extend(["--dead-letters", &dead.address]);
    for begun in 0..2 {
        let worker = Running::start(words.iter().copied());
        common::eventually("it has begun the task", || mark.exists());
        let second = run(["work", &at, "--", "true"]);
        assert_status(&second, 2);
        assert_says(&second.stderr, &["reads by the cursor work, and one can"]);
        worker.kill();
        std::fs::remove_file(&mark).unwrap();
        assert_eq!(next_of(&at, "work"), 0, "{begun}");
    }
    // Two deaths are two tries.
    let rest = run(words.iter().copied());
    assert_status(&rest, 1);
    assert_says(
        &rest.stderr,
        &[
            "1 task failed 2 times",
            "1 of them perhaps for a second time",
        ],
    );
    assert_eq!(text(&run(["recv", &dead.address]).stdout), "deadly\n");
    assert_eq!(next_of(&at, "work"), 2);
}

#[test]
fn files_are_spooled_to_a_log_and_what_a_kill_leaves_is_not_sent_twice() {
    let (directory, at) = log();
    let folder = directory.path().join("spool");
    std::fs::create_dir(&folder).unwrap();
    let words = |options: &[&'static str]| -> Vec<String> {
        let words = ["spool", folder.to_str().unwrap(), &at, "--once"];
        let words = words.iter().chain(options).map(|word| (*word).to_owned());
        words.collect()
    };
    let spool = |options: &[&'static str]| {
        let words = words(options);
        run(words.iter().map(String::as_str))
    };
    let put = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
    put("b", "two");
    put("a", "one");
    assert_status(&spool(&["--create", "--durability", "each"]), 0);
    assert_eq!(text(&run(["recv", &at]).stdout), "one\ntwo\n");
    assert!(folder.join("done/a").exists() && folder.join("done/b").exists());
    // Killed behind the append of what is in .sending: the number is given away.
    put("c", "three");
    assert_status(&spool(&["--only-sender"]), 0);
    let nonce = nonce_of(&at);
    for (number, is_sent) in [(2, true), (3, false)] {
        let sending = folder.join(format!(".sending/{nonce}-{number:016x}-d"));
        std::fs::write(sending, "four").unwrap();
        assert_status(&spool(&["--only-sender"]), 0);
        let expected = match is_sent {
            true => "one\ntwo\nthree\n",
            false => "one\ntwo\nthree\nfour\n",
        };
        assert_eq!(text(&run(["recv", &at]).stdout), expected);
        std::fs::remove_file(folder.join("done/d")).unwrap();
    }
    let refused = run([
        "spool",
        folder.to_str().unwrap(),
        "shm:x",
        "--keep-for",
        "1h",
    ]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["shm:x is no log"]);
}

/// The log's nonce, as the spool writes it down.
fn nonce_of(at: &str) -> String {
    let directory = at.strip_prefix("log:").unwrap();
    let about = std::fs::read(std::path::Path::new(directory).join("log")).unwrap();
    // Either page has it, in its first two words behind the sequence number.
    let page = [&about[..4096], &about[4096..]]
        .into_iter()
        .find(|page| page[4..8] == *b"RWLS")
        .unwrap();
    let nonce = u128::from_le_bytes(page[16..32].try_into().unwrap());
    format!("{nonce:032x}")
}

#[test]
fn a_log_is_joined_to_others_and_a_named_cursor_goes_behind_what_is_written() {
    let (_directory, at) = log();
    let (_other, copy) = log();
    let ring = Place::new("shm");
    assert_status(
        &run_with(
            ["join", "-", &at, "--create", "--durability", "batch:1M"],
            &lines(0, 3000),
        ),
        0,
    );
    let out = run(["join", &at, "-", "--name", "out", "--synced"]);
    assert_status(&out, 0);
    assert!(out.stdout == lines(0, 3000));
    assert_eq!(next_of(&at, "out"), 3000);
    assert_status(&run_with(["send", &at], &lines(3000, 3010)), 0);
    assert_eq!(
        run(["join", &at, "-", "--name", "out"]).stdout,
        lines(3000, 3010)
    );
    // Without a name, all of them, or from where one says.
    assert_status(
        &run(["join", &at, &copy, "--create", "--from", "number:10"]),
        0,
    );
    assert!(run(["recv", &copy]).stdout == lines(10, 3010));
    let joined = Running::start(["join", &at, &ring.address, "--create"]);
    let received = run(["recv", &ring.address, "--wait", "60"]);
    assert_status(&joined.finish(), 0);
    assert!(received.stdout == lines(0, 3010));
    for (args, says) in [
        (
            ["join", &at, "-", "--repair"],
            "- is no log: leave out --repair",
        ),
        (
            ["join", "-", &at, "--synced"],
            "- is no log: leave out --synced",
        ),
    ] {
        let refused = run(args);
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &[says]);
    }
}

#[test]
fn a_killed_join_from_a_log_loses_nothing() {
    let (_directory, at) = log();
    let ring = Place::new("shm");
    assert_status(&run_with(["send", &at, "--create"], &lines(0, 20_000)), 0);
    // No room for all of them.
    assert_status(&run(["create", &ring.address, "--capacity", "65536"]), 0);
    let join = ["join", &at, &ring.address, "--name", "out"];
    let joined = Running::start(join);
    common::eventually("the ring is full", || {
        ring.stat()["sent"].as_u64() > Some(100)
    });
    joined.kill();
    let first = run(["recv", &ring.address]);
    assert_status(&first, 1);
    let joined = Running::start(join);
    let rest = run(["recv", &ring.address, "--producers", "2"]);
    assert_status(&joined.finish(), 0);
    let all = text(&[first.stdout, rest.stdout].concat());
    let mut expected = 0;
    for line in all.lines() {
        let number: u64 = line.strip_prefix("line ").unwrap().parse().unwrap();
        // Some come again, and none is passed over.
        assert!(number <= expected, "{number} comes, not {expected}");
        expected = expected.max(number + 1);
    }
    assert_eq!(expected, 20_000);
}
