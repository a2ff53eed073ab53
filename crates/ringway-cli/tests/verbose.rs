//! `--verbose` and `RUST_LOG`: what is told on standard error, and that it decides nothing.

mod common;

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use std::io::{BufRead, BufReader};

use common::{
    Place, Running, assert_says, assert_status, command, eventually, lines, run, text,
    waiting_sender,
};

/// The lines of events, without their times.
fn events(stderr: &[u8]) -> Vec<String> {
    let text = text(stderr);
    let events = text.lines().filter_map(|line| {
        let (time, event) = line.split_once(' ')?;
        let is_time = time.starts_with("20") && time.ends_with('Z') && time.contains('T');
        is_time.then(|| event.trim_start().to_owned())
    });
    events.collect()
}

/// What each command tells, typed one after the other.
#[test]
fn a_transcript() {
    let place = Place::new("shm");
    let a = place.address.as_str();
    let about = format!("address={a} kind=\"spsc\" sync=\"futex\" capacity=65536");
    let created = format!("INFO ringway::segment: created {about}");
    let opened = format!("DEBUG ringway::segment: opened {about}");
    let place_of = |what: &str, role: &str, slot: u32| {
        format!("DEBUG ringway::peer: {what} address={a} role=\"{role}\" slot={slot}")
    };
    let removed = format!("INFO ringway::segment: removed address={a}");
    let create = ["create", a, "--capacity", "64K"];
    for (words, told) in [
        ([&create[..], &["-v"]].concat(), vec![created]),
        (vec!["send", a, "-m", "one"], vec![]),
        (vec!["send", a, "-v", "-m", "two"], vec![]),
        (
            vec!["-vv", "send", a, "--quiet", "-m", "three"],
            vec![
                opened.clone(),
                place_of("attached", "producer", 0) + " epoch=3",
                place_of("leaving", "producer", 0),
            ],
        ),
        (
            vec!["recv", a, "--verbose", "--verbose", "-n", "1"],
            vec![
                opened,
                place_of("attached", "consumer", 1) + " epoch=1",
                place_of("leaving", "consumer", 1),
            ],
        ),
        (vec!["ls", "-vvv"], vec![]),
        (vec!["rm", a, "-v", "--force"], vec![removed]),
    ] {
        let output = run(words.iter().copied());
        assert_status(&output, 0);
        assert_eq!(events(&output.stderr), told, "{words:?}");
    }
}

fn with_variable(words: &[&str], value: &str) -> std::process::Output {
    Running::spawn(command(words.iter().copied()).env("RUST_LOG", value)).finish()
}

#[test]
fn the_environment_asks_too_and_the_option_has_the_last_word() {
    let place = Place::new("shm");
    let a = place.address.as_str();
    let created = format!("created address={a}");
    for (value, words, is_told) in [
        ("info", &["create", a][..], true),
        ("ringway::segment=info,hyper=trace", &["create", a], true),
        ("ringway::peer=trace", &["create", a], false),
        ("warn", &["create", a], false),
        ("", &["create", a], false),
        ("off", &["create", a, "-v"], true),
    ] {
        let output = with_variable(words, value);
        assert_status(&output, 0);
        let told = events(&output.stderr);
        let is_there = told.iter().any(|event| event.contains(&created));
        assert_eq!(is_there, is_told, "{value} {words:?}: {told:?}");
        assert_status(&run(["rm", a]), 0);
    }
    // It may be meant for somebody else.
    let output = with_variable(&["create", a], "[span{field=1}]=loud");
    assert_status(&output, 0);
    assert_says(
        &output.stderr,
        &["RUST_LOG is not understood, and has no effect"],
    );
}

/// Whoever survives says who died, and what of it was put in order, while it goes on.
#[test]
fn a_survivor_names_the_death_and_the_repair() {
    let place = Place::new("shm");
    let a = place.address.as_str();
    assert_status(
        &run(["create", a, "--kind", "mpmc", "--capacity", "64K"]),
        0,
    );
    let mut sender = waiting_sender(&place, &[], &lines(0, 1));
    // A worker that has the message, and will not be done with it.
    let folder = tempfile::tempdir().unwrap();
    let has_it = folder.path().join("has it");
    let task = format!("touch '{}'; exec sleep 600", has_it.display());
    let mut victim = Running::start(["work", a, "--quiet", "--", "sh", "-c", &task]);
    eventually("a task that was begun", || has_it.exists());
    let pid = victim.id();
    let mut survivor = Running::start(["recv", a, "-v", "--follow", "--quiet"]);
    let told = BufReader::new(survivor.child().stderr.take().unwrap());
    let (tell, hear) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        told.lines()
            .map_while(Result::ok)
            .for_each(|line| drop(tell.send(line)));
    });
    let survivor_id = survivor.id();
    eventually("a receiver that is attached", || {
        let mut there = place.participants().into_iter();
        there.any(|one| one["pid"] == survivor_id)
    });
    victim.kill();
    let mut wanted = vec![
        format!("WARN ringway::peer: peer died address={a} role=\"consumer\" slot="),
        format!("INFO ringway::peer: repaired address={a} slot="),
    ];
    let mut all = Vec::new();
    while let Some(next) = wanted.first() {
        // No longer than that it takes for a hang to be one.
        let line = hear.recv_timeout(Duration::from_secs(60));
        let line = line.unwrap_or_else(|_| panic!("{next} is not among {all:#?}"));
        if line.contains(next.as_str()) {
            let of_victim = line.ends_with(&format!("pid={pid}"));
            assert!(of_victim || line.ends_with("records=1"), "{line}");
            wanted.remove(0);
        }
        all.push(line);
    }
    survivor.signal(nix::sys::signal::Signal::SIGTERM);
    let survivor = survivor.finish();
    assert_eq!(survivor.stdout, lines(0, 1));
    sender.close();
    assert_status(&sender.finish(), 0);
    reader.join().unwrap();
}

/// Where nobody can write or read it, the work is done all the same.
#[test]
fn what_cannot_be_told_changes_nothing() {
    let place = Place::new("shm");
    let a = place.address.as_str();
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let unread = || Stdio::from(std::io::pipe().unwrap().1);
    for stderr in [full, unread] {
        let run = |words: &[&str]| {
            let mut command = command(words.iter().copied());
            Running::spawn(command.stderr(stderr())).finish()
        };
        assert_status(&run(&["create", a, "-vvv"]), 0);
        assert_status(&run(&["send", a, "-vvv", "-m", "one"]), 0);
        let received = run(&["recv", a, "-vvv", "--unlink"]);
        assert_status(&received, 0);
        assert_eq!(received.stdout, b"one\n");
    }
    let script =
        "\"$R\" send \"$A\" --create -vvv -m one 2>&- && \"$R\" recv \"$A\" --unlink -vvv 2>&-";
    let mut closed = Command::new("sh");
    closed.args(["-c", script]);
    closed.env("R", env!("CARGO_BIN_EXE_ringway")).env("A", a);
    closed.stdin(Stdio::null()).stdout(Stdio::piped());
    let closed = Running::spawn(&mut closed).finish();
    assert_status(&closed, 0);
    assert_eq!(closed.stdout, b"one\n");
}
