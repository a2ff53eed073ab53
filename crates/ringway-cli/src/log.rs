//! Opening logs, and what goes wrong with them in the words of the command line.

use std::thread;
use std::time::{Duration, Instant};

use ringway::log::{AppendError, Builder, Log, ReadError, Recovery, Writer};
use ringway::{Address, Error, ErrorKind};

use crate::cli::{HowArgs, WriteLogArgs};
use crate::failure::Failure;
use crate::say::say;
use crate::units::human_size;

/// How often to look for a log that is waited for.
const INTERVAL: Duration = Duration::from_millis(20);

/// Opens the log at an address, or makes it if that was asked for.
pub(crate) fn open(
    address: &Address,
    how: &HowArgs,
    write: Option<&WriteLogArgs>,
) -> Result<Log, Failure> {
    let given = how.make.given();
    if let Some(option) = given.iter().find(|option| **option != "--mode") {
        return Err(Failure::error(format_args!(
            "{} is a log, which has no {option}: leave that out",
            address
        )));
    }
    let mut builder = Builder::at(address)?;
    if let Some(mode) = how.make.mode {
        builder = builder.mode(mode);
    }
    if let Some(write) = write {
        builder = write.apply(builder);
    }
    if how.create {
        return builder.open_or_create().map_err(Failure::error);
    }
    let until = how.wait.map(|wait| Instant::now().checked_add(wait));
    loop {
        match (builder.clone().open(), until) {
            (Err(error), Some(until))
                if error.kind() == ErrorKind::NotFound
                    && until.is_none_or(|until| Instant::now() < until) =>
            {
                thread::sleep(INTERVAL);
            }
            (outcome, _) => return outcome.map_err(advise),
        }
    }
}

/// The same, to write to it. Says what was put in order.
pub(crate) fn open_to_write(
    address: &Address,
    how: &HowArgs,
    args: &WriteLogArgs,
) -> Result<Writer, Failure> {
    let log = open(address, how, Some(args))?;
    let writer = log.writer().map_err(advise)?;
    report(address, writer.recovery());
    Ok(writer)
}

/// Says what a dead writer had left.
fn report(address: &Address, recovery: Recovery) {
    if recovery.torn > 0 {
        let torn = human_size(recovery.torn);
        say(format_args!(
            "{address}: a writer died while it wrote; {torn} that nobody was told of are taken away"
        ));
    }
    if recovery.cut > 0 {
        let cut = human_size(recovery.cut);
        say(format_args!(
            "{address} was cut where it is damaged; {cut} are kept in a file .cut"
        ));
    }
}

/// The next step, as the command line has it.
pub(crate) fn advise(error: Error) -> Failure {
    Failure::from(match error.kind() {
        ErrorKind::NotFound => {
            error.remedy("make it with send --create or record, or wait for it with --wait 5s")
        }
        ErrorKind::Corrupt if error.next_step().contains("repair") => error.remedy(
            "copy the directory, and see to the disk; then read what is left (recv --skip-damaged), or have it cut there \
             (send --repair)",
        ),
        _ => error,
    })
}

/// Whether an address is a log's.
pub(crate) fn is_log(address: &Address) -> bool {
    matches!(address, Address::Log(_))
}

/// Why nothing more was appended.
pub(crate) fn explain_append(error: AppendError) -> Failure {
    match error {
        AppendError::Poisoned { .. } => {
            Failure::error(format_args!("{error} (send --repair does that)"))
        }
        _ => Failure::error(error),
    }
}

/// Why nothing more was read.
pub(crate) fn explain_read(error: ReadError) -> Failure {
    match error {
        ReadError::TimedOut => Failure::negative("no message came in time"),
        ReadError::Removed => Failure::negative(error),
        ReadError::PeerDied => Failure::negative(
            "the writer died before it closed; all that it wrote is read (--follow waits for the next one)",
        ),
        ReadError::Corrupt { .. } => {
            Failure::error(format_args!("{error} (--skip-damaged does that)"))
        }
        _ => Failure::error(error),
    }
}
