//! Standard input, output and error in every state: closed, full, of the wrong direction, non-blocking, a pipe that
//! nobody reads. Data that has nowhere to go is not received, an end that nobody meant is not sent, and what cannot be
//! said changes nothing.

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{
    Place, Running, assert_says, assert_status, command, eventually, lines, run, run_with, text,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Runs a line of shell, in which `$R` is `ringway` and `$A` the address.
fn shell(script: &str, place: &Place) -> Output {
    Running::spawn(
        Command::new("sh")
            .args(["-c", script])
            .env("R", env!("CARGO_BIN_EXE_ringway"))
            .env("A", &place.address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
    .finish()
}

/// What is there before a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    /// A ring or a queue with three lines, closed.
    Lines,
}

/// Whether something is there afterwards, and with how many messages.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Nothing,
    Messages(u64),
}

use After::{Messages, Nothing};
use Before::Lines;

/// A line of shell; what is there before; its status, words on standard error, and what is there afterwards.
const TRANSCRIPTS: &[(&str, Before, i32, &str, After)] = &[
    // Closed.
    (
        "$R send $A --create <&-",
        Before::Nothing,
        2,
        "standard input is closed",
        Nothing,
    ),
    (
        "$R send $A --create --whole - <&-",
        Before::Nothing,
        2,
        "standard input is closed",
        Nothing,
    ),
    (
        "$R recv $A >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R recv $A --whole >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R recv $A --create >&-",
        Before::Nothing,
        2,
        "standard output is closed",
        Nothing,
    ),
    (
        "$R create $A >&-",
        Before::Nothing,
        2,
        "standard output is closed",
        Nothing,
    ),
    (
        "$R stat $A >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R ls >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R gc $A >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R doctor >&-",
        Lines,
        2,
        "standard output is closed",
        Messages(3),
    ),
    (
        "$R demo --address $A >&-",
        Before::Nothing,
        2,
        "standard output is closed",
        Nothing,
    ),
    (
        "$R bench --address $A >&-",
        Before::Nothing,
        2,
        "standard output is closed",
        Nothing,
    ),
    ("$R recv $A >/dev/null 2>&-", Lines, 0, "", Messages(0)),
    (
        "$R recv $A --count 9 >/dev/null 2>&-",
        Lines,
        1,
        "",
        Messages(0),
    ),
    ("$R recv $A <&- >/dev/null", Lines, 0, "", Messages(0)),
    ("$R rm $A <&- >&- 2>&-", Lines, 0, "", Nothing),
    // Of the wrong direction.
    (
        "$R send $A --create 0>/dev/null",
        Before::Nothing,
        2,
        "not open for reading",
        Nothing,
    ),
    (
        "$R recv $A 1</dev/null",
        Lines,
        2,
        "not open for writing",
        Messages(3),
    ),
    (
        "$R create $A 1</dev/null",
        Before::Nothing,
        2,
        "not open for writing",
        Nothing,
    ),
    // Full.
    (
        "$R create $A >/dev/full",
        Before::Nothing,
        2,
        "No space left",
        Nothing,
    ),
    (
        "$R recv $A >/dev/full",
        Lines,
        2,
        "No space left",
        Messages(3),
    ),
    (
        "$R stat $A >/dev/full",
        Lines,
        2,
        "No space left",
        Messages(3),
    ),
    (
        "$R --help >/dev/full",
        Lines,
        2,
        "No space left",
        Messages(3),
    ),
    (
        "$R recv $A >/dev/null 2>/dev/full",
        Lines,
        0,
        "",
        Messages(0),
    ),
    (
        "$R recv $A --count 9 >/dev/null 2>/dev/full",
        Lines,
        1,
        "",
        Messages(0),
    ),
    ("$R fly 2>/dev/full", Lines, 2, "", Messages(3)),
    ("$R send $A 2>/dev/full", Before::Nothing, 1, "", Nothing),
    // Options without effect, and what cannot be had: nothing is made, nothing is left.
    (
        "$R send $A --create /nowhere/at/all",
        Before::Nothing,
        2,
        "/nowhere/at/all",
        Nothing,
    ),
    (
        "$R send $A --create /dev/null /nowhere/at/all",
        Before::Nothing,
        2,
        "/nowhere/at/all",
        Nothing,
    ),
    (
        "$R send $A --create /",
        Before::Nothing,
        2,
        "directory",
        Nothing,
    ),
    (
        "echo one | $R send $A --create --frames",
        Before::Nothing,
        2,
        "frame 1",
        Nothing,
    ),
    (
        "$R recv $A --whole --count 1",
        Lines,
        2,
        "--count",
        Messages(3),
    ),
    (
        "$R recv $A --whole --producers 1",
        Lines,
        2,
        "--producers",
        Messages(3),
    ),
    (
        "$R recv $A --whole --follow",
        Lines,
        2,
        "--follow",
        Messages(3),
    ),
];

/// What is so for rings only.
const OF_RINGS: &[(&str, Before, i32, &str, After)] = &[
    (
        "$R send $A --create --unlink --copy-limit 4K",
        Before::Nothing,
        2,
        "--copy-limit",
        Nothing,
    ),
    (
        "$R send $A --create --overwrite </dev/null",
        Lines,
        2,
        "--overwrite",
        Messages(3),
    ),
    (
        "$R send $A --create --capacity 64M </dev/null",
        Lines,
        2,
        "--capacity",
        Messages(3),
    ),
    (
        "$R send $A --create --slabs 4Kx2 </dev/null",
        Lines,
        2,
        "--slabs",
        Messages(3),
    ),
    // Who reads no more has its right; nothing is received for it.
    (
        "$R recv $A --count 4 2>&1 >/dev/null | grep -c 'only 3 messages of 4'",
        Lines,
        0,
        "",
        Messages(0),
    ),
    (
        "$R recv $A --count 1 >/dev/null && $R recv $A --count 2 >/dev/null; $R recv $A --count 1",
        Lines,
        1,
        "of 1",
        Messages(0),
    ),
];

/// What is so for queues only.
const OF_QUEUES: &[(&str, Before, i32, &str, After)] = &[
    (
        "$R send $A --create --unlink",
        Before::Nothing,
        2,
        "--unlink",
        Nothing,
    ),
    (
        "$R send $A --create --capacity 64K",
        Before::Nothing,
        2,
        "--capacity",
        Nothing,
    ),
    (
        "$R send $A --create --participants 4",
        Before::Nothing,
        2,
        "--participants",
        Nothing,
    ),
    (
        "$R create $A --cell 256",
        Before::Nothing,
        2,
        "--cell",
        Nothing,
    ),
    (
        "$R bench --address $A --capacity 64K",
        Before::Nothing,
        2,
        "--capacity",
        Nothing,
    ),
    (
        "$R recv $A --create --producers 2",
        Before::Nothing,
        2,
        "--producers",
        Nothing,
    ),
];

fn messages(place: &Place) -> u64 {
    let stat = place.stat();
    match stat["messages"].as_u64() {
        Some(messages) => messages,
        None => stat["sent"].as_u64().unwrap() - stat["received"].as_u64().unwrap(),
    }
}

fn check(scheme: &str, transcripts: &[(&str, Before, i32, &str, After)]) {
    for (script, before, status, said, after) in transcripts {
        let place = Place::new(scheme);
        if *before == Lines {
            assert_status(
                &run_with(["send", &place.address, "--create"], b"a\nb\nc\n"),
                0,
            );
        }
        // A farewell of a sender lies in a POSIX queue too.
        let farewells = if *before == Lines {
            messages(&place) - 3
        } else {
            0
        };
        // What is taken out of a queue is gone.
        let is_lost = scheme.ends_with("mq") && script.contains("recv $A >/dev/full");
        let output = shell(script, &place);
        let shown = format!("{scheme}: {script}\n{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(*status), "{shown}");
        assert!(text(&output.stderr).contains(said), "{shown}");
        match after {
            Nothing => assert!(!place.exists(), "something is left by {shown}"),
            Messages(_) if is_lost => {
                assert_says(&output.stderr, &["6 bytes", "3 messages", "lost"])
            }
            Messages(0) => assert!(messages(&place) <= farewells, "{shown}"),
            Messages(count) => assert_eq!(messages(&place), count + farewells, "{shown}"),
        }
    }
}

#[test]
fn rings_under_every_descriptor_state() {
    for scheme in ["shm", "file", "sysv"] {
        check(scheme, TRANSCRIPTS);
        check(scheme, OF_RINGS);
    }
}

#[test]
fn queues_under_every_descriptor_state() {
    for scheme in common::QUEUES {
        check(scheme, TRANSCRIPTS);
        check(scheme, OF_QUEUES);
    }
}

/// A pipe that nobody reads any more.
fn dead_pipe() -> OwnedFd {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_standard_error_that_nobody_reads_changes_nothing() {
    let place = Place::new("shm");
    // Something to be said: pieces, received as they are.
    let words = ["send", &place.address, "--create", "--whole"];
    assert_status(&run_with(words, &lines(0, 20_000)), 0);
    let mut recv = command(["recv", &place.address, "--raw"]);
    let recv = Running::spawn(recv.stderr(dead_pipe())).finish();
    assert_status(&recv, 0);
    assert!(recv.stdout.len() > lines(0, 20_000).len());

    let place = Place::new("shm");
    let words = [
        "send",
        &place.address,
        "--create",
        "--overwrite",
        "--capacity",
        "4K",
    ];
    let mut send = Running::feed_command(
        {
            let mut send = command(words);
            send.stderr(dead_pipe());
            send
        },
        &lines(0, 10_000),
    );
    assert_eq!(send.child().wait().unwrap().code(), Some(0));
    assert_eq!(place.stat()["sent"], 10_000);
}

#[test]
fn an_output_that_nobody_reads_is_the_end_and_receives_nothing() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], b"a\nb\n"),
        0,
    );
    let mut recv = command(["recv", &place.address]);
    assert_status(&Running::spawn(recv.stdout(dead_pipe())).finish(), 0);
    assert_eq!(messages(&place), 2);
}

