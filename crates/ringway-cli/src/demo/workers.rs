//! Starting the processes of a demo, and hearing what they found out.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use clap::ValueEnum;
use ringway::Channel;

use super::worker::WorkerReport;
use crate::attach;
use crate::cli::WorkerRole;
use crate::cli::slabs::CopyArgs;
use crate::failure::Failure;

/// A worker that is yet to be started.
pub(super) fn command(
    role: WorkerRole,
    messages: u64,
    size: usize,
    start_ns: u64,
    copy: &CopyArgs,
) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(Failure::error)?);
    let role = role
        .to_possible_value()
        .map(|value| value.get_name().to_owned());
    command.arg("demo-worker").arg(role.unwrap_or_default());
    command.args(["--messages", &messages.to_string()]);
    command.args(["--size", &size.to_string()]);
    command.args(["--start-ns", &start_ns.to_string()]);
    command.args(copy.words());
    command.stderr(Stdio::piped());
    Ok(command)
}

/// A pipe's ends: to read from, to write to.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) = io::pipe().map_err(Failure::error)?;
    Ok((reader.into(), writer.into()))
}

/// Starts a worker whose transport is its standard input and output. The parent's ends are closed on
/// return, so that the death of one worker is an end of file to the other.
pub(super) fn start(
    mut command: Command,
    input: OwnedFd,
    output: OwnedFd,
) -> Result<Child, Failure> {
    command
        .stdin(input)
        .stdout(output)
        .spawn()
        .map_err(cannot_start)
}

/// Starts a worker that opens `channels`; those without a name are handed over.
pub(super) fn start_on(command: &mut Command, channels: &[Channel]) -> Result<Child, Failure> {
    let (ours, theirs) = UnixStream::pair().map_err(Failure::error)?;
    command.args(channels.iter().map(|channel| channel.address().to_string()));
    let child = command
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(cannot_start)?;
    attach::hand_over_all(channels, &ours)?;
    Ok(child)
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::error(format_args!("cannot start a worker: {error}"))
}

/// Waits for all workers, and gives their reports in the same order. The first that fails ends the demo,
/// and the end of this process ends the others.
pub(super) fn reports(
    workers: impl IntoIterator<Item = (WorkerRole, Child)>,
) -> Result<Vec<WorkerReport>, Failure> {
    let (done, outcomes) = mpsc::channel();
    let mut reports = Vec::new();
    for (index, (role, child)) in workers.into_iter().enumerate() {
        let done = done.clone();
        reports.push(WorkerReport::default());
        thread::spawn(move || done.send((index, role, report_of(child))));
    }
    drop(done);
    for (index, role, outcome) in outcomes {
        reports[index] = outcome.map_err(|why| {
            let role = format!("{role:?}").to_lowercase();
            Failure::error(format_args!("the {role} process {why}"))
        })?;
    }
    Ok(reports)
}

/// The worker's report, or what happened to it.
fn report_of(mut child: Child) -> Result<WorkerReport, String> {
    let mut text = String::new();
    let read = child
        .stderr
        .take()
        .map(|mut stderr| stderr.read_to_string(&mut text));
    let status = child.wait().map_err(|error| error.to_string())?;
    if let Some(Err(error)) = read {
        return Err(error.to_string());
    }
    match status.code() {
        Some(0) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Some(_) => Err(format!(
            "failed: {}",
            text.trim_end().trim_start_matches("ringway: ")
        )),
        None => Err(format!(
            "died by signal {}",
            status.signal().unwrap_or_default()
        )),
    }
}
