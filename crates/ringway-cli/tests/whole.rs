//! `--whole`: an input of any size as one message, over whatever carries messages.

mod common;

use std::process::Stdio;

use common::{
    Place, Running, assert_says, assert_status, binary, command, eventually, run, run_with, text,
};
use nix::sys::signal::Signal;

/// Everything that a command line can name.
const ALL: [&str; 6] = ["shm", "file", "sysv", "mq", "sysvmq", "auto"];

#[test]
fn an_input_of_any_size_arrives_as_it_was() {
    let large = binary(3_000_000);
    for scheme in ALL {
        for input in [b"".as_slice(), b"two\nlines\n", &large] {
            let place = Place::new(scheme);
            let address = place.address.as_str();
            let size: &[&str] = match scheme {
                "mq" | "sysvmq" => &[],
                _ => &["--capacity", "64K"],
            };
            let args = ["send", address, "--create", "--whole"];
            let send = Running::feed(args.into_iter().chain(size.iter().copied()), input);
            let recv = run(["recv", address, "--wait", "60s", "--unlink", "--whole"]);
            assert_status(&recv, 0);
            assert!(recv.stdout == input, "{scheme}: {} bytes", input.len());
            assert_status(&send.finish(), 0);
            assert!(!place.exists(), "--unlink leaves {address}");
        }
    }
}

#[test]
fn who_receives_pieces_is_told_to_put_them_together() {
    let place = Place::new("shm");
    let words = ["send", &place.address, "--create", "--whole"];
    assert_status(&run_with(words, &binary(100_000)), 0);
    let recv = run(["recv", &place.address, "--raw", "--quiet"]);
    assert_status(&recv, 0);
    let said = text(&recv.stderr);
    assert_eq!(said.matches("with --whole").count(), 2, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn several_files_are_one_message() {
    let place = Place::new("file");
    let (first, second) = (place.directory().join("1"), place.directory().join("2"));
    std::fs::write(&first, binary(100_000)).unwrap();
    std::fs::write(&second, "end").unwrap();
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let args = ["send", &place.address, "--create", "--whole", first, second];
    assert_status(&run(args), 0);
    let recv = run(["recv", &place.address, "--whole"]);
    assert_status(&recv, 0);
    assert!(recv.stdout == [binary(100_000), b"end".to_vec()].concat());
}

#[test]
fn a_sender_that_dies_in_its_midst_is_reported() {
    for scheme in ALL {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        // It has more to send than fits, and never comes to the end of its input.
        let args = ["send", address, "--create", "--whole"];
        let small: &[&str] = match scheme {
            "mq" | "sysvmq" => &[],
            _ => &["--capacity", "64K"],
        };
        let args = args.into_iter().chain(small.iter().copied());
        let mut send = Running::spawn(command(args).stdin(Stdio::from(endless())));
        let recv = Running::start(["recv", address, "--wait", "60s", "--whole"]);
        // That has a part of the message: who sees the sender die before it has begun does not know of any.
        eventually("a part, and a receiver", || {
            has_begun(&place) && has_receiver(&place)
        });
        send.signal(Signal::SIGKILL);
        let output = recv.finish();
        assert_status(&output, 1);
        assert_says(&output.stderr, &["lost"]);
        drop(send);
    }
}

/// A file that never ends.
fn endless() -> std::fs::File {
    std::fs::File::open("/dev/zero").unwrap()
}

/// What `stat` says, if something is there.
fn stat(place: &Place) -> Option<serde_json::Value> {
    let output = run(["stat", &place.address, "--json"]);
    serde_json::from_slice(&output.stdout).ok()
}

fn has_begun(place: &Place) -> bool {
    // A queue tells what lies in it now.
    let count = |stat: &serde_json::Value| stat["sent"].as_u64().or(stat["messages"].as_u64());
    stat(place).is_some_and(|stat| count(&stat) > Some(0))
}

fn has_receiver(place: &Place) -> bool {
    let Some(stat) = stat(place) else {
        return false;
    };
    let in_ring = |participants: &Vec<serde_json::Value>| {
        participants.iter().any(|one| one["role"] == "consumer")
    };
    match stat["participants"].as_array() {
        Some(participants) => in_ring(participants),
        None => stat["receivers"].as_u64().unwrap() > 0,
    }
}

#[test]
fn a_message_that_is_too_large_is_refused_at_either_side() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    let limit = ["--whole", "--max-message", "1K"];
    let send = run_with(
        [&["send", address, "--create"], &limit[..]].concat(),
        &binary(1025),
    );
    assert_status(&send, 2);
    assert_says(&send.stderr, &["--max-message"]);

    let place = Place::new("shm");
    let address = place.address.as_str();
    let send = Running::feed(["send", address, "--create", "--whole"], &binary(1025));
    let recv = run([&["recv", address, "--wait", "60s"], &limit[..]].concat());
    assert_status(&recv, 2);
    assert_says(&recv.stderr, &["--max-message"]);
    drop(send);

    let place = Place::new("shm");
    let address = place.address.as_str();
    let send = run_with(
        [&["send", address, "--create"], &limit[..]].concat(),
        &binary(1024),
    );
    assert_status(&send, 0);
    let recv = run([&["recv", address], &limit[..]].concat());
    assert_status(&recv, 0);
    assert!(recv.stdout == binary(1024));
}

#[test]
fn what_is_no_piece_of_a_message_is_told() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], b"a line"),
        0,
    );
    let recv = run(["recv", &place.address, "--whole"]);
    assert_status(&recv, 2);
    assert_says(&recv.stderr, &["--whole"]);
}

#[test]
fn rings_that_many_receivers_share_refuse_what_does_not_go_at_once() {
    let place = Place::new("shm");
    let args = [
        "send",
        &place.address,
        "--create",
        "--kind",
        "mpmc",
        "--whole",
    ];
    let send = run_with(args, &binary(3_000_000));
    assert_status(&send, 2);
    assert_says(&send.stderr, &["mpsc"]);
}
