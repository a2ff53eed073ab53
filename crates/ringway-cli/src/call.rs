//! `ringway call`: one call of a service.

use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;

use ringway::ErrorKind;
use ringway::service::{CallError, Connect};

use crate::cli::CallArgs;
use crate::descriptors;
use crate::failure::Failure;
use crate::output;

/// Sends a request, and writes the answer to standard output.
pub(crate) fn run(args: &CallArgs) -> Result<(), Failure> {
    let request = match &args.data {
        Some(data) => data.as_bytes().to_vec(),
        None => read_all()?,
    };
    // What comes is written out, and never gathered.
    let mut connect = Connect::at(args.address.clone())
        .any_owner(args.any_owner)
        .max_answer(usize::MAX);
    if let Some(wait) = args.wait {
        connect = connect.wait(wait);
    }
    if let Some(timeout) = args.timeout {
        connect = connect.timeout(timeout);
    }
    if args.at_least_once {
        connect = connect.at_least_once();
    }
    let mut client = connect.open().map_err(advise)?;
    let out = output::data()?;
    let mut last = b'\n';
    for part in client.stream(&request).map_err(of_call)? {
        let part = part.map_err(of_call)?;
        output::write_all(&out, &part).map_err(|(_, error)| Failure::output(error))?;
        last = part.last().copied().unwrap_or(last);
    }
    if last != b'\n' && std::io::stdout().is_terminal() {
        output::print("\n")?;
    }
    Ok(())
}

fn read_all() -> Result<Vec<u8>, Failure> {
    descriptors::require_input()?;
    let mut request = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut request);
    read.map_err(|error| Failure::error(format_args!("cannot read standard input: {error}")))?;
    Ok(request)
}

/// The next step, as the command line has it.
fn advise(error: ringway::Error) -> Failure {
    Failure::from(match error.kind() {
        ErrorKind::NotFound => {
            error.remedy("start a server (ringway serve), or wait for one with --wait 5s")
        }
        ErrorKind::ForeignOwner => error.remedy("if that user is to be trusted, add --any-owner"),
        _ => error,
    })
}

fn of_call(error: CallError) -> Failure {
    match &error {
        CallError::Failed(failure) => Failure::theirs(failure.status(), error),
        CallError::NoServer
        | CallError::ServerDied
        | CallError::LetGo
        | CallError::TimedOut
        | CallError::Removed => Failure::negative(error),
        _ => Failure::error(error),
    }
}
