//! What is seen is what was sent: of every shape, and while others work.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::{Builder, Kind};

/// A directory of the test's own, which goes with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("ringway-tap-{pid}-{count}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A ring in a file of the test's own.
fn ring(directory: &Directory, kind: Kind) -> Builder {
    let path = directory.0.join("ring");
    let builder = Builder::new(&format!("file:{}", path.display())).unwrap();
    builder.kind(kind).capacity(4096)
}

fn look(tap: &mut Tap) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    tap.look(|message| seen.push(message.payload.unwrap()))
        .unwrap();
    seen
}

#[test]
fn what_waits_is_seen_once_and_received_all_the_same() {
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let directory = Directory::new();
        let ring = ring(&directory, kind).create().unwrap();
        let mut tap = Tap::open(ring.address()).unwrap();
        assert!(look(&mut tap).is_empty());
        let mut sender = ring.sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        let mut expected = 0u32;
        // Some laps, with each length and with padding.
        for round in 0..200u32 {
            let lens: Vec<_> = (0..3)
                .map(|nth| 4 + (round * 7 + nth * 131) % 600)
                .collect();
            for len in &lens {
                let mut message = expected.to_le_bytes().to_vec();
                message.resize(*len as usize, round as u8);
                sender.send(&message).unwrap();
                expected += 1;
            }
            let seen = look(&mut tap);
            assert_eq!(seen.len(), 3, "{kind:?} in round {round}");
            assert!(look(&mut tap).is_empty());
            // One that came to it now sees the same.
            assert_eq!(look(&mut Tap::open(ring.address()).unwrap()), seen);
            for message in seen {
                assert_eq!(receiver.recv().unwrap(), message);
            }
        }
        // What nobody looked at in time is told, where messages have numbers.
        for _ in 0..5 {
            sender.send(b"gone").unwrap();
            receiver.recv().unwrap();
        }
        sender.send(b"here").unwrap();
        assert_eq!(look(&mut tap), [b"here"]);
        assert_eq!(tap.missed(), if kind == Kind::Spsc { 5 } else { 0 });
    }
}

#[test]
fn of_a_broadcast_ring_what_was_received_is_seen_as_well() {
    let directory = Directory::new();
    let ring = ring(&directory, Kind::Broadcast).create().unwrap();
    let mut sender = ring.sender().unwrap();
    let message = |number: u64| {
        let mut message = number.to_le_bytes().to_vec();
        message.resize(8 + number as usize % 90, number as u8);
        message
    };
    let mut tap = Tap::open(ring.address()).unwrap();
    for number in 0..10 {
        sender.send(&message(number)).unwrap();
    }
    let expected: Vec<_> = (0..10).map(message).collect();
    assert_eq!(look(&mut tap), expected);
    for number in 10..1000 {
        sender.send(&message(number)).unwrap();
    }
    let mut late = Tap::open(ring.address()).unwrap();
    for tap in [&mut tap, &mut late] {
        let seen = look(tap);
        assert!(seen.len() > 20, "{}", seen.len());
        let first = 1000 - seen.len() as u64;
        let expected: Vec<_> = (first..1000).map(message).collect();
        assert_eq!(seen, expected);
    }
    let seen_before = 10;
    let mut again = Vec::new();
    late.look(|message| again.push(message)).unwrap();
    assert!(again.is_empty());
    assert!(tap.missed() > 0 && tap.missed() < 1000 - seen_before);
}

