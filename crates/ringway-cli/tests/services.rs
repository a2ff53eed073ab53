//! `serve` and `call`: a command behind a name.

mod common;

use common::{
    Place, Running, SCHEMES, assert_says, assert_status, eventually, run, run_with, text,
};

/// A server that is killed at the end of the test.
fn serving<'a>(options: &[&'a str], command: &[&'a str]) -> Running {
    let words = ["serve"]
        .iter()
        .chain(options)
        .chain(&["--"])
        .chain(command);
    Running::start(words.copied().collect::<Vec<_>>())
}

#[test]
fn a_command_answers_calls_of_any_length() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let at = place.address.as_str();
        let _server = serving(&[at], &["tr", "a-z", "A-Z"]);
        let called = run(["call", at, "hello", "--wait", "60"]);
        assert_status(&called, 0);
        assert_eq!(called.stdout, b"HELLO", "{scheme}");
        for len in [0, 1, 5000, 300_000] {
            let request: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
            let called = run_with(["call", at], &request);
            assert_status(&called, 0);
            assert!(
                called.stdout == request.to_ascii_uppercase(),
                "{scheme}: {len}"
            );
        }
    }
}

#[test]
fn a_command_that_fails_is_an_error_of_the_caller_and_not_of_the_server() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let script = "read what; echo some output; echo about $what >&2; exit 7";
    let _server = serving(&[at], &["sh", "-c", script]);
    for _ in 0..3 {
        let called = run_with(["call", at, "--wait", "60"], b"nothing");
        assert_status(&called, 7);
        assert_eq!(called.stdout, b"");
        assert_says(
            &called.stderr,
            &["the server says: about nothing (status 7)"],
        );
    }
    let place = Place::new("shm");
    let at = place.address.as_str();
    let _server = serving(&[at], &["sh", "-c", "kill -9 $$"]);
    assert_status(&run(["call", at, "x", "--wait", "60"]), 137);
    let place = Place::new("shm");
    let at = place.address.as_str();
    let _server = serving(&[at], &["/no/such/command"]);
    let called = run(["call", at, "x", "--wait", "60"]);
    assert_status(&called, 127);
    assert_says(&called.stderr, &["cannot run /no/such/command"]);
}

#[test]
fn workers_serve_side_by_side() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    // Each waits until both have begun.
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().display();
    let script = format!(
        "cat >/dev/null; touch {path}/$$; until [ $(ls {path} | wc -l) = 2 ]; do sleep 0.01; done; echo both"
    );
    let _server = serving(&[at, "--workers", "2"], &["sh", "-c", &script]);
    let calls = [(); 2].map(|()| Running::start(["call", at, "x", "--wait", "60"]));
    for call in calls {
        let called = call.finish();
        assert_status(&called, 0);
        assert_eq!(called.stdout, b"both\n");
    }
}

#[test]
fn a_coprocess_serves_one_call_after_the_other() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    // Answers the process's number, and as many as it has had; ends at the third.
    let script = "n=0; while [ $n -lt 3 ]; do head -c 5 >/dev/null; n=$((n+1)); printf '\\002\\000\\000\\000%02d' $n; done";
    let _server = serving(&[at, "--coprocess"], &["sh", "-c", script]);
    let mut answers = Vec::new();
    for _ in 0..7 {
        let called = run(["call", at, "x", "--wait", "60"]);
        if called.status.code() == Some(0) {
            answers.push(text(&called.stdout));
        } else {
            // It was ending when it got it.
            assert_says(&called.stderr, &["the command ended without an answer"]);
        }
    }
    assert!(answers.len() >= 5, "{answers:?}");
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer, &format!("{:02}", number % 3 + 1));
    }
}

#[test]
fn where_nobody_serves_the_call_says_so() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let none = run(["call", at, "x"]);
    assert_status(&none, 1);
    assert_says(&none.stderr, &["ringway serve"]);
    let server = serving(&[at, "--count", "1"], &["cat"]);
    assert_status(&run(["call", at, "x", "--wait", "60"]), 0);
    assert_status(&server.finish(), 0);
    let none = run(["call", at, "x"]);
    assert_status(&none, 1);
    assert_says(&none.stderr, &["no server is there"]);
    assert_status(&run(["call", at, "x", "--wait", "0.1"]), 1);
    assert_status(&run(["rm", at]), 0);
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at]), 0);
    let refused = run(["call", at, "x"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["it is a ring, and no board"]);
}

#[test]
fn the_command_ends_when_its_caller_waits_no_longer() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let _server = serving(&[at], &["sh", "-c", &script]);
    let pid = || {
        std::fs::read_to_string(&file)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    let ended = || pid().is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists());
    // It gives up.
    let called = run(["call", at, "x", "--wait", "60", "--timeout", "0.3"]);
    assert_status(&called, 1);
    eventually("the command is killed", || pid().is_none() || ended());
    // It is killed.
    let _ = std::fs::remove_file(&file);
    let call = Running::start(["call", at, "x"]);
    eventually("the command has begun", || pid().is_some());
    drop(call);
    eventually("the command is killed", ended);
}
