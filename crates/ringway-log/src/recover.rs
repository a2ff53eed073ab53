//! Opening a log for writing: finding its end, and putting in order what the last writer left. The tables are in
//! [`appender`](crate::appender).

use nix::errno::Errno;

use crate::appender::{self, Appender, Opened, Plan, Recovery, erase};
use crate::error::AppendError;
use crate::files::{FileLike, Files};
use crate::format::{HEADER_LEN, RecordKind, SEAL_LEN, SegmentHeader, encode};
use crate::names::{self, About};
use crate::place::Told;
use crate::rewrite;
use crate::scan::{Scanner, Step, Tail, judge};
use crate::slots::Slots;
use crate::syncing::{Syncer, Tell};
use crate::trouble::Trouble;

/// A segment that was gone through to its end.
struct Walked<T> {
    file: T,
    header: SegmentHeader,
    len: u64,
    /// Behind the last record that is right, and not a seal.
    end: u64,
    next: u64,
    time: u64,
    sealed: bool,
}

pub(crate) fn open<F: Files>(
    files: F,
    plan: Plan,
    told: Option<Told>,
    tell: Box<dyn Tell>,
    random: fn() -> u64,
) -> Result<(Appender<F>, Recovery), Trouble> {
    let syncer = Syncer::new(tell, told.map_or(0, |told| told.synced));
    // The last writer may have been killed after it gave a segment its name, and before that was on the disk.
    files
        .sync_names()
        .map_err(Trouble::os("its directory cannot be synced"))?;
    let (mut slots, mut about) = names::about(&files, true)?;
    if !about.started && names::segments(&files)?.is_empty() {
        // Its maker was killed before the first segment.
        let again = Slots::create(&files, names::LOG, about.words())?;
        appender::start(&files, &plan, about, again, random)?;
        (slots, about) = names::about(&files, true)?;
    }
    let os = || Trouble::os("log cannot be written");
    if !about.started {
        // Its maker was killed, or the power lost, between the first segment and saying so.
        about.started = true;
        slots.store(about.words()).map_err(os())?;
    }
    // Before anything is removed for what it says.
    slots.confirm().map_err(os())?;
    let mut bases = names::segments(&files)?;
    sweep(&files, &mut bases, about.oldest)?;
    let mut recovery = Recovery::default();
    check_oldest(&plan, &bases, &mut slots, &mut about)?;
    match told {
        Some(told) if told.poisoned => {
            if !plan.repair {
                return Err(Trouble::Poisoned);
            }
            rewrite::anew(&files, &bases, about.nonce, told.synced)?;
        }
        Some(told) if told.syncing => {
            rewrite::once_more(&files, &syncer, &bases, about.nonce, told.synced)?;
        }
        Some(_) | None => {}
    }
    let told_place = told.and_then(|told| told.place);
    let damaged = |base, offset, number| Trouble::Damaged {
        name: names::segment(base),
        offset,
        number,
    };
    loop {
        let Some(&base) = bases.last() else {
            return Err(damaged(about.oldest, 0, about.oldest));
        };
        let last = walk(&files, base, about.nonce)?;
        let is_damaged = match told_place {
            _ if last.sealed => true,
            Some(place) if place.segment > base => true,
            // By messages, and not by bytes: an empty segment that had a mark may have been replaced by a longer one.
            Some(place) if place.segment == base => last.next < place.next,
            // The control file is of another time than the files.
            Some(_) | None => false,
        };
        let tail = judge(&last.file, last.header.seed, last.end, last.next, last.len)
            .map_err(Trouble::os("its last segment cannot be read"))?;
        if (is_damaged || tail == Tail::Damaged) && !plan.repair {
            let (offset, number) = (last.end, last.next);
            return Err(match last.sealed {
                true => damaged(number, 0, number),
                false => damaged(base, offset, number),
            });
        }
        if last.sealed {
            // What came next is gone. Begin anew behind it.
            let header = SegmentHeader {
                nonce: about.nonce,
                base: last.next,
                time: last.time,
                seed: random() as u32,
            };
            appender::make_segment(&files, header, plan.segment_len.max(2 * HEADER_LEN))
                .map_err(|error| error.errno)
                .map_err(Trouble::os("a segment cannot be made"))?;
            bases.push(last.next);
            continue;
        }
        let is_cut = is_damaged || tail == Tail::Damaged;
        clear_tail(&files, &syncer, &last, tail, is_cut, &mut recovery)?;
        if last.end == HEADER_LEN
            && let [.., before, _] = bases[..]
            && !seal(
                &files,
                &syncer,
                before,
                &last,
                about.nonce,
                plan.repair,
                told_place.is_some(),
            )?
        {
            // It was begun, and what should be before it never reached the disk.
            files
                .remove(&names::segment(base))
                .and_then(|()| files.sync_names())
                .map_err(Trouble::os("an empty segment cannot be removed"))?;
            bases.pop();
            continue;
        }
        let older = older(&files, &bases, about.nonce)?;
        let opened = Opened {
            slots,
            about,
            older,
            header: last.header,
            len: last.len,
            end: last.end,
            next: last.next,
            time: last.time.max(last.header.time),
            file: last.file,
            synced: match plan.durable {
                true => 0,
                // That it is synced goes on to be so.
                false => told.map_or(0, |told| told.synced.min(last.next)),
            },
        };
        let mut appender = Appender::of(files, plan, opened, syncer, random);
        if plan.durable {
            // What the last writer wrote and did not sync counts from now on.
            appender.sync().map_err(|error| match error {
                AppendError::Poisoned { .. } => Trouble::Poisoned,
                AppendError::Removed => Trouble::NotALog,
                AppendError::Os { errno } => {
                    Trouble::os("its segments cannot be synced")(Errno::from_raw(errno))
                }
                _ => Trouble::os("its segments cannot be synced")(Errno::EIO),
            })?;
        }
        appender.is_ready();
        return Ok((appender, recovery));
    }
}

