//! The line that says at the end how much was sent or received.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use common::{
    Place, QUEUES, Running, assert_status, command, eventually, lines, run, run_with, text,
    waiting_sender,
};
use nix::sys::signal::Signal;

/// The line, without the time; `None` if there is none.
fn summary(output: &Output) -> Option<String> {
    let said = text(&output.stderr);
    let mut found = said.lines().filter_map(|line| {
        let (what, time) = line.strip_prefix("ringway: ")?.split_once(", in ")?;
        let seconds: f64 = time.strip_suffix(" seconds")?.parse().ok()?;
        assert!((0.0..1000.0).contains(&seconds), "{line}");
        Some(what.to_owned())
    });
    let line = found.next();
    assert_eq!(found.next(), None, "{said}");
    line
}

#[track_caller]
fn assert_summary(output: &Output, expected: &str) {
    let said = text(&output.stderr);
    assert_eq!(summary(output).as_deref(), Some(expected), "{said}");
}

#[test]
fn both_sides_say_how_many_messages_and_bytes_that_were() {
    for scheme in ["shm", "file"].iter().chain(&QUEUES) {
        for framing in ["--lines", "--frames", "--raw", "-0", "--whole"] {
            let place = Place::new(scheme);
            let input: &[u8] = match framing {
                "--frames" => b"\x01\0\0\0a\x03\0\0\0bcd",
                "-0" => b"a\0bcd\0",
                "--lines" => b"a\nbcd\n",
                _ => b"abcd",
            };
            let count = match framing {
                "--raw" | "--whole" => "1 message",
                _ => "2 messages",
            };
            let send = run_with(["send", &place.address, "--create", framing], input);
            assert_status(&send, 0);
            assert_summary(&send, &format!("sent {count}, 4 bytes"));
            let recv = run(["recv", &place.address, framing]);
            assert_status(&recv, 0);
            assert_summary(&recv, &format!("received {count}, 4 bytes"));
        }
    }
}

#[test]
fn a_quiet_one_says_nothing() {
    let place = Place::new("shm");
    for option in ["-q", "--quiet"] {
        let send = run_with(["send", &place.address, "--create", option], b"a\n");
        let recv = run(["recv", &place.address, "--unlink", option]);
        for output in [send, recv] {
            assert_status(&output, 0);
            assert_eq!(text(&output.stderr), "");
        }
    }
}

#[test]
fn who_has_not_begun_says_nothing_of_it() {
    let place = Place::new("shm");
    for output in [
        run(["recv", &place.address]),
        run_with(["send", &place.address], b"a\n"),
        run(["recv", &place.address, "--wait", "10ms"]),
    ] {
        assert_status(&output, 1);
        assert_eq!(summary(&output), None);
    }
}

#[test]
fn every_end_but_that_of_the_reader_has_its_line() {
    // Too few.
    let place = Place::new("shm");
    let send = run_with(["send", &place.address, "--create"], &lines(0, 3));
    assert_status(&send, 0);
    let recv = run(["recv", &place.address, "--count", "4"]);
    assert_status(&recv, 1);
    assert_summary(&recv, "received 3 messages, 18 bytes");

    // An error in the midst.
    let place = Place::new("shm");
    let long = [lines(0, 2), vec![b'x'; 5000]].concat();
    let send = run_with(
        ["send", &place.address, "--create", "--capacity", "4K"],
        &long,
    );
    assert_status(&send, 2);
    assert_summary(&send, "sent 2 messages, 12 bytes");

    // A signal.
    for scheme in ["shm"].iter().chain(&QUEUES) {
        let place = Place::new(scheme);
        let mut recv = Running::start(["recv", &place.address, "--create", "--follow"]);
        eventually("the receiver", || place.exists());
        let mut send = Running::open(["send", &place.address], &lines(0, 3));
        let mut first = [0; 21];
        use std::io::Read;
        let stdout = recv.child().stdout.as_mut().unwrap();
        stdout.read_exact(&mut first).unwrap();
        for (process, verb) in [(&mut recv, "received"), (&mut send, "sent")] {
            process.signal(Signal::SIGINT);
            let mut said = String::new();
            let stderr = process.child().stderr.as_mut().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            let expected = format!("{verb} 3 messages, 18 bytes");
            assert!(said.contains(&expected), "{scheme}: {said}");
        }
        for process in [recv, send] {
            let status = process.finish().status;
            assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{scheme}");
        }
    }

    // Who reads no more wants to hear no more.
    let place = Place::new("shm");
    let mut send = waiting_sender(&place, &[], &lines(0, 1));
    let mut recv = Running::spawn(&mut command(["recv", &place.address]));
    drop(recv.child().stdout.take());
    send.write(&lines(1, 3));
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(text(&recv.stderr), "");
}
