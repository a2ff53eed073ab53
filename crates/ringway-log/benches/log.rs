//! A log beside its limits, as ratios in one run: `cargo bench --package ringway-log`.
//!
//! | row | beside |
//! |---|---|
//! | append in batches, 256 B, nothing synced | bare `pwrite` of blocks of 64 KiB with the same bytes, to a file that is allocated alike |
//! | the same, one a call | the same |
//! | both | the same with as many bytes as the records have; of single ones, in as many calls |
//! | append in batches, 256 B | a plain ring: sent and received one a call, between two threads |
//! | the same | the same within one thread, where no cache line travels |
//! | append in batches of 64 KiB, each synced by itself | bare `pwrite` of as much, and `fdatasync` |
//! | append in batches of 64 KiB, each synced as a group, `Durability::Batch` | the same |
//! | both | the same with as many bytes as the records have |
//! | replay, 256 B, in place | bare `pread` of the same files in blocks of 128 KiB |
//!
//! Each round measures all rows. The two of a row are neighbours in time, and which comes first changes from round to round; groups that are synced take
//! turns one by one. Of the ratios of all rounds the median is shown, with the least and the largest, and the medians of nanoseconds for a message
//! on both sides. More than 1 is faster than what it is beside. What is written lies in a directory below `RINGWAY_BENCH_DIR`, or that for
//! temporary files. Arguments are the rows' first words, of those to measure.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::fdatasync;
use ringway_log::{Builder, Durability, Log, ReadError};

const LEN: usize = 256;
/// Bytes of it as a record.
const RECORD: usize = LEN + 24;
const BLOCK: usize = 64 << 10;
/// Messages of a round: 16 MiB.
const COUNT: usize = 64 << 10;
const ROUNDS: usize = 15;
/// Groups that are synced in a round.
const GROUPS: usize = 10;

/// Messages that are synced in a round.
const OF_GROUPS: usize = GROUPS * BLOCK / LEN;
const IN_GROUPS: Durability = Durability::Batch {
    interval: Duration::from_secs(1),
    bytes: BLOCK as u64,
};

type Measure = fn(&Path, bool) -> (Duration, Duration);

const ROWS: [(&str, usize, Measure); 11] = [
    ("batches / pwrite", COUNT, |path, first| {
        in_turn(first, || bare(path, LEN), || batches(path))
    }),
    ("batches / pwrite of as much", COUNT, |path, first| {
        in_turn(first, || bare(path, RECORD), || batches(path))
    }),
    ("single / pwrite", COUNT, |path, first| {
        in_turn(first, || bare(path, LEN), || single(path))
    }),
    ("single / a pwrite of as much each", COUNT, |path, first| {
        in_turn(first, || bare_single(path), || single(path))
    }),
    ("batches / ring, two threads", COUNT, |path, first| {
        in_turn(first, ring_of_two, || batches(path))
    }),
    ("batches / ring, one thread", COUNT, |path, first| {
        in_turn(first, ring, || batches(path))
    }),
    ("synced / pwrite", OF_GROUPS, |path, first| {
        synced(path, first, LEN, Durability::Each)
    }),
    ("synced / pwrite of as much", OF_GROUPS, |path, first| {
        synced(path, first, RECORD, Durability::Each)
    }),
    ("grouped / pwrite", OF_GROUPS, |path, first| {
        synced(path, first, LEN, IN_GROUPS)
    }),
    ("grouped / pwrite of as much", OF_GROUPS, |path, first| {
        synced(path, first, RECORD, IN_GROUPS)
    }),
    ("replay / pread", COUNT, replay),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let wanted: Vec<&String> = (arguments.iter())
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let directory = match std::env::var_os("RINGWAY_BENCH_DIR") {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory can be made");
    let path = directory.path();
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|wanted| name.starts_with(wanted.as_str()))
    };
    let mut rows: Vec<_> = (ROWS.iter().filter(|(name, ..)| is_wanted(name)))
        .map(|row| (row, Vec::new()))
        .collect();
    for round in 0..=ROUNDS {
        for ((_, _, measure), rounds) in &mut rows {
            let pair = measure(path, round % 2 == 0);
            // The first round warms up.
            if round > 0 {
                rounds.push(pair);
            }
        }
    }
    println!("{:<36}ratio                  ns beside  ns ours", "");
    for ((name, count, _), rounds) in rows {
        let (median, least, most) = spread(
            rounds
                .iter()
                .map(|(limit, ours)| limit.as_secs_f64() / ours.as_secs_f64()),
        );
        let of = |side: fn(&(Duration, Duration)) -> Duration| {
            let each = rounds.iter().map(side);
            spread(each.map(|time| time.as_nanos() as f64 / *count as f64)).0
        };
        let (limit, ours) = (of(|pair| pair.0), of(|pair| pair.1));
        println!("{name:<36}{median:.2}  ({least:.2} to {most:.2})  {limit:>9.1}{ours:>9.1}");
    }
}

