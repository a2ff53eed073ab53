//! Boards between processes: the latest value, whoever writes it, dies or is stopped.

mod two_processes;

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringway::board::{Builder, GetError, Reader, SetError};
use ringway::gc::{Fate, Gc, Why};
use ringway::{Board, ErrorKind, Kind, WaitStrategy};
use two_processes::place::{Backing, Place};
use two_processes::procfs::while_blocked;
use two_processes::{First, Second, WAITS, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "write without a pause" => write_without_a_pause(first),
        "write when told" => write_when_told(first),
        "attach and write nothing" => {
            let _writer = open(first).writer("empty").unwrap();
            first.say("there");
            first.hear();
        }
        _ => panic!("{role}"),
    });
}

fn open(first: &First) -> Board {
    Builder::at(first.address().clone()).open().unwrap()
}

/// A board at a place of the test's own.
fn board(backing: Backing) -> (Board, Place) {
    let place = Place::new(backing);
    let builder = Builder::at(place.address.clone()).entries(4);
    (builder.create().unwrap(), place)
}

/// Value n: its number again and again, of a length that depends on it.
fn value(number: u64) -> Vec<u8> {
    let words = number % 512 + 1;
    number.to_le_bytes().repeat(words as usize)
}

fn write_without_a_pause(first: &First) {
    let mut writer = open(first).writer("key").unwrap();
    first.say("there");
    loop {
        let next = writer.number() + 1;
        writer.set(&value(next)).unwrap();
    }
}

fn write_when_told(first: &First) {
    let mut writer = open(first).writer("key").unwrap();
    loop {
        first.say("there");
        first.hear();
        let next = writer.number() + 1;
        writer.set(&value(next)).unwrap();
    }
}

/// The number of the value that is there, which must be whole.
fn get(reader: &mut Reader) -> u64 {
    loop {
        match reader.get() {
            Ok(read) => {
                let read = read.expect("there is a value");
                assert_eq!(read, value(read.number()));
                return read.number();
            }
            Err(GetError::Changing) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn writers_that_are_killed_leave_whole_values_and_their_successors_go_on() {
    for backing in Backing::NAMED {
        let (board, _place) = board(backing);
        let mut reader = board.reader("key").unwrap();
        board.writer("key").unwrap().set(&value(1)).unwrap();
        let mut last = 1;
        for round in 0..20 {
            let writer = Second::start_at("write without a pause", board.address());
            writer.expect("there");
            let end = Instant::now() + Duration::from_micros(300 * round);
            while Instant::now() < end {
                let number = get(&mut reader);
                assert!(number >= last, "{backing:?}: {number} after {last}");
                last = number;
            }
            writer.kill_unreaped();
            let left = get(&mut reader);
            assert!(left >= last);
            assert_eq!(get(&mut reader), left, "nothing comes after a death");
            // The dead one's place, at once.
            let mut successor = board.writer("key").unwrap();
            assert_eq!(successor.number(), left);
            assert_eq!(successor.set(&value(left + 1)), Ok(left + 1));
            last = get(&mut reader);
            assert_eq!(last, left + 1);
        }
    }
}

#[test]
fn who_sleeps_is_told_of_the_writers_death_once_and_gets_its_successors_value() {
    for wait in WAITS {
        let (board, _place) = board(Backing::Shm);
        let mut reader = board.reader("key").unwrap().with_wait(wait);
        let writer = Second::start_at("write when told", board.address());
        writer.expect("there");
        let told = while_blocked(
            wait,
            || writer.say("write"),
            || reader.wait_newer_deadline(watchdog()),
        );
        assert_eq!(told.unwrap().number(), 1);
        writer.expect("there");
        assert_eq!(reader.writer_lives(), Some(true));
        let told = while_blocked(
            wait,
            || writer.kill_unreaped(),
            || reader.wait_newer_deadline(watchdog()),
        );
        assert_eq!(told, Err(GetError::WriterDied), "{wait:?}");
        assert_eq!(reader.writer_lives(), Some(false));
        assert_eq!(get(&mut reader), 1);
        let soon = Duration::from_millis(20);
        assert_eq!(reader.wait_newer_timeout(soon), Err(GetError::TimedOut));
        let mut successor = board.writer("key").unwrap();
        let told = while_blocked(
            wait,
            || assert_eq!(successor.set(&value(2)), Ok(2)),
            || reader.wait_newer_deadline(watchdog()),
        );
        assert_eq!(told.unwrap().number(), 2);
    }
}

#[test]
fn all_who_sleep_learn_of_a_death() {
    let (board, _place) = board(Backing::Shm);
    let writer = Second::start_at("write when told", board.address());
    writer.expect("there");
    std::thread::scope(|scope| {
        let sleepers: Vec<_> = (0..4)
            .map(|_| {
                let mut reader = board.reader("key").unwrap().with_wait(WaitStrategy::Park);
                scope.spawn(move || reader.wait_newer_deadline(watchdog()))
            })
            .collect();
        // Whether they sleep already or not.
        std::thread::sleep(Duration::from_millis(20));
        writer.kill();
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap(), Err(GetError::WriterDied));
        }
    });
}

#[test]
fn a_stopped_writer_keeps_its_role_and_its_value() {
    let (board, _place) = board(Backing::Shm);
    let writer = Second::start_at("write without a pause", board.address());
    writer.expect("there");
    let mut reader = board.reader("key").unwrap();
    reader.wait_newer_deadline(watchdog()).unwrap();
    for _ in 0..10 {
        writer.stop();
        let stopped = get(&mut reader);
        let refused = board.writer("key").unwrap_err();
        let pid = writer.pid();
        assert_eq!(refused.kind(), ErrorKind::RoleTaken { pid });
        // Others are not concerned.
        board.writer("other").unwrap().set(b"value").unwrap();
        assert_eq!(get(&mut reader), stopped);
        writer.signal(Signal::SIGCONT);
        let newer = reader.wait_newer_deadline(watchdog());
        assert!(
            matches!(newer, Ok(_) | Err(GetError::Changing)),
            "{newer:?}"
        );
    }
}

#[test]
fn one_set_wakes_all_who_sleep() {
    let (board, _place) = board(Backing::Shm);
    let mut writer = board.writer("key").unwrap();
    std::thread::scope(|scope| {
        let mut sleepers = Vec::new();
        for _ in 0..4 {
            let mut reader = board.reader("key").unwrap().with_wait(WaitStrategy::Park);
            let mut watcher = board.watch().unwrap().with_wait(WaitStrategy::Park);
            sleepers.push(scope.spawn(move || reader.wait_newer_deadline(watchdog())));
            sleepers.push(scope.spawn(move || {
                let (key, value) = watcher.wait_deadline(watchdog())?;
                assert_eq!(key, "key");
                Ok(value)
            }));
        }
        std::thread::sleep(Duration::from_millis(20));
        writer.set(b"value").unwrap();
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap().unwrap(), *b"value");
        }
    });
}

