//! A board, and those who survive.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, gettid};
use ringway::board::{Builder, GetError, Reader, Value};
use ringway::{Board, ErrorKind, WaitStrategy};
use ringway_testing::place::{Backing, Place};
use ringway_testing::procfs;

use super::victim::{DONE, KEY, Op, REFUSED, value};
use crate::matrix::said;
use crate::sweep::Way;
use crate::trace::{Step, Tracee};

/// What nobody's wait comes near to; only a hang does.
const WATCHDOG: Duration = Duration::from_secs(20);

/// Who is stepped.
pub(crate) struct Victim {
    /// Before the process: it is dropped first.
    tracee: Tracee,
    outcome_at: u64,
    process: Process,
}

/// Ended, and waited for, when dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Victim {
    pub(super) fn start(op: Op, scene: &Scene) -> Result<Self, String> {
        Self::play("board-victim", &op.name(), &scene.place)
    }

    /// Starts one that plays `part`, and does `op` at a place.
    pub(crate) fn play(part: &str, op: &str, place: &Place) -> Result<Self, String> {
        let process = Command::new("/proc/self/exe")
            .args(["play", part, "--op", op])
            .args(["--address", &place.address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(said("starting a victim"))?;
        let mut process = Process(process);
        let stdout = process.0.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        let heard = BufReader::new(stdout).read_line(&mut line);
        heard.map_err(said("hearing of a victim"))?;
        let outcome_at = (line.trim().parse()).map_err(said("the victim did not start"))?;
        let mut tracee = Tracee::seize(process.0.id()).map_err(said("seizing"))?;
        if let Some(stdin) = process.0.stdin.as_mut() {
            stdin.write_all(b"go\n").map_err(said("going"))?;
        }
        tracee.begin().map_err(said("beginning"))?;
        Ok(Self {
            process,
            outcome_at,
            tracee,
        })
    }

    /// Gets so far, and tells the steps if they were not known.
    pub(crate) fn go(&mut self, way: Way<'_>) -> Result<Vec<Step>, String> {
        match way.script {
            [] => self.advance(way.steps),
            script => self.advance_along(script, way.steps).map(|()| Vec::new()),
        }
    }

    /// Takes so many steps, or all, and tells them.
    pub(crate) fn advance(&mut self, most: usize) -> Result<Vec<Step>, String> {
        let mut script = Vec::new();
        while script.len() < most {
            match self.tracee.step().map_err(said("stepping"))? {
                Step::Finished => break,
                Step::Asleep => return Err("the victim sleeps, and nobody wakes it".to_owned()),
                step => script.push(step),
            }
        }
        Ok(script)
    }

    /// Takes all steps, and calls `before` each of them; tells the steps.
    pub(crate) fn advance_seeing(
        &mut self,
        mut before: impl FnMut(&mut Tracee) -> io::Result<()>,
    ) -> Result<Vec<Step>, String> {
        let mut script = Vec::new();
        loop {
            before(&mut self.tracee).map_err(said("looking at a step"))?;
            match self.advance(1)?[..] {
                [] => return Ok(script),
                ref step => script.extend_from_slice(step),
            }
        }
    }

    /// Takes the first `most` of these steps: it leaps to the last one that others can see, and steps from there.
    pub(crate) fn advance_along(&mut self, script: &[Step], most: usize) -> Result<(), String> {
        let places: BTreeSet<u64> = script.iter().filter_map(Step::place).collect();
        let set = self.tracee.set_breakpoints(&places);
        set.map_err(said("setting breakpoints"))?;
        let script = &script[..most.min(script.len())];
        let seen = script.iter().filter_map(Step::place).count();
        let last = script.iter().rposition(|step| step.place().is_some());
        let rest = script.len() - last.map_or(0, |last| last + 1);
        for nth in 0..seen + rest {
            let step = match nth < seen {
                true => self.tracee.leap(),
                false => self.tracee.step(),
            };
            match step.map_err(said("stepping"))? {
                Step::Finished => break,
                Step::Asleep => return Err("the victim sleeps, and nobody wakes it".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn tracee(&mut self) -> &mut Tracee {
        &mut self.tracee
    }

    fn outcome(&self) -> Result<u32, String> {
        let mut word = [0; 4];
        let read = self.tracee.read(self.outcome_at, &mut word);
        read.map_err(said("reading the outcome"))?;
        Ok(u32::from_le_bytes(word))
    }

    /// Kills it, and leaves it a zombie until that is dropped.
    pub(crate) fn kill(self) -> Result<(u32, Process), String> {
        let outcome = self.outcome()?;
        self.tracee.kill().map_err(said("killing"))?;
        // What the kernel takes back from the dead, such as locks of files, it has taken back then.
        let pid = Pid::from_raw(self.process.0.id() as i32);
        let gone = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        gone.map_err(said("waiting for a death"))?;
        Ok((outcome, self.process))
    }

    /// Lets it come to its end.
    pub(crate) fn thaw(mut self) -> Result<u32, String> {
        let run = self.tracee.run_to_breakpoint(|| {});
        run.map_err(said("thawing"))?;
        let outcome = self.outcome()?;
        drop(self.process.0.stdin.take());
        match self.tracee.finish().map_err(said("finishing"))? {
            true => Ok(outcome),
            false => Err("the victim did not end well".to_owned()),
        }
    }
}

/// A board and its survivors.
pub(super) struct Scene {
    op: Op,
    place: Place,
    board: Board,
    reader: Reader,
    sleeper: Option<JoinHandle<Result<Value, GetError>>>,
    /// One that died before.
    dead: Option<Process>,
}

impl Scene {
    pub(super) fn set(op: Op, backing: Backing) -> Result<Self, String> {
        let place = Place::new(backing);
        let builder = Builder::at(place.address.clone()).entries(4);
        let board = builder.create().map_err(said("making the board"))?;
        let reader = board.reader(KEY).map_err(said("a reader"))?;
        let set = |key: &str, number| -> Result<(), String> {
            let mut writer = board.writer(key).map_err(said("a writer"))?;
            let set = writer.set(&value(number, op));
            set.map(drop).map_err(said("setting"))
        };
        set("other", 1)?;
        if op.before() > 0 {
            set(KEY, 1)?;
        }
        let mut scene = Self {
            op,
            place,
            board,
            reader,
            sleeper: None,
            dead: None,
        };
        if op == Op::TakeOver {
            let mut dead = Victim::start(Op::Take, &scene)?;
            dead.advance(usize::MAX)?;
            let (outcome, dead) = dead.kill()?;
            if outcome != DONE {
                return Err("the first victim did not get the role".to_owned());
            }
            scene.dead = Some(dead);
        }
        Ok(scene)
    }

    /// Lets a survivor sleep for a newer value than there is.
    pub(super) fn fall_asleep(&mut self) -> Result<(), String> {
        let reader = self.board.reader(KEY).map_err(said("a reader"))?;
        let mut reader = reader.with_wait(WaitStrategy::Park);
        reader.get().map_err(said("reading"))?;
        if self.op == Op::TakeOver {
            // It is told of the first one's death.
            let told = reader.wait_newer_timeout(WATCHDOG);
            if told != Err(GetError::WriterDied) {
                return Err(format!("told {told:?} of a death"));
            }
        }
        let (tell, hear) = mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let _ = tell.send(gettid().as_raw());
            reader.wait_newer_timeout(WATCHDOG)
        });
        let thread = hear.recv().map_err(said("a sleeper"))?;
        procfs::until_asleep(std::process::id(), thread);
        self.sleeper = Some(sleeper);
        Ok(())
    }

    /// The number of the value that is there; 0 if there is none.
    fn number(&mut self) -> Result<u64, String> {
        let read = self.reader.get().map_err(said("reading"))?;
        let Some(read) = read else { return Ok(0) };
        let (number, op) = (read.number(), self.op);
        let other = if op == Op::SetLong { Op::Set } else { op };
        match [op, other].iter().any(|op| read == value(number, *op)) {
            true => Ok(number),
            false => Err(format!("TORN: value {number} is {read:?}")),
        }
    }

    /// A writer that follows, or stands aside; the number that it found.
    fn follow(&mut self, alone: bool) -> Result<Option<u64>, String> {
        let mut writer = match self.board.writer(KEY) {
            Ok(writer) => writer,
            Err(error) if !alone && matches!(error.kind(), ErrorKind::RoleTaken { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(format!("nobody can follow: {error}")),
        };
        let found = writer.number();
        let set = writer.set(&value(found + 1, self.op));
        match set.map_err(said("setting"))? == found + 1 && self.number()? == found + 1 {
            true => Ok(Some(found)),
            false => Err(format!("value {} is not what was set", found + 1)),
        }
    }

    /// What the others do beside one that stands still: read, write elsewhere, add entries, try for the role.
    pub(super) fn work_around(&mut self) -> Result<(), String> {
        let before = self.number()?;
        let least = self.op.before();
        if !(least..=least + self.op.sets()).contains(&before) {
            return Err(format!(
                "value {before} is there, beside one that stands still"
            ));
        }
        for key in ["other", "one more"] {
            let mut writer = self.board.writer(key).map_err(said("another entry"))?;
            writer.set(b"beside").map_err(said("setting beside"))?;
        }
        if before > least && !self.has_woken() {
            return Err(
                "STRANDED: who sleeps does not learn of the value that is there".to_owned(),
            );
        }
        self.follow(false).map(drop)
    }

    /// Whether the sleeper ends within some seconds: it looks each second.
    fn has_woken(&self) -> bool {
        let end = Instant::now() + WATCHDOG / 2;
        while Instant::now() < end {
            if self.sleeper.as_ref().is_none_or(JoinHandle::is_finished) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Judges what a victim left that died, or went on and ended. The number of the value that was there.
    pub(super) fn judge(&mut self, outcome: u32, died: bool) -> Result<u64, String> {
        let known = match outcome {
            0 => died,
            DONE => true,
            REFUSED => !died,
            _ => false,
        };
        if !known {
            return Err(format!("the victim ended with {outcome}"));
        }
        let number = self.number()?;
        let (least, sets) = (self.op.before(), self.op.sets());
        if died {
            let sure = if outcome == DONE { sets } else { 0 };
            if !(least + sure..=least + sets).contains(&number) {
                return Err(format!("LOST: value {number} is there, and {least} was"));
            }
        }
        if self.follow(true)? != Some(number) {
            return Err(format!(
                "value {number} was read, and its successor found another"
            ));
        }
        if let Some(sleeper) = self.sleeper.take() {
            match sleeper.join().map_err(|_| "the sleeper panicked")? {
                Ok(read) if read.number() > least => {}
                Err(GetError::WriterDied) if died => {}
                told => return Err(format!("STRANDED: who sleeps was told {told:?}")),
            }
        }
        let mut keys = self.board.keys().map_err(said("keys"))?;
        keys.sort();
        keys.retain(|key| key != "one more");
        if keys != [KEY, "other"] {
            return Err(format!("the keys are {keys:?}"));
        }
        let mut other = self
            .board
            .writer("room")
            .map_err(said("room for another"))?;
        other.set(b"value").map_err(said("setting"))?;
        let stat = self.board.stat();
        match stat
            .participants
            .iter()
            .all(|participant| participant.alive)
        {
            true => Ok(number),
            false => Err(format!("a dead one has its place: {:?}", stat.participants)),
        }
    }
}
