//! A writer and readers of a log are killed at random with SIGKILL, again and again, while everything is accounted for.
//!
//! A writer says each number that it was acknowledged; a reader, with which number it begins, and what it is about to acknowledge and
//! has. All check each byte: what a message holds follows from its number. Nothing acknowledged may be missing, nothing may come
//! twice or in part, and a reader begins with what its predecessor had not acknowledged.
//!
//! `RINGWAY_LOG_AUDIT_SECONDS` says for how long (default 3), `RINGWAY_LOG_AUDIT_DIR` where.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway_log::{Builder, Durability, Log, ReadError, Retention, Start, Subscription};

const ROLE: &str = "RINGWAY_LOG_TEST_ROLE";
const PLACE: &str = "RINGWAY_LOG_TEST_PLACE";
const SEED: &str = "RINGWAY_LOG_TEST_SEED";

const READERS: [&str; 2] = ["one", "two"];

/// What processes report: a letter and a number.
const ACKNOWLEDGED: u8 = b'a';
const BEGINS: u8 = b'b';
const ABOUT_TO: u8 = b'c';

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// The bytes of the message with that number.
fn fill(number: u64, message: &mut Vec<u8>) {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let len = 8 + (mixed >> 32) % 300;
    message.clear();
    message.extend_from_slice(&number.to_le_bytes());
    message.resize(len as usize, (mixed >> 56) as u8);
}

fn log(path: &Path, seed: u64) -> Log {
    let durability = match seed % 4 {
        0 => Durability::Each,
        1 => Durability::every(Duration::from_millis(1)),
        _ => Durability::None,
    };
    Builder::new(path)
        .segment_len(1 << 20)
        .durability(durability)
        .retention(Retention::all().passed())
        .open()
        .unwrap()
}

