//! Opening a log for writing: finding its end, and putting in order what the last writer left. The tables are in
//! [`appender`](crate::appender).

use nix::errno::Errno;

use crate::appender::{self, Appender, Opened, Plan, Recovery, erase, remove};
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
    let mut indexes = Vec::new();
    for name in all {
        let base = name.strip_suffix(".idx").and_then(|stem| stem.parse().ok());
        indexes.extend(base.filter(|base| *base < oldest && names::index(*base) == name));
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
            remove(files, base).map_err(os())?;
        }
    }
    // After a loss of power an index may be left of what was removed as a whole.
    for base in indexes {
        if bases.binary_search(&base).is_err() {
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
mod tests;