#[test]
fn an_output_of_a_queue_that_nobody_reads_is_a_loss_with_its_size() {
    for scheme in common::QUEUES {
        let place = Place::new(scheme);
        assert_status(
            &run_with(["send", &place.address, "--create"], b"a\nb\n"),
            0,
        );
        let mut recv = command(["recv", &place.address]);
        let recv = Running::spawn(recv.stdout(dead_pipe())).finish();
        assert_status(&recv, 2);
        assert_says(&recv.stderr, &["4 bytes", "2 messages", "lost"]);
    }
}

fn set_nonblocking(file: &impl AsFd) {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
}

#[test]
fn descriptors_that_do_not_block_are_waited_for() {
    let place = Place::new("shm");
    let (reader, mut writer) = std::io::pipe().unwrap();
    set_nonblocking(&reader);
    let mut send = command(["send", &place.address, "--create", "--capacity", "64K"]);
    let send = Running::spawn(send.stdin(OwnedFd::from(reader)));
    eventually("the sender", || {
        place.exists() && place.participants().len() == 1
    });

    let (mut output, end) = std::io::pipe().unwrap();
    set_nonblocking(&end);
    let mut recv = command(["recv", &place.address]);
    let running = Running::spawn(recv.stdout(OwnedFd::from(end)));
    // It holds the pipe open.
    drop(recv);
    let feeder = thread::spawn(move || {
        for block in 0..20 {
            writer
                .write_all(&lines(1000 * block, 1000 * (block + 1)))
                .unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
    let mut received = Vec::new();
    output.read_to_end(&mut received).unwrap();
    feeder.join().unwrap();
    assert_status(&send.finish(), 0);
    assert_status(&running.finish(), 0);
    assert!(received == lines(0, 20_000));
}

#[test]
fn the_length_that_a_file_says_is_a_hint() {
    let version = std::fs::read("/proc/version").unwrap();
    for scheme in ["shm", "mq"] {
        let place = Place::new(scheme);
        let send = Running::start([
            "send",
            &place.address,
            "--create",
            "--whole",
            "/proc/version",
        ]);
        let recv = run(["recv", &place.address, "--wait", "60s", "--whole"]);
        assert_status(&recv, 0);
        assert_status(&send.finish(), 0);
        assert_eq!(text(&recv.stdout), text(&version));
    }
    let place = Place::new("shm");
    let words = [
        "--create",
        "--whole",
        "--max-message",
        "10",
        "/proc/version",
    ];
    let send = run(["send", &place.address].into_iter().chain(words));
    assert_status(&send, 2);
    assert_says(&send.stderr, &["--max-message"]);
    assert!(!place.exists());
}

#[test]
fn of_two_that_send_whole_messages_the_one_that_is_lost_is_told_with_its_size() {
    let place = Place::new("shm");
    assert_status(
        &run([
            "create",
            &place.address,
            "--kind",
            "mpsc",
            "--capacity",
            "64K",
        ]),
        0,
    );
    let receiver = Running::start(["recv", &place.address, "--whole"]);
    // Each more than a piece, whose end does not come yet, and less than a pipe holds.
    let send = || Running::open(["send", &place.address, "--whole"], &lines(0, 4500));
    let arrived = |send: &mut Running| {
        let pid = send.id();
        eventually("a piece", || {
            let stat = place.stat();
            let mut all = stat["participants"].as_array().unwrap().iter();
            all.any(|one| one["pid"] == pid && one["messages"].as_u64() > Some(0))
                && stat["sent"] == stat["received"]
        });
    };
    let mut first = send();
    arrived(&mut first);
    let mut second = send();
    arrived(&mut second);
    first.close();
    let recv = receiver.finish();
    assert_status(&recv, 2);
    assert!(recv.stdout == lines(0, 4500));
    assert_says(&recv.stderr, &["KiB", "other messages", "lost"]);
    drop((first, second));
}
