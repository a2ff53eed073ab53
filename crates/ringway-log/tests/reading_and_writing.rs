//! A log in a directory of the kernel's: what is appended is read, live and later, by who begins anywhere; by whom it may be written; and
//! what becomes of it when somebody forks, dies or removes it.

use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, SystemTime};

use ringway_core::ErrorKind;
use ringway_log::{
    AppendError, Builder, Durability, Level, Log, ReadError, Retention, Start, Subscription,
};
use tempfile::TempDir;

fn place() -> (TempDir, Builder) {
    let directory = tempfile::tempdir().unwrap();
    let builder = Builder::new(directory.path().join("log"));
    (directory, builder)
}

fn message(number: u64) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.resize(8 + (number % 100) as usize, number as u8);
    message
}

fn append(log: &Log, count: u64) {
    let mut writer = log.writer().unwrap();
    for _ in 0..count {
        let number = writer.next_number();
        writer.append(&message(number)).unwrap();
    }
}

fn read_all(log: &Log, subscription: &Subscription) -> Vec<u64> {
    let mut reader = log.subscribe(subscription).unwrap();
    let mut numbers = Vec::new();
    loop {
        match reader.recv_in_place() {
            Ok(found) => {
                assert_eq!(*found, message(found.number()));
                numbers.push(found.number());
            }
            Err(ReadError::Closed) => return numbers,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_is_appended_is_read_over_many_segments_from_anywhere() {
    // A disk may take its time for each sync.
    for (durability, half) in [
        (Durability::None, 1500),
        (Durability::Each, 150),
        (Durability::every(Duration::from_millis(1)), 1500),
    ] {
        let (_directory, builder) = place();
        let log = builder
            .segment_len(half * 24)
            .durability(durability)
            .create()
            .unwrap();
        append(&log, half);
        append(&log, half);
        assert!(log.stat().unwrap().segments > 2);
        let (count, all) = (2 * half, read_all(&log, &Subscription::new()));
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        for from in [0, 1, half / 2 + 7, half, count - 1, count] {
            let start = Subscription::new().start(Start::Number(from));
            assert_eq!(read_all(&log, &start), (from..count).collect::<Vec<_>>());
        }
        let last = Subscription::new().start(Start::Last(10));
        assert_eq!(
            read_all(&log, &last),
            (count - 10..count).collect::<Vec<_>>()
        );
        let latest = Subscription::new().start(Start::Latest);
        assert!(read_all(&log, &latest).is_empty());
    }
}

#[test]
fn a_time_is_found() {
    let (_directory, builder) = place();
    let log = builder.segment_len(32 << 10).create().unwrap();
    append(&log, 1000);
    thread::sleep(Duration::from_millis(5));
    let between = SystemTime::now();
    thread::sleep(Duration::from_millis(5));
    append(&log, 1000);
    let from = |time| read_all(&log, &Subscription::new().start(Start::Time(time)));
    assert_eq!(from(between), (1000..2000).collect::<Vec<_>>());
    assert_eq!(from(SystemTime::UNIX_EPOCH).len(), 2000);
    assert!(from(SystemTime::now() + Duration::from_secs(60)).is_empty());
}

#[test]
fn a_reader_that_waits_is_woken_by_each_message_and_by_the_end() {
    let (_directory, builder) = place();
    let log = builder.create().unwrap();
    let mut writer = log.writer().unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut reader = log.reader().unwrap();
            thread::spawn(move || {
                for number in 0..200_u64 {
                    assert_eq!(reader.recv().unwrap(), message(number));
                }
                assert_eq!(reader.recv(), Err(ReadError::Closed));
            })
        })
        .collect();
    for number in 0..200 {
        writer.append(&message(number)).unwrap();
        if number % 50 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    writer.close().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn there_is_one_writer_and_one_reader_of_a_name() {
    let (_directory, builder) = place();
    let log = builder.create().unwrap();
    let pid = std::process::id();
    let writer = log.writer().unwrap();
    let taken = log.writer().unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::RoleTaken { pid });
    assert_eq!(log.stat().unwrap().writer, Some(pid));
    drop(writer);
    let _writer = log.writer().unwrap();
    let named = Subscription::new().name("audit");
    let reader = log.subscribe(&named).unwrap();
    let taken = log.subscribe(&named).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::RoleTaken { pid });
    drop(reader);
    log.subscribe(&named).unwrap();
    for name in ["", ".", "a/b", "x.lock", "x.new", &"x".repeat(201)] {
        let refused = log.subscribe(&Subscription::new().name(name));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidKey, "{name}");
    }
}

