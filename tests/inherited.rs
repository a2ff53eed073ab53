//! A child of `fork` inherits handles, and what was claimed, pushed and received with them. Whatever it does with that, no byte of its
//! parent's rings changes: it is the parent's.

mod two_processes;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use ringway::board::{GetError, SetError};
use ringway::log::{AppendError, Log};
use ringway::{Address, Board, Kind, Receiver, Ring, Sender};
use tempfile::TempDir;
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play};

const CAPACITY: u64 = 32 << 10;
const KINDS: [Kind; 3] = [Kind::Spsc, Kind::Mpmc, Kind::Broadcast];

/// What a child does.
type Child<'a> = Box<dyn FnOnce() + 'a>;
/// Has a child do something.
type Fork<'a> = &'a mut dyn FnMut(Child<'_>);

#[test]
fn child_role() {
    play(|role, first| match role {
        "fork with what is to be sent" => fork_with_what_is_to_be_sent(first),
        "fork with what was received" => fork_with_what_was_received(first),
        "fork with boards, services and logs" => fork_with_boards_services_and_logs(first),
        _ => panic!("{role}"),
    });
}

// Each in a process of its own, where nobody else is about to do anything.

#[test]
fn what_a_child_does_with_what_is_to_be_sent_changes_nothing() {
    in_a_process("fork with what is to be sent");
}

#[test]
fn what_a_child_does_with_what_was_received_changes_nothing() {
    in_a_process("fork with what was received");
}

#[test]
fn what_a_child_does_with_boards_services_and_logs_changes_nothing() {
    in_a_process("fork with boards, services and logs");
}

fn in_a_process(role: &str) {
    let (ring, _place) = Backing::Memfd.ring(4096);
    let second = Second::start(role, &ring);
    second.expect("nothing has changed");
    second.finish();
}

/// A ring with slabs, in which bytes lie everywhere: so that each that is written shows.
fn ring(kind: Kind) -> (Ring, Place) {
    let place = Place::new(Backing::File);
    let builder = place.builder().kind(kind).capacity(CAPACITY);
    let ring = builder.slabs(4096, 4).create().unwrap();
    let (mut receiver, mut sender) = (ring.receiver().unwrap(), ring.sender().unwrap());
    for _ in 0..CAPACITY / 40 {
        sender.send(&[0xff; 60]).unwrap();
        receiver.recv().unwrap();
    }
    (ring, place)
}

/// A child does this, and ends well; nothing of the ring's segment is different afterwards.
fn changes_nothing(what: &str, place: &Place, child: impl FnOnce()) {
    let before = fs::read(place.path()).unwrap();
    // SAFETY: the only other threads of this process, ringway's keeper and the test harness, hold no lock now that the child
    // needs: they sleep.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let code = i32::from(catch_unwind(AssertUnwindSafe(child)).is_err());
            // SAFETY: ends the process without running what the parent registered.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            let end = waitpid(child, None).unwrap();
            assert_eq!(end, WaitStatus::Exited(child, 0), "{what}");
        }
    }
    let after = fs::read(place.path()).unwrap();
    let differs = before
        .iter()
        .zip(&after)
        .position(|(one, other)| one != other);
    assert_eq!(differs, None, "{what}: the byte there");
}

fn fork_with_what_is_to_be_sent(first: &First) {
    let check = |what: &str, work: fn(&mut Sender, Fork<'_>)| {
        for kind in KINDS {
            let (ring, place) = ring(kind);
            let mut sender = ring.sender().unwrap().with_copy_limit(100);
            sender.send(b"before").unwrap();
            work(&mut sender, &mut |child| {
                changes_nothing(&format!("{what}, {kind:?}"), &place, child)
            });
        }
    };
    check("a batch is committed", |sender, fork| {
        let mut batch = sender.batch();
        for len in [5, 90, 700, 3000] {
            batch.push(&vec![1; len]).unwrap();
        }
        fork(Box::new(move || assert_eq!(batch.commit(), 0)));
    });
    check("more is pushed", |sender, fork| {
        let mut batch = sender.batch();
        batch.push(&[1; 50]).unwrap();
        fork(Box::new(move || {
            for len in [5, 3000] {
                batch.push(&vec![2; len]).unwrap_err();
            }
            assert_eq!(batch.commit(), 0);
        }));
    });
    check("a batch is dropped", |sender, fork| {
        let mut batch = sender.batch();
        batch.push(&[1; 50]).unwrap();
        fork(Box::new(move || drop(batch)));
    });
    check("a claim is committed", |sender, fork| {
        let claim = sender.claim(50).unwrap();
        fork(Box::new(move || claim.commit()));
    });
    check("a claim is given up", |sender, fork| {
        let claim = sender.claim(50).unwrap();
        fork(Box::new(move || claim.abort()));
    });
    check("a claim is dropped", |sender, fork| {
        let claim = sender.claim(50).unwrap();
        fork(Box::new(move || drop(claim)));
    });
    check("a slab is committed", |sender, fork| {
        let claim = sender.claim(2000).unwrap();
        fork(Box::new(move || claim.commit()));
    });
    check("a slab is given up", |sender, fork| {
        let claim = sender.claim(2000).unwrap();
        fork(Box::new(move || claim.abort()));
    });
    check("values are sent", |sender, fork| {
        fork(Box::new(move || {
            sender.send_all(&[[7_u64; 8]; 40]).unwrap_err();
            sender.send(&[1; 2000]).unwrap_err();
        }));
    });
    for kind in KINDS {
        let ends = [Sender::close, Sender::leave, drop];
        for (end, what) in ends.into_iter().zip(["is closed", "leaves", "is dropped"]) {
            let (ring, place) = ring(kind);
            let sender = ring.sender().unwrap();
            let what = format!("a sender {what}, {kind:?}");
            changes_nothing(&what, &place, move || end(sender));
        }
    }
    first.say("nothing has changed");
}

