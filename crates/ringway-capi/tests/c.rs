//! The headers are what C and C++ compilers take without a warning, and programs made with them do what they say: by
//! themselves under the sanitizers of the compiler, against Rust on the other side, and when they are killed.

mod common;

use std::io::{BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Link, Program, Running, compiler, libraries, run};
use ringway::{RecvError, Ring};
use ringway_testing::place::{Backing, Place};

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_call_does_what_the_header_says() {
    let program = Program::new("tests/programs/everything.c", "c11", Link::Sanitized);
    let place = Place::new(Backing::Shm);
    assert_eq!(program.output(&[&place.address.to_string()]), "done\n");
}

#[test]
fn the_wrapper_does_what_it_says() {
    for standard in ["c++17", "c++20"] {
        let program = Program::new("tests/programs/everything.cpp", standard, Link::Sanitized);
        let place = Place::new(Backing::Shm);
        assert_eq!(program.output(&[&place.address.to_string()]), "done\n");
    }
}

/// What includes nothing else, in each language.
#[test]
fn the_headers_stand_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let compile = |name: &str, header: &str, standard: &str| {
        let source = folder.path().join(name);
        let use_it = "int main(void) { return ringway_error_name(RINGWAY_CLOSED) == 0; }";
        std::fs::write(&source, format!("#include \"{header}\"\n{use_it}\n")).unwrap();
        let mut compiler = compiler(name, standard);
        run(compiler.arg("-fsyntax-only").arg(&source));
    };
    compile("one.c", "ringway.h", "c11");
    compile("one.c", "ringway.h", "c17");
    compile("one.cpp", "ringway.h", "c++17");
    compile("two.cpp", "ringway.hpp", "c++17");
    compile("two.cpp", "ringway.hpp", "c++20");
}

#[test]
fn the_examples_talk_with_each_other_and_with_rust() {
    let c = Program::new("examples/hello.c", "c11", Link::Shared);
    let cpp = Program::new("examples/hello.cpp", "c++17", Link::Shared);
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    let expected = "buy 0\nbuy 1\nbuy 2\n";
    for (from, to) in [(&c, &cpp), (&cpp, &c), (&c, &c)] {
        assert_eq!(from.output(&["send", &address]), "");
        assert_eq!(to.output(&["recv", &address]), expected);
    }
    let ring = ringway::at(&address).unwrap().open().unwrap();
    cpp.output(&["send", &address]);
    let mut receiver = ring.receiver().unwrap();
    for order in ["buy 0", "buy 1", "buy 2"] {
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), order.as_bytes());
    }
    assert_eq!(receiver.recv_timeout(PATIENCE), Err(RecvError::Closed));
    drop(receiver);
    ring.sender().unwrap().send(b"from Rust").unwrap();
    assert_eq!(c.output(&["recv", &address]), "from Rust\n");
}

#[test]
fn one_thread_waits_for_three_rings_and_a_socket() {
    let program = Program::new("examples/epoll.c", "c11", Link::Sanitized);
    let places = [(); 3].map(|()| Place::new(Backing::Shm));
    let rings: Vec<Ring> = places.iter().map(ring).collect();
    let mut senders: Vec<_> = rings.iter().map(|ring| ring.sender().unwrap()).collect();
    let addresses = places.each_ref().map(|place| place.address.to_string());
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    let mut command = program.command(&addresses.each_ref().map(String::as_str));
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut running = Running { child, out };
    assert_eq!(running.line(), "waits");
    for round in 0..100 {
        for (number, sender) in senders.iter_mut().enumerate() {
            // As it sleeps, and as it has just been woken.
            let text = format!("{round}");
            sender.send(text.as_bytes()).unwrap();
            assert_eq!(running.line(), format!("{number}: {round}"));
        }
        socket.write_all(b"!").unwrap();
        assert_eq!(running.line(), "input: !");
    }
    drop(senders.pop());
    assert_eq!(running.line(), "2 ends");
    drop(socket);
    assert_eq!(running.line(), "input ends");
    senders[0].send(b"last").unwrap();
    assert_eq!(running.line(), "0: last");
    for number in (0..2).rev() {
        drop(senders.pop());
        assert_eq!(running.line(), format!("{number} ends"));
    }
    assert!(running.child.wait().unwrap().success());
}

fn ring(place: &Place) -> Ring {
    place.builder().capacity(1 << 18).create().unwrap()
}

#[test]
fn what_a_killed_sender_has_sent_comes_whole_and_in_order() {
    let program = Program::new("tests/programs/peer.c", "c11", Link::Shared);
    for way in ["send", "claim", "parts"] {
        let place = Place::new(Backing::Shm);
        let ring = ring(&place);
        let mut receiver = ring.receiver().unwrap();
        let mut expected = 0_u64;
        for round in 0..5 {
            let mut sender = program.start(&[way, &place.address.to_string()]);
            assert_eq!(sender.line(), "ready");
            for _ in 0..round * 997 {
                let message = receiver.recv_timeout(PATIENCE).unwrap();
                assert_eq!(message, expected.to_ne_bytes());
                expected += 1;
            }
            sender.kill();
            loop {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(message) => assert_eq!(message, expected.to_ne_bytes()),
                    Err(error) => {
                        assert_eq!(error, RecvError::PeerDied);
                        break;
                    }
                }
                expected += 1;
            }
            assert_eq!(ring.stat().sent, expected);
        }
    }
}

#[test]
fn what_a_killed_receiver_had_not_acknowledged_comes_again() {
    let program = Program::new("tests/programs/peer.c", "c11", Link::Shared);
    for way in ["recv", "view", "drain"] {
        let place = Place::new(Backing::Shm);
        let ring = ring(&place);
        let mut sender = ring.sender().unwrap();
        let mut number = 0_u64;
        // What the next one may begin with.
        let mut next = 0..=0;
        for _ in 0..5 {
            let mut receiver = program.start(&[way, &place.address.to_string()]);
            for _ in 0..1000 {
                sender
                    .send_timeout(&number.to_ne_bytes(), PATIENCE)
                    .unwrap();
                number += 1;
            }
            let first: u64 = receiver.line().parse().unwrap();
            assert!(next.contains(&first), "{way}: {first} and not {next:?}");
            let mut end = first + 1;
            for line in receiver.kill().lines() {
                assert_eq!(line, end.to_string(), "{way}");
                end += 1;
            }
            next = match way {
                // It shows what it has acknowledged.
                "recv" => end..=end + 1,
                // It acknowledges what it has shown, one by one, or a hundred together.
                "view" => end - 1..=end,
                _ => end.saturating_sub(100)..=end,
            };
        }
        drop(sender);
        let out = program.output(&[way, &place.address.to_string()]);
        let mut lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.pop(), Some("RINGWAY_CLOSED"));
        let rest: Vec<u64> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let first = rest.first().copied().unwrap_or(number);
        assert!(next.contains(&first), "{way}: {first} and not {next:?}");
        assert_eq!(rest, (first..number).collect::<Vec<_>>());
    }
}

#[test]
fn the_shared_library_has_a_soname() {
    let mut readelf = Command::new("readelf");
    let output = run(readelf.arg("-d").arg(libraries().join("libringway_c.so")));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("Library soname: [libringway_c.so.0]"),
        "{text}"
    );
}
