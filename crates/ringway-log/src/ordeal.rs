//! An ordeal of a log on a simulated disk: random work, killed between and within any calls, power that goes with any subset of what is
//! not synced, syncs that fail, a full disk; again and again on the same log, with an oracle that knows what was acknowledged.
//!
//! | after | must be there | may be there |
//! |---|---|---|
//! | a kill | every message of which an append returned | those that were being appended, from the first on |
//! | a loss of power | every message before the last sync that returned | those behind it, from the first on |
//! | a failed sync | both as above; the next writer is refused until it repairs | |
//! | a kill within a sync | both as above, whatever became of the sync | |
//!
//! Never may a message have other bytes than its number was given, and never may one be missing between two. (Where nothing is ever
//! synced, a loss of power may leave holes; they must be told.) A cursor is at the number stored last, or at one that was being stored; after a
//! loss of power, at one stored since its last sync. Nothing that the slowest cursor has yet to read is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::appender::{Appender, Plan};
use crate::error::AppendError;
use crate::files::Files;
use crate::files::sim::{DEAD, Disk, Random, counted};
use crate::options::Retention;
use crate::place::Told;
use crate::slots::Slots;
use crate::syncing::Tell;
use crate::tape::{From, Next, Tape};
use crate::trouble::Trouble;

/// What an ordeal went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deaths of the process.
    pub kills: u64,
    /// Of them, while the log was being opened.
    pub kills_in_recovery: u64,
    /// Losses of power.
    pub losses: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Logs that were opened after a death while a sync was under way.
    pub unsure: u64,
    /// Appends refused for a full disk.
    pub full: u64,
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Messages that were read back and compared.
    pub compared: u64,
    /// Segments begun.
    pub segments: u64,
    /// Segments removed by retention.
    pub removed: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.kills_in_recovery += other.kills_in_recovery;
        self.losses += other.losses;
        self.failed_syncs += other.failed_syncs;
        self.unsure += other.unsure;
        self.full += other.full;
        self.messages += other.messages;
        self.compared += other.compared;
        self.segments += other.segments;
        self.removed += other.removed;
    }
}

const CURSOR: &str = "cursor";

/// What a writer tells, in memory that outlives it and not a loss of power.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    disk: Disk,
    told: Arc<Mutex<Option<Told>>>,
}

impl Board {
    pub(crate) fn new(disk: &Disk) -> Self {
        Self {
            disk: disk.clone(),
            told: Arc::default(),
        }
    }