/// Each byte of a message is its number's, so one that is torn shows. The tap is much slower than those that work, and is overtaken
/// all the time.
fn assert_whole_while_others_work(kind: Kind) {
    let directory = Directory::new();
    let ring = ring(&directory, kind).create().unwrap();
    let mut tap = Tap::open(ring.address()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut sender = ring.sender().unwrap();
        let over = &is_over;
        scope.spawn(move || {
            let mut number = 0u64;
            while !over.load(Ordering::Relaxed) {
                let message = vec![number as u8; 16 + number as usize * 37 % 1500];
                if sender.try_send(&message).is_ok() {
                    number += 1;
                }
            }
        });
        if kind != Kind::Broadcast {
            let mut receiver = ring.receiver().unwrap();
            scope.spawn(move || {
                let mut buffer = vec![0; 4096];
                while !over.load(Ordering::Relaxed) {
                    let _ = receiver.try_recv_into(&mut buffer);
                }
            });
        }
        let (mut count, mut last) = (0, None);
        while count < 200 {
            let looked = tap.look(|message| {
                let payload = message.payload.unwrap();
                let is_whole = payload.iter().all(|byte| *byte == payload[0]);
                if !is_whole || last >= message.number && message.number.is_some() {
                    over.store(true, Ordering::Relaxed);
                }
                assert!(is_whole, "{kind:?}: {payload:?}");
                if let Some(number) = message.number {
                    assert!(last < Some(number), "{kind:?}: {last:?}, {number}");
                    assert_eq!(payload[0], number as u8);
                    assert_eq!(payload.len(), 16 + number as usize * 37 % 1500);
                }
                last = message.number;
                count += 1;
            });
            if looked.is_err() {
                over.store(true, Ordering::Relaxed);
            }
            looked.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_stream_shows_nothing_torn() {
    assert_whole_while_others_work(Kind::Spsc);
}

#[test]
fn cells_show_nothing_torn() {
    assert_whole_while_others_work(Kind::Mpmc);
}

#[test]
fn a_broadcast_shows_nothing_torn() {
    assert_whole_while_others_work(Kind::Broadcast);
}

/// Whatever is written there, a look ends, and neither panics nor needs much memory.
#[test]
fn garbage_is_an_error_or_nothing() {
    use std::os::unix::fs::FileExt;
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 11
    };
    for kind in [Kind::Spsc, Kind::Mpmc, Kind::Broadcast] {
        let directory = Directory::new();
        let ring = ring(&directory, kind).create().unwrap();
        let mut sender = ring.sender().unwrap();
        for _ in 0..20 {
            sender.send(&[7; 50]).unwrap();
        }
        let path = directory.0.join("ring");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        let mut tap = Tap::open(ring.address()).unwrap();
        for _ in 0..2000 {
            // Behind the header, which is checked when it is opened.
            let at = 256 + random() % (len - 264);
            let value = match random() % 3 {
                0 => u64::MAX,
                1 => random() % 5000,
                _ => random() << 13 ^ random(),
            };
            file.write_all_at(&value.to_ne_bytes(), at & !7).unwrap();
            let _ = tap.look(|message| assert!(message.len <= 4096));
            if let Ok(mut tap) = Tap::open(ring.address()) {
                let _ = tap.look(|message| assert!(message.len <= 4096));
            }
        }
    }
}

#[test]
fn a_tap_knows_whether_its_ring_is_still_there() {
    let directory = Directory::new();
    let builder = ring(&directory, Kind::Spsc);
    let made = builder.clone().create().unwrap();
    let address = made.address().clone();
    let tap = Tap::open(&address).unwrap();
    assert!(tap.is_current());
    drop(made);
    crate::remove(&address, false).unwrap();
    assert!(!tap.is_current());
    drop(builder.create().unwrap());
    assert!(!tap.is_current());
}

#[test]
fn of_a_message_in_a_slab_it_is_seen_that_it_is_there() {
    for kind in [Kind::Spsc, Kind::Mpmc, Kind::Broadcast] {
        let directory = Directory::new();
        let ring = ring(&directory, kind).slabs(4096, 2).create().unwrap();
        let mut tap = Tap::open(ring.address()).unwrap();
        let mut sender = ring.sender().unwrap();
        sender.send(b"first").unwrap();
        sender.send(&[7; 4000]).unwrap();
        sender.send(b"last").unwrap();
        let mut seen = Vec::new();
        tap.look(|message| seen.push(message.payload)).unwrap();
        let expected = [Some(b"first".to_vec()), None, Some(b"last".to_vec())];
        assert_eq!(seen, expected, "{kind:?}");
    }
}
