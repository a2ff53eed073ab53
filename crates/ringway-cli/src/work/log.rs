//! Tasks from a log: a named cursor passes a message when its command has succeeded.
//!
//! | the worker is killed, or stopped | the cursor | afterwards |
//! |---|---|---|
//! | while it waits | before the next message | |
//! | after it has noted that it begins one, before the command has succeeded | before it, with how often it was begun | killed: the kernel kills the command, and the next worker begins it once more. Stopped: the cursor stays the worker's |
//! | after the command has succeeded, before the cursor passes it | the same | killed: it is done once more |
//! | after a message was sent to the dead letters, before the cursor passes it | the same | killed: it is sent there once more |
//! | after that | behind it | |
//!
//! A cursor has one reader, so one worker does one task at a time, in order; who wants more of them chooses other names, or a ring. A task that
//! fails holds up those behind it until it succeeds or goes to the dead letters.

use std::io::{self, IoSlice};
use std::time::Instant;

use ringway::log::{ReadError, Reader};
use ringway::transport::{MessageSink, ReceivedMessage};
use ringway::{Address, SendError};

use super::command::Launch;
use super::dead_letters::{self, DeadLetters};
use super::{SLICE, Undone, attempt, moved, pause};
use crate::cli::{IntakeArgs, PlaceArgs, TaskArgs};
use crate::failure::Failure;
use crate::log;
use crate::progress::Progress;
use crate::recv;
use crate::say::say;
use crate::signals::{self, Busy};
use crate::units::deadline;

/// The name of the cursor unless another one is chosen.
const NAME: &str = "work";

pub(super) fn run(
    place: &PlaceArgs,
    intake: &IntakeArgs,
    tasks: &TaskArgs,
    launch: &Launch,
) -> Result<(), Failure> {
    if intake.producers.is_some() {
        return Err(Failure::error(format_args!(
            "{} is a log: leave out --producers",
            place.address
        )));
    }
    let subscription = intake.subscription.of_log(Some(NAME))?;
    let progress = Progress::new("did", place.how.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let log = log::open(&place.address, &place.how, None)?;
    let reader = log
        .subscribe(&subscription.follow(intake.follow))
        .map_err(log::advise)?;
    let dead = match (tasks.tries, &tasks.dead_letters) {
        (Some(tries), Some(address)) => {
            let opened = dead_letters::open(address, place, None)?;
            Some(Aside {
                address: opened.channel.address().clone(),
                sink: DeadLetters::new(opened.channel),
                tries,
                moved: 0,
                again: 0,
            })
        }
        _ => None,
    };
    progress.begin();
    let mut worker = Worker {
        reader,
        launch,
        dead,
        is_quiet: place.how.quiet,
        progress: progress.clone(),
        failures: 0,
    };
    let outcome = worker.work(intake);
    progress.end();
    outcome?;
    let aside = worker.dead.take();
    if intake.unlink {
        drop(worker);
        ringway::log::remove(&place.address, false)?;
    }
    let moved =
        aside.and_then(|aside| moved(aside.moved, aside.again, aside.tries, &aside.address));
    moved.map_or(Ok(()), Err)
}

/// Where tasks go that were tried often enough.
struct Aside {
    address: Address,
    sink: DeadLetters,
    tries: u32,
    moved: u64,
    /// Of them, those that a dead worker may have sent there already.
    again: u64,
}

struct Worker<'a> {
    reader: Reader,
    launch: &'a Launch,
    dead: Option<Aside>,
    is_quiet: bool,
    progress: Progress,
    /// In a row.
    failures: u32,
}

/// A message of the log.
struct Task {
    number: u64,
    bytes: Vec<u8>,
    deliveries: u32,
}

impl ReceivedMessage for Task {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        count
    }

    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    // The cursor says what is done.
    fn release(self) {}
    fn give_back(self) {}
}

impl Worker<'_> {
    fn work(&mut self, args: &IntakeArgs) -> Result<(), Failure> {
        loop {
            let done = self.progress.messages();
            if Some(done) == args.count {
                return Ok(());
            }
            // Idle: a signal ends the process here.
            let message = self.reader.recv_in_place_deadline(deadline(args.timeout));
            let mut task = match message {
                Ok(message) => Task {
                    number: message.number(),
                    bytes: message.to_vec(),
                    deliveries: 0,
                },
                Err(ReadError::Lagged { missed }) => {
                    recv::say_missed(missed);
                    continue;
                }
                Err(ReadError::Closed) => return recv::all_came(done, args.count),
                Err(error) => return Err(log::explain_read(error)),
            };
            loop {
                let busy = Busy::begin();
                let is_settled = self.turn(&mut task)?;
                busy.end_if_urged();
                drop(busy);
                if is_settled {
                    break;
                }
                pause(self.failures);
            }
        }
    }

    /// Tries a task. Whether it is done, or set aside.
    fn turn(&mut self, task: &mut Task) -> Result<bool, Failure> {
        task.deliveries = self.reader.begin(task.number).map_err(log::explain_read)?;
        let tries = self.dead.as_ref().map(|dead| dead.tries);
        // It was begun for the last time by one that died with it, perhaps on its way to the dead letters.
        let was_last = tries.is_some_and(|tries| task.deliveries > tries);
        if !was_last {
            let tried = attempt(
                self.launch,
                task,
                Some(task.number),
                self.failures,
                self.is_quiet,
            );
            match tried {
                Ok(()) => {
                    self.failures = 0;
                    self.pass(task)?;
                    self.progress.add(1, task.bytes.len());
                    return Ok(true);
                }
                Err(Undone::Fatal(failure)) => return Err(failure),
                Err(Undone::Failed(why)) => {
                    self.failures = self.failures.saturating_add(1);
                    say(why);
                    if tries.is_none_or(|tries| task.deliveries < tries) {
                        return Ok(false);
                    }
                }
            }
        }
        let is_aside = self.set_aside(task, was_last)?;
        if is_aside {
            self.failures = 0;
            self.pass(task)?;
        }
        Ok(is_aside)
    }

    fn pass(&mut self, task: &Task) -> Result<(), Failure> {
        self.reader
            .acknowledge_before(task.number + 1)
            .map_err(log::explain_read)
    }

    /// Sends a task to the dead letters. Not, if this process is told to end while it waits for room.
    fn set_aside(&mut self, task: &Task, again: bool) -> Result<bool, Failure> {
        let Some(dead) = &mut self.dead else {
            return Ok(false);
        };
        let mut is_told = false;
        loop {
            let until = Instant::now().checked_add(SLICE);
            let parts = [IoSlice::new(&task.bytes)];
            match dead.sink.send_parts_deadline(&parts, until) {
                Ok(()) => {
                    dead.moved += 1;
                    dead.again += u64::from(again);
                    return Ok(true);
                }
                Err(SendError::Full | SendError::TimedOut | SendError::Interrupted) => {
                    if signals::is_urged() {
                        return Ok(false);
                    }
                    if !std::mem::replace(&mut is_told, true) && !self.is_quiet {
                        say("the dead letters are full: waiting for room there");
                    }
                }
                Err(error) => {
                    return Err(Failure::negative(format_args!(
                        "a task cannot be sent to the dead letters at {}: {error}",
                        dead.address
                    )));
                }
            }
        }
    }
}