fn fork_with_what_was_received(first: &First) {
    let check = |what: &str, work: fn(&mut Receiver, Fork<'_>)| {
        for kind in KINDS {
            for lens in [[5, 6, 7], [2000, 6, 2000]] {
                let (ring, place) = ring(kind);
                let mut receiver = ring.receiver().unwrap();
                let mut sender = ring.sender().unwrap().with_copy_limit(100);
                for len in lens {
                    sender.send(&vec![1; len]).unwrap();
                }
                work(&mut receiver, &mut |child| {
                    changes_nothing(&format!("{what}, {kind:?}"), &place, child)
                });
            }
        }
    };
    check("a message is released", |receiver, fork| {
        let message = receiver.recv_in_place().unwrap();
        fork(Box::new(move || message.release()));
    });
    check("a message is given back", |receiver, fork| {
        let message = receiver.recv_in_place().unwrap();
        fork(Box::new(move || message.give_back()));
    });
    check("a message is dropped", |receiver, fork| {
        let message = receiver.recv_in_place().unwrap();
        fork(Box::new(move || drop(message)));
    });
    check("a message is detached", |receiver, fork| {
        let message = receiver.recv_in_place().unwrap();
        fork(Box::new(move || drop(message.detach())));
    });
    check("a backlog is released", |receiver, fork| {
        let mut backlog = receiver.backlog();
        while backlog.next_message().unwrap().is_some() {}
        fork(Box::new(move || assert_eq!(backlog.release(), 0)));
    });
    check("a part of a backlog is released", |receiver, fork| {
        let mut backlog = receiver.backlog();
        while backlog.next_message().unwrap().is_some() {}
        fork(Box::new(move || backlog.release_first(1)));
    });
    check("a backlog is dropped", |receiver, fork| {
        let mut backlog = receiver.backlog();
        backlog.next_message().unwrap();
        fork(Box::new(move || drop(backlog)));
    });
    check(
        "a detached message is used and dropped",
        |receiver, fork| {
            let message = receiver.recv_in_place().unwrap().detach().unwrap();
            fork(Box::new(move || drop(message.to_vec())));
        },
    );
    check("messages are asked for", |receiver, fork| {
        fork(Box::new(move || {
            receiver.try_recv().unwrap_err();
            receiver.try_recv_in_place().unwrap_err();
            receiver.drain(3, |_| ()).unwrap_err();
            receiver.try_recv_all(&mut [[0_u8; 5]; 3]).unwrap_err();
        }));
    });
    for kind in KINDS {
        let ends = [Receiver::close, Receiver::leave, drop];
        for (end, what) in ends.into_iter().zip(["is closed", "leaves", "is dropped"]) {
            let (ring, place) = ring(kind);
            let receiver = ring.receiver().unwrap();
            let what = format!("a receiver {what}, {kind:?}");
            changes_nothing(&what, &place, move || end(receiver));
        }
    }
    first.say("nothing has changed");
}

fn fork_with_boards_services_and_logs(first: &First) {
    let place = Place::new(Backing::File);
    let address = place.address.to_string();
    let board = Board::at(&address).unwrap().create().unwrap();
    let mut writer = board.writer("key").unwrap();
    let mut reader = board.reader("key").unwrap();
    writer.set(b"value").unwrap();
    changes_nothing("a board is used", &place, move || {
        assert_eq!(reader.get(), Err(GetError::Forked));
        assert_eq!(writer.set(b"other"), Err(SetError::Forked));
        drop((reader, writer, board));
    });

    let place = Place::new(Backing::File);
    let address = place.address.to_string();
    let mut server = ringway::serve(&address).unwrap().start().unwrap();
    let mut clients = [(); 4].map(|()| ringway::connect(&address).unwrap().open().unwrap());
    let [one, two, three, four] = &mut clients;
    let mut calls = [one, two, three].map(|client| client.stream(&b"request"[..]).unwrap());
    let request = server.next().unwrap();
    changes_nothing("a service is used", &place, move || {
        request.answer(b"answer").unwrap_err();
        calls[0].cancel();
        calls[1].next_part().unwrap_err();
        drop(calls);
        four.call(b"request").unwrap_err();
    });
    let call = clients[0].stream(&b"request"[..]).unwrap();
    let request = server.next().unwrap();
    changes_nothing("a request is let go", &place, move || drop(request));
    drop(call);
    changes_nothing("a service is left", &place, move || drop((server, clients)));

    let directory = TempDir::with_prefix("ringway-test-").unwrap();
    let address = format!("log:{}", directory.path().display());
    let log = Log::at(&address).unwrap().create().unwrap();
    let mut writer = log.writer().unwrap();
    writer.append(b"of the parent").unwrap();
    let mut batch = writer.batch();
    batch.append(b"of the batch").unwrap();
    let segment = Place::at(Address::File(the_segment(directory.path())));
    changes_nothing("a batch of a log is committed", &segment, move || {
        assert_eq!(batch.commit(), Err(AppendError::Forked));
    });
    changes_nothing("a log is used and left", &segment, move || {
        assert_eq!(writer.append(b"x"), Err(AppendError::Forked));
        assert_eq!(writer.sync(), Err(AppendError::Forked));
        drop(writer);
    });
    first.say("nothing has changed");
}

/// The largest file of a log, where its records are.
fn the_segment(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path());
    let len = |path: &PathBuf| path.metadata().unwrap().len();
    files.filter(|path| path.is_file()).max_by_key(len).unwrap()
}
