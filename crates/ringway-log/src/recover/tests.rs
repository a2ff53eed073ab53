use super::*;
use crate::files::read_full;
use crate::files::sim::{Disk, counted};
use crate::format::HEADER_USED;
use crate::options::Retention;
use crate::ordeal::Board;
use crate::place::Place;
use crate::syncing::Nobody;
use crate::tape::{From, Next, Tape};

const PLAN: Plan = Plan {
    segment_len: 8192,
    block: 1024,
    durable: true,
    repair: false,
};

/// A log of some segments, all of it synced.
fn full(disk: &Disk) -> Appender<Disk> {
    Appender::create(disk, &PLAN, 0, counted).unwrap();
    let (mut appender, _) =
        Appender::open(disk.clone(), PLAN, None, Box::new(Nobody), counted).unwrap();
    for fill in 0..60 {
        appender.push(1, &[fill; 300]).unwrap();
        appender.flush().unwrap();
    }
    appender.sync().unwrap();
    appender
}

/// Everything from the oldest kept message on: the numbers.
fn read(disk: &Disk) -> Vec<u64> {
    let mut tape = Tape::open(disk.clone(), From::Oldest, None).unwrap();
    let mut numbers = Vec::new();
    loop {
        match tape.next(None).unwrap() {
            Next::Message(record) => numbers.push(record.number),
            Next::End => return numbers,
            other => panic!("{other:?}"),
        }
    }
}

/// Removes segments in a way that ends in the middle, as `trouble` has it; the next writer comes; and the power is lost.
fn remove_and_lose_power(seed: u64, trouble: impl Fn(&Disk)) {
    let disk = Disk::new(seed);
    let mut appender = full(&disk);
    trouble(&disk);
    let _ = appender.retain(&Retention::all().bytes(9000), 1, None);
    disk.set_fuse(None);
    disk.fail_sync(None);
    drop(appender);
    let (next, _) = Appender::open(disk.clone(), PLAN, None, Box::new(Nobody), counted).unwrap();
    drop(next);
    let kept = read(&disk);
    disk.lose_power();
    let numbers = read(&disk);
    assert_eq!(numbers, kept);
    assert_eq!(numbers.last(), Some(&59));
    let (appender, _) = Appender::open(disk, PLAN, None, Box::new(Nobody), counted).unwrap();
    assert_eq!(appender.next_number(), 60);
}

#[test]
fn what_a_killed_writer_was_removing_is_not_missed_after_a_loss_of_power() {
    for seed in 0..40 {
        for calls in 0..8 {
            remove_and_lose_power(seed, |disk| disk.set_fuse(Some(calls)));
        }
    }
}

#[test]
fn what_was_being_removed_when_a_sync_failed_is_not_missed_after_a_loss_of_power() {
    for seed in 0..200 {
        remove_and_lose_power(seed, |disk| disk.fail_sync(Some(0)));
    }
}

const REPAIR: Plan = Plan {
    repair: true,
    ..PLAN
};

/// A log whose last segment is damaged in its first message, with a mark behind it that says that it was synced. The number of that
/// message.
fn damaged(disk: &Disk) -> u64 {
    let mut appender = full(disk);
    appender.push(1, b"behind a mark").unwrap();
    appender.flush().unwrap();
    let segment = appender.place().segment;
    appender.sync().unwrap();
    disk.damage(&names::segment(segment), |bytes| {
        let at = bytes
            .windows(300)
            .position(|window| *window == [segment as u8; 300]);
        bytes[at.unwrap()] ^= 1;
    });
    segment
}

fn is_all_kept(disk: &Disk, number: u64) -> bool {
    let mut bytes = vec![0; 8192];
    let kept = disk.open(&names::cut(number, 0), false).unwrap();
    read_full(&kept, &mut bytes, 0).unwrap();
    [&[59; 300][..], b"behind a mark"].iter().all(|message| {
        bytes
            .windows(message.len())
            .any(|window| window == *message)
    })
}

fn repair(disk: &Disk) -> Result<(Appender<Disk>, Recovery), Trouble> {
    Appender::open(disk.clone(), REPAIR, None, Box::new(Nobody), counted)
}

#[test]
fn what_a_repair_cuts_is_kept_also_if_the_power_is_lost() {
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let number = damaged(&disk);
        let (_, recovery) = repair(&disk).unwrap();
        assert!(recovery.cut > 300);
        disk.lose_power();
        assert!(is_all_kept(&disk, number));
    }
}

#[test]
fn a_repair_that_is_killed_and_made_again_keeps_all_that_it_cuts() {
    for seed in 0..40 {
        for calls in 0..60 {
            let disk = Disk::new(seed);
            let number = damaged(&disk);
            // The second one may be killed as well.
            for calls in [calls, (seed * 7 + calls) % 60] {
                disk.set_fuse(Some(calls));
                drop(repair(&disk));
                disk.set_fuse(None);
            }
            let (appender, _) = repair(&disk).unwrap();
            assert_eq!(appender.next_number(), number);
            disk.lose_power();
            assert!(is_all_kept(&disk, number), "seed {seed}, {calls} calls");
            let names = disk.list().unwrap();
            let cuts = names.iter().filter(|name| name.ends_with(".cut"));
            assert_eq!(cuts.count(), 1, "{names:?}");
        }
    }
}

