//! `ls`, `stat` and `rm`.

mod common;

use std::process::{Command, Stdio};

use common::{
    Place, Running, SCHEMES, SYNCS, assert_says, assert_status, command, eventually, json, run,
    run_with, text, waiting_sender,
};
use serde_json::{Value, json};

#[test]
fn stat_shows_what_is_in_a_ring_and_who_is_attached() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let capacity = ["--capacity", "64K"];
        let send = ["send", &place.address, "--create"]
            .into_iter()
            .chain(capacity);
        assert_status(&run_with(send, b"0123456789\nabc\n"), 0);
        let stat = place.stat();
        assert_eq!(stat["address"], place.address);
        assert_eq!(stat["kind"], "spsc");
        assert_eq!(stat["sync"], "futex");
        assert_eq!(stat["capacity_bytes"], 64 << 10);
        assert_eq!(stat["used_bytes"], 24 + 16);
        assert_eq!((&stat["sent"], &stat["received"]), (&2.into(), &0.into()));
        assert_eq!(stat["participants"], Value::Array(vec![]));
        assert_says(
            &run(["stat", &place.address]).stdout,
            &[&place.address, "64 KiB"],
        );
    }
}

#[test]
fn stat_shows_slabs_and_who_holds_them() {
    let place = Place::new("shm");
    let builder = ringway::at(&place.address).unwrap().slabs(4096, 3);
    let ring = builder.create().unwrap();
    let mut sender = ring.sender().unwrap().with_copy_limit(100);
    sender.send(&[7; 4096]).unwrap();
    let expected = |pid: Value| {
        let held = json!([{ "role": "producer", "pid": pid, "count": 1 }]);
        let slabs =
            json!([{ "slab_bytes": 4096, "count": 3, "free": 2, "withheld": 0, "held": held }]);
        assert_eq!(place.stat()["slabs"], slabs);
        assert_says(
            &run(["stat", &place.address]).stdout,
            &["2 of 3 free, of 4 KiB each"],
        );
    };
    expected(std::process::id().into());
    drop(sender);
    expected(Value::Null);
}

#[test]
fn slabs_in_segments_of_their_own_are_no_rings_and_stat_says_what_they_are() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let builder = ringway::at(&place.address).unwrap().slabs(4096, 3);
        let ring = builder.slab_segments(true).create().unwrap();
        assert_eq!(place.stat()["slab_segments"], true);
        let expected = "3 of 3 free, of 4 KiB each, in segments of their own";
        assert_says(&run(["stat", &place.address]).stdout, &[expected]);
        let listed = text(&run(["ls"]).stdout);
        assert!(!listed.contains(".slab."), "{listed}");
        drop(ring);
        assert_status(&run(["rm", &place.address]), 0);
    }
}

#[test]
fn stat_tells_the_living_from_the_dead() {
    let place = Place::new("shm");
    let mut send = waiting_sender(&place, &[], b"");
    let pid = send.id();
    let expected = |alive: bool| {
        let stat = place.stat();
        let participant = &stat["participants"][0];
        assert_eq!(participant["role"], "producer");
        assert_eq!(participant["pid"], pid);
        assert_eq!(participant["alive"], alive);
    };
    expected(true);
    send.kill();
    expected(false);
}