/// The median, the least and the largest.
fn spread(figures: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    (
        figures[figures.len() / 2],
        figures[0],
        figures[figures.len() - 1],
    )
}

fn in_turn(
    first: bool,
    limit: impl FnOnce() -> Duration,
    ours: impl FnOnce() -> Duration,
) -> (Duration, Duration) {
    if first {
        let limit = limit();
        (limit, ours())
    } else {
        let ours = ours();
        (limit(), ours)
    }
}

/// A file with as much room as the messages take as records.
fn allocated(path: &Path) -> File {
    let _ = std::fs::remove_file(path);
    let file = File::create_new(path).expect("a file can be made");
    let len = (COUNT * (RECORD) + BLOCK) as i64;
    fallocate(&file, FallocateFlags::empty(), 0, len).expect("there is room");
    file
}

/// As many messages, each of so many bytes.
fn bare(path: &Path, each: usize) -> Duration {
    let path = path.join("bare");
    let (file, block) = (allocated(&path), vec![7; BLOCK]);
    let began = Instant::now();
    for number in 0..COUNT * each / BLOCK {
        file.write_all_at(&block, (number * BLOCK) as u64)
            .expect("it is written");
    }
    let took = began.elapsed();
    // Before it is written to the disk while others are measured.
    std::fs::remove_file(&path).expect("it is removed");
    took
}

/// A call for each record.
fn bare_single(path: &Path) -> Duration {
    let path = path.join("bare");
    let (file, record) = (allocated(&path), [7; RECORD]);
    let began = Instant::now();
    for number in 0..COUNT {
        file.write_all_at(&record, (number * RECORD) as u64)
            .expect("it is written");
    }
    let took = began.elapsed();
    std::fs::remove_file(&path).expect("it is removed");
    took
}

/// A new log, in the place of the last one.
fn log(path: &Path, durability: Durability) -> Log {
    let place = path.join("log");
    let _ = std::fs::remove_dir_all(&place);
    Builder::new(place)
        .durability(durability)
        .create()
        .expect("a log can be made")
}

/// Removes it, before it is written to the disk while others are measured.
fn remove(path: &Path) {
    std::fs::remove_dir_all(path.join("log")).expect("it is removed");
}

fn batches(path: &Path) -> Duration {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    let began = Instant::now();
    let mut batch = writer.batch();
    for _ in 0..COUNT {
        batch.append(black_box(&message)).expect("it is appended");
    }
    batch.commit().expect("it is written");
    let took = began.elapsed();
    remove(path);
    took
}

fn single(path: &Path) -> Duration {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    let began = Instant::now();
    for _ in 0..COUNT {
        writer.append(black_box(&message)).expect("it is appended");
    }
    let took = began.elapsed();
    remove(path);
    took
}

