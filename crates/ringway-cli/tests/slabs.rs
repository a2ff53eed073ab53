//! Slabs on the command line: made, used, shown, and refused where there can be none.

mod common;

use common::{
    Place, QUEUES, Running, SCHEMES, assert_says, assert_status, binary, json, run, run_with,
};
use serde_json::{Value, json};

/// One line, with its newline.
fn long_line(len: usize) -> Vec<u8> {
    let mut line: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
    line.push(b'\n');
    line
}

/// How many slabs are free, the shortest first.
fn free(place: &Place) -> Vec<u64> {
    let stat = place.stat();
    let classes = stat["slabs"].as_array().unwrap();
    let free = classes.iter().map(|class| class["free"].as_u64().unwrap());
    free.collect()
}

#[test]
fn a_message_can_be_as_long_as_the_longest_slab() {
    let rings = [("spsc", "futex"), ("mpmc", "futex"), ("mpsc", "pthread")];
    for scheme in SCHEMES {
        for (kind, sync) in rings {
            let place = Place::new(scheme);
            let address = place.address.as_str();
            let create = [
                "create",
                address,
                "--kind",
                kind,
                "--sync",
                sync,
                "--capacity",
                "64K",
            ];
            let slabs = ["--slabs", "1Mx2", "--slabs", "64Kx4"];
            assert_status(&run(create.into_iter().chain(slabs)), 0);
            let classes = json!([
                { "slab_bytes": 64 << 10, "count": 4, "free": 4, "withheld": 0, "held": [] },
                { "slab_bytes": 1 << 20, "count": 2, "free": 2, "withheld": 0, "held": [] },
            ]);
            assert_eq!(place.stat()["slabs"], classes);

            let line = long_line(1 << 20);
            assert_status(&run_with(["send", address], &line), 0);
            assert_eq!(free(&place), [4, 1]);
            let recv = run(["recv", address]);
            assert_status(&recv, 0);
            assert!(recv.stdout == line, "{scheme} {kind} {sync}");
            assert_eq!(free(&place), [4, 2]);
        }
        let place = Place::new(scheme);
        let send = ["send", &place.address, "--create", "--slabs", "64Kx1,2Mx1"];
        let refused = run_with(send, &long_line((2 << 20) + 1));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["2097152", "--slabs"]);
    }
}

#[test]
fn the_copy_limit_says_which_messages_go_into_slabs() {
    for (limit, expected) in [
        (&[][..], 3),
        (&["--copy-limit", "9999"], 2),
        (&["--copy-limit", "10000"], 3),
    ] {
        let place = Place::new("shm");
        let make = ["send", &place.address, "--create", "--slabs", "16Kx3"];
        let send = run_with(
            make.into_iter().chain(limit.iter().copied()),
            &long_line(10_000),
        );
        assert_status(&send, 0);
        assert_eq!(free(&place), [expected], "{limit:?}");
        assert!(run(["recv", &place.address]).stdout == long_line(10_000));
    }
}

#[test]
fn slabs_that_a_ring_cannot_have_are_refused() {
    for (words, why) in [
        (&["--slabs", "1M*8"][..], "1Mx8"),
        (&["--slabs", "8"], "1Mx8"),
        (&["--slabs", "1Mx0"], "1Mx8"),
        (&["--slabs", "manyx8"], "64K"),
        (&["--slabs", "2Tx1"], "1099511627776"),
        (&["--slabs", "4Kx65537"], "65536"),
        (&["--slabs", "4Kx1,8Kx1,16Kx1,32Kx1,64Kx1"], "4 lengths"),
        (&["--slabs", "1Mx8", "--overwrite"], "--overwrite"),
    ] {
        let place = Place::new("shm");
        let create = ["create", place.address.as_str()];
        let refused = run(create.into_iter().chain(words.iter().copied()));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &[why]);
        assert!(!place.exists());
    }
}

