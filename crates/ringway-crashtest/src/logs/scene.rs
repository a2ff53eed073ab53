//! A log, and those who survive.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::gettid;
use ringway::log::{Log, ReadError, Reader, Subscription};
use ringway::{Address, ErrorKind};
use ringway_testing::place::Place;
use ringway_testing::procfs;

use super::victim::{AUDIT, NEXT, OWN, Op, RECEIVED, SETTER, VICTIM};
use crate::boards::{DONE, Process};
use crate::matrix::said;

/// What nobody's wait comes near to; only a hang does.
pub(super) const WATCHDOG: Duration = Duration::from_secs(120);

/// How many messages the next writer appends.
const MORE: u64 = 4;

/// A directory that goes with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // As long each time, so that a victim takes the same steps.
        let name = format!("ringway-test-{}-{count:07}", std::process::id());
        let path = PathBuf::from("/dev/shm").join(name);
        fs::create_dir(&path).map_err(said("making a directory"))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A log and its survivors.
pub(super) struct Scene {
    op: Op,
    place: Place,
    /// One that stands at the beginning.
    slow: Option<Reader>,
    /// One that waits for what the victim appends.
    sleeper: Option<JoinHandle<Result<Vec<u8>, ReadError>>>,
    /// Messages before this number were shown.
    shown: u64,
    /// How many the victim has surely appended, and at most.
    appended: (u64, u64),
    /// Whether it has done what it was to do.
    is_done: bool,
    /// Those that died before.
    dead: Vec<Process>,
    folder: Folder,
}

/// What a reader has found.
struct Found {
    oldest: u64,
    next: u64,
    missed: u64,
    end: ReadError,
}

