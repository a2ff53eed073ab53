//! `ringway serve`: calls are answered by a command.

mod coprocess;
mod each;

use std::ffi::OsString;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ringway::ErrorKind;
use ringway::os::Name;
use ringway::service::{self, Request, Serve, ServeError, Server};

use self::coprocess::Coprocess;
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::say::say;

/// How often to look whether the caller still waits, while the command says nothing.
const LOOK: Duration = Duration::from_millis(50);

/// How long a caller may take to take its answer, at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until the service is removed, or a signal comes.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let mut serve = Serve::at(args.address.clone())
        .any_owner(args.any_owner)
        .max_request(usize::try_from(args.max_request).unwrap_or(usize::MAX));
    if let Some(clients) = args.clients {
        serve = serve.clients(clients);
    }
    if let Some(len) = args.part_len {
        serve = serve.part_len(len);
    }
    if let Some(mode) = args.mode {
        serve = serve.mode(mode);
    }
    let server = serve.start().map_err(advise)?;
    let left = Arc::new(AtomicU64::new(args.count.unwrap_or(u64::MAX)));
    let (ended, end) = mpsc::channel();
    for _ in 1..args.workers.get() {
        start(server.another()?, args, &left, ended.clone())?;
    }
    start(server, args, &left, ended)?;
    // The first error ends all; else each ends when there is no more to do.
    end.iter()
        .try_for_each(|ended| ended)
        .map_err(|error| match error {
            ServeError::Removed => Failure::negative(error),
            _ => Failure::error(error),
        })
}

type Ended = Result<(), ServeError>;

fn start(
    server: Server,
    args: &ServeArgs,
    left: &Arc<AtomicU64>,
    ended: mpsc::Sender<Ended>,
) -> Result<(), Failure> {
    let (command, coprocess) = (args.command.clone(), args.coprocess);
    let left = Arc::clone(left);
    let started = thread::Builder::new().spawn(move || {
        // Nobody listens when the program ends.
        let _ = ended.send(work(server, &command, coprocess, &left));
    });
    started
        .map(drop)
        .map_err(|error| Failure::error(format_args!("cannot start a thread: {error}")))
}

/// One worker.
fn work(mut server: Server, command: &[OsString], coprocess: bool, left: &AtomicU64) -> Ended {
    let mut coprocess = coprocess.then(|| Coprocess::new(command));
    let one_less = |left: u64| left.checked_sub(1);
    // Each call is one worker's before it comes, so nobody begins with one too many.
    while (left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)).is_ok() {
        let request = server.next()?;
        let answered = match &mut coprocess {
            Some(coprocess) => coprocess.answer(request),
            None => each::answer(request, command),
        };
        match answered {
            Ok(()) => {}
            Err(error @ (ServeError::Cancelled | ServeError::NotTaken)) => say(error),
            Err(error) => return Err(error),
        }
    }
    // Callers that are stopped do not keep it for ever.
    if !server.finish(PATIENCE)? {
        say("a caller has not taken all of its answer");
    }
    Ok(())
}

/// The command, not started.
fn prepared(command: &[OsString]) -> Command {
    let (program, arguments) = command.split_first().expect("clap asks for a command");
    let mut prepared = Command::new(program);
    prepared.args(arguments);
    prepared
}

/// Tells the caller that the command could not be started, as shells do.
fn not_started(
    request: Request<'_>,
    command: &[OsString],
    error: &std::io::Error,
) -> Result<(), ServeError> {
    let status = match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    };
    let name = Name::of(&command[0]);
    let text = format!("cannot run {name}: {error}");
    say(&text);
    request.fail(&service::Failure::new(text).with_status(status))
}

/// The status as shells show it.
fn status_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    }
}

/// The next step, as the command line has it.
fn advise(error: ringway::Error) -> Failure {
    Failure::error(match error.kind() {
        ErrorKind::ForeignOwner => error.remedy("if that user is to be trusted, add --any-owner"),
        _ => error,
    })
}