#[test]
fn what_is_cut_at_the_same_number_later_does_not_replace_it() {
    let disk = Disk::new(1);
    let number = damaged(&disk);
    let (mut appender, _) = repair(&disk).unwrap();
    appender.push(1, &[77; 300]).unwrap();
    appender.flush().unwrap();
    appender.sync().unwrap();
    appender.push(1, b"behind another mark").unwrap();
    appender.flush().unwrap();
    appender.sync().unwrap();
    drop(appender);
    disk.damage(&names::segment(number), |bytes| {
        let at = bytes.windows(300).position(|window| *window == [77; 300]);
        bytes[at.unwrap()] ^= 1;
    });
    drop(repair(&disk).unwrap());
    assert!(is_all_kept(&disk, number));
    let mut bytes = vec![0; 8192];
    let kept = disk.open(&names::cut(number, 1), false).unwrap();
    read_full(&kept, &mut bytes, 0).unwrap();
    assert!(
        bytes
            .windows(19)
            .any(|window| window == b"behind another mark")
    );
    assert!(names::is_own(&names::cut(number, 1)));
    assert!(!names::is_own(&format!("{number:020}.x.cut")));
}

/// A loss of power left the later one of two messages; the zeros over it do not reach the disk, and who knew that was killed.
#[test]
fn what_was_cut_does_not_come_back_after_a_sync_that_nobody_knows_the_end_of() {
    let (mut torn, mut unsure) = (0, 0);
    for seed in 0..120 {
        for calls in 4..24 {
            let disk = Disk::new(seed);
            let board = Board::new(&disk);
            let open = |board: &Board| {
                let tell = Box::new(board.clone());
                Appender::open(disk.clone(), PLAN, board.told(), tell, counted)
            };
            Appender::create(&disk, &PLAN, 0, counted).unwrap();
            let (mut appender, _) = open(&board).unwrap();
            appender.push(1, &[7; 1000]).unwrap();
            appender.push(1, &[8; 1000]).unwrap();
            appender.flush().unwrap();
            drop(appender);
            disk.lose_power();
            board.forget();
            disk.set_fuse(Some(calls));
            drop(open(&board));
            disk.set_fuse(None);
            unsure += u64::from(board.told().is_some_and(|told| told.syncing));
            let (mut appender, recovery) = open(&board).unwrap();
            torn += u64::from(recovery.torn > 0);
            if appender.next_number() == 0 {
                appender.push(2, &[9; 1000]).unwrap();
                appender.flush().unwrap();
            }
            appender.sync().unwrap();
            let next = appender.next_number();
            drop(appender);
            disk.lose_power();
            let numbers = read(&disk);
            assert_eq!(numbers, (0..next).collect::<Vec<_>>(), "{seed}, {calls}");
        }
    }
    assert!(torn > 50 && unsure > 50, "{torn}, {unsure}");
}

/// A mark is no message: a segment that has nothing else is empty, and one message too long for it has another take its place.
#[test]
fn an_empty_segment_with_a_mark_that_was_replaced_is_not_missed() {
    let (disk, board) = (Disk::new(1), Board::new(&Disk::new(1)));
    let open = || {
        let tell = Box::new(board.clone());
        Appender::open(disk.clone(), PLAN, board.told(), tell, counted)
    };
    let mut appender = full(&disk);
    // Begins a segment for it, and does not get to write it.
    appender.push(1, &[1; 5000]).unwrap();
    drop(appender);
    let (mut appender, _) = open().unwrap();
    appender.close().unwrap();
    let place = appender.place();
    assert_eq!((place.segment, place.next), (60, 60));
    assert!(place.offset > HEADER_LEN);
    board.tell(|told| told.place = Some(place));
    appender.push(1, &[2; 10_000]).unwrap();
    drop(appender);
    let mut tape = Tape::open(disk.clone(), From::Number(60), Some(place)).unwrap();
    assert_eq!(tape.next(Some(place)).unwrap(), Next::End);
    let (appender, recovery) = open().unwrap();
    assert_eq!(appender.next_number(), 60);
    assert_eq!(recovery, Recovery::default());
}