#[test]
fn stat_and_ls_show_of_what_kind_a_ring_is_and_who_waits_for_what() {
    for sync in SYNCS {
        for kind in ["mpsc", "spmc", "mpmc"] {
            let place = Place::new("shm");
            let address = place.address.as_str();
            let make = [
                "--create",
                "--capacity",
                "4K",
                "--kind",
                kind,
                "--sync",
                sync,
            ];
            let waits_for = |role: &str, what: &str| {
                eventually("a participant that waits", || {
                    let waits = |one: &Value| one["role"] == role && one["waits_for"] == what;
                    place.participants().iter().any(waits)
                });
                assert_says(
                    &run(["stat", address]).stdout,
                    &[&format!("waits for {what}")],
                );
            };
            // The ring is full, and the sender waits.
            let words = ["send", address, "--raw", "/dev/zero"];
            let send = Running::start(words.into_iter().chain(make));
            eventually("the ring", || place.exists());
            waits_for("producer", "room");
            send.kill();
            // The ring is empty, and the receiver waits for the next sender.
            let words = ["recv", address, "--raw", "--follow"];
            let _recv = Running::spawn(command(words).stdout(Stdio::null()));
            eventually("all is received", || {
                let stat = place.stat();
                stat["sent"] == stat["received"]
            });
            waits_for("consumer", "a message");

            let stat = place.stat();
            assert_eq!((&stat["kind"], &stat["sync"]), (&kind.into(), &sync.into()));
            assert_eq!(
                (&stat["when_full"], &stat["overwritten"]),
                (&"wait".into(), &0.into())
            );
            assert_eq!(stat["producers_ever"], 1);
            let participants = stat["participants"].as_array().unwrap();
            assert_eq!(participants.len(), 2, "{stat}");
            for one in participants {
                assert_eq!(one["messages"], stat["sent"], "{stat}");
            }
            let table = text(&run(["ls"]).stdout);
            let line = table
                .lines()
                .find(|line| line.contains(&format!("{address} ")));
            let words: Vec<_> = line.unwrap().split_whitespace().collect();
            assert_eq!(words[1..3], [kind, sync]);
        }
    }
}

#[test]
fn ls_lists_named_rings_and_those_in_given_directories() {
    let places = SCHEMES.map(Place::new);
    for place in &places {
        assert_status(&run_with(["send", &place.address, "--create"], b"one\n"), 0);
    }
    let directory = places[1].directory();
    std::fs::write(directory.join("no-ring"), "text").unwrap();
    let directory = directory.to_str().unwrap();

    let listed = json(&run(["ls", "--json", directory]));
    let listed = listed.as_array().unwrap();
    for place in &places {
        let ring = listed.iter().find(|ring| ring["address"] == place.address);
        let ring = ring.unwrap_or_else(|| panic!("{} is not in {listed:?}", place.address));
        assert_eq!(ring["sent"], 1);
    }
    let is_no_ring = |ring: &Value| ring.to_string().contains("no-ring");
    assert!(!listed.iter().any(is_no_ring));

    let addresses = places.each_ref().map(|place| place.address.as_str());
    assert_says(&run(["ls", directory]).stdout, &addresses);
}

/// Whoever has damaged it: who only lists has his list, and a status that says so.
#[test]
fn ls_lists_what_is_damaged_and_judges_it_only_when_it_is_named() {
    use std::io::{Seek, Write};
    let (whole, damaged) = (Place::new("shm"), Place::new("shm"));
    let in_directory = Place::new("file");
    for place in [&whole, &damaged, &in_directory] {
        assert_status(&run(["create", &place.address]), 0);
    }
    let name = damaged.address.strip_prefix("shm:").unwrap();
    let paths = [
        std::path::Path::new("/dev/shm").join(name),
        in_directory.directory().join("ring"),
    ];
    for path in &paths {
        let mut file = std::fs::File::options().write(true).open(path).unwrap();
        file.seek(std::io::SeekFrom::Start(64)).unwrap();
        file.write_all(&[0xff; 16]).unwrap();
    }
    let directory = in_directory.directory().to_str().unwrap();
    let listed = run(["ls", directory]);
    assert_status(&listed, 0);
    let shown = text(&listed.stdout);
    for address in [&damaged.address, &in_directory.address] {
        let mut lines = shown
            .lines()
            .filter(|line| line.starts_with(address.as_str()));
        assert!(lines.any(|line| line.contains("damaged")), "{shown}");
    }
    assert!(shown.contains(&whole.address), "{shown}");
    let json = json(&run(["ls", "--json", directory]));
    let mut all = json.as_array().unwrap().iter();
    let found = all.find(|one| one["address"] == damaged.address).unwrap();
    assert_eq!(found["kind"], "damaged");
    let problem = found["problem"].as_str().unwrap();
    assert!(problem.contains("header"), "{problem}");

    // What was asked for is judged.
    let judged = run(["ls", paths[1].to_str().unwrap()]);
    assert_status(&judged, 2);
    assert_says(&judged.stderr, &[&in_directory.address]);
    for path in &paths {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn ls_judges_a_file_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    assert_status(&run(["ls", path.to_str().unwrap()]), 1);
    std::fs::write(&path, "no ring").unwrap();
    assert_status(&run(["ls", path.to_str().unwrap()]), 2);
}

#[test]
fn rm_refuses_while_a_process_is_attached() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let mut send = waiting_sender(&place, &[], b"");
        let refused = run(["rm", &place.address]);
        assert_status(&refused, 2);
        let pid = send.id().to_string();
        assert_says(&refused.stderr, &[&pid, "--force"]);
        assert!(place.exists());
        assert_status(&run(["rm", &place.address, "--force"]), 0);
        assert!(!place.exists());
        assert_status(&run(["rm", &place.address]), 1);
    }
}