#[test]
fn a_copy_limit_without_slabs_is_refused() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    assert_status(&run(["create", address]), 0);
    let limit = ["--copy-limit", "4K"];
    let refused = run(["send", address].into_iter().chain(limit));
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &[address, "slabs"]);
    for command in ["demo", "bench"] {
        let refused = run([command].into_iter().chain(limit));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["--slabs"]);
    }
}

#[test]
fn a_queue_has_no_slabs() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        for words in [
            &["create", address][..],
            &["send", address, "--create"],
            &["recv", address, "--create"],
            &["demo", "--address", address],
            &["bench", "--address", address],
        ] {
            let refused = run(words.iter().copied().chain(["--slabs", "1Mx8"]));
            assert_status(&refused, 2);
            assert_says(&refused.stderr, &[address, "queue", "--slabs", "--whole"]);
            assert!(!place.exists(), "{words:?}");
        }
        assert_status(&run(["create", address]), 0);
        let refused = run(["send", address, "--copy-limit", "4K"]);
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["queue", "--copy-limit"]);
    }
}

#[test]
fn auto_has_slabs_where_it_is_a_ring() {
    let place = Place::new("auto");
    let address = place.address.as_str();
    let make = [
        "--create",
        "--slabs",
        "4Mx2",
        "--copy-limit",
        "4K",
        "--quiet",
    ];
    let line = long_line(3 << 20);
    let send = run_with(["send", address].into_iter().chain(make), &line);
    assert_status(&send, 0);
    let recv = run(["recv", address, "--unlink"]);
    assert_status(&recv, 0);
    assert!(recv.stdout == line);
}

#[test]
fn a_whole_input_goes_through_a_ring_that_is_shorter_than_its_pieces() {
    let input = binary(3_000_000);
    for kind in ["spsc", "mpsc"] {
        for (limit, status) in [("3M", 0), ("2M", 2)] {
            let place = Place::new("shm");
            let address = place.address.as_str();
            let make = [
                "--create",
                "--kind",
                kind,
                "--capacity",
                "4K",
                "--slabs",
                "128Kx2",
            ];
            let send = ["send", address, "--whole"].into_iter().chain(make);
            let send = Running::feed(send, &input);
            let recv = [
                "recv",
                address,
                "--wait",
                "60s",
                "--whole",
                "--max-message",
                limit,
            ];
            let recv = run(recv);
            assert_status(&recv, status);
            match status {
                0 => {
                    assert_status(&send.finish(), 0);
                    assert!(recv.stdout == input);
                }
                _ => assert_says(&recv.stderr, &["--max-message"]),
            }
        }
    }
}

/// What a demo or a bench reports that can do its work only by slabs.
fn report(words: &[&str]) -> Value {
    let words = words.iter().copied();
    let report = json(&run(words.chain(["--json", "--slabs", "4Mx3"])));
    assert_eq!(report["verified"], true);
    assert_eq!(
        report["slabs"],
        json!([{ "slab_bytes": 4 << 20, "count": 3 }])
    );
    report
}

#[test]
fn a_demo_runs_by_slabs() {
    let place = Place::new("shm");
    let demo = ["demo", "--messages", "10", "--size"];
    // Longer than the ring could carry otherwise.
    let many = ["3M", "--kind", "mpmc", "--copy-limit", "1K"];
    let many = report(&[&demo[..], &many, &["--address", &place.address]].concat());
    assert_eq!(many["messages"], 10);
    report(
        &[
            &demo[..],
            &["10K", "--copy-limit", "1K", "--address", &place.address],
        ]
        .concat(),
    );
    assert!(!place.exists());
    let shown = run(["demo", "--messages", "10", "--slabs", "4Kx3"]);
    assert_says(&shown.stdout, &["3 slabs of 4 KiB"]);
}

#[test]
fn a_bench_runs_by_slabs() {
    let bench = ["bench", "--size", "64K", "--rounds", "1", "--burst", "1ms"];
    for more in [&[][..], &["--kind", "mpmc", "--copy-limit", "1K"]] {
        let ring = ["--capacity", "64K", "--wait-strategy", "park"];
        report(&[&bench[..], &ring, more].concat());
    }
}
