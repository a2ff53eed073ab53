//! `ringway work` and `ringway recv --ack-after`: a command for each message.
//!
//! | the worker is killed, or stopped | the message | afterwards |
//! |---|---|---|
//! | while it waits | nobody's | |
//! | after it has taken one, before the command has succeeded | the worker's | killed: the kernel kills the command, and the next worker gets the message, counted as begun before. Stopped: it stays the worker's |
//! | after the command has succeeded, before the message is acknowledged | the same | killed: it is done once more |
//! | after that | done | |
//! | while it is moved to the dead letters | in its ring, or in both | `ringway::tasks` has the table |
//!
//! A signal that tells the worker to end finds it *idle*, while it waits for a message or for the end of a pause, or *busy*, while
//! it has one (`signals.rs`).

mod command;
mod dead_letters;
mod log;

use std::io;
use std::time::{Duration, Instant};

use ringway::channel::{Carrier, ChannelMessage, ChannelReceiver};
use ringway::tasks::{TaskError, TaskReceiver};
use ringway::transport::ReceivedMessage;
use ringway::{Address, Channel, RecvError, SendError};

use self::command::{Launch, Verdict};
use self::dead_letters::DeadLetters;
use crate::attach;
use crate::cli::{IntakeArgs, PlaceArgs, RecvArgs, TaskArgs, WorkArgs};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::recv;
use crate::say::say;
use crate::signals::{self, Busy};
use crate::units::{counted, deadline};

/// How long a worker pauses after a first failure, and after many.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// How long to wait for room among the dead letters before looking whether to end.
const SLICE: Duration = Duration::from_millis(500);

/// `ringway work`.
pub(crate) fn run(args: &WorkArgs) -> Result<(), Failure> {
    let launch = Launch::of_words(&args.command)?;
    run_each(&args.place, &args.intake, &args.tasks, launch)
}

/// `ringway recv --ack-after`.
pub(crate) fn run_after(args: &RecvArgs) -> Result<(), Failure> {
    let command = args.ack_after.clone().unwrap_or_default();
    let launch = Launch::of_shell(&command)?;
    run_each(&args.ring.place, &args.intake, &args.tasks, launch)
}

