//! A consumer of a broadcast ring that falls out of the ring's history goes on in its log, and then live: each number once.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway_core::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway_core::{Address, Builder as RingBuilder, Kind, Ring};
use ringway_log::{Builder, CatchUp, CatchUpError, Log, RecordError, Recorder};
use tempfile::TempDir;

const ROLE: &str = "RINGWAY_LOG_TEST_ROLE";
const ALL: u64 = 60_000;

fn place() -> (TempDir, Ring, Log) {
    let directory = tempfile::tempdir().unwrap();
    let ring = RingBuilder::at(Address::File(directory.path().join("ring")))
        .kind(Kind::Broadcast)
        .capacity(64 << 10)
        .create()
        .unwrap();
    let log = Builder::new(directory.path().join("log"));
    let log = log.segment_len(256 << 10).create().unwrap();
    (directory, ring, log)
}

fn policy(name: &str) -> Policy {
    match name {
        "lossy" => Policy::Lossy,
        _ => Policy::Evict(EvictAfter::Bytes(16 << 10)),
    }
}

/// The consumer, in a process that is stopped; nothing when it is run as a test.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let (policy_name, directory) = role.split_once(' ').unwrap();
    let directory = Path::new(directory);
    let ring = RingBuilder::at(Address::File(directory.join("ring")));
    let ring = ring.open().unwrap();
    let log = Builder::new(directory.join("log")).open().unwrap();
    let subscription = Subscription::new().policy(policy(policy_name));
    let mut consumer = CatchUp::new(&ring, &log, &subscription).unwrap();
    let to = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut to = File::from(to);
    for number in 0..ALL {
        let caught = consumer.recv().unwrap();
        assert_eq!(caught.number, number);
        assert_eq!(caught.bytes, number.to_le_bytes());
        if number == 100 {
            to.write_all(&[1]).unwrap();
        }
    }
    to.write_all(&consumer.from_log().to_le_bytes()).unwrap();
}

#[test]
fn a_consumer_that_was_stopped_gets_each_number_once() {
    if std::env::var_os(ROLE).is_some() {
        return;
    }
    for policy in ["lossy", "evict"] {
        let (directory, ring, log) = place();
        let mut recorder = Recorder::new(&log, &ring).unwrap();
        let mut kept = ring.subscribe(&Subscription::new().name("record")).unwrap();
        let mut sender = ring.sender().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let role = format!("{policy} {}", directory.path().display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let mut sent = 0;
        let mut send = |until: u64, recorder: &mut Recorder| {
            while sent < until {
                sender.send(&u64::to_le_bytes(sent)).unwrap();
                sent += 1;
                if sent % 100 == 0 {
                    recorder.record(&mut kept).unwrap();
                }
            }
        };
        send(200, &mut recorder);
        let mut byte = [0];
        ours.read_exact(&mut byte).unwrap();
        kill(pid, Signal::SIGSTOP).unwrap();
        // Many times what the ring holds.
        send(50_000, &mut recorder);
        kill(pid, Signal::SIGCONT).unwrap();
        send(ALL, &mut recorder);
        let mut from_log = [0; 8];
        ours.read_exact(&mut from_log).unwrap();
        assert!(child.wait().unwrap().success(), "{policy}");
        let from_log = u64::from_le_bytes(from_log);
        assert!(from_log > 40_000, "{policy}: {from_log} from the log");
    }
}

#[test]
fn who_keeps_its_own_place_begins_in_the_log() {
    let (_directory, ring, log) = place();
    let mut recorder = Recorder::new(&log, &ring).unwrap();
    let mut kept = ring.receiver().unwrap();
    let mut sender = ring.sender().unwrap();
    for number in 0..20_000_u64 {
        sender.send(&number.to_le_bytes()).unwrap();
        if number % 100 == 99 {
            recorder.record(&mut kept).unwrap();
        }
    }
    let lossy = Subscription::new()
        .policy(Policy::Lossy)
        .start(Start::Latest);
    let consumer = CatchUp::new(&ring, &log, &lossy).unwrap();
    let mut consumer = consumer.from_number(7);
    // What is in the ring is not taken for the next until the log has been read.
    sender.send(&20_000_u64.to_le_bytes()).unwrap();
    recorder.record(&mut kept).unwrap();
    for number in 7..=20_000 {
        assert_eq!(consumer.recv().unwrap().number, number);
    }
    let none = consumer.recv_timeout(Duration::from_millis(5));
    assert_eq!(
        none,
        Err(CatchUpError::Ring(ringway_core::RecvError::TimedOut))
    );
}

#[test]
fn what_is_in_neither_is_told() {
    let (_directory, ring, log) = place();
    let mut sender = ring.sender().unwrap();
    let lossy = Subscription::new().policy(Policy::Lossy);
    let mut consumer = CatchUp::new(&ring, &log, &lossy).unwrap();
    for number in 0..20_000_u64 {
        sender.send(&number.to_le_bytes()).unwrap();
    }
    let Err(CatchUpError::Lagged { missed }) = consumer.recv() else {
        panic!("nothing was recorded");
    };
    assert_eq!(consumer.recv().unwrap().number, missed);
}

#[test]
fn a_recorder_that_comes_back_records_nothing_twice_and_leaves_nothing_out() {
    let (_directory, ring, log) = place();
    let mut sender = ring.sender().unwrap();
    let named = Subscription::new().name("record");
    let mut sent = 0_u64;
    for _ in 0..5 {
        let mut recorder = Recorder::new(&log, &ring).unwrap();
        let mut receiver = ring.subscribe(&named).unwrap();
        for _ in 0..100 {
            sender.send(&sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        // As one that was killed between the append and the release.
        let mut backlog = receiver.backlog();
        let view = backlog.next_message().unwrap().unwrap();
        assert_eq!(view.number(), sent - 100);
        drop(backlog);
        recorder.record(&mut receiver).unwrap();
        assert_eq!(recorder.writer().next_number(), sent);
        recorder.close().unwrap();
    }
    // Appended already, as it seems after a death before the release: it is only released.
    let mut recorder = Recorder::new(&log, &ring).unwrap();
    let from = Subscription::new().start(Start::Number(sent - 10));
    let mut again = ring.subscribe(&from).unwrap();
    assert_eq!(recorder.record(&mut again).unwrap(), 10);
    let nothing = recorder.record_timeout(&mut again, Duration::from_millis(1));
    assert_eq!(
        nothing,
        Err(RecordError::Recv(ringway_core::RecvError::TimedOut))
    );
    recorder.close().unwrap();
    let mut reader = log.reader().unwrap();
    for number in 0..sent {
        assert_eq!(reader.recv().unwrap(), number.to_le_bytes());
    }
    assert!(reader.recv().is_err());
    // Another writer ends the record.
    log.writer().unwrap().append(b"no record").unwrap();
    let mut recorder = Recorder::new(&log, &ring).unwrap();
    assert_eq!(
        recorder.record(&mut again_from(&ring, sent - 5)).unwrap(),
        5
    );
    assert_eq!(recorder.writer().next_number(), sent + 6);
}

fn again_from(ring: &Ring, number: u64) -> ringway_core::Receiver {
    let from = Subscription::new().start(Start::Number(number));
    ring.subscribe(&from).unwrap()
}
