//! How `send` and `recv` end: statuses, deaths, and what is in the ring afterwards.

mod common;

use std::fs::{self, File};

use common::{
    KINDS, Place, Running, SCHEMES, assert_says, assert_status, command, eventually, lines, run,
    run_with, text, waiting_sender,
};

#[test]
fn nothing_there_is_a_negative_answer() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        for words in [
            ["send"].as_slice(),
            &["recv"],
            &["recv", "--wait", "30ms"],
            &["stat"],
            &["rm"],
        ] {
            let output = run(words.iter().copied().chain([place.address.as_str()]));
            assert_status(&output, 1);
            assert_says(&output.stderr, &[&place.address]);
            assert_eq!(output.stdout, b"");
        }
    }
}

#[test]
fn wrong_words_are_an_error() {
    for words in [
        ["send", "nowhere"].as_slice(),
        &["send"],
        &["recv", "shm:a", "--lines", "--raw"],
        &["recv", "shm:a", "--count", "-1"],
        &["demo", "--size", "0"],
        &["recv", "shm:a", "--timeout", "soon"],
        &["send", "shm:a", "--create", "--capacity", "much"],
        &["send", "shm:a", "--create", "--mode", "rw"],
        &["send", "memfd:", "--create"],
        &["fly"],
        &[],
    ] {
        assert_status(&run(words.iter().copied()), 2);
    }
}

#[test]
fn recv_ends_after_a_count_and_leaves_the_rest() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], &lines(0, 10)),
        0,
    );
    let first = run(["recv", &place.address, "--count", "3"]);
    assert_status(&first, 0);
    assert_eq!(first.stdout, lines(0, 3));
    assert_eq!(place.stat()["received"], 3);
    let rest = run(["recv", &place.address]);
    assert_status(&rest, 0);
    assert_eq!(rest.stdout, lines(3, 10));
}

/// Whoever waits in a ring that somebody removes, where nobody is and nobody can come, says so; two who wait for the same
/// do not keep each other waiting.
#[test]
fn who_waits_in_a_removed_ring_is_told() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        // A System V segment does not tell who may still come from who waits too.
        let senders = if scheme == "sysv" { 1 } else { 2 };
        let create = ["create", &place.address, "--kind", "mpsc"];
        assert_status(&run(create.into_iter().chain(["--capacity", "4K"])), 0);
        let input = lines(0, 10_000);
        let waiting: Vec<_> = (0..senders)
            .map(|_| Running::feed(["send", &place.address], &input))
            .collect();
        eventually("all wait", || {
            let all = place.participants();
            all.len() == senders && all.iter().all(|one| !one["waits_for"].is_null())
        });
        assert_status(&run(["rm", &place.address, "--force"]), 0);
        for send in waiting {
            let output = send.finish();
            assert_status(&output, 1);
            assert_says(
                &output.stderr,
                &["the ring was removed", "create the ring again"],
            );
        }

        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address, "--kind", "mpsc"]), 0);
        let recv = Running::start(["recv", &place.address]);
        eventually("it waits", || {
            place
                .participants()
                .iter()
                .any(|one| !one["waits_for"].is_null())
        });
        assert_status(&run(["rm", &place.address, "--force"]), 0);
        let output = recv.finish();
        assert_status(&output, 1);
        assert_says(
            &output.stderr,
            &["the ring was removed", "create the ring again"],
        );
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn recv_gives_up_after_the_timeout() {
    let place = Place::new("shm");
    let _send = waiting_sender(&place, &[], b"one\n");
    let output = run(["recv", &place.address, "--timeout", "50ms"]);
    assert_status(&output, 1);
    assert_eq!(output.stdout, b"one\n");
}

#[test]
fn a_killed_sender_is_told_from_one_that_closed() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let send = waiting_sender(&place, &[], &lines(0, 100));
        send.kill();
        let recv = run(["recv", &place.address]);
        assert_status(&recv, 1);
        assert_eq!(recv.stdout, lines(0, 100), "{scheme}");
        assert_says(&recv.stderr, &["died"]);
    }
}

#[test]
fn a_killed_sender_ends_a_receiver_that_sleeps() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let send = waiting_sender(&place, &[], &lines(0, 100));
        let recv = Running::start(["recv", &place.address]);
        eventually("the receiver", || place.stat()["received"] == 100);
        send.kill();
        let recv = recv.finish();
        assert_status(&recv, 1);
        assert_eq!(recv.stdout, lines(0, 100), "{scheme}");
    }
}