impl Scene {
    pub(super) fn set(op: Op) -> Result<Self, String> {
        let folder = Folder::new()?;
        let place = Place::at(Address::Log(folder.0.join("log")));
        let least = op.prepared();
        let mut scene = Self {
            op,
            place,
            slow: None,
            sleeper: None,
            shown: 0,
            appended: (least, least + op.appends()),
            is_done: false,
            dead: Vec::new(),
            folder,
        };
        if op == Op::Create {
            return Ok(scene);
        }
        // Nothing of it is synced, and nothing is removed yet.
        let builder = Op::Append.builder(&scene.place.address);
        let log = builder.and_then(|builder| builder.create());
        let log = log.map_err(said("making the log"))?;
        let mut writer = log.writer().map_err(said("a first writer"))?;
        for number in 0..op.before() {
            let message = op.message(SETTER, number);
            writer.append(&message).map_err(said("appending"))?;
        }
        writer.close().map_err(said("closing"))?;
        let cursor = |name: &str, next: u64| -> Result<(), String> {
            let reader = log.subscribe(&Subscription::new().name(name));
            let mut reader = reader.map_err(said("a cursor"))?;
            for _ in 0..next {
                reader.recv().map_err(said("reading"))?;
            }
            reader.acknowledge().map_err(said("acknowledging"))
        };
        cursor(AUDIT, op.before().min(5))?;
        if op.is_reader() && op != Op::Subscribe {
            cursor(OWN, 0)?;
        }
        scene.slow = Some(log.reader().map_err(said("a reader"))?);
        Ok(scene)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn log(&self) -> Result<Log, ringway::Error> {
        self.op.builder(&self.place.address)?.open()
    }

    /// Lets a survivor sleep for the next message of the victim, which is the writer.
    pub(super) fn fall_asleep(&mut self) -> Result<(), String> {
        if !self.op.is_writer() {
            return Ok(());
        }
        let log = self.log().map_err(said("opening"))?;
        let latest = Subscription::new().start(ringway::log::Start::Latest);
        let mut reader = log.subscribe(&latest).map_err(said("a reader"))?;
        let (tell, hear) = mpsc::channel();
        self.sleeper = Some(std::thread::spawn(move || {
            let _ = tell.send(gettid().as_raw());
            reader.recv_timeout(WATCHDOG)
        }));
        let thread = hear.recv().map_err(said("a sleeper"))?;
        procfs::until_asleep(std::process::id(), thread);
        Ok(())
    }

    /// What can be read now, beside one that stands still. It must be there ever after.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let log = match self.log() {
            Err(error) if self.op == Op::Create && is_unmade(&error) => return Ok(()),
            log => log.map_err(said("opening beside one that stands still"))?,
        };
        let mut reader = log
            .reader()
            .map_err(said("reading beside one that stands still"))?;
        let found = self.read(&mut reader)?;
        if found.missed > 0 {
            return Err(format!("LOST: {} of what is kept", found.missed));
        }
        self.shown = self.shown.max(found.next);
        Ok(())
    }

    /// What others do beside one that stands still: read, and try for the writer's role.
    pub(super) fn work_around(&mut self) -> Result<(), String> {
        self.look()?;
        let Ok(log) = self.log() else { return Ok(()) };
        match log.writer() {
            Err(error) if matches!(error.kind(), ErrorKind::RoleTaken { .. }) => {
                match self.op.is_reader() {
                    true => Err(format!("nobody can write beside a reader: {error}")),
                    false => Ok(()),
                }
            }
            Err(error) => Err(format!("a writer beside one that stands still: {error}")),
            Ok(_) if self.op.is_writer() && self.dead.is_empty() && !self.is_leaving() => {
                Err("TWO WRITERS: one came beside one that stands still".to_owned())
            }
            Ok(mut writer) => {
                let message = self.op.message(NEXT, writer.next_number());
                let appended = writer.append(&message);
                appended.map(drop).map_err(said("appending beside"))
            }
        }
    }

    fn is_leaving(&self) -> bool {
        matches!(self.op, Op::Close | Op::CloseSynced)
    }

    /// A victim has ended, or died.
    pub(super) fn has_ended(&mut self, outcome: u32, dead: Option<Process>) -> Result<(), String> {
        let died = dead.is_some();
        self.dead.extend(dead);
        match outcome {
            DONE => {
                self.is_done = true;
                self.appended.0 = self.appended.1;
                Ok(())
            }
            0 if died => Ok(()),
            outcome => Err(format!("the victim ended with {outcome}")),
        }
    }

    /// The same of one that was to put in order what another one left.
    pub(super) fn successor_has_ended(
        &mut self,
        outcome: u32,
        dead: Option<Process>,
    ) -> Result<(), String> {
        let died = dead.is_some();
        self.dead.extend(dead);
        match outcome {
            DONE => Ok(()),
            0 if died => Ok(()),
            outcome => Err(format!("the second victim ended with {outcome}")),
        }
    }

    /// Judges what is left.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        self.judge_sleeper()?;
        let op = self.op;
        let builder = op.builder(&self.place.address);
        let log = builder.and_then(|builder| match op {
            Op::Create => builder.open_or_create(),
            _ => builder.open(),
        });
        let log = log.map_err(said("nobody can open it"))?;
        let mut writer = log.writer().map_err(said("nobody can follow"))?;
        let next = writer.next_number();
        if next < self.shown {
            return Err(format!("LOST: {} were shown, {next} are there", self.shown));
        }
        for number in next..next + MORE {
            let appended = writer.append(&op.message(NEXT, number));
            let receipt = appended.map_err(said("appending"))?;
            if receipt.number != number {
                return Err(format!("{number} was appended as {}", receipt.number));
            }
        }
        writer.sync().map_err(said("syncing"))?;
        let end = next + MORE;
        let reader = |subscription: &Subscription| {
            let reader = log.subscribe(subscription);
            reader.map_err(said("a reader of what is left"))
        };
        let all = Subscription::new();
        for kind in [all.clone(), all.clone().synced_only(true)] {
            let found = self.read(&mut reader(&kind)?)?;
            if (found.next, found.missed) != (end, 0) || found.end != ReadError::Empty {
                return Err(format!(
                    "LOST: {} of {end} came, {} were missed, then {:?}",
                    found.next, found.missed, found.end
                ));
            }
            if found.oldest > op.audit() && !op.is_ruthless() {
                return Err(format!("LOST: the oldest is {}", found.oldest));
            }
        }
        if let Some(mut slow) = self.slow.take() {
            let found = self.read(&mut slow)?;
            if found.next != end {
                return Err(format!("LOST: {} of {end} came late", found.next));
            }
        }
        self.judge_cursors(&log, end)?;
        writer.close().map_err(said("closing"))?;
        let found = self.read(&mut reader(&all)?)?;
        if found.end != ReadError::Closed {
            return Err(format!("the end of the log is {:?}", found.end));
        }
        self.judge_files(found.oldest)
    }

    /// Who waited has a message, or was told that none comes.
    fn judge_sleeper(&mut self) -> Result<(), String> {
        let Some(sleeper) = self.sleeper.take() else {
            return Ok(());
        };
        let first = self.op.before() + self.op.prepared();
        match sleeper.join().map_err(|_| "the sleeper panicked")? {
            Ok(bytes) if self.op.appends() > 0 && bytes == self.op.message(VICTIM, first) => {
                self.shown = self.shown.max(first + 1);
                Ok(())
            }
            Err(ReadError::PeerDied | ReadError::Closed) => Ok(()),
            told => Err(format!("STRANDED: who sleeps was told {told:?}")),
        }
    }

    /// A named cursor is where it was, or where it was to be.
    fn judge_cursors(&self, log: &Log, end: u64) -> Result<(), String> {
        let op = self.op;
        let mut expected = Vec::new();
        if op != Op::Create {
            expected.push((AUDIT, op.audit(), op.audit()));
        }
        if op.is_reader() {
            let (least, most) = match op {
                Op::Acknowledge | Op::AcknowledgeSynced if self.is_done => (RECEIVED, RECEIVED),
                Op::Acknowledge | Op::AcknowledgeSynced => (0, RECEIVED),
                _ => (0, 0),
            };
            expected.push((OWN, least, most));
        }
        let cursors = log.cursors().map_err(said("cursors"))?;
        for (name, least, most) in expected {
            let stored = cursors.iter().find(|(stored, _)| stored == name);
            match stored {
                Some((_, next)) if (least..=most).contains(next) => {}
                None if op == Op::Subscribe && name == OWN && !self.is_done => {}
                stored => {
                    return Err(format!(
                        "LOST: the cursor {name} is {stored:?}, and should be from {least} to {most}"
                    ));
                }
            }
            let reader = log.subscribe(&Subscription::new().name(name));
            let mut reader = reader.map_err(said("nobody can follow a reader"))?;
            let first = stored.map_or(0, |(_, next)| *next);
            if op == Op::Begin && name == OWN {
                let count = reader.begin(0).map_err(said("beginning"))?;
                if count != 2 && (self.is_done || count != 1) {
                    return Err(format!("LOST: a message was begun {count} times"));
                }
            }
            let found = self.read(&mut reader)?;
            let begins = found.oldest - found.missed;
            if begins != first || found.next != end || (found.missed > 0 && !op.is_ruthless()) {
                return Err(format!(
                    "LOST: by the cursor {name}, at {first}, {} to {} of {end} came, {} were missed",
                    found.oldest, found.next, found.missed
                ));
            }
        }
        Ok(())
    }

    /// Nothing is left over of what was being made, or should be gone.
    fn judge_files(&self, oldest: u64) -> Result<(), String> {
        let path = self.folder.0.join("log");
        for entry in fs::read_dir(path).map_err(said("listing"))? {
            let name = entry.map_err(said("listing"))?.file_name();
            let name = name.to_string_lossy().into_owned();
            let base: Option<u64> = name
                .strip_suffix(".seg")
                .or(name.strip_suffix(".idx"))
                .and_then(|number| number.parse().ok());
            let is_left_over = name.ends_with(".new")
                || name.ends_with(".cut")
                || base.is_some_and(|base| base < oldest);
            if is_left_over {
                return Err(format!("{name} stays behind"));
            }
        }
        Ok(())
    }

    /// Reads to the end. Each message must be the right one, whole, and one of those that may be there.
    fn read(&self, reader: &mut Reader) -> Result<Found, String> {
        let mut found = Found {
            oldest: reader.next_number(),
            next: reader.next_number(),
            missed: 0,
            end: ReadError::Empty,
        };
        let (mut victims, mut is_next) = (0, false);
        loop {
            let message = match reader.try_recv_in_place() {
                Ok(message) => message,
                Err(ReadError::Lagged { missed }) => {
                    found.missed += missed;
                    found.next = reader.next_number();
                    found.oldest = found.next;
                    continue;
                }
                Err(end @ (ReadError::Empty | ReadError::Closed | ReadError::PeerDied)) => {
                    found.end = end;
                    break;
                }
                Err(error) => return Err(format!("reading {}: {error}", found.next)),
            };
            let number = message.number();
            if number != found.next {
                return Err(format!("{number} comes, not {}", found.next));
            }
            let author = message.get(8).copied().unwrap_or(0);
            if *message != self.op.message(author, number)[..] {
                return Err(format!("TORN: message {number} is not what was appended"));
            }
            let is_known = match author {
                SETTER => number < self.op.before(),
                VICTIM => number >= self.op.before() && !is_next,
                NEXT => number >= self.op.before(),
                _ => false,
            };
            if !is_known {
                return Err(format!("message {number} is of {author}"));
            }
            victims += u64::from(author == VICTIM);
            is_next |= author == NEXT;
            found.next += 1;
        }
        let (least, most) = self.appended;
        // What stands in front of another one's message is all that there is of the victim.
        let is_too_few = is_next && found.oldest <= self.op.before() && victims < least;
        match victims > most || is_too_few {
            true => Err(format!(
                "LOST: {victims} messages of the victim, which has appended {least} to {most}"
            )),
            false => Ok(found),
        }
    }
}

/// Whether a log is not made yet, or only in part.
fn is_unmade(error: &ringway::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::HalfMade)
}
