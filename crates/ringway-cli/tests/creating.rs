//! Rings of every kind, made, refused and removed.

mod common;

use std::process::{Command, Stdio};

use common::{
    KINDS, Place, Running, SCHEMES, SYNCS, assert_says, assert_status, command, run, run_with, text,
};

#[test]
fn create_makes_a_ring_of_the_kind_that_was_asked_for_and_rm_removes_it() {
    for scheme in SCHEMES {
        for sync in SYNCS {
            for kind in KINDS {
                let place = Place::new(scheme);
                let address = place.address.as_str();
                let made = run(["create", address, "--kind", kind, "--sync", sync]);
                assert_status(&made, 0);
                assert_eq!(text(&made.stdout), format!("{address}\n"));
                let stat = place.stat();
                assert_eq!((&stat["kind"], &stat["sync"]), (&kind.into(), &sync.into()));
                assert_eq!(stat["capacity_bytes"], 4 << 20);
                assert_status(&run(["rm", address]), 0);
                assert!(!place.exists());
            }
        }
    }
}

#[test]
fn create_leaves_a_ring_alone_that_is_there() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], b"mine\n"),
        0,
    );
    assert_status(&run(["create", &place.address]), 2);
    assert_eq!(run(["recv", &place.address]).stdout, b"mine\n");
}

#[test]
fn a_private_segment_is_found_by_the_address_that_create_shows() {
    let made = run(["create", "sysv:private", "--kind", "mpsc"]);
    assert_status(&made, 0);
    let address = text(&made.stdout);
    let removed = run(["rm", address.trim_end()]);
    assert!(address.starts_with("sysv:id="), "{address}");
    assert_status(&removed, 0);
}

#[test]
fn a_ring_of_another_kind_than_asked_for_is_refused() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    let kind = ["--kind", "mpmc", "--sync", "sysv-sem"];
    assert_status(&run(["create", address].into_iter().chain(kind)), 0);
    for (option, other, is) in [("--kind", "spsc", "mpmc"), ("--sync", "futex", "sysv-sem")] {
        for command in ["send", "recv"] {
            for create in [[].as_slice(), &["--create"]] {
                let words = [command, address, option, other];
                let refused = run(words.into_iter().chain(create.iter().copied()));
                assert_status(&refused, 2);
                assert_says(&refused.stderr, &[address, option, other, is, "rm"]);
            }
        }
    }
    assert_eq!(place.stat()["participants"].as_array().unwrap().len(), 0);
}

#[test]
fn a_ring_of_another_shape_than_asked_for_is_refused_and_one_of_the_same_is_used() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    let same = [
        "--kind",
        "mpmc",
        "--cell",
        "200",
        "--participants",
        "3",
        "--mode",
        "640",
        "--capacity",
        "100K",
    ];
    assert_status(&run(["create", address].into_iter().chain(same)), 0);
    let send = ["send", address, "--create"];
    let sent = run_with(send.into_iter().chain(same), b"mine\n");
    assert_status(&sent, 0);
    for (option, other, is) in [
        ("--cell", "1K", "256"),
        ("--participants", "4", "3"),
        ("--mode", "600", "640"),
        ("--capacity", "1M", "128"),
    ] {
        let refused = run(send.into_iter().chain([option, other]));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &[address, option, is, "rm"]);
    }
}

#[test]
fn what_shapes_a_new_ring_is_refused_where_none_is_made() {
    for words in [
        ["--capacity", "64K"].as_slice(),
        &["--participants", "3"],
        &["--cell", "256"],
        &["--slabs", "1Mx8"],
        &["--overwrite"],
        &["--mode", "600"],
    ] {
        let refused = run(["recv", "shm:a"].into_iter().chain(words.iter().copied()));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["--create"]);
    }
    for words in [
        ["--kind", "many"].as_slice(),
        &["--sync", "hope"],
        &["--cell", "8G"],
        &["--kind", "mpmc", "--participants", "61"],
    ] {
        let place = Place::new("shm");
        let refused = run(["create", &place.address]
            .into_iter()
            .chain(words.iter().copied()));
        assert_status(&refused, 2);
        assert!(!place.exists());
    }
}

#[test]
fn what_says_nothing_of_the_new_ring_is_refused_before_it_is_made() {
    for words in [
        &["--cell", "256"][..],
        &["--participants", "3"],
        &["--kind", "spsc", "--sync", "futex", "--cell", "256"],
        &["--kind", "spsc", "--sync", "pthread", "--participants", "3"],
    ] {
        let place = Place::new("shm");
        for command in [
            &["create", &place.address][..],
            &["recv", &place.address, "--create"],
        ] {
            let refused = run(command.iter().chain(words).copied());
            assert_status(&refused, 2);
            let option = words[words.len() - 2];
            assert_says(&refused.stderr, &[option]);
            assert!(!place.exists());
        }
    }
    // These have cells, and many of one.
    for words in [
        ["--cell", "256", "--overwrite"].as_slice(),
        &["--cell", "256", "--sync", "sysv-sem"],
        &["--participants", "3", "--kind", "spmc"],
    ] {
        let place = Place::new("shm");
        let made = ["create", place.address.as_str()];
        assert_status(&run(made.into_iter().chain(words.iter().copied())), 0);
    }
}