#[test]
fn a_following_receiver_takes_what_the_next_sender_sends() {
    let place = Place::new("shm");
    let send = waiting_sender(&place, &[], &lines(0, 100));
    let recv = Running::start(["recv", &place.address, "--follow", "--count", "300"]);
    eventually("the receiver", || place.stat()["received"] == 100);
    send.kill();
    let send = waiting_sender(&place, &[], &lines(100, 200));
    send.kill();
    assert_status(&run_with(["send", &place.address], &lines(200, 300)), 0);
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(recv.stdout, lines(0, 300));
}

/// A process that gets line after line, as long as it reads them.
fn feed_without_end<'a>(
    args: impl IntoIterator<Item = &'a str>,
) -> (Running, std::thread::JoinHandle<()>) {
    use std::io::Write;
    let mut running = Running::open(args, b"");
    let mut stdin = running.child().stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let mut blocks = (0..).map(|block| lines(1000 * block, 1000 * (block + 1)));
        while stdin.write_all(&blocks.next().unwrap()).is_ok() {}
    });
    (running, feeder)
}

/// The receiver is killed in the middle of a long stream. The sender notices; new ones go on. What was
/// released was written, and what was not released comes again.
#[test]
fn a_killed_receiver_loses_nothing() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let outputs = tempfile::tempdir().unwrap();
        let (before, after) = (outputs.path().join("before"), outputs.path().join("after"));
        let send = ["send", &place.address, "--create", "--capacity", "64K"];
        let (send, feeder) = feed_without_end(send);
        let recv = Running::spawn(
            command(["recv", &place.address, "--wait", "60s"])
                .stdout(File::create(&before).unwrap()),
        );
        eventually("a part", || fs::metadata(&before).unwrap().len() > 100_000);
        recv.kill();
        let send = send.finish();
        feeder.join().unwrap();
        assert_status(&send, 1);
        assert_says(&send.stderr, &["died"]);

        let stat = place.stat();
        let (sent, received) = (
            stat["sent"].as_u64().unwrap(),
            stat["received"].as_u64().unwrap(),
        );
        assert!(received <= sent, "{stat}");

        // Whoever starts first.
        let total = sent + 100_000;
        let send = Running::feed(["send", &place.address], &lines(sent, total));
        let recv = Running::spawn(
            command([
                "recv",
                &place.address,
                "--follow",
                "--count",
                &(total - received).to_string(),
            ])
            .stdout(File::create(&after).unwrap()),
        );
        assert_status(&recv.finish(), 0);
        assert_status(&send.finish(), 0);
        let after = fs::read(&after).unwrap();
        let first = total - after.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(first, received, "{scheme}: where the rest starts; {stat}");
        assert!(after == lines(first, total), "{scheme}");
        let before = fs::read(&before).unwrap();
        assert!(lines(0, total).starts_with(&before), "{scheme}");
        assert!(
            before.starts_with(&lines(0, first)),
            "{scheme}: released but not written"
        );
    }
}

#[test]
fn a_sender_notices_a_death_even_while_there_is_room() {
    let place = Place::new("shm");
    let mut send = waiting_sender(&place, &[], &lines(0, 10));
    let recv = Running::start(["recv", &place.address]);
    eventually("the receiver", || place.stat()["received"] == 10);
    recv.kill();
    send.write(&lines(10, 11));
    assert_status(&send.finish(), 1);
    let stat = place.stat();
    assert_eq!(
        (&stat["sent"], &stat["producer_closed"]),
        (&11.into(), &false.into())
    );
}