/// Removes drafts, and what an interrupted removal left.
fn sweep(files: &impl Files, bases: &mut Vec<u64>, oldest: u64) -> Result<(), Trouble> {
    let os = || Trouble::os("what was left over cannot be removed");
    let all = files
        .list()
        .map_err(Trouble::os("its files cannot be listed"))?;
    for name in all {
        if name.ends_with(".new") && names::is_own(&name) {
            match files.remove(&name) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(os()(errno)),
            }
        }
    }
    let gone = bases.partition_point(|base| *base < oldest);
    // The segment that holds the oldest number begins with it.
    if bases.get(gone) == Some(&oldest) {
        for base in bases.drain(..gone) {
            files.remove(&names::segment(base)).map_err(os())?;
            let _ = files.remove(&names::index(base));
        }
    }
    Ok(())
}

/// Makes sure that the oldest segment is there.
fn check_oldest<T: FileLike>(
    plan: &Plan,
    bases: &[u64],
    slots: &mut Slots<T>,
    about: &mut About,
) -> Result<(), Trouble> {
    match bases.first() {
        Some(&first) if first == about.oldest => Ok(()),
        Some(&first) if plan.repair => {
            about.oldest = first;
            slots
                .store(about.words())
                .and_then(|()| slots.sync())
                .map_err(Trouble::os("log cannot be written"))
        }
        _ => Err(Trouble::Damaged {
            name: names::segment(about.oldest),
            offset: 0,
            number: about.oldest,
        }),
    }
}

/// Goes through a segment.
fn walk<F: Files>(files: &F, base: u64, nonce: u128) -> Result<Walked<F::File>, Trouble> {
    let (file, header) = names::open_segment(files, base, nonce, true)?;
    let len = names::len_of(&file, base)?;
    let os = || Trouble::os(format!("{} cannot be read", names::segment(base)));
    let mut scanner = Scanner::new(header.seed, base);
    let mut walked = Walked {
        end: HEADER_LEN,
        next: base,
        time: header.time,
        sealed: false,
        file,
        header,
        len,
    };
    while let Step::Record(record) = scanner.step(&walked.file, len).map_err(os())? {
        walked.time = walked.time.max(record.time);
        if record.kind == RecordKind::Seal {
            // No segment is sealed that has nothing in it.
            walked.sealed = walked.next > base;
            break;
        }
        walked.end = scanner.offset();
        walked.next = scanner.next_number();
    }
    Ok(walked)
}