/// Neither their own place, nor a count of theirs, nor anything else.
#[test]
fn readers_that_do_not_sleep_store_nothing() {
    let (board, place) = board(Backing::Shm);
    let mut writer = board.writer("key").unwrap();
    writer.set(b"value").unwrap();
    let before = fs::read(place.path()).unwrap();
    let again = Builder::at(place.address.clone()).open().unwrap();
    let opened = fs::read(place.path()).unwrap();
    for _ in 0..100 {
        let mut reader = again.reader("key").unwrap();
        assert_eq!(reader.get().unwrap().unwrap(), *b"value");
        assert_eq!(reader.get_if_newer(), Ok(None));
        assert_eq!(reader.writer_lives(), Some(true));
        assert!(again.watch().unwrap().next().unwrap().is_some());
        assert_eq!(again.reader("no such").unwrap().get(), Ok(None));
    }
    assert!(fs::read(place.path()).unwrap() == opened);
    assert!(opened == before);
}

#[test]
fn who_waits_on_a_removed_board_learns_of_it_and_who_is_attached_goes_on() {
    for backing in Backing::NAMED {
        let (board, place) = board(backing);
        let mut reader = board.reader("key").unwrap();
        let mut writer = board.writer("key").unwrap();
        ringway::remove(&place.address, true).unwrap();
        assert!(board.is_removed().unwrap());
        writer.set(b"value").unwrap();
        assert_eq!(reader.wait_newer().unwrap(), *b"value");
        drop(writer);
        assert_eq!(reader.wait_newer(), Err(GetError::Removed), "{backing:?}");
        assert_eq!(reader.get().unwrap().unwrap(), *b"value");
        let mut watcher = board.watch().unwrap();
        assert!(watcher.wait().is_ok());
        assert_eq!(watcher.wait(), Err(GetError::Removed), "{backing:?}");
    }
}

/// It has not their roles, and is told so.
#[test]
fn a_child_of_fork_cannot_use_the_handles_that_it_inherits() {
    let board = Board::at("memfd:").unwrap().create().unwrap();
    let mut writer = board.writer("key").unwrap();
    let mut found = board.reader("key").unwrap();
    let mut other = board.reader("other").unwrap();
    writer.set_pod(&7_u64).unwrap();
    assert_eq!(found.get_pod(), Ok(Some(7_u64)));
    let mut bytes = Vec::with_capacity(64);
    // SAFETY: the child does nothing but look at what it inherits, which allocates nothing, and exits.
    match unsafe { libc::fork() } {
        0 => {
            let mut told = [
                found.get_pod::<u64>() == Err(GetError::Forked),
                found.get_pod_if_newer::<u64>() == Err(GetError::Forked),
                found.get_into(&mut bytes) == Err(GetError::Forked),
                other.get_pod::<u64>() == Err(GetError::Forked),
                writer.set_pod(&8_u64) == Err(SetError::Forked),
                writer.set(b"as bytes") == Err(SetError::Forked),
            ]
            .into_iter();
            let wrong = told.position(|told| !told).map_or(0, |nth| nth + 1);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(wrong as i32) }
        }
        child => {
            let mut status = 0;
            // SAFETY: a child of this process, and room for its status.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "{status:#x}");
        }
    }
    assert_eq!(writer.set_pod(&9_u64), Ok(2));
    assert_eq!(found.get_pod(), Ok(Some(9_u64)));
}