#[test]
fn a_message_that_is_too_large_is_an_error_and_no_orderly_end() {
    let long = [lines(0, 2), vec![b'x'; 5000], lines(2, 4)].concat();
    let frame = [2, 0, 0, 0, b'a', b'b', 0x88, 0x13, 0, 0, b'c'];
    for (framing, input) in [("--lines", long.as_slice()), ("--frames", &frame)] {
        let place = Place::new("shm");
        let send = run_with(
            [
                "send",
                &place.address,
                "--create",
                "--capacity",
                "4K",
                framing,
            ],
            input,
        );
        assert_status(&send, 2);
        assert_says(&send.stderr, &["too large"]);
        assert_status(&run(["recv", &place.address, "--raw"]), 1);
    }
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_and_no_orderly_end() {
    let place = Place::new("file");
    let directory = place.directory().to_str().unwrap();
    let send = run_with(
        ["send", &place.address, "--create", "-", directory],
        b"one\n",
    );
    assert_status(&send, 2);
    assert_says(&send.stderr, &[directory]);
    let recv = run(["recv", &place.address]);
    assert_status(&recv, 1);
    assert_eq!(recv.stdout, b"one\n");
}

#[test]
fn who_sends_where_another_one_has_ended_goes_on() {
    for kind in ["spsc", "spmc", "mpsc", "mpmc"] {
        let place = Place::new("shm");
        let words = ["send", &place.address, "--create", "--kind", kind];
        assert_status(&run_with(words, b"first\n"), 0);
        assert_status(&run_with(words, b"second\n"), 0);
        assert_eq!(run(["recv", &place.address]).stdout, b"first\nsecond\n");
        assert_status(&run_with(words, b"third\n"), 0);
        let recv = run(["recv", &place.address, "--unlink"]);
        assert_eq!(recv.stdout, b"third\n");
    }
}

#[test]
fn a_second_sender_is_told_who_is_the_first() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let mut send = waiting_sender(&place, &[], b"one\n");
        let second = run_with(["send", &place.address], b"two\n");
        assert_status(&second, 2);
        let pid = send.id().to_string();
        assert_says(&second.stderr, &[&pid]);
    }
}

#[test]
fn a_closed_output_is_a_clean_end_and_releases_nothing_unwritten() {
    let place = Place::new("shm");
    let mut recv = Running::start(["recv", &place.address, "--create"]);
    eventually("the ring", || place.exists());
    drop(recv.child().stdout.take());
    assert_status(&run_with(["send", &place.address], &lines(0, 1000)), 0);
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(text(&recv.stderr), "");
    assert_eq!(place.stat()["received"], 0);
    assert_eq!(run(["recv", &place.address]).stdout, lines(0, 1000));
}

#[test]
fn an_output_that_closes_in_the_middle_splits_the_stream_between_two_messages() {
    use std::io::Read;
    const TOTAL: u64 = 100_000;
    let place = Place::new("shm");
    let mut recv = Running::start(["recv", &place.address, "--create"]);
    let mut stdout = recv.child().stdout.take().unwrap();
    eventually("the ring", || place.exists());
    assert_status(&run_with(["send", &place.address], &lines(0, TOTAL)), 0);
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    assert_status(&recv.finish(), 0);
    let received = place.stat()["received"].as_u64().unwrap();
    assert!((1..TOTAL).contains(&received), "{received}");
    assert!(run(["recv", &place.address]).stdout == lines(received, TOTAL));
}

#[test]
fn a_receiver_that_will_not_come_back_says_so_to_who_waits_for_room() {
    for kind in KINDS {
        let place = Place::new("shm");
        let words = ["--create", "--capacity", "4K", "--kind", kind];
        let words = ["send", &place.address].into_iter().chain(words);
        let send = Running::feed(words, &lines(0, 10_000));
        let recv = run([
            "recv",
            &place.address,
            "--wait",
            "60s",
            "--count",
            "5",
            "--unlink",
        ]);
        assert_status(&recv, 0);
        assert_eq!(recv.stdout, lines(0, 5));
        let send = send.finish();
        assert_status(&send, 1);
        assert_says(&send.stderr, &["closed"]);
        assert!(!place.exists());
    }
}

#[test]
fn who_gets_fewer_than_it_asked_for_says_so() {
    for (kind, options, status) in [
        ("spsc", ["--count", "11"], 1),
        ("spsc", ["--count", "10"], 0),
        ("mpsc", ["--count", "11"], 1),
        ("mpsc", ["--producers", "1"], 0),
    ] {
        let place = Place::new("shm");
        let words = ["send", &place.address, "--create", "--kind", kind];
        assert_status(&run_with(words, &lines(0, 10)), 0);
        let recv = run(["recv", &place.address].into_iter().chain(options));
        assert_status(&recv, status);
        assert_eq!(recv.stdout, lines(0, 10));
    }
}
