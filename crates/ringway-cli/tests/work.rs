//! `work` and `recv --ack-after`: a command for each message, which is acknowledged when the command has succeeded, and not before.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use common::{
    KINDS, Place, QUEUES, Running, assert_says, assert_status, binary, command, eventually, lines,
    run, run_with, text,
};
use nix::sys::signal::Signal;

/// A ring or a queue that holds these lines, and is closed.
fn filled(scheme: &str, kind: &str, input: &[u8]) -> Place {
    let place = Place::new(scheme);
    let mut send = vec!["send", &place.address, "--create"];
    if !QUEUES.contains(&scheme) {
        send.extend(["--kind", kind]);
    }
    assert_status(&run_with(send, input), 0);
    place
}

fn left(place: &Place) -> u64 {
    let stat = place.stat();
    stat["sent"].as_u64().unwrap() - stat["received"].as_u64().unwrap()
}

#[test]
fn a_command_is_run_for_each_message() {
    let rings = KINDS.map(|kind| ("shm", kind));
    let others = [("file", "spsc"), ("sysv", "mpmc")];
    let queues = QUEUES.map(|scheme| (scheme, ""));
    for (scheme, kind) in rings.into_iter().chain(others).chain(queues) {
        // cat with the message as its input, or as a file; in the words of a shell, or without one.
        for words in [
            &["work", "--", "sh", "-c", "cat; echo"][..],
            &["work", "--", "sh", "-c", "cat {}; echo"],
            &["recv", "--ack-after", "cat; echo"],
            &["recv", "--ack-after", "cat {} && echo"],
        ] {
            let place = filled(scheme, kind, &lines(0, 5));
            let mut words = words.to_vec();
            words.insert(1, &place.address);
            let done = run(words);
            assert_status(&done, 0);
            assert_eq!(text(&done.stdout), text(&lines(0, 5)), "{scheme} {kind}");
            assert_says(&done.stderr, &["did 5 messages"]);
        }
    }
}

#[test]
fn the_command_finds_out_which_message_it_has() {
    let place = filled("shm", "spsc", &lines(0, 2));
    let said = run([
        "recv",
        &place.address,
        "--ack-after",
        "echo $RINGWAY_NUMBER $RINGWAY_DELIVERIES",
    ]);
    assert_eq!(text(&said.stdout), "0 1\n1 1\n");
}

#[test]
fn a_long_message_that_nobody_reads_holds_up_nothing() {
    let place = Place::new("shm");
    let long = binary(1 << 20);
    let send = run_with(["send", &place.address, "--create", "--frames"], &{
        let mut frame = (long.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(&long);
        frame.repeat(2)
    });
    assert_status(&send, 0);
    assert_status(&run(["work", &place.address, "-n", "1", "--", "true"]), 0);
    let read = run(["work", &place.address, "--", "cat"]);
    assert_status(&read, 0);
    assert!(read.stdout == long);
}

#[test]
fn what_fails_is_given_back_and_comes_again() {
    for kind in KINDS {
        let place = filled("shm", kind, &lines(0, 3));
        let done = run([
            "recv",
            &place.address,
            "--ack-after",
            "test $RINGWAY_DELIVERIES -ge 3 && cat",
        ]);
        assert_status(&done, 0);
        assert_eq!(text(&done.stdout), "line 0line 1line 2", "{kind}");
        assert_says(&done.stderr, &["failed: status 1"]);
    }
}

#[test]
fn what_fails_so_often_goes_to_the_dead_letters() {
    for (scheme, kind) in [("shm", "spsc"), ("shm", "mpmc"), ("mq", ""), ("sysvmq", "")] {
        let place = filled(scheme, kind, b"good\nbad\nbetter\nbad\n");
        let dead = Place::new("shm");
        let mut work = vec!["work", &place.address, "--tries", "3"];
        work.extend(["--dead-letters", &dead.address]);
        let words = ["--", "sh", "-c", "read x; echo $x; test $x != bad"];
        let refused = run(work.iter().copied().chain(words));
        assert_status(&refused, 1);
        assert_says(&refused.stderr, &["ringway create", "--create"]);
        work.push("--create");
        let done = run(work.iter().copied().chain(words));
        assert_status(&done, 1);
        let tried = "good\nbad\nbad\nbad\nbetter\nbad\nbad\nbad\n";
        assert_eq!(text(&done.stdout), tried, "{scheme} {kind}");
        let said = format!("2 tasks failed 3 times and went to {}", dead.address);
        assert_says(&done.stderr, &[&said, "did 2 messages"]);
        let letters = run(["recv", &dead.address]);
        assert_status(&letters, 0);
        assert_eq!(text(&letters.stdout), "bad\nbad\n", "{scheme} {kind}");
    }
}

#[test]
fn a_command_that_cannot_be_run_uses_up_no_message() {
    let place = filled("shm", "spsc", &lines(0, 3));
    for words in [
        &["work", &place.address, "--", "/no/such/program"][..],
        &["recv", &place.address, "--ack-after", "no-such-program {}"],
        &["work", &place.address, "--", ""],
    ] {
        let failed = run(words.iter().copied());
        assert_status(&failed, 2);
        assert_eq!(left(&place), 3);
    }
}

/// Waits until a file is there.
fn await_file(path: &Path) {
    eventually("a file", || path.exists());
}

/// A worker in the middle of a task: its command waits until the file `go` is there, then ends with `status`.
fn in_the_middle(place: &Place, folder: &Path, status: u8) -> Running {
    let (begun, go) = (folder.join("begun"), folder.join("go"));
    let (begun_text, go_text) = (begun.display(), go.display());
    let script = format!(
        "touch {begun_text}; while ! test -e {go_text}; do sleep 0.01; done; cat; exit {status}"
    );
    let running = Running::start([
        "work",
        &place.address,
        "--follow",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    await_file(&begun);
    fs::remove_file(begun).unwrap();
    running
}

#[test]
fn a_worker_that_is_told_to_end_finishes_its_task_or_gives_it_back() {
    for (kind, status, expected_left) in [("spsc", 0, 1), ("mpmc", 0, 1), ("spsc", 1, 2)] {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let place = filled("shm", kind, &lines(0, 2));
            let folder = tempfile::tempdir().unwrap();
            let mut worker = in_the_middle(&place, folder.path(), status);
            worker.signal(signal);
            fs::write(folder.path().join("go"), "").unwrap();
            let worker = worker.finish();
            assert_eq!(worker.status.signal(), Some(signal as i32), "{kind}");
            assert_eq!(text(&worker.stdout), "line 0", "{kind}");
            assert_eq!(left(&place), expected_left, "{kind} {status}");
        }
    }
}

/// Whether a process of that name in its arguments lives.
fn lives(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let path = entry.unwrap().path();
        fs::read(path.join("cmdline")).is_ok_and(|words| text(&words).contains(mark))
    })
}

