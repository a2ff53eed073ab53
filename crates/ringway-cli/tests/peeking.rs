//! `recv --peek`: messages are shown and stay.

mod common;

use common::{
    KINDS, Place, QUEUES, Running, SCHEMES, assert_says, assert_status, lines, run, run_with, text,
    waiting_sender,
};

#[test]
fn what_was_shown_is_still_there() {
    for scheme in SCHEMES {
        for kind in KINDS {
            let place = Place::new(scheme);
            let send = ["send", &place.address, "--create", "--kind", kind];
            assert_status(&run_with(send, &lines(0, 10)), 0);
            for (count, shown) in [(None, 10), (Some("3"), 3), (Some("99"), 10), (Some("0"), 0)] {
                let peek = ["recv", &place.address, "--peek"].into_iter();
                let count = count.map(|count| ["--count", count]);
                let peek = run(peek.chain(count.into_iter().flatten()));
                assert_status(&peek, 0);
                assert_eq!(peek.stdout, lines(0, shown), "{scheme} {kind}");
                let stat = place.stat();
                assert_eq!((&stat["sent"], &stat["received"]), (&10.into(), &0.into()));
            }
            let recv = run(["recv", &place.address]);
            assert_status(&recv, 0);
            assert_eq!(recv.stdout, lines(0, 10), "{scheme} {kind}");
            let peek = run(["recv", &place.address, "--peek"]);
            assert_status(&peek, 1);
            assert_says(&peek.stderr, &["no message"]);
        }
    }
}

/// It neither waits for more nor ends anybody: the sender goes on, and so does the next receiver.
#[test]
fn who_looks_disturbs_nobody() {
    for kind in KINDS {
        let place = Place::new("shm");
        let mut send = waiting_sender(&place, &["--kind", kind], &lines(0, 5));
        let peek = run(["recv", &place.address, "--peek"]);
        assert_status(&peek, 0);
        assert_eq!(peek.stdout, lines(0, 5));
        send.write(&lines(5, 8));
        send.close();
        assert_status(&send.finish(), 0);
        let recv = run(["recv", &place.address]);
        assert_status(&recv, 0);
        assert_eq!(recv.stdout, lines(0, 8), "{kind}");
    }
}

#[test]
fn messages_of_the_dead_are_shown_and_stay() {
    let place = Place::new("shm");
    waiting_sender(&place, &[], &lines(0, 5)).kill();
    let peek = run(["recv", &place.address, "--peek"]);
    assert_status(&peek, 0);
    assert_eq!(peek.stdout, lines(0, 5));
    let recv = run(["recv", &place.address]);
    assert_status(&recv, 1);
    assert_eq!(recv.stdout, lines(0, 5));
}

#[test]
fn an_output_that_takes_nothing_takes_nothing_away() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], &lines(0, 5)),
        0,
    );
    let mut peek = common::command(["recv", &place.address, "--peek"]);
    peek.stdout(
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    assert_status(&Running::spawn(&mut peek).finish(), 2);
    // It did not die: the ring is as it was.
    assert_eq!(place.stat()["participants"].as_array().unwrap().len(), 0);
    assert_eq!(run(["recv", &place.address]).stdout, lines(0, 5));
}

#[test]
fn nothing_there_is_a_negative_answer_and_nothing_is_made() {
    let place = Place::new("shm");
    assert_status(&run(["recv", &place.address, "--peek"]), 1);
    assert!(!place.exists());
}

#[test]
fn what_takes_or_waits_is_no_look() {
    for words in [
        &["--create"][..],
        &["--unlink"],
        &["--follow"],
        &["--whole"],
        &["--timeout", "5"],
        &["--producers", "1"],
    ] {
        let recv = ["recv", "shm:a", "--peek"];
        let recv = run(recv.into_iter().chain(words.iter().copied()));
        assert_status(&recv, 2);
        assert_says(&recv.stderr, &["--peek", words[0]]);
    }
    for scheme in QUEUES {
        let place = Place::new(scheme);
        assert_status(&run_with(["send", &place.address, "--create"], b"one\n"), 0);
        let peek = run(["recv", &place.address, "--peek"]);
        assert_status(&peek, 2);
        assert_says(&peek.stderr, &["--peek", "queue"]);
        assert_eq!(text(&run(["recv", &place.address]).stdout), "one\n");
    }
}