#[test]
fn rm_removes_what_the_dead_left() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        waiting_sender(&place, &[], b"").kill();
        assert_status(&run(["rm", &place.address]), 0);
        assert!(!place.exists());
    }
}

#[test]
fn rm_leaves_alone_what_is_no_ring() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "not a ring").unwrap();
    let address = format!("file:{}", path.display());
    assert_status(&run(["rm", "--force", &address]), 2);
    assert_eq!(std::fs::read(&path).unwrap(), b"not a ring");
}

#[test]
fn every_command_has_help_with_its_statuses() {
    for name in [
        "bench", "create", "demo", "send", "recv", "ls", "stat", "rm", "gc", "doctor",
    ] {
        let output = run([name, "--help"]);
        assert_status(&output, 0);
        assert_says(&output.stdout, &["Exit status:", "Examples:"]);
    }
    assert_status(&run(["--help"]), 0);
    assert_status(&run(["--version"]), 0);
}

/// Of what the kernel calls it elsewhere, nobody here can make use; or worse, it is somebody else's number here.
#[test]
fn a_holder_in_another_pid_namespace_is_called_as_it_is_called_here() {
    let place = Place::new("shm");
    let mut sender = Command::new("unshare");
    sender
        .args(["--pid", "--fork", "--kill-child", "--map-root-user"])
        .args([
            env!("CARGO_BIN_EXE_ringway"),
            "send",
            &place.address,
            "--create",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(mut unshare) = sender.spawn() else {
        eprintln!("no unshare(1) here");
        return;
    };
    let is_attached = || place.exists() && place.participants().len() == 1;
    eventually("the sender, or that there are no namespaces", || {
        is_attached() || unshare.try_wait().unwrap().is_some()
    });
    if is_attached() {
        let pid = unshare.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let outside = children.trim();
        let stat = place.stat();
        assert_eq!(stat["participants"][0]["pid"], 1);
        assert_eq!(stat["participants"][0]["pid_here"].to_string(), outside);
        let refused = run(["rm", &place.address]);
        assert_status(&refused, 2);
        let said = text(&refused.stderr);
        assert!(said.contains(&format!("end process {outside},")), "{said}");
        assert!(!said.contains("process 1 "), "{said}");
        let taken = run_with(["send", &place.address], b"");
        assert_says(&taken.stderr, &[&format!("process {outside} is")]);
    }
    let _ = unshare.kill();
    let _ = unshare.wait();
}

/// Their use is checked by `cargo xtask dist --check`.
#[test]
fn completions_and_the_manual_know_each_command() {
    let help = text(&run(["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("\n\n").next().unwrap().lines();
    let commands = commands.filter(|line| line.len() > 2);
    // Not what goes on with a long description.
    let commands = commands.filter(|line| line[2..].starts_with(|letter| letter != ' '));
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 20, "{names:?}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    assert_status(&run(["man-pages", path]), 0);
    for name in &names {
        let page = directory.path().join(format!("ringway-{name}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        // The name in roff.
        let shown = format!("ringway\\-{}", name.replace('-', "\\-"));
        assert!(page.contains(&shown), "{name}: {page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]);
        assert_status(&script, 0);
        assert_says(&script.stdout, &names);
        assert!(!text(&script.stdout).contains("panicked"));
    }
    assert_status(&run(["completions", "none"]), 2);
}