fn report(to: &mut File, letter: u8, number: u64) {
    let mut bytes = [letter; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    // The parent reads until the end.
    let _ = to.write_all(&bytes);
}

fn write(path: &Path, seed: u64, to: &mut File) {
    let mut random = Random(seed | 1);
    let log = log(path, seed);
    let mut writer = log.writer().unwrap();
    let mut message = Vec::new();
    loop {
        if random.below(4) == 0 {
            fill(writer.next_number(), &mut message);
            let receipt = writer.append(&message).unwrap();
            report(to, ACKNOWLEDGED, receipt.number);
        } else {
            let count = 1 + random.below(800);
            let first = writer.next_number();
            let mut batch = writer.batch();
            for number in first..first + count {
                fill(number, &mut message);
                batch.append(&message).unwrap();
            }
            let receipt = batch.commit().unwrap().unwrap();
            report(to, ACKNOWLEDGED, receipt.number);
        }
        if random.below(50) == 0 {
            writer.sync().unwrap();
        }
    }
}

fn read(path: &Path, seed: u64, name: &str, to: &mut File) {
    let mut random = Random(seed | 1);
    let log = log(path, seed);
    let named = Subscription::new().name(name).follow(true);
    let mut reader = log.subscribe(&named).unwrap();
    let mut expected = None;
    let mut message = Vec::new();
    let mut until = 1 + random.below(2000);
    loop {
        let found = match reader.recv_in_place_timeout(Duration::from_millis(20)) {
            Ok(found) => found,
            Err(ReadError::TimedOut) => {
                until = 0;
                if expected.is_none() {
                    continue;
                }
                acknowledge(&mut reader, to);
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        let number = found.number();
        match expected {
            None => report(to, BEGINS, number),
            Some(expected) => assert_eq!(number, expected),
        }
        expected = Some(number + 1);
        fill(number, &mut message);
        assert!(*found == message[..], "message {number}");
        until = until.saturating_sub(1);
        if until == 0 {
            acknowledge(&mut reader, to);
            until = 1 + random.below(2000);
        }
    }
}

fn acknowledge(reader: &mut ringway_log::Reader, to: &mut File) {
    let next = reader.next_number();
    report(to, ABOUT_TO, next);
    reader.acknowledge().unwrap();
    report(to, ACKNOWLEDGED, next);
}

/// What a process of the test does; nothing when it is run as a test.
#[test]
fn role() {
    let Some(role) = std::env::var_os(ROLE) else {
        return;
    };
    let path = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let to = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut to = File::from(to);
    match role.to_str().unwrap() {
        "writer" => write(&path, seed, &mut to),
        name => read(&path, seed, name, &mut to),
    }
}

/// Starts a process, kills it after a while, or soon after `until`, and gives what it reported. `Err` if it ended by itself.
fn live_and_die(
    role: &str,
    path: &Path,
    seed: u64,
    life: Duration,
    until: Instant,
) -> Result<Vec<(u8, u64)>, String> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture"])
        .env(ROLE, role)
        .env(PLACE, path)
        .env(SEED, seed.to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (begun, has_begun) = mpsc::channel();
    let collector = thread::spawn(move || {
        let (mut bytes, mut ours) = (vec![0; 9], ours);
        if ours.read_exact(&mut bytes).is_err() {
            return Vec::new();
        }
        let _ = begun.send(());
        let _ = ours.read_to_end(&mut bytes);
        bytes
    });
    // Some die while they come, most at work.
    if !life.as_micros().is_multiple_of(4) {
        // A reader that has all, when nobody writes any more, says nothing.
        let _ = has_begun.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
    thread::sleep(life);
    let pid = Pid::from_raw(child.id() as i32);
    let ended = child.try_wait().unwrap();
    let _ = kill(pid, Signal::SIGKILL);
    let output = child.wait_with_output().unwrap();
    let bytes = collector.join().unwrap();
    if let Some(status) = ended {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the {role} ended by itself: {status}\n{said}"));
    }
    let reports = bytes.chunks_exact(9).map(|chunk| {
        let mut number = [0; 8];
        number.copy_from_slice(&chunk[1..]);
        (chunk[0], u64::from_le_bytes(number))
    });
    Ok(reports.collect())
}

#[derive(Debug, Default)]
struct Counts {
    writers_killed: u64,
    readers_killed: u64,
    acknowledged: u64,
    read: u64,
}

/// Writers, one after the other. Returns how many, and the number behind the last one that was acknowledged.
fn writers(path: &Path, until: Instant, seed: u64) -> Result<(u64, u64), String> {
    let mut random = Random(seed | 1);
    let (mut lives, mut next) = (0, 0);
    while Instant::now() < until {
        let life = Duration::from_micros(random.below(40_000));
        let reports = live_and_die("writer", path, random.below(u64::MAX), life, until)?;
        for (letter, number) in reports {
            assert_eq!(letter, ACKNOWLEDGED);
            assert!(number >= next, "{number} again, after {next}");
            next = number + 1;
        }
        lives += 1;
    }
    Ok((lives, next))
}

/// Readers of a name, likewise. Returns how many, and the number behind the last one that was read for sure.
fn readers(name: &str, path: &Path, until: Instant, seed: u64) -> Result<(u64, u64), String> {
    let mut random = Random(seed | 1);
    let (mut lives, mut acknowledged, mut about_to) = (0, 0, 0);
    while Instant::now() < until {
        let life = Duration::from_micros(random.below(40_000));
        let reports = live_and_die(name, path, random.below(u64::MAX), life, until)?;
        for (letter, number) in reports {
            match letter {
                BEGINS if number == acknowledged || number == about_to => {
                    (acknowledged, about_to) = (number, number);
                }
                BEGINS => {
                    return Err(format!(
                        "reader {name} begins with {number}: {acknowledged} is acknowledged, {about_to} perhaps"
                    ));
                }
                ABOUT_TO => about_to = number,
                _ => acknowledged = number,
            }
        }
        lives += 1;
    }
    Ok((lives, acknowledged))
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_torn() {
    if std::env::var_os(ROLE).is_some() {
        return;
    }
    let seconds = std::env::var("RINGWAY_LOG_AUDIT_SECONDS").ok();
    let seconds = seconds.map_or(3, |seconds| seconds.parse().unwrap());
    let directory = match std::env::var_os("RINGWAY_LOG_AUDIT_DIR") {
        Some(place) => tempfile::tempdir_in(place).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let path = directory.path().join("log");
    let log = Builder::new(&path).segment_len(1 << 20).create().unwrap();
    // So that nothing is removed before they come.
    for name in READERS {
        log.subscribe(&Subscription::new().name(name)).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let seed = std::process::id().into();
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let path = &path;
        let writers = scope.spawn(move || writers(path, until, seed));
        let readers = READERS.map(|name| {
            let seed = seed ^ u64::from(name.as_bytes()[0]) << 32;
            scope.spawn(move || readers(name, path, until, seed))
        });
        let (lives, next) = writers.join().unwrap().unwrap();
        (counts.writers_killed, counts.acknowledged) = (lives, next);
        for reader in readers {
            let (lives, next) = reader.join().unwrap().unwrap();
            counts.readers_killed += lives;
            counts.read += next;
        }
    });
    // All that is left, from the slowest cursor on.
    let writer = log.writer().unwrap();
    assert!(writer.next_number() >= counts.acknowledged);
    drop(writer);
    let stat = log.stat().unwrap();
    let slowest = stat
        .cursors
        .iter()
        .map(|(_, number)| *number)
        .min()
        .unwrap();
    assert!(stat.oldest <= slowest);
    let oldest = Subscription::new().start(Start::Number(stat.oldest));
    let mut reader = log.subscribe(&oldest).unwrap();
    let (mut expected, mut message) = (stat.oldest, Vec::new());
    loop {
        match reader.recv_in_place() {
            Ok(found) => {
                assert_eq!(found.number(), expected);
                fill(expected, &mut message);
                assert!(*found == message[..], "message {expected}");
                expected += 1;
            }
            Err(ReadError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(expected >= counts.acknowledged, "{expected}: {counts:?}");
    eprintln!("{counts:?}, segments removed up to {}", stat.oldest);
    assert!(
        counts.writers_killed > 3 && counts.acknowledged > 0,
        "{counts:?}"
    );
}
