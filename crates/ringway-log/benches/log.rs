//! A log beside its limits, as ratios in one run: `cargo bench --package ringway-log`.
//!
//! | row | beside |
//! |---|---|
//! | append in batches, 256 B, nothing synced | bare `pwrite` of blocks of 64 KiB with the same bytes, to a file that is allocated alike |
//! | the same, one a call | the same |
//! | append in batches, 256 B | a plain ring: sent and received one a call, in this process |
//! | append in batches of 64 KiB, each synced | bare `pwrite` of as much, and `fdatasync` |
//! | replay, 256 B, in place | bare `pread` of the same files in blocks of 128 KiB |
//!
//! Each round measures all of a row, one after the other; of the ratios of all rounds the median is shown, with the least and the largest. More
//! than 1 is faster than what it is beside. What is written lies in a directory below `RINGWAY_BENCH_DIR`, or that for temporary files.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::fdatasync;
use ringway_log::{Builder, Durability, Log, ReadError};

const LEN: usize = 256;
const BLOCK: usize = 64 << 10;
/// Messages of a round: 16 MiB.
const COUNT: usize = 64 << 10;
const ROUNDS: usize = 15;
/// Groups that are synced in a round.
const GROUPS: usize = 20;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let directory = match std::env::var_os("RINGWAY_BENCH_DIR") {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory can be made");
    let path = directory.path();
    let mut rows = [
        ("append in batches / pwrite", Vec::new()),
        ("append one a call / pwrite", Vec::new()),
        ("append in batches / ring", Vec::new()),
        ("batches, synced / pwrite, fdatasync", Vec::new()),
        ("replay / pread", Vec::new()),
    ];
    for round in 0..=ROUNDS {
        let bare = bare(&path.join("bare"));
        let batches = batches(path);
        let single = single(path);
        let ring = ring();
        let (bare_synced, synced) = (bare_synced(&path.join("bare")), synced(path));
        let (bare_read, read) = replay(path);
        let ratios = [
            ratio(bare, batches),
            ratio(bare, single),
            ratio(ring, batches),
            ratio(bare_synced, synced),
            ratio(bare_read, read),
        ];
        // The first round warms up.
        if round > 0 {
            for ((_, all), ratio) in rows.iter_mut().zip(ratios) {
                all.push(ratio);
            }
        }
    }
    for (name, mut ratios) in rows {
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        println!(
            "{name:<40}{:.2}  ({least:.2} to {most:.2})",
            ratios[ROUNDS / 2]
        );
    }
}

fn ratio(limit: Duration, ours: Duration) -> f64 {
    limit.as_secs_f64() / ours.as_secs_f64()
}

/// A file with as much room as the messages take as records.
fn allocated(path: &Path) -> File {
    let _ = std::fs::remove_file(path);
    let file = File::create_new(path).expect("a file can be made");
    let len = (COUNT * (LEN + 24) + BLOCK) as i64;
    fallocate(&file, FallocateFlags::empty(), 0, len).expect("there is room");
    file
}

fn bare(path: &Path) -> Duration {
    let (file, block) = (allocated(path), vec![7; BLOCK]);
    let began = Instant::now();
    for number in 0..COUNT * LEN / BLOCK {
        file.write_all_at(&block, (number * BLOCK) as u64)
            .expect("it is written");
    }
    began.elapsed()
}

fn bare_synced(path: &Path) -> Duration {
    let (file, block) = (allocated(path), vec![7; BLOCK]);
    fdatasync(&file).expect("it is synced");
    let began = Instant::now();
    for number in 0..GROUPS {
        file.write_all_at(&block, (number * BLOCK) as u64)
            .expect("it is written");
        fdatasync(&file).expect("it is synced");
    }
    began.elapsed()
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

fn batches(path: &Path) -> Duration {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    let began = Instant::now();
    let mut batch = writer.batch();
    for _ in 0..COUNT {
        batch.append(&message).expect("it is appended");
    }
    batch.commit().expect("it is written");
    began.elapsed()
}

fn single(path: &Path) -> Duration {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    let began = Instant::now();
    for _ in 0..COUNT {
        writer.append(&message).expect("it is appended");
    }
    began.elapsed()
}

fn synced(path: &Path) -> Duration {
    let log = log(path, Durability::Each);
    let mut writer = log.writer().expect("nobody else writes");
    let message = [7; LEN];
    writer.append(&message).expect("it is appended");
    let began = Instant::now();
    for _ in 0..GROUPS {
        let mut batch = writer.batch();
        for _ in 0..BLOCK / LEN {
            batch.append(&message).expect("it is appended");
        }
        batch.commit().expect("it is synced");
    }
    began.elapsed()
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
            sender.send(&message).expect("it is sent");
        }
        for _ in 0..256 {
            receiver.recv_into(&mut buffer).expect("it is received");
        }
    }
    black_box(buffer);
    began.elapsed()
}

/// Bare reads of what a log consists of, and the same read as messages.
fn replay(path: &Path) -> (Duration, Duration) {
    let log = log(path, Durability::None);
    let mut writer = log.writer().expect("nobody else writes");
    let mut batch = writer.batch();
    for _ in 0..COUNT {
        batch.append(&[7; LEN]).expect("it is appended");
    }
    batch.commit().expect("it is written");
    drop(writer);
    let file = File::open(path.join("log/00000000000000000000.seg")).expect("it is there");
    let (mut block, bytes) = (vec![0; 128 << 10], COUNT * (LEN + 24));
    let began = Instant::now();
    for number in 0..bytes.div_ceil(block.len()) {
        let at = (number * block.len()) as u64;
        file.read_exact_at(&mut block, at).expect("it is read");
        black_box(&block);
    }
    let bare = began.elapsed();
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
    let ours = began.elapsed();
    assert_eq!(count, COUNT);
    (bare, ours)
}