fn run_each(
    place: &PlaceArgs,
    intake: &IntakeArgs,
    tasks: &TaskArgs,
    launch: Launch,
) -> Result<(), Failure> {
    if crate::log::is_log(&place.address) {
        return log::run(place, intake, tasks, &launch);
    }
    recv::refuse_at_queue(intake, &place.address)?;
    let progress = Progress::new("did", place.how.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let mut opened = attach::open(&place.address, &place.how)?;
    let source = attach_all(place, intake, tasks, &opened.channel);
    opened.channel.attach_no_more();
    let outcome = source.and_then(|source| {
        progress.begin();
        let mut worker = Worker {
            source,
            launch,
            is_quiet: place.how.quiet,
            progress: progress.clone(),
            failures: 0,
        };
        let outcome = worker.work(intake, &opened.channel);
        outcome.map(|()| worker.source)
    });
    progress.end();
    let source = opened.settle(outcome)?;
    let moved = source.moved();
    if intake.unlink {
        // First: until it is closed, nobody begins anew at this address.
        let unlinked = attach::unlink(&opened.channel);
        source.into_receiver().close();
        unlinked?;
    }
    moved.map_or(Ok(()), Err)
}

fn attach_all(
    place: &PlaceArgs,
    intake: &IntakeArgs,
    tasks: &TaskArgs,
    channel: &Channel,
) -> Result<Source, Failure> {
    recv::check(intake, channel)?;
    let (Some(tries), Some(address)) = (tasks.tries, &tasks.dead_letters) else {
        return Ok(Source::Plain(Box::new(recv::attach(intake, channel)?)));
    };
    let dead = dead_letters::open(address, place, Some(channel))?;
    // Attached for this moment, to find out whether all fits.
    let attached = recv::attach(intake, channel)
        .and_then(|receiver| Ok(receiver.with_dead_letters(&dead.channel, tries)?));
    let (receiver, sender) = dead.settle(attached)?.into_parts();
    sender.leave();
    let dead = dead.channel;
    let sink = DeadLetters::new(dead.clone());
    Ok(Source::Careful(Box::new(Careful {
        tasks: TaskReceiver::new(receiver, sink, tries),
        dead,
        tries,
    })))
}

/// Where tasks come from.
enum Source {
    Plain(Box<ChannelReceiver>),
    Careful(Box<Careful>),
}

/// A receiver with dead letters.
struct Careful {
    tasks: TaskReceiver<ChannelReceiver, DeadLetters>,
    dead: Channel,
    tries: u32,
}

impl Source {
    fn receiver(&mut self) -> &mut ChannelReceiver {
        match self {
            Self::Plain(receiver) => receiver,
            Self::Careful(careful) => careful.tasks.get_mut(),
        }
    }

    fn into_receiver(self) -> ChannelReceiver {
        match self {
            Self::Plain(receiver) => *receiver,
            Self::Careful(careful) => careful.tasks.into_parts().0,
        }
    }

    fn process<T, E>(
        &mut self,
        deadline: Option<Instant>,
        work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, TaskError> {
        match self {
            Self::Plain(receiver) => {
                let done = receiver.process_deadline(deadline, work);
                done.map_err(TaskError::Receive)
            }
            Self::Careful(careful) => careful.tasks.process_deadline(deadline, work),
        }
    }

    /// Says how many tasks were set aside, if any were.
    fn moved(&self) -> Option<Failure> {
        let Self::Careful(careful) = self else {
            return None;
        };
        moved(
            careful.tasks.moved(),
            careful.tasks.moved_again(),
            careful.tries,
            careful.dead.address(),
        )
    }
}

/// Says how many tasks were set aside, if any were, and how many of them had perhaps been before.
fn moved(count: u64, again: u64, tries: u32, to: &Address) -> Option<Failure> {
    let again = match again {
        0 => String::new(),
        again => format!(", {again} of them perhaps for a second time"),
    };
    (count > 0).then(|| {
        Failure::negative(format_args!(
            "{} failed {} and went to {to}{again}",
            counted(count, "task"),
            counted(tries.into(), "time"),
        ))
    })
}

/// Why a task was not done.
enum Undone {
    /// It is given back, and comes again.
    Failed(String),
    /// No task can be done here.
    Fatal(Failure),
}

struct Worker {
    source: Source,
    launch: Launch,
    is_quiet: bool,
    progress: Progress,
    /// In a row.
    failures: u32,
}

impl Worker {
    fn work(&mut self, args: &IntakeArgs, channel: &Channel) -> Result<(), Failure> {
        let is_queue = matches!(channel.carrier(), Carrier::Queue(_));
        loop {
            if Some(self.progress.messages()) == args.count {
                return Ok(());
            }
            let end = match is_queue {
                true => self.turn_at_queue(args)?,
                false => self.turn_at_ring(args)?,
            };
            match end {
                None => {}
                Some(RecvError::Closed) => {
                    if is_queue {
                        recv::refuse_removal(channel)?;
                    }
                    return recv::all_came(self.progress.messages(), args.count);
                }
                Some(error) => return Err(recv::explain(error)),
            }
        }
    }

    /// Waits for a message of a ring, idle, and does it. Returns an end.
    fn turn_at_ring(&mut self, args: &IntakeArgs) -> Result<Option<RecvError>, Failure> {
        let ChannelReceiver::Ring(ring) = self.source.receiver() else {
            return Err(Failure::error("this is no ring"));
        };
        // Before the wait: who joins after it may have left something.
        let ever = ring.producers_ever();
        match ring.wait_deadline(deadline(args.timeout)) {
            Ok(()) => {}
            Err(RecvError::Lagged { missed }) => {
                recv::say_missed(missed);
                return Ok(None);
            }
            Err(end @ (RecvError::Closed | RecvError::PeerDied))
                if args.expects_another(end, ever) =>
            {
                let next = ring.wait_for_producers_deadline(ever + 1, deadline(args.timeout));
                return next.map(|()| None).map_err(recv::explain);
            }
            end => return Ok(end.err()),
        }
        let busy = Busy::begin();
        // Somebody else may have been faster: what that means is found by the next wait.
        let (failed, end) = self.turn(Some(Instant::now()))?;
        busy.end_if_urged();
        drop(busy);
        if failed {
            pause(self.failures);
        }
        Ok(end.filter(|end| !is_nothing(*end) && !is_end(*end)))
    }

    /// Waits for a message of a queue, busy: what is taken must not go with the process before that is known.
    fn turn_at_queue(&mut self, args: &IntakeArgs) -> Result<Option<RecvError>, Failure> {
        let busy = Busy::begin();
        let (failed, end) = self.turn(deadline(args.timeout))?;
        if failed && signals::is_urged() {
            say(
                "the task that failed was taken out of a queue, which takes nothing back: it is lost",
            );
        }
        busy.end_if_urged();
        drop(busy);
        if failed {
            pause(self.failures);
        }
        Ok(end)
    }

    /// Does one task. Says whether that failed, or why there was none.
    fn turn(&mut self, until: Option<Instant>) -> Result<(bool, Option<RecvError>), Failure> {
        let mut until = until;
        let mut is_told = false;
        loop {
            let (launch, progress) = (&self.launch, &mut self.progress);
            let (failures, is_quiet) = (self.failures, self.is_quiet);
            let done = self.source.process(until, |message| {
                attempt(launch, message, number(message), failures, is_quiet)?;
                progress.add(1, message.len());
                Ok(())
            });
            match done {
                Ok(Ok(())) => {
                    self.failures = 0;
                    return Ok((false, None));
                }
                Ok(Err(Undone::Failed(why))) => {
                    self.failures = self.failures.saturating_add(1);
                    say(why);
                    return Ok((true, None));
                }
                Ok(Err(Undone::Fatal(failure))) => return Err(failure),
                Err(TaskError::Receive(error)) => return Ok((false, Some(error))),
                // The message is at the head again.
                Err(TaskError::DeadLetters(SendError::Full | SendError::TimedOut)) => {
                    if signals::is_urged() {
                        return Ok((false, Some(RecvError::Empty)));
                    }
                    if !std::mem::replace(&mut is_told, true) && !self.is_quiet {
                        say("the dead letters are full: waiting for room there");
                    }
                    until = Instant::now().checked_add(SLICE);
                }
                Err(TaskError::DeadLetters(error)) => {
                    return Err(Failure::negative(TaskError::DeadLetters(error)));
                }
                Err(error) => return Err(Failure::error(error)),
            }
        }
    }
}

/// Lets others have what failed, and does not fail at full speed.
fn pause(failures: u32) {
    let [first, longest] = PAUSES;
    let pause = first.saturating_mul(1 << (failures.min(16).saturating_sub(1)));
    std::thread::sleep(pause.min(longest));
}

/// Whether there is nothing now.
fn is_nothing(error: RecvError) -> bool {
    matches!(error, RecvError::Empty | RecvError::TimedOut)
}

/// Whether it is an end that the next wait tells as well.
fn is_end(error: RecvError) -> bool {
    matches!(error, RecvError::Closed | RecvError::PeerDied)
}

fn attempt(
    launch: &Launch,
    message: &impl ReceivedMessage,
    number: Option<u64>,
    failures: u32,
    is_quiet: bool,
) -> Result<(), Undone> {
    let deliveries = message.deliveries();
    let name = match number {
        Some(number) => format!("task {number}"),
        None => "a task".to_owned(),
    };
    // That it comes again because it failed here was said.
    if deliveries > 1 && failures == 0 && !is_quiet {
        say(format_args!("{name} was begun before, and is begun again"));
    }
    match launch.run(message, number, deliveries) {
        Ok(Verdict::Done) => Ok(()),
        Ok(Verdict::Failed(how)) => Err(Undone::Failed(format!("{name} failed: {how}"))),
        Err(failure) => Err(Undone::Fatal(failure)),
    }
}

/// What tells a message from all others of its ring.
fn number(message: &ChannelMessage<'_>) -> Option<u64> {
    match message {
        ChannelMessage::Ring(message) => Some(message.number()),
        _ => None,
    }
}