#[test]
fn help_says_how_many_may_take_part() {
    let said = text(&run(["create", "--help"]).stdout);
    let words: Vec<_> = said.split_whitespace().collect();
    let said = words.join(" ");
    assert!(said.contains("from 1 to 60"), "{said}");
    let place = Place::new("shm");
    let make = ["create", &place.address, "--kind", "mpsc", "--participants"];
    let refused = run(make.into_iter().chain(["61"]));
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["60"]);
    // All of them, and no more.
    assert_status(&run(make.into_iter().chain(["60"])), 0);
    let mut senders: Vec<_> = (0..60)
        .map(|_| Running::open(["send", &place.address], b""))
        .collect();
    common::eventually("60 senders", || place.participants().len() == 60);
    let refused = run(["send", &place.address]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["60"]);
    senders.clear();
}

#[test]
fn a_missing_directory_is_an_error_and_a_missing_ring_an_answer() {
    let place = Place::new("file");
    let missing = format!("{}/not/there", place.address);
    for words in [
        ["create", &missing].as_slice(),
        &["send", &missing, "--create"],
    ] {
        let output = run(words.iter().copied());
        assert_status(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains("make the directory"), "{said}");
    }
    for command in ["send", "recv"] {
        let output = run([command, place.address.as_str()]);
        assert_status(&output, 1);
        let said = text(&output.stderr);
        assert!(
            said.contains("--create") && said.contains("--wait"),
            "{said}"
        );
    }
    // That directory is there, and takes no files.
    let output = run(["create", "file:/proc/ringway-cli-test"]);
    assert_status(&output, 2);
    let said = text(&output.stderr);
    assert!(!said.contains("there is no directory"), "{said}");
}

/// In a user namespace all who have no number there seem to be one user, whom a process without a number seems to be too.
#[test]
fn who_has_no_number_in_a_user_namespace_is_not_taken_for_oneself() {
    // No number for anybody; one number, which is the one of all others as well.
    let nobody = ["unshare", "--user"];
    let one = ["unshare", "--user", "--map-user=65534"];
    for namespace in [&nobody[..], &one] {
        let mut probe = Command::new(namespace[0]);
        let probe = probe.args(&namespace[1..]).arg("true").status();
        if !probe.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no user namespaces here");
            return;
        }
        for scheme in ["shm", "file", "sysv", "mq", "sysvmq"] {
            let place = Place::new(scheme);
            let address = place.address.as_str();
            assert_status(&run(["create", address, "--mode", "666"]), 0);
            let there = |args: &[&str]| {
                let ringway = command(args.iter().copied());
                let mut inside = Command::new(namespace[0]);
                inside.args(&namespace[1..]).arg(ringway.get_program());
                inside.args(ringway.get_args());
                inside.stdout(Stdio::piped()).stderr(Stdio::piped());
                Running::feed_command(inside, b"line\n").finish()
            };
            let refused = there(&["send", address]);
            assert_status(&refused, 2);
            let said = text(&refused.stderr);
            assert!(said.contains("everybody without a number"), "{said}");
            assert_status(&there(&["send", address, "--any-owner"]), 0);
        }
    }
}

#[test]
fn a_ring_of_another_user_is_used_when_that_is_said() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: nothing here belongs to another user");
        return;
    }
    let place = Place::new("file");
    let address = place.address.as_str();
    assert_status(&run(["create", address]), 0);
    let path = place.directory().join("ring");
    nix::unistd::chown(&path, Some(65534.into()), None).unwrap();
    let refused = run_with(["send", address], b"line\n");
    assert_status(&refused, 2);
    let said = text(&refused.stderr);
    assert!(said.contains("--any-owner"), "{said}");
    assert_status(&run_with(["send", address, "--any-owner"], b"line\n"), 0);
    let received = run(["recv", address, "--any-owner"]);
    assert_eq!(received.stdout, b"line\n");
}

#[test]
fn a_lock_that_others_can_write_is_used_when_that_is_said() {
    for sync in ["pthread", "posix-sem"] {
        let place = Place::new("file");
        let address = place.address.as_str();
        let make = ["create", address, "--sync", sync, "--mode", "660"];
        let refused = run(make);
        assert_status(&refused, 2);
        let said = text(&refused.stderr);
        assert!(said.contains("--trust-peers"), "{said}");
        assert_status(&run(make.into_iter().chain(["--trust-peers"])), 0);
        let refused = run_with(["send", address], b"line\n");
        assert_status(&refused, 2);
        let said = text(&refused.stderr);
        assert!(said.contains("--trust-peers"), "{said}");
        let sent = run_with(["send", address, "--trust-peers"], b"line\n");
        assert_status(&sent, 0);
        let received = run(["recv", address, "--trust-peers", "--unlink"]);
        assert_eq!(received.stdout, b"line\n");
        assert_status(&run(["stat", address]), 1);
    }
}
