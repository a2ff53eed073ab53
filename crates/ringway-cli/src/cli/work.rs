//! `work`, and what `recv --ack-after` has of it.

use std::ffi::OsString;

use clap::Args;
use ringway::Address;
use ringway::tasks::TRIES;

use super::address;
use super::transfer::{IntakeArgs, PlaceArgs};

/// What heads the options of commands that are run for messages.
const TASKS: &str = "A message is a task";

/// What becomes of tasks that fail again and again.
#[derive(Args, Debug)]
pub(crate) struct TaskArgs {
    /// Try a task so often, whoever tries it; then send it to --dead-letters. A death counts, too
    /// [default: for ever]
    #[arg(long, value_name = "N", requires = "dead_letters", help_heading = TASKS,
          value_parser = clap::value_parser!(u32).range(i64::from(*TRIES.start())..=i64::from(*TRIES.end())))]
    pub(crate) tries: Option<u32>,

    /// Where tasks go that failed so often: another ring, of kind mpmc if --create makes it, or a queue
    #[arg(long, value_name = "ADDRESS", requires = "tries", value_parser = address, help_heading = TASKS)]
    pub(crate) dead_letters: Option<Address>,
}

/// Run a command for each message, and acknowledge the message when the command has succeeded
///
/// The message is on the command's standard input; or, where {} stands among its arguments, in a file of which that is the path, such as
/// /dev/fd/4, for the command and what it starts. If the command fails or is killed, the message is given back, and whoever has the
/// next turn gets it: the same worker after a pause, which grows to a second, or another one (--kind spmc, mpmc: several workers share the tasks).
/// If the worker is killed, the command is killed as well, and the task begins again with the next worker. So each task is
/// done at least once. That one begins again is said, and the command finds in RINGWAY_DELIVERIES how often it was begun,
/// with this time, and in RINGWAY_NUMBER what tells it from all others of its ring.
///
/// A task that was tried --tries times is sent to --dead-letters. A worker that is killed just then may leave it in both
/// places; the next worker sends it there once more. None is lost.
///
/// From a log it takes nothing away: a cursor, by the name that --name says [default: work], passes a message when its command has succeeded or it
/// is in the dead letters. One worker has it at a time, and what fails holds up what is behind it.
///
/// Ends when the sender (the last of several) has closed and all is done; with --follow it waits for the next one. SIGTERM, SIGINT
/// and SIGHUP let the command that runs come to its end; if it fails then, its task is given back.
///
/// What is taken out of a queue (mq:, sysvmq:) cannot be given back: there a worker that is killed loses the task that it has.
#[derive(Args, Debug)]
#[command(after_help = WORK_HELP)]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    #[command(flatten)]
    pub(crate) intake: IntakeArgs,

    #[command(flatten)]
    pub(crate) tasks: TaskArgs,

    /// What to run, without a shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const WORK_HELP: &str = "\
Exit status:
  0  all tasks that came are done
  1  nothing is there, --timeout passed, the ring is closed before --count or --producers is reached, a sender died before
     it closed; or tasks were sent to the dead letters
  2  an error; also if the command cannot be run

Examples:
  ringway create shm:mails --kind mpmc
  ringway work shm:mails --follow -- sendmail -t
  ringway work shm:images --create --tries 3 --dead-letters shm:bad-images -- convert {} -resize 50% small.png
  ringway work log:/var/lib/orders --name invoices --follow -- ./invoice {}
  ringway recv shm:jobs --ack-after 'gzip > $RINGWAY_NUMBER.gz'
  ringway recv shm:bad-images | ringway send shm:images         # once more";