#[test]
fn the_task_of_a_killed_worker_begins_again_and_its_command_is_gone() {
    for kind in ["spsc", "mpmc"] {
        let place = filled("shm", kind, &lines(0, 2));
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().display().to_string();
        in_the_middle(&place, folder.path(), 0).kill();
        eventually("the end of the command", || !lives(&mark));
        let worker = run(["work", &place.address, "--", "sh", "-c", "cat; echo"]);
        assert_status(&worker, 0);
        assert_eq!(text(&worker.stdout), text(&lines(0, 2)), "{kind}");
        let said = text(&worker.stderr);
        assert_eq!(said.matches("was begun before").count(), 1, "{said}");
    }
}

#[test]
fn workers_share_the_tasks_and_follow_their_senders() {
    let place = Place::new("shm");
    assert_status(&run(["create", &place.address, "--kind", "mpmc"]), 0);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("read x; echo $x >> {}", log.display());
    let work = [
        "work",
        &place.address,
        "--follow",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let workers = [0; 3].map(|_| Running::start(work));
    for part in 0..2 {
        let input = lines(part * 20, (part + 1) * 20);
        assert_status(&run_with(["send", &place.address], &input), 0);
        eventually("all tasks", || {
            let done = fs::read_to_string(&log).unwrap_or_default();
            done.lines().count() as u64 == (part + 1) * 20
        });
    }
    for mut worker in workers {
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.finish().status.signal(), Some(libc::SIGTERM));
    }
    let done = fs::read_to_string(&log).unwrap();
    let mut done: Vec<_> = done.lines().collect();
    done.sort_unstable();
    let expected = text(&lines(0, 40));
    let mut expected: Vec<_> = expected.lines().collect();
    expected.sort_unstable();
    assert_eq!(done, expected);
}

#[test]
fn options_that_have_no_effect_are_refused() {
    let place = filled("shm", "spsc", &lines(0, 1));
    let address = place.address.as_str();
    for words in [
        &["recv", address, "--tries", "3"][..],
        &["recv", address, "--dead-letters", "shm:dead"],
        &["recv", address, "--ack-after", "cat", "--raw"],
        &["recv", address, "--ack-after", "cat", "--peek"],
        &["work", address, "--tries", "3", "--", "cat"],
        &[
            "work",
            address,
            "--tries",
            "14",
            "--dead-letters",
            "shm:dead",
            "--",
            "cat",
        ],
        &["work", address],
    ] {
        assert_status(&command(words.iter().copied()).output().unwrap(), 2);
    }
    assert_eq!(left(&place), 1);
}