/// Groups of messages, and blocks of so many bytes for each of them.
fn synced(path: &Path, first: bool, each: usize, durability: Durability) -> (Duration, Duration) {
    let bare = path.join("bare");
    let (file, block) = (allocated(&bare), vec![7; BLOCK / LEN * each]);
    fdatasync(&file).expect("it is synced");
    let log = log(path, durability);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    writer.append(&message).expect("it is appended");
    writer.sync().expect("it is synced");
    let (mut limit, mut ours) = (Duration::ZERO, Duration::ZERO);
    for number in 0..GROUPS {
        let (one, other) = in_turn(
            first ^ (number % 2 == 0),
            || {
                let began = Instant::now();
                file.write_all_at(&block, (number * block.len()) as u64)
                    .expect("it is written");
                fdatasync(&file).expect("it is synced");
                began.elapsed()
            },
            || {
                let began = Instant::now();
                let mut batch = writer.batch();
                for _ in 0..BLOCK / LEN {
                    batch.append(black_box(&message)).expect("it is appended");
                }
                let receipt = batch.commit().expect("it is written");
                let last = receipt.expect("there was a message").number;
                writer.wait_synced(last).expect("it is synced");
                began.elapsed()
            },
        );
        limit += one;
        ours += other;
    }
    drop(writer);
    remove(path);
    std::fs::remove_file(&bare).expect("it is removed");
    (limit, ours)
}

/// A sender and a receiver, each with a thread of its own, flat out.
fn ring_of_two() -> Duration {
    let ring = ringway_core::Builder::new("memfd:").and_then(|builder| builder.create());
    let ring = ring.expect("a ring can be made");
    let mut sender = ring.sender().expect("nobody else sends");
    let mut receiver = ring.receiver().expect("nobody else receives");
    let message = [7; LEN];
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let mut buffer = [0; LEN];
            for _ in 0..=COUNT {
                receiver.recv_into(&mut buffer).expect("it is received");
                black_box(&buffer);
            }
        });
        // It is awake.
        sender.send(&message).expect("it is sent");
        let began = Instant::now();
        for _ in 0..COUNT {
            sender.send(black_box(&message)).expect("it is sent");
        }
        receiving.join().expect("all came");
        began.elapsed()
    })
}

fn ring() -> Duration {
    let ring = ringway_core::Builder::new("memfd:").and_then(|builder| builder.create());
    let ring = ring.expect("a ring can be made");
    let mut sender = ring.sender().expect("nobody else sends");
    let mut receiver = ring.receiver().expect("nobody else receives");
    let (message, mut buffer) = ([7; LEN], [0; LEN]);
    let began = Instant::now();
    for _ in 0..COUNT / 256 {
        for _ in 0..256 {
            sender.send(black_box(&message)).expect("it is sent");
        }
        for _ in 0..256 {
            receiver.recv_into(&mut buffer).expect("it is received");
        }
    }
    black_box(buffer);
    began.elapsed()
}

/// Bare reads of what a log consists of, and the same read as messages.
fn replay(path: &Path, first: bool) -> (Duration, Duration) {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let mut batch = writer.batch();
    for _ in 0..COUNT {
        batch.append(&[7; LEN]).expect("it is appended");
    }
    batch.commit().expect("it is written");
    drop(writer);
    let file = File::open(path.join("log/00000000000000000000.seg")).expect("it is there");
    let took = in_turn(first, || read(&file), || read_messages(&log));
    remove(path);
    took
}

fn read(file: &File) -> Duration {
    let (mut block, bytes) = (vec![0; 128 << 10], COUNT * (RECORD));
    let began = Instant::now();
    for number in 0..bytes.div_ceil(block.len()) {
        let at = (number * block.len()) as u64;
        file.read_exact_at(&mut block, at).expect("it is read");
        black_box(&block);
    }
    began.elapsed()
}

fn read_messages(log: &Log) -> Duration {
    let mut reader = log.reader().expect("it can be read");
    let (mut count, began) = (0, Instant::now());
    loop {
        match reader.recv_in_place() {
            Ok(message) => {
                black_box(&*message);
                count += 1;
            }
            Err(ReadError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let took = began.elapsed();
    assert_eq!(count, COUNT);
    took
}