#[test]
fn a_segment_with_nothing_but_a_seal_is_not_its_own_successor() {
    let disk = Disk::new(1);
    Appender::create(&disk, &PLAN, 0, counted).unwrap();
    disk.damage(&names::segment(0), |bytes| {
        let header = SegmentHeader::decode(&bytes[..HEADER_USED]).unwrap();
        let mut seal = Vec::new();
        encode(&mut seal, header.seed, RecordKind::Seal, 0, 1, &[]);
        let at = HEADER_LEN as usize;
        bytes[at..at + seal.len()].copy_from_slice(&seal);
    });
    let mut tape = Tape::open(disk.clone(), From::Oldest, None).unwrap();
    for _ in 0..2 {
        assert_eq!(tape.next(None).unwrap(), Next::Damaged(0));
    }
    tape.skip_damaged(None).unwrap();
    for plan in [PLAN, REPAIR] {
        let disk = disk.copy();
        let opened = Appender::open(disk.clone(), plan, None, Box::new(Nobody), counted);
        let (mut appender, recovery) = opened.unwrap();
        assert!(recovery.torn > 0);
        appender.push(1, b"first").unwrap();
        appender.flush().unwrap();
        assert_eq!(read(&disk), [0]);
    }
}

/// Behind the seal there should be another segment, and the writer has told that it was farther.
#[test]
fn who_passes_over_what_is_damaged_comes_to_an_end_also_where_a_segment_is_missing() {
    let disk = Disk::new(1);
    Appender::create(&disk, &PLAN, 0, counted).unwrap();
    disk.damage(&names::segment(0), |bytes| {
        let header = SegmentHeader::decode(&bytes[..HEADER_USED]).unwrap();
        let mut records = Vec::new();
        encode(&mut records, header.seed, RecordKind::Message, 0, 1, b"one");
        encode(&mut records, header.seed, RecordKind::Seal, 1, 1, &[]);
        let at = HEADER_LEN as usize;
        bytes[at..at + records.len()].copy_from_slice(&records);
    });
    let place = Place {
        segment: 0,
        offset: 6000,
        next: 5,
    };
    for limit in [None, Some(place)] {
        let mut tape = Tape::open(disk.clone(), From::Oldest, limit).unwrap();
        let mut came = Vec::new();
        for _ in 0..10 {
            let next = tape.next(limit).unwrap();
            if let Next::Damaged(number) = next {
                tape.skip_damaged(limit).unwrap();
                if tape.next_number() == number {
                    came.push(Next::End);
                    break;
                }
            }
            came.push(next);
        }
        assert_eq!(came.last(), Some(&Next::End), "{came:?}");
        assert!(came.len() < 6, "{came:?}");
    }
}

#[test]
fn behind_a_block_are_zeros_and_the_next_message() {
    let plan = Plan {
        segment_len: 64 << 10,
        ..PLAN
    };
    let disk = Disk::new(1);
    Appender::create(&disk, &plan, 0, counted).unwrap();
    let (mut appender, _) =
        Appender::open(disk.clone(), plan, None, Box::new(Nobody), counted).unwrap();
    let mut blocks = 0;
    for number in 0..100_usize {
        let len = number * 37 % 400;
        if appender.is_full_before(len) {
            appender.flush_block().unwrap();
            let (place, mut rest) = (appender.place(), vec![1; 64 << 10]);
            let file = disk.open(&names::segment(0), false).unwrap();
            let filled = read_full(&file, &mut rest, place.offset).unwrap();
            assert!(rest[..filled].iter().all(|byte| *byte == 0));
            // A record of 424 bytes would not find room any more, with a mark.
            let left = plan.block - 1 - (place.offset - 1) % plan.block;
            assert!(left < 424 + 32, "{left}");
            assert_eq!(place.next, number as u64);
            blocks += 1;
        }
        appender.push(1, &vec![number as u8; len]).unwrap();
        // Some come alone, and move the blocks' beginnings.
        if number % 13 == 0 {
            appender.flush().unwrap();
        }
    }
    appender.flush().unwrap();
    assert!(blocks > 10, "{blocks}");
    assert_eq!(read(&disk), (0..100).collect::<Vec<u64>>());
    // None is written beyond the segment's end.
    let plan = Plan {
        block: 1 << 20,
        ..plan
    };
    drop(appender);
    let (mut appender, _) =
        Appender::open(disk.clone(), plan, None, Box::new(Nobody), counted).unwrap();
    while appender.place().segment == 0 {
        if appender.is_full_before(300) {
            appender.flush_block().unwrap();
        }
        appender.push(1, &[7; 300]).unwrap();
    }
    let file = disk.open(&names::segment(0), false).unwrap();
    assert!(file.len().unwrap() <= 64 << 10);
}

#[test]
fn no_index_is_left_of_a_segment_that_was_removed() {
    for (seed, loses_power) in (0..40).flat_map(|seed| [(seed, false), (seed, true)]) {
        let disk = Disk::new(seed);
        let mut appender = full(&disk);
        disk.set_fuse(Some(seed));
        let _ = appender.retain(&Retention::all().bytes(9000), 1, None);
        disk.set_fuse(None);
        drop(appender);
        if loses_power {
            disk.lose_power();
        }
        drop(Appender::open(disk.clone(), PLAN, None, Box::new(Nobody), counted).unwrap());
        let left = disk.list().unwrap();
        let indexes = left.iter().filter_map(|name| name.strip_suffix(".idx"));
        for stem in indexes {
            assert!(left.contains(&format!("{stem}.seg")), "{seed}: {left:?}");
        }
    }
}
