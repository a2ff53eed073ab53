//! `recv --follow`: one receiver, and senders that come and go, be it in order or by death.

mod common;

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;

use common::{
    KINDS, Place, QUEUES, Running, assert_says, assert_status, command, eventually, lines, run,
    run_with, text, waiting_sender,
};
use nix::sys::signal::Signal;

#[test]
fn a_following_receiver_outlasts_orderly_ends_and_deaths() {
    let rings = KINDS.map(|kind| ("shm", Some(kind)));
    let queues = QUEUES.map(|scheme| (scheme, None));
    for (scheme, kind) in rings.into_iter().chain(queues) {
        let place = Place::new(scheme);
        let outputs = tempfile::tempdir().unwrap();
        let path = outputs.path().join("out");
        let options: Vec<_> = kind.into_iter().flat_map(|kind| ["--kind", kind]).collect();
        let recv = ["recv", &place.address, "--create", "--follow"];
        let mut recv = command(recv.into_iter().chain(options));
        let mut recv = Running::spawn(recv.stdout(File::create(&path).unwrap()));
        eventually("the receiver", || place.exists());
        let arrived = |count: u64| {
            eventually("all that was sent", || {
                fs::read(&path).unwrap() == lines(0, count)
            });
        };
        for part in 0..3 {
            let input = lines(10 * part, 10 * (part + 1));
            assert_status(&run_with(["send", &place.address], &input), 0);
            arrived(10 * (part + 1));
        }
        if scheme == "shm" {
            waiting_sender(&place, &[], &lines(30, 40)).kill();
            arrived(40);
        } else {
            let send = Running::open(["send", &place.address], &lines(30, 40));
            arrived(40);
            send.kill();
        }
        assert_status(&run_with(["send", &place.address], &lines(40, 50)), 0);
        arrived(50);
        recv.signal(Signal::SIGTERM);
        let recv = recv.finish();
        assert_eq!(recv.status.signal(), Some(Signal::SIGTERM as i32));
        assert_eq!(fs::read(&path).unwrap(), lines(0, 50), "{scheme} {kind:?}");
        assert_says(&recv.stderr, &["received 50 messages"]);
    }
}

#[test]
fn a_following_receiver_ends_with_a_count_or_a_timeout() {
    for (scheme, kind) in [
        ("shm", "spsc"),
        ("shm", "mpmc"),
        ("mq", "mpsc"),
        ("sysvmq", "mpsc"),
    ] {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address, "--kind", kind]), 0);
        let recv = Running::start(["recv", &place.address, "--follow", "--count", "20"]);
        for part in 0..2 {
            let input = lines(10 * part, 10 * (part + 1));
            assert_status(&run_with(["send", &place.address], &input), 0);
        }
        let recv = recv.finish();
        assert_status(&recv, 0);
        assert_eq!(text(&recv.stdout), text(&lines(0, 20)), "{scheme} {kind}");

        assert_status(&run_with(["send", &place.address], &lines(0, 3)), 0);
        let recv = run(["recv", &place.address, "--follow", "--timeout", "0.1"]);
        assert_status(&recv, 1);
        assert_says(&recv.stderr, &["no message came in time"]);
        assert_eq!(recv.stdout, lines(0, 3), "{scheme} {kind}");
    }
}

#[test]
fn so_many_producers_end_a_receiver() {
    for (kind, options) in [
        ("spsc", &[][..]),
        ("mpsc", &["--follow"]),
        ("spsc", &["--follow"]),
    ] {
        let place = Place::new("shm");
        assert_status(&run(["create", &place.address, "--kind", kind]), 0);
        let recv = ["recv", &place.address, "--producers", "3"];
        let recv = Running::start(recv.into_iter().chain(options.iter().copied()));
        for part in 0..3 {
            let input = lines(10 * part, 10 * (part + 1));
            assert_status(&run_with(["send", &place.address], &input), 0);
        }
        let recv = recv.finish();
        assert_status(&recv, 0);
        assert_eq!(recv.stdout, lines(0, 30), "{kind} {options:?}");
    }
}

#[test]
fn a_following_receiver_learns_that_what_it_follows_was_removed() {
    for scheme in ["shm", "sysvmq"] {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address, "--kind", "mpsc"]), 0);
        let recv = Running::start(["recv", &place.address, "--follow"]);
        eventually("the receiver", || match scheme {
            "shm" => place
                .participants()
                .iter()
                .any(|one| !one["waits_for"].is_null()),
            _ => place.stat()["receivers"] == 1,
        });
        assert_status(&run(["rm", "--force", &place.address]), 0);
        let recv = recv.finish();
        assert_status(&recv, 1);
        assert_says(&recv.stderr, &["was removed"]);
    }
}