#[test]
fn a_collector_keeps_a_board_that_has_values() {
    let (board, place) = board(Backing::Shm);
    let dying = Second::start_at("attach and write nothing", board.address());
    dying.expect("there");
    board.writer("key").unwrap().set(b"value").unwrap();
    drop(board);
    dying.kill();
    let gc = Gc::new().address(place.address.clone());
    let fate = |gc: &Gc| gc.run().found[0].fate.clone();
    assert_eq!(fate(&gc), Fate::Kept(Why::Values { entries: 1 }));
    assert_eq!(fate(&gc.clone().undelivered(true)), Fate::Removed);

    let (board, place) = self::board(Backing::Shm);
    let dying = Second::start_at("attach and write nothing", board.address());
    dying.expect("there");
    drop(board);
    dying.kill();
    let gc = Gc::new().address(place.address.clone());
    assert_eq!(fate(&gc), Fate::Removed);
}

#[test]
fn boards_and_rings_are_told_apart() {
    let (board, place) = board(Backing::Shm);
    let refused = place.builder().open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Incompatible);
    assert!(refused.to_string().contains("ringway get"), "{refused}");
    let refused = place.builder().kind(Kind::Board).create().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidCapacity);
    assert_eq!(board.stat().kind, Kind::Board);

    let (_ring, place) = Backing::Shm.ring(4096);
    let refused = Builder::at(place.address.clone()).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Incompatible);
}

#[test]
fn options_that_were_set_must_be_true_of_a_board_that_is_there() {
    let place = Place::new(Backing::Shm);
    let builder = || Builder::at(place.address.clone());
    let made = builder().entries(5).value_len(100).writers(3).mode(0o640);
    let board = made.clone().keys(["one", "two"]).create().unwrap();
    assert_eq!(
        (board.entries(), board.max_value_len(), board.writers()),
        (5, 256, 3)
    );
    assert!(made.open_or_create().is_ok());
    for (other, words) in [
        (builder().entries(6), "entries 5 and not 6"),
        (
            builder().value_len(1000),
            "values of up to 256 bytes and not 1 KiB",
        ),
        (builder().writers(4), "writers 3 and not 4"),
        (builder().mode(0o600), "mode 640 and not 600"),
        (builder().persistent(true), "lets a collector remove it"),
    ] {
        let refused = other.open_or_create().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Incompatible);
        assert!(refused.to_string().contains(words), "{refused}");
    }
    // Keys are added, as long as there are entries for them.
    let board = builder().keys(["two", "three"]).open().unwrap();
    assert_eq!(board.keys().unwrap(), ["one", "two", "three"]);
    let refused = builder().keys(["4", "5", "6"]).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    assert_eq!(board.writer("").unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(
        board.reader(&"k".repeat(105)).unwrap_err().kind(),
        ErrorKind::InvalidKey
    );
}

#[test]
fn an_observer_sees_entries_values_and_writers() {
    let (board, place) = board(Backing::Shm);
    board.writer("left").unwrap().set(b"four").unwrap();
    let dead = Second::start_at("attach and write nothing", board.address());
    dead.expect("there");
    let pid = dead.pid();
    dead.kill();
    let _writer = board.writer("held").unwrap();
    let stat = ringway::inspect::stat(&place.address).unwrap();
    let seen: Vec<_> = (stat.entries.iter())
        .map(|entry| {
            (
                &*entry.key,
                entry.number,
                entry.len,
                entry.writer,
                entry.writer_alive,
            )
        })
        .collect();
    let own = std::process::id();
    // Its slot was the first that somebody followed in.
    let dead_writer = if stat.participants.len() == 1 {
        Some(0)
    } else {
        Some(pid)
    };
    assert_eq!(
        seen,
        [
            ("left", 1, 4, None, false),
            ("empty", 0, 0, dead_writer, false),
            ("held", 0, 0, Some(own), true),
        ]
    );
    assert_eq!((stat.sent, stat.used_bytes), (1, 4));
}

#[test]
fn all_writers_of_a_process_are_one_participant_and_a_full_board_says_so() {
    let place = Place::new(Backing::Shm);
    let builder = || Builder::at(place.address.clone());
    let board = builder().entries(8).writers(2).create().unwrap();
    let writers: Vec<_> = (0..7)
        .map(|key| board.clone().writer(&key.to_string()).unwrap())
        .collect();
    assert_eq!(board.stat().participants.len(), 1);
    let other = builder().open().unwrap();
    let of_other = other.writer("7").unwrap();
    let third = builder().open().unwrap();
    let refused = third.writer("7").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::RoleTaken { .. }));
    drop(writers);
    assert!(third.writer("0").is_ok());
    let refused = third.writer("one more").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    drop(of_other);
    assert_eq!(board.stat().participants, []);
}