/// Overwrites what lies behind the last record.
fn clear_tail<F: Files>(
    files: &F,
    syncer: &Syncer,
    last: &Walked<F::File>,
    tail: Tail,
    is_cut: bool,
    recovery: &mut Recovery,
) -> Result<(), Trouble> {
    let name = names::segment(last.header.base);
    let os = || Trouble::os(format!("{name} cannot be written"));
    let to = match tail {
        Tail::Clean => return Ok(()),
        Tail::Torn(to) => to,
        Tail::Damaged => last.len,
    };
    match is_cut {
        true => {
            recovery.cut += to - last.end;
            rewrite::keep(files, &last.file, last.end, to, last.next)?;
        }
        false => recovery.torn += to - last.end,
    }
    // Before the zeros, which the next writer cannot tell from what was never written: killed in between, it is to sync them.
    let mut begun = syncer.begin().map_err(|_| Trouble::Poisoned)?;
    // Before anything is written there: else a record of today could have one of yesterday behind it.
    if !erase(&last.file, last.end, to) {
        return Err(os()(Errno::EIO));
    }
    // Else what is there now and not on the disk could come back behind what is written next, also where nothing else is ever synced.
    begun.file(&last.file).map_err(|_| Trouble::Poisoned)
}

/// Syncs one file, of which nobody is told how far the log is synced.
fn sync(syncer: &Syncer, file: &impl FileLike) -> Result<(), Trouble> {
    syncer
        .begin()
        .and_then(|mut begun| begun.file(file))
        .map_err(|_| Trouble::Poisoned)
}

/// Makes sure that the segment `before` an empty one is sealed. Whether it ends where that one begins.
fn seal<F: Files>(
    files: &F,
    syncer: &Syncer,
    before: u64,
    last: &Walked<F::File>,
    nonce: u128,
    repair: bool,
    is_same_boot: bool,
) -> Result<bool, Trouble> {
    let old = walk(files, before, nonce)?;
    let base = last.header.base;
    let name = names::segment(before);
    let os = || Trouble::os(format!("{name} cannot be written"));
    if old.sealed && old.next == base {
        return Ok(true);
    }
    if old.next != base {
        let damaged = Trouble::Damaged {
            name: name.clone(),
            offset: old.end,
            number: old.next,
        };
        // Nothing in this boot takes what was written.
        return match repair || !is_same_boot && !old.sealed {
            true => Ok(false),
            false => Err(damaged),
        };
    }
    // The seal itself may be torn.
    if !erase(&old.file, old.end, old.len.min(old.end + SEAL_LEN as u64)) {
        return Err(os()(Errno::EIO));
    }
    let mut bytes = Vec::new();
    encode(
        &mut bytes,
        old.header.seed,
        RecordKind::Seal,
        base,
        old.time,
        &[],
    );
    old.file
        .write_at(&bytes, old.end)
        .map_err(|(_, errno)| os()(errno))?;
    sync(syncer, &old.file)?;
    let _ = old.file.truncate(old.end + SEAL_LEN as u64);
    Ok(true)
}

/// The segments before the last: base, bytes, and when the youngest record was written at the latest.
fn older<F: Files>(files: &F, bases: &[u64], nonce: u128) -> Result<Vec<(u64, u64, u64)>, Trouble> {
    let mut older = Vec::new();
    for pair in bases.windows(2) {
        let (file, _) = names::open_segment(files, pair[0], nonce, false)?;
        let (_, next) = names::open_segment(files, pair[1], nonce, false)?;
        older.push((pair[0], names::len_of(&file, pair[0])?, next.time));
    }
    Ok(older)
}

#[cfg(test)]
mod tests {
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
        let (next, _) =
            Appender::open(disk.clone(), PLAN, None, Box::new(Nobody), counted).unwrap();
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
}
