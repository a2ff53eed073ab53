//! What is a message: `--null`, `--delimiter` and `--message`, and how they go together.

mod common;

use common::{Place, QUEUES, assert_says, assert_status, lines, run, run_with, text};

#[test]
fn messages_end_with_the_byte_that_was_asked_for() {
    for (options, input, output) in [
        (&["-0"][..], &b"a\0b\nc\0\0d"[..], &b"a\0b\nc\0\0d\0"[..]),
        (&["--null"], b"a\0", b"a\0"),
        (&["-d", ","], b"a,b\nc,,d", b"a,b\nc,,d,"),
        (&["--delimiter", "\\t"], b"a\tb", b"a\tb\t"),
        (&["-d", "\\x1e"], b"a\x1eb", b"a\x1eb\x1e"),
        (&["-d", "-"], b"a-b", b"a-b-"),
        (&["-d", "\\n"], b"a\nb", b"a\nb\n"),
        (&["-0"], b"", b""),
    ] {
        for scheme in ["shm", "mq"] {
            let place = Place::new(scheme);
            let send = ["send", &place.address, "--create"];
            let send = send.into_iter().chain(options.iter().copied());
            assert_status(&run_with(send, input), 0);
            let recv = ["recv", &place.address, "--unlink"];
            let recv = run(recv.into_iter().chain(options.iter().copied()));
            assert_status(&recv, 0);
            assert_eq!(recv.stdout, output, "{scheme} {options:?}");
        }
    }
}

#[test]
fn a_receiver_may_frame_otherwise_than_the_sender() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create", "-0"], b"a\nb\0c\0"),
        0,
    );
    let recv = run(["recv", &place.address, "-d", ";"]);
    assert_eq!(text(&recv.stdout), "a\nb;c;");
}

#[test]
fn what_is_no_byte_is_refused_as_a_delimiter() {
    for wrong in ["", "ab", "\\q", "\\x1", "\u{e9}"] {
        let place = Place::new("shm");
        let send = run(["send", &place.address, "--create", "-d", wrong]);
        assert_status(&send, 2);
        assert_says(&send.stderr, &["one byte"]);
        assert!(!place.exists());
    }
}

#[test]
fn a_message_that_is_too_long_between_delimiters_is_an_error() {
    let place = Place::new("shm");
    let words = ["send", &place.address, "--create", "--capacity", "4K", "-0"];
    let send = run_with(words, &[&b"short\0"[..], &[b'x'; 5000]].concat());
    assert_status(&send, 2);
    assert_says(&send.stderr, &["message 2", "too large"]);
}

#[test]
fn each_message_of_the_command_line_is_one() {
    use std::os::unix::ffi::OsStrExt;
    for scheme in ["shm"].iter().chain(&QUEUES) {
        let place = Place::new(scheme);
        let mut send = common::command(["send", &place.address, "--create"]);
        send.args(["-m", "one", "--message", "two\nlines", "-m", "", "-m", "-1"]);
        send.arg("-m").arg(std::ffi::OsStr::from_bytes(b"\xff"));
        // Nothing is read.
        send.stdin(std::process::Stdio::null());
        assert_status(&common::Running::spawn(&mut send).finish(), 0);
        let recv = run(["recv", &place.address, "-0", "--unlink"]);
        assert_status(&recv, 0);
        assert_eq!(recv.stdout, b"one\0two\nlines\0\0-1\0\xff\0", "{scheme}");
    }
}

#[test]
fn of_messages_of_which_one_is_too_long_none_is_sent() {
    let place = Place::new("shm");
    let long = "x".repeat(5000);
    let words = ["send", &place.address, "--create", "--capacity", "4K"];
    let send = run(words.into_iter().chain(["-m", "short", "-m", &long]));
    assert_status(&send, 2);
    assert_says(&send.stderr, &["message 2", "too large"]);
    assert!(!place.exists());
}

#[test]
fn what_has_no_effect_beside_the_other_is_refused() {
    for words in [
        &["-m", "a", "file"][..],
        &["-m", "a", "--lines"],
        &["-m", "a", "--raw"],
        &["-m", "a", "--whole"],
        &["-m", "a", "-0"],
        &["-0", "--lines"],
        &["-0", "-d", ","],
        &["--whole", "-0"],
        &["--whole", "--rate", "5"],
    ] {
        let place = Place::new("shm");
        let send = ["send", &place.address, "--create"];
        let send = run_with(send.into_iter().chain(words.iter().copied()), &lines(0, 1));
        assert_status(&send, 2);
        assert_says(&send.stderr, &["cannot be used with"]);
        assert!(!place.exists());
    }
}

#[test]
fn options_have_short_names() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    assert_status(
        &run(["send", address, "-cqw1", "-t5", "-r1000", "-mone", "-mtwo"]),
        0,
    );
    assert_eq!(text(&run(["recv", address, "-pn1"]).stdout), "one\n");
    assert_eq!(text(&run(["recv", address, "-qn1", "-t5"]).stdout), "one\n");
    assert_eq!(text(&run(["recv", address, "-fun1"]).stdout), "two\n");
    assert!(!place.exists());
    assert_status(&run(["create", address]), 0);
    common::json(&run(["stat", "-j", address]));
    assert_status(&run(["rm", "-f", address]), 0);
}