#[test]
fn a_cursor_goes_on_behind_what_was_acknowledged() {
    let (_directory, builder) = place();
    let log = builder.create().unwrap();
    append(&log, 100);
    let named = Subscription::new().name("audit").start(Start::Number(10));
    let mut reader = log.subscribe(&named).unwrap();
    for number in 10..20 {
        assert_eq!(reader.recv().unwrap(), message(number));
    }
    reader.acknowledge().unwrap();
    assert_eq!(reader.recv().unwrap(), message(20));
    drop(reader);
    let mut reader = log.subscribe(&named).unwrap();
    assert_eq!(reader.recv().unwrap(), message(20));
    reader.acknowledge_synced().unwrap();
    assert_eq!(log.cursors().unwrap(), [("audit".to_owned(), 21)]);
    drop(reader);
    log.remove_cursor("audit").unwrap();
    assert_eq!(
        log.remove_cursor("audit").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let mut reader = log.subscribe(&named).unwrap();
    assert_eq!(reader.recv().unwrap(), message(10));
}

#[test]
fn what_a_cursor_has_yet_to_read_is_kept_unless_told_otherwise() {
    let (_directory, builder) = place();
    let small = builder
        .segment_len(16 << 10)
        .retention(Retention::all().bytes(64 << 10));
    let log = small.clone().create().unwrap();
    let named = Subscription::new().name("slow");
    let mut slow = log.subscribe(&named).unwrap();
    append(&log, 3000);
    assert_eq!(log.stat().unwrap().oldest, 0);
    for _ in 0..1000 {
        slow.recv().unwrap();
    }
    slow.acknowledge().unwrap();
    append(&log, 10);
    let oldest = log.stat().unwrap().oldest;
    assert!((700..=1000).contains(&oldest), "{oldest}");
    // From the beginning: so many are gone.
    let mut late = (log.subscribe(&Subscription::new().start(Start::Number(0)))).unwrap();
    assert_eq!(late.try_recv(), Err(ReadError::Lagged { missed: oldest }));
    assert_eq!(late.recv().unwrap(), message(oldest));
    // The override.
    let log = small
        .retention(Retention::all().bytes(64 << 10).despite_cursors())
        .open()
        .unwrap();
    append(&log, 10);
    let oldest = log.stat().unwrap().oldest;
    assert!(oldest > 1000);
    drop(slow);
    let mut slow = log.subscribe(&named).unwrap();
    let missed = oldest - 1000;
    assert_eq!(slow.recv(), Err(ReadError::Lagged { missed }));
    assert_eq!(slow.recv().unwrap(), message(oldest));
}

#[test]
fn a_reader_within_a_segment_that_is_removed_is_told() {
    let (_directory, builder) = place();
    let log = builder
        .segment_len(16 << 10)
        .retention(Retention::all().bytes(48 << 10))
        .create()
        .unwrap();
    append(&log, 10);
    let mut reader = log.reader().unwrap();
    assert_eq!(reader.recv().unwrap(), message(0));
    append(&log, 3000);
    // What it had read ahead, and what its open file has, it still gets.
    let (mut expected, mut missed_in_all) = (1, 0);
    loop {
        match reader.recv_in_place() {
            Ok(found) => {
                assert_eq!(found.number(), expected);
                assert_eq!(*found, message(expected));
                expected += 1;
            }
            Err(ReadError::Lagged { missed }) => {
                missed_in_all += missed;
                expected += missed;
            }
            Err(ReadError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(expected, 3010);
    assert!(missed_in_all > 1000);
}

#[test]
fn an_acknowledgement_says_what_it_means() {
    let (_directory, builder) = place();
    let log = builder.create().unwrap();
    let of = |durability| {
        let log = Log::at(&log.address().to_string()).unwrap();
        log.durability(durability).open().unwrap().writer().unwrap()
    };
    let mut writer = of(Durability::None);
    assert_eq!(writer.append(b"a").unwrap().level, Level::Written);
    writer.sync().unwrap();
    assert_eq!(writer.synced(), 1);
    drop(writer);
    let mut writer = of(Durability::Each);
    assert_eq!(writer.append(b"b").unwrap().level, Level::Synced);
    assert_eq!(writer.synced(), 2);
    drop(writer);
    let mut writer = of(Durability::every(Duration::from_secs(3600)));
    let receipt = writer.append(b"c").unwrap();
    assert_eq!(receipt.level, Level::Written);
    let soon = Duration::from_millis(5);
    let late = writer.wait_synced_timeout(receipt.number, soon);
    assert_eq!(late, Err(AppendError::TimedOut));
    writer.sync().unwrap();
    assert_eq!(writer.synced(), 3);
    drop(writer);
    let mut writer = of(Durability::every(Duration::from_millis(1)));
    let receipt = writer.append(b"d").unwrap();
    writer.wait_synced(receipt.number).unwrap();
    assert_eq!(writer.synced(), 4);
}

#[test]
fn who_wants_what_is_synced_waits_for_that() {
    let (_directory, builder) = place();
    let log = builder
        .durability(Durability::every(Duration::from_secs(3600)))
        .create()
        .unwrap();
    let mut writer = log.writer().unwrap();
    let careful = Subscription::new().synced_only(true);
    let mut careful = log.subscribe(&careful).unwrap();
    let mut hasty = log.reader().unwrap();
    writer.append(b"one").unwrap();
    assert_eq!(hasty.recv().unwrap(), b"one");
    assert_eq!(careful.try_recv(), Err(ReadError::Empty));
    let soon = Duration::from_millis(5);
    assert_eq!(careful.recv_timeout(soon), Err(ReadError::TimedOut));
    let waiting = thread::spawn(move || careful.recv());
    writer.sync().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), b"one");
}

#[test]
fn who_wants_what_is_synced_gets_nothing_else_when_the_writer_is_gone() {
    let (directory, builder) = place();
    let never = builder.clone().durability(Durability::None);
    let mut writer = never.create().unwrap().writer().unwrap();
    writer.append(b"one").unwrap();
    drop(writer);
    let log = builder.durability(Durability::Each).open().unwrap();
    let careful = Subscription::new().synced_only(true);
    let mut careful = log.subscribe(&careful).unwrap();
    assert_eq!(log.reader().unwrap().recv().unwrap(), b"one");
    assert_eq!(careful.recv(), Err(ReadError::Closed));
    let mut writer = log.writer().unwrap();
    writer.append(b"two").unwrap();
    drop(writer);
    assert_eq!(careful.recv().unwrap(), b"one");
    assert_eq!(careful.recv().unwrap(), b"two");
    assert_eq!(careful.recv(), Err(ReadError::Closed));
    // Where nobody has written since the machine was started, all comes from the disk.
    forget_the_writer(&directory);
    let careful = Subscription::new().synced_only(true);
    let mut careful = log.subscribe(&careful).unwrap();
    assert_eq!(careful.recv().unwrap(), b"one");
    assert_eq!(careful.recv().unwrap(), b"two");
}

/// As after a start of the machine: nobody has told anything yet.
fn forget_the_writer(directory: &tempfile::TempDir) {
    let entries = std::fs::read_dir(directory.path().join("log")).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("control.") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn who_passes_over_damage_up_to_the_end_comes_to_the_end() {
    let (directory, builder) = place();
    let log = builder.segment_len(16 << 10).create().unwrap();
    append(&log, 3000);
    forget_the_writer(&directory);
    let path = directory.path().join("log");
    let entries = std::fs::read_dir(&path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.filter(|name| name.ends_with(".seg")).max().unwrap();
    let gone: u64 = last.trim_end_matches(".seg").parse().unwrap();
    assert!(gone > 0);
    std::fs::remove_file(path.join(last)).unwrap();
    let mut reader = log.reader().unwrap();
    for number in 0..gone {
        assert_eq!(reader.recv().unwrap(), message(number));
    }
    assert_eq!(reader.recv(), Err(ReadError::Corrupt { number: gone }));
    reader.skip_damaged().unwrap();
    assert_eq!(reader.recv(), Err(ReadError::Closed));
    assert_eq!(reader.try_recv(), Err(ReadError::Closed));
}

#[test]
fn messages_that_were_never_written_are_told_as_missed() {
    let (_directory, builder) = place();
    let log = builder.first(100).create().unwrap();
    let mut writer = log.writer().unwrap();
    assert_eq!(writer.append(b"100").unwrap().number, 100);
    writer.skip_to(110).unwrap();
    assert_eq!(writer.append(b"110").unwrap().number, 110);
    drop(writer);
    let mut reader = log.reader().unwrap();
    assert_eq!(reader.recv().unwrap(), b"100");
    assert_eq!(reader.recv(), Err(ReadError::Lagged { missed: 9 }));
    assert_eq!(reader.recv().unwrap(), b"110");
    let within = Subscription::new().start(Start::Number(105));
    let mut reader = log.subscribe(&within).unwrap();
    assert_eq!(reader.recv(), Err(ReadError::Lagged { missed: 5 }));
    assert_eq!(reader.recv().unwrap(), b"110");
}

#[test]
fn long_messages_get_segments_of_their_own() {
    let (_directory, builder) = place();
    let log = builder.segment_len(16 << 10).create().unwrap();
    let mut writer = log.writer().unwrap();
    let mut reader = log.reader().unwrap();
    for len in [1 << 20, 0, 5, 3 << 20, 16 << 10, 7] {
        let message = vec![len as u8; len];
        writer.append(&message).unwrap();
        assert!(reader.recv().unwrap() == message, "{len}");
    }
}

#[test]
fn a_log_is_made_once_and_removed_with_what_is_its_own() {
    let (directory, builder) = place();
    let missing = builder.clone().open().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let log = builder.clone().create().unwrap();
    let again = builder.clone().create().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    builder.clone().open_or_create().unwrap();
    let writer = log.writer().unwrap();
    let in_use = ringway_log::remove(&log.address(), false).unwrap_err();
    assert!(matches!(in_use.kind(), ErrorKind::InUse { .. }));
    drop(writer);
    let path = directory.path().join("log");
    std::fs::write(path.join("notes.txt"), "not ours").unwrap();
    log.subscribe(&Subscription::new().name("audit")).unwrap();
    ringway_log::remove(&log.address(), false).unwrap();
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // Threads that make it at once find one log.
    let builder = Builder::new(directory.path().join("race"));
    let made: Vec<_> = (0..8)
        .map(|_| {
            let builder = builder.clone();
            thread::spawn(move || builder.create().is_ok())
        })
        .collect();
    let made = made.into_iter().map(|one| one.join().unwrap());
    assert_eq!(made.filter(|made| *made).count(), 1);
}

#[test]
fn all_files_have_the_mode_that_the_log_was_made_with() {
    let (directory, builder) = place();
    builder.clone().mode(0o640).create().unwrap();
    // Whoever opens it need not know.
    let log = builder.segment_len(16 << 10).open().unwrap();
    append(&log, 500);
    let mut reader = log
        .subscribe(&Subscription::new().name("audit").follow(true))
        .unwrap();
    reader.recv().unwrap();
    let path = directory.path().join("log");
    let modes = |path: &std::path::Path| -> Vec<_> {
        let entries = std::fs::read_dir(path).unwrap();
        let mode = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.path(), mode)
        };
        entries.map(mode).collect()
    };
    for (path, mode) in [modes(&path), modes(&path.join("cursors"))].concat() {
        // The umask may take some.
        let expected = if path.is_dir() { 0o750 } else { 0o640 };
        assert_eq!(mode & !expected, 0, "{path:?} has {mode:o}");
        assert!(mode & 0o600 == 0o600);
    }
    let log = std::fs::metadata(path.join("log")).unwrap();
    let first = std::fs::metadata(path.join("00000000000000000000.seg")).unwrap();
    assert_eq!(log.permissions(), first.permissions());
}

#[test]
fn a_removed_directory_is_told_to_writers_and_readers() {
    for durability in [Durability::None, Durability::Each] {
        let (directory, builder) = place();
        let log = builder.durability(durability).create().unwrap();
        let mut writer = log.writer().unwrap();
        let mut reader = log.reader().unwrap();
        writer.append(b"one").unwrap();
        assert_eq!(reader.recv().unwrap(), b"one");
        std::fs::remove_dir_all(directory.path().join("log")).unwrap();
        assert_eq!(writer.append(b"two"), Err(AppendError::Removed));
        assert_eq!(writer.append(b"three"), Err(AppendError::Removed));
        drop(writer);
        let told = reader.recv_timeout(Duration::from_secs(60));
        assert!(
            matches!(told, Err(ReadError::Removed | ReadError::Closed)),
            "{told:?}"
        );
    }
}

#[test]
fn a_foreign_file_among_the_segments_is_named() {
    let (directory, builder) = place();
    let log = builder.clone().create().unwrap();
    append(&log, 10);
    let path = directory.path().join("log");
    // Let be.
    std::fs::create_dir(path.join("lost+found")).unwrap();
    std::fs::write(path.join("README"), "not ours").unwrap();
    append(&log, 10);
    assert_eq!(read_all(&log, &Subscription::new()).len(), 20);
    for (name, says) in [
        ("orders.seg", "its name is not a number of 20 digits"),
        ("00000000000000000099.seg", "it does not begin as one"),
    ] {
        std::fs::write(path.join(name), "not ours").unwrap();
        let error = log.writer().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        std::fs::remove_file(path.join(name)).unwrap();
    }
    // Of another log.
    let other = Builder::new(directory.path().join("other"))
        .create()
        .unwrap();
    append(&other, 1);
    let first = "00000000000000000000.seg";
    let theirs = directory.path().join("other").join(first);
    std::fs::rename(path.join(first), path.join("kept")).unwrap();
    std::fs::copy(theirs, path.join(first)).unwrap();
    let error = log.writer().unwrap_err();
    assert!(
        error.to_string().contains("belongs to another log"),
        "{error}"
    );
    std::fs::rename(path.join("kept"), path.join(first)).unwrap();
    assert_eq!(read_all(&log, &Subscription::new()).len(), 20);
    append(&log, 1);
}
