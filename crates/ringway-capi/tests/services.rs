//! Services in C and C++: by themselves under the sanitizers of the compiler, with Rust on the other side, and when they are killed.

mod common;

use std::time::Duration;

use common::{Link, Program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::service::{CallError, ServeError, Server};
use ringway_testing::place::{Backing, Place};

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(place: &Place) -> ringway::service::Connect {
    let connect = ringway::connect(&place.address.to_string()).unwrap();
    connect.timeout(PATIENCE).wait(PATIENCE)
}

fn server(place: &Place) -> Server {
    let serve = ringway::serve(&place.address.to_string()).unwrap();
    serve.start().unwrap()
}

#[test]
fn every_call_does_what_the_header_says() {
    let program = Program::new("tests/programs/services.c", "c11", Link::Sanitized);
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    assert_eq!(program.output(&["all", &address]), "done\n");
}

#[test]
fn the_wrapper_does_what_it_says() {
    for standard in ["c++17", "c++20"] {
        let program = Program::new("tests/programs/services.cpp", standard, Link::Sanitized);
        let place = Place::new(Backing::Shm);
        assert_eq!(program.output(&[&place.address.to_string()]), "done\n");
    }
}

#[test]
fn the_example_serves_c_and_rust_until_a_signal_ends_it() {
    let program = Program::new("examples/service.c", "c11", Link::Shared);
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    let mut serving = program.start(&["serve", &address]);
    assert_eq!(serving.line(), "ready");
    assert_eq!(program.output(&["call", &address, "hello"]), "HELLO\n");
    let mut client = connect(&place).open().unwrap();
    assert_eq!(client.call(b"from Rust").unwrap(), b"FROM RUST");
    let failed = client.call(&[b'x'; 1001]);
    assert!(matches!(failed, Err(CallError::Failed(failure)) if failure.message() == b"too long"));
    let pid = Pid::from_raw(serving.child.id().cast_signed());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(serving.child.wait().unwrap().success());
    assert_eq!(client.call(b"x"), Err(CallError::NoServer));
    // A server in Rust comes, and C calls it.
    let mut server = server(&place);
    let serving = std::thread::spawn(move || {
        let request = server.next_timeout(PATIENCE).unwrap();
        assert_eq!(request.body(), b"hello");
        request.answer(b"from Rust").unwrap();
        server.finish(PATIENCE).unwrap()
    });
    assert_eq!(program.output(&["call", &address, "hello"]), "from Rust\n");
    assert!(serving.join().unwrap());
}

#[test]
fn the_death_of_a_server_is_told_or_the_next_one_does_it() {
    let program = Program::new("tests/programs/services.c", "c11", Link::Shared);
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    for round in 0..3 {
        let mut first = program.start(&["serve", &address]);
        assert_eq!(first.line(), "ready");
        let mut once = connect(&place).open().unwrap();
        let mut again = connect(&place).at_least_once().grace(PATIENCE);
        if round == 2 {
            again = again.attempts(2);
        }
        let mut again = again.open().unwrap();
        assert_eq!(once.call(b"x").unwrap(), b"x");
        let calling = std::thread::spawn(move || once.call(b"stay"));
        assert_eq!(first.line(), "stays");
        first.kill();
        assert_eq!(calling.join().unwrap(), Err(CallError::ServerDied));
        // At least once: the next server begins with it again.
        let mut second = program.start(&["serve", &address]);
        assert_eq!(second.line(), "ready");
        let calling = std::thread::spawn(move || again.call(b"stay"));
        assert_eq!(second.line(), "stays");
        second.kill();
        let mut third = program.start(&["serve", &address]);
        assert_eq!(third.line(), "ready");
        assert_eq!(third.line(), "stays again");
        third.kill();
        match round {
            2 => assert_eq!(calling.join().unwrap(), Err(CallError::ServerDied)),
            _ => {
                let mut fourth = server(&place);
                let request = fourth.next_timeout(PATIENCE).unwrap();
                assert!(request.is_repeated());
                request.answer(b"done").unwrap();
                fourth.finish(PATIENCE).unwrap();
                assert_eq!(calling.join().unwrap().unwrap(), b"done");
            }
        }
    }
}

#[test]
fn the_death_of_a_client_is_seen_and_frees_its_place() {
    let program = Program::new("tests/programs/services.c", "c11", Link::Shared);
    let place = Place::new(Backing::Shm);
    let mut server = server(&place);
    let address = place.address.to_string();
    for round in 0..20 {
        let mut client = program.start(&["call", &address]);
        assert_eq!(client.line(), "ready");
        for _ in 0..round * 7 {
            let request = server.next_timeout(PATIENCE).unwrap();
            request.answer(b"hello").unwrap();
        }
        let mut request = server.next_timeout(PATIENCE).unwrap();
        assert!(!request.is_cancelled());
        client.kill();
        assert!(request.is_cancelled());
        assert_eq!(request.answer(b"late"), Err(ServeError::Cancelled));
        // Nobody is left who asks for something.
        assert!(server.try_next().unwrap().is_none());
    }
}