    pub(crate) fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may be killed before that.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Told)) {
        if self.disk.stores() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            change(told.get_or_insert_default());
        }
    }

    pub(crate) fn forget(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Tell for Board {
    fn syncing(&mut self, is: bool) {
        Self::tell(self, |told| told.syncing = is);
    }

    fn synced(&mut self, next: u64, failed: Option<Errno>) {
        Self::tell(self, |told| {
            told.synced = next;
            told.poisoned = failed.is_some();
        });
    }
}

struct Ordeal {
    disk: Disk,
    random: Random,
    plan: Plan,
    /// What the numbers were given.
    given: BTreeMap<u64, Vec<u8>>,
    /// All before these are acknowledged as written, and as synced.
    written: u64,
    synced: u64,
    board: Board,
    /// Numbers that a loss of power took before they were synced, with others behind them that it left.
    lost: BTreeSet<u64>,
    /// What was stored in the cursor since its last sync, and that before.
    cursor: Vec<u64>,
    /// Whether its last sync failed: then the kernel takes for written what is not.
    cursor_failed: bool,
    /// What is acknowledged of it, and what was being stored.
    stored: (u64, Option<u64>),
    now: u64,
    counts: Counts,
}

/// Goes through `rounds` lives of a writer.
///
/// # Panics
/// Where the log breaks a promise.
pub fn run(seed: u64, rounds: u64) -> Counts {
    let mut random = Random::new(seed);
    let disk = Disk::new(random.any());
    let plan = Plan {
        segment_len: 4096 * (2 + random.below(3)),
        block: 512 << random.below(4),
        durable: random.below(4) > 0,
        repair: false,
    };
    Appender::create(&disk, &plan, 0, counted).expect("the log is made");
    let words = [0; crate::slots::WORDS];
    Slots::create(&disk, CURSOR, words).expect("the cursor is made");
    let board = Board::new(&disk);
    let mut ordeal = Ordeal {
        disk,
        random,
        plan,
        given: BTreeMap::new(),
        written: 0,
        synced: 0,
        board,
        lost: BTreeSet::new(),
        cursor: vec![0],
        cursor_failed: false,
        stored: (0, None),
        now: 1,
        counts: Counts::default(),
    };
    for _ in 0..rounds {
        ordeal.live();
    }
    ordeal.counts
}

impl Ordeal {
    /// One life of a writer, and what comes of it.
    fn live(&mut self) {
        let calls = match self.random.below(3) {
            0 => 1 + self.random.below(30),
            _ => 1 + self.random.below(400),
        };
        let told = self.board.told();
        let is_unsure = told.is_some_and(|told| told.syncing && !told.poisoned);
        self.counts.unsure += u64::from(is_unsure);
        // What it takes for synced then and is not shows when it has gone on, and the power is lost.
        let shows = is_unsure && self.random.below(2) == 0;
        self.disk.set_fuse(Some(if shows { 2_000 } else { calls }));
        if self.random.below(8) == 0 {
            let after = self.random.below(12);
            self.disk.fail_sync(Some(after));
        }
        if self.random.below(6) == 0 {
            let room = self.disk.used() + self.random.below(12_000);
            self.disk.set_capacity(Some(room));
        }
        let tell = Box::new(self.board.clone());
        match Appender::open(self.disk.clone(), self.plan, told, tell, counted) {
            Ok((appender, _)) => {
                self.check(appender.next_number(), appender.synced());
                self.tell(&appender);
                self.work(appender);
            }
            // Also by a sync of its own, and that is told.
            Err(Trouble::Poisoned) if !self.disk.is_dead() => {
                assert!(self.board.told().is_some_and(|told| told.poisoned));
                self.plan.repair = true;
            }
            Err(Trouble::Os { errno, .. }) if errno == DEAD => {
                self.counts.kills_in_recovery += 1;
            }
            Err(_) if self.disk.is_dead() => self.counts.kills_in_recovery += 1,
            // A sync that was made to fail, or a disk that was made full.
            Err(Trouble::Os { .. }) => {}
            Err(trouble) => panic!(
                "the log is not to be opened: {trouble:?}, {:?}, {:?}, {:?}, {:?}",
                self.plan,
                told,
                self.disk.list(),
                crate::names::about(&self.disk, false).map(|(_, about)| about),
            ),
        }
        if self.disk.is_dead() {
            self.counts.kills += 1;
        }
        self.disk.set_fuse(None);
        self.disk.fail_sync(None);
        self.disk.set_capacity(None);
        if shows || self.random.below(3) == 0 {
            self.counts.losses += 1;
            self.disk.lose_power();
            self.board.forget();
            self.written = self.synced;
            let at = self.read_cursor();
            assert!(self.cursor.contains(&at), "a cursor that was stored");
            self.cursor = vec![at];
            self.cursor_failed = false;
            self.stored = (at, None);
        } else {
            let at = self.read_cursor();
            let (stored, storing) = self.stored;
            assert!(
                at == stored || Some(at) == storing,
                "the cursor is at {at}, not {stored}"
            );
            self.stored = (at, None);
        }
        self.read_all();
        if self.board.told().is_none_or(|told| !told.poisoned) {
            self.plan.repair = false;
        }
    }

    /// What the writer tells readers.
    fn tell(&mut self, appender: &Appender<Disk>) {
        let place = appender.place();
        self.board.tell(|told| told.place = Some(place));
    }

    fn work(&mut self, mut appender: Appender<Disk>) {
        for _ in 0..self.random.below(60) {
            let segment = appender.place().segment;
            let outcome = match self.random.below(12) {
                0..6 => self.append(&mut appender),
                6..9 => self.sync(&mut appender),
                9 => self.retain(&mut appender),
                10 => self.store_cursor(),
                _ if self.random.below(4) == 0 => {
                    let outcome = appender.close();
                    self.took(&appender, outcome)
                }
                _ => Ok(()),
            };
            self.counts.segments += u64::from(appender.place().segment != segment);
            match outcome {
                Ok(()) => {}
                Err(_) if self.disk.is_dead() => return,
                Err(AppendError::NoSpace { .. }) => {
                    self.counts.full += 1;
                    // There is room again, and the log goes on.
                    self.disk.set_capacity(None);
                }
                Err(AppendError::Poisoned { .. }) => {
                    self.counts.failed_syncs += 1;
                    assert!(appender.push(0, b"more").is_err(), "poisoned for ever");
                    assert!(appender.sync().is_err(), "poisoned for ever");
                    return;
                }
                // Of a segment that is being made: nothing was lost.
                Err(AppendError::Os { .. }) => self.counts.failed_syncs += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn append(&mut self, appender: &mut Appender<Disk>) -> Result<(), AppendError> {
        let many = 1 + self.random.below(6);
        for _ in 0..many {
            let len = match self.random.below(20) {
                0 => 6_000 + self.random.below(12_000),
                1..4 => self.random.below(2_000),
                _ => self.random.below(300),
            };
            if appender.is_full_before(len as usize) {
                let outcome = appender.flush_block();
                self.took(appender, outcome)?;
            }
            let number = appender.next_number();
            let mut message = number.to_le_bytes().to_vec();
            let fill = self.random.any() as u8;
            message.resize(len as usize, fill);
            self.now += self.random.below(3);
            self.given.insert(number, message.clone());
            let pushed = appender.push(self.now, &message);
            if let Err(error) = pushed {
                // What was written before the error counts.
                return self.took(appender, Err(error));
            }
        }
        let outcome = appender.flush();
        self.took(appender, outcome)
    }

    fn sync(&mut self, appender: &mut Appender<Disk>) -> Result<(), AppendError> {
        let outcome = appender.sync();
        self.took(appender, outcome)
    }

    /// An operation has ended: what is acknowledged by it.
    fn took(
        &mut self,
        appender: &Appender<Disk>,
        outcome: Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        if self.disk.is_dead() {
            // Nobody was told.
            return outcome;
        }
        let next = appender.place().next;
        assert!(next >= self.written, "numbers go on");
        self.counts.messages += next - self.written;
        self.written = next;
        self.synced = self.synced.max(appender.synced());
        assert!(self.synced <= self.written);
        self.tell(appender);
        // Else another message may get that number.
        if outcome.is_err() {
            self.given.split_off(&next);
        }
        outcome
    }

    fn retain(&mut self, appender: &mut Appender<Disk>) -> Result<(), AppendError> {
        let retention = match self.random.below(3) {
            0 => Retention::all().passed(),
            1 => Retention::all().bytes(20_000),
            _ => Retention::all().age(std::time::Duration::from_nanos(20)),
        };
        // As a writer does: what is stored, after it was synced.
        let file = self.disk.open(CURSOR, false).map_err(AppendError::of)?;
        let slots = Slots::open(file, CURSOR).map_err(|_| AppendError::of(DEAD))?;
        let mut slowest = slots.words()[0];
        slots.sync().map_err(|errno| {
            self.cursor_failed = true;
            AppendError::of(errno)
        })?;
        match self.cursor_failed {
            // What a later sync says is not so until it is stored anew.
            true => slowest = *self.cursor.iter().min().expect("there is always one"),
            false => self.cursor = vec![slowest],
        }
        let count = appender.retain(&retention, self.now, Some(slowest))?;
        self.counts.removed += count as u64;
        Ok(())
    }

    fn store_cursor(&mut self) -> Result<(), AppendError> {
        let (last, _) = self.stored;
        let number = last + self.random.below(self.written - last.min(self.written) + 1);
        let file = self.disk.open(CURSOR, true).map_err(AppendError::of)?;
        let slots = Slots::open(file, CURSOR);
        let mut slots = slots.map_err(|_| AppendError::of(DEAD))?;
        let mut words = slots.words();
        words[0] = number;
        self.cursor.push(number);
        self.stored.1 = Some(number);
        slots.store(words).map_err(AppendError::of)?;
        self.stored = (number, None);
        if self.random.below(2) == 0 {
            self.cursor_failed = slots.confirm().is_err();
            if !self.cursor_failed {
                self.cursor = vec![number];
            }
        }
        Ok(())
    }

    fn read_cursor(&mut self) -> u64 {
        let file = self.disk.open(CURSOR, false).expect("the cursor is there");
        Slots::open(file, CURSOR)
            .expect("a part of it is right")
            .words()[0]
    }

    /// A writer has opened the log, and says that it goes on with `next`.
    fn check(&mut self, next: u64, synced: u64) {
        assert!(
            next >= self.written,
            "{next} comes next, and {} was acknowledged",
            self.written
        );
        self.given.split_off(&next);
        self.lost.split_off(&next);
        self.written = next;
        self.synced = self.synced.max(synced);
    }

    /// Reads everything, as who has only the files.
    fn read_all(&mut self) {
        let disk = self.disk.copy();
        let mut tape = Tape::open(disk, From::Oldest, None).expect("the log can be read");
        let slowest = *self.cursor.iter().min().expect("there is always one");
        assert!(
            tape.next_number() <= slowest,
            "what the cursor has yet to read is kept"
        );
        let mut expected = None;
        loop {
            match tape.next(None).expect("the log can be read") {
                Next::Message(record) => {
                    let number = record.number;
                    let first = *expected.get_or_insert(number);
                    assert_eq!(number, first, "no message is passed over");
                    let given = self.given.get(&number).expect("it was given");
                    assert_eq!(tape.payload(&record), &given[..], "message {number}");
                    self.counts.compared += 1;
                    expected = Some(number + 1);
                }
                Next::End => break,
                Next::Damaged(number) => {
                    // Where nothing is ever synced, or a sync failed.
                    assert!(
                        !self.plan.durable || self.board.told().is_some_and(|told| told.poisoned)
                    );
                    tape.skip_damaged(None).expect("the log can be read");
                    let end = tape.next_number();
                    for number in number..end {
                        let may_be_lost = number >= self.synced && self.board.told().is_none();
                        let is_lost = !self.lost.insert(number);
                        assert!(may_be_lost || is_lost, "message {number} was acknowledged");
                    }
                    expected = None;
                    if end == number {
                        assert!(end >= self.synced, "message {number} was synced");
                        break;
                    }
                }
                Next::Lagged(_) => expected = None,
                Next::Removed => panic!("it is there"),
            }
        }
        let end = expected.unwrap_or_else(|| tape.next_number());
        assert!(end >= self.synced, "{end}: {} was synced", self.synced);
        if self.board.told().is_some_and(|told| !told.poisoned) {
            assert!(end >= self.written, "{end}: {} was written", self.written);
        }
    }
}

/// Any bytes as the records of a segment, behind a header that is right or not: read to the end, repaired, and read again. Nothing
/// panics, and each call comes to its end.
#[cfg(feature = "verify")]
pub fn try_segment(bytes: &[u8], header: Option<&[u8]>, told: Option<Told>) {
    use crate::files::FileLike;
    let disk = Disk::new(1);
    let plan = Plan {
        segment_len: 16 << 10,
        block: 1024,
        durable: true,
        repair: true,
    };
    Appender::create(&disk, &plan, 0, || 7).expect("the log is made");
    let name = crate::names::segment(0);
    disk.damage(&name, |file| {
        if let Some(header) = header {
            let len = header.len().min(64);
            file[..len].copy_from_slice(&header[..len]);
        }
        file.truncate(4096);
        file.extend_from_slice(bytes);
    });
    let read_all = |disk: &Disk, limit: Option<crate::place::Place>| {
        let Ok(mut tape) = Tape::open(disk.clone(), From::Oldest, limit) else {
            return;
        };
        let mut last = None;
        // A record takes 24 bytes at least, and damage may be met before each.
        for _ in 0..bytes.len() / 8 + 8 {
            match tape.next(limit) {
                Ok(Next::Message(record)) => {
                    assert_eq!(tape.payload(&record).len(), record.len);
                    assert!(last.is_none_or(|last| record.number > last));
                    last = Some(record.number);
                }
                Ok(Next::Damaged(number)) => {
                    if tape.skip_damaged(limit).is_err() || tape.next_number() == number {
                        return;
                    }
                }
                Ok(Next::Lagged(_)) => {}
                Ok(Next::End | Next::Removed) | Err(_) => return,
            }
        }
        panic!("it comes to no end");
    };
    read_all(&disk, None);
    read_all(&disk, told.and_then(|told| told.place));
    if let Ok((mut appender, _)) = Appender::open(
        disk.clone(),
        plan,
        told,
        Box::new(crate::syncing::Nobody),
        || 7,
    ) {
        let number = appender.push(5, b"more").expect("it is appended");
        appender.flush().expect("it is appended");
        let place = appender.place();
        assert_eq!(place.next, number + 1);
        let mut tape = Tape::open(disk.clone(), From::Number(number), None).expect("it is read");
        let next = tape.next(None).expect("it is read");
        assert!(matches!(next, Next::Message(record) if record.number == number));
        assert_eq!(
            disk.open(&crate::names::segment(place.segment), false)
                .map(|file| file.len().is_ok()),
            Ok(true)
        );
    }
    read_all(&disk, None);
}

#[cfg(test)]
mod tests;
