//! The demo works over every kind of address, and leaves nothing behind.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;

use common::{
    KINDS, Place, Running, SCHEMES, SYNCS, assert_says, assert_status, eventually, json, run, text,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn assert_report(output: &std::process::Output) {
    let report = json(output);
    assert_eq!(report["verified"], true);
    assert_eq!(report["messages"], 500);
    assert_eq!(report["size_bytes"], 100);
    let transports = report["transports"].as_array().unwrap();
    let names: Vec<_> = transports
        .iter()
        .map(|transport| &transport["name"])
        .collect();
    assert_eq!(names, ["ring", "pipe", "unix socket"]);
    for transport in transports {
        assert!(
            transport["one_way"]["messages_per_second"]
                .as_f64()
                .unwrap()
                > 0.0
        );
        let trip = &transport["round_trip_ns"];
        let at = |name: &str| trip[name].as_u64().unwrap();
        assert!(at("min") > 0 && at("count") == report["round_trips"].as_u64().unwrap());
        assert!(at("p50") <= at("p90") && at("p90") <= at("p99"));
        assert!(at("p99") <= at("p99_9") && at("p99_9") <= at("max"));
    }
}

const SMALL: [&str; 6] = ["demo", "--json", "--messages", "500", "--size", "100"];

fn left_by(pid: u32) -> Vec<String> {
    let names = fs::read_dir("/dev/shm").unwrap().flatten();
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&format!("ringway-demo-{pid}")))
        .collect()
}

#[test]
fn the_demo_works_at_every_address() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        assert_report(&run(SMALL.into_iter().chain(["--address", &place.address])));
        assert!(!place.exists());
        assert!(!text(&run(["ls"]).stdout).contains(&format!("{}-reply", place.address)));
    }
    assert_report(&run(SMALL.into_iter().chain(["--address", "memfd:"])));
    assert_report(&run(SMALL.into_iter().chain(["--address", "sysv:private"])));
}

#[test]
fn the_demo_chooses_an_address_and_shows_bars() {
    let mut demo = Running::start(["demo", "--messages", "100"]);
    let pid = demo.id();
    let output = demo.finish();
    assert_status(&output, 0);
    assert_says(
        &output.stdout,
        &["ring", "pipe", "unix socket", "p99.9", "█"],
    );
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn the_demo_accounts_for_every_message_of_many_producers_and_consumers() {
    for sync in SYNCS {
        for (kind, senders, receivers) in [("mpsc", 2, 1), ("spmc", 1, 2), ("mpmc", 2, 2)] {
            assert_crowd(&[], kind, sync, senders, receivers);
        }
    }
    let many = ["--senders", "3", "--receivers", "4"];
    assert_crowd(&many, "mpmc", "futex", 3, 4);
    for address in ["memfd:", "sysv:private"] {
        assert_crowd(&["--address", address], "mpmc", "futex", 2, 2);
    }
    let refused = run(["demo", "--senders", "2"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["--kind"]);
}

fn assert_crowd(options: &[&str], kind: &str, sync: &str, senders: u64, receivers: usize) {
    let kinds = ["--kind", kind, "--sync", sync];
    let words = SMALL.into_iter().chain(kinds);
    let report = json(&run(words.chain(options.iter().copied())));
    assert_eq!(
        (&report["kind"], &report["sync"]),
        (&kind.into(), &sync.into())
    );
    assert_eq!(report["verified"], true);
    assert_eq!(report["senders"], senders);
    let shares = report["shares"].as_array().unwrap();
    assert_eq!(shares.len(), receivers);
    let sum: u64 = shares.iter().map(|share| share.as_u64().unwrap()).sum();
    assert_eq!(report["messages"], sum);
    assert!((500..530).contains(&sum), "{sum}");
}

#[test]
fn the_demo_of_a_pair_works_with_every_kind_of_ring() {
    let kinds = KINDS.map(|kind| (kind, "futex"));
    let syncs = SYNCS.map(|sync| ("mpmc", sync));
    for (kind, sync) in kinds.into_iter().chain(syncs) {
        let words = SMALL.into_iter().chain(["--kind", kind, "--sync", sync]);
        assert_report(&run(words.chain(["--senders", "1", "--receivers", "1"])));
    }
}

#[test]
fn the_demo_leaves_a_ring_alone_that_was_there_before() {
    let place = Place::new("shm");
    assert_status(
        &common::run_with(["send", &place.address, "--create"], b"mine\n"),
        0,
    );
    assert_status(&run(["demo", "--address", &place.address]), 2);
    assert_eq!(run(["recv", &place.address]).stdout, b"mine\n");
}

/// A demo that has much to do yet.
fn long_demo(place: &Place) -> Running {
    let demo = Running::start([
        "demo",
        "--messages",
        "1000000000",
        "--address",
        &place.address,
    ]);
    eventually("a ring", || place.exists());
    demo
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for scheme in SCHEMES {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let place = Place::new(scheme);
            let mut demo = long_demo(&place);
            demo.signal(signal);
            // A shell that runs it in a loop ends too.
            assert_eq!(demo.finish().status.signal(), Some(signal as i32));
            assert!(!place.exists());
        }
    }
}

#[test]
fn a_demo_whose_worker_dies_says_so_and_leaves_nothing() {
    for victim in 0..2 {
        let place = Place::new("shm");
        let mut demo = long_demo(&place);
        let pid = demo.id();
        let mut workers: Vec<i32> = Vec::new();
        eventually("two workers", || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            workers = children
                .split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect();
            workers.len() == 2
        });
        kill(Pid::from_raw(workers[victim]), Signal::SIGKILL).unwrap();
        let output = demo.finish();
        assert_status(&output, 2);
        assert_says(&output.stderr, &["died"]);
        assert!(!place.exists());
    }
}

#[test]
fn a_demo_whose_messages_do_not_fit_says_what_to_change() {
    for kind in ["spsc", "mpmc"] {
        let place = Place::new("shm");
        let words = ["--size", "3M", "--messages", "10", "--kind", kind];
        let demo = run(["demo", "--address", &place.address]
            .into_iter()
            .chain(words));
        assert_status(&demo, 2);
        let said = text(&demo.stderr);
        assert!(
            said.contains("--size") && said.contains("--slabs"),
            "{said}"
        );
        assert!(!place.exists());
    }
}
