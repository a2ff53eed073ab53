//! A process for each request.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ringway::service::{Failure, Request, ServeError};

use super::{LOOK, not_started, prepared, status_of};

/// So much of an answer is held until it is known whether the command succeeds. What is longer is sent as it comes.
const HELD: usize = 64 << 10;
/// So much of what it wrote to standard error the caller is told.
const TOLD: usize = 2 << 10;

/// Runs the command with the request on its standard input, and answers with its standard output.
pub(super) fn answer(mut request: Request<'_>, command: &[OsString]) -> Result<(), ServeError> {
    let mut prepared = prepared(command);
    if request.is_repeated() {
        prepared.env("RINGWAY_REPEATED", "1");
    }
    let started = prepared
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return not_started(request, command, &error),
    };
    let body = request.take_body();
    if let Some(mut stdin) = child.stdin.take() {
        // Commands need not read all that they are given.
        thread::spawn(move || drop(stdin.write_all(&body)));
    }
    let complaints = child.stderr.take().map(gather_complaints);
    let output = child.stdout.take().map(read_on);
    match pass_on(&mut request, &mut child, output.as_ref()) {
        Ok((held, 0)) => request.answer(&held),
        Ok((_, status)) => {
            let told = complaints.and_then(|complaints| complaints.recv_timeout(LOOK * 4).ok());
            request.fail(&Failure::new(told.unwrap_or_default()).with_status(status))
        }
        Err(error) => {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Sends what comes, until the command has ended. What is left to send, and its status.
fn pass_on(
    request: &mut Request<'_>,
    child: &mut Child,
    output: Option<&Receiver<Vec<u8>>>,
) -> Result<(Vec<u8>, i32), ServeError> {
    let mut held = Vec::new();
    while let Some(output) = output {
        match output.recv_timeout(LOOK) {
            Ok(block) => {
                held.extend_from_slice(&block);
                if held.len() > HELD {
                    request.send(&held)?;
                    held.clear();
                }
            }
            Err(RecvTimeoutError::Timeout) if request.is_cancelled() => {
                return Err(ServeError::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // It has closed its output; as a rule it ends at once.
    let mut pause = Duration::from_micros(100);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((held, status_of(status))),
            Ok(None) if request.is_cancelled() => return Err(ServeError::Cancelled),
            Ok(None) => thread::sleep(pause),
            Err(_) => return Ok((held, 1)),
        }
        pause = (pause * 2).min(LOOK);
    }
}

/// Reads as it comes, two blocks ahead.
fn read_on(mut from: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(2);
    thread::spawn(move || {
        let mut block = vec![0; HELD];
        // An error is an end, too.
        while let Ok(len @ 1..) = from.read(&mut block) {
            if sender.send(block[..len].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Shows here what the command complains of, and gives the end of it when it has ended.
fn gather_complaints(mut from: ChildStderr) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut told = Vec::new();
        let mut block = vec![0; TOLD];
        while let Ok(len @ 1..) = from.read(&mut block) {
            // Whether anybody listens or not.
            let _ = std::io::stderr().write_all(&block[..len]);
            told.extend_from_slice(&block[..len]);
            told.drain(..told.len().saturating_sub(TOLD));
        }
        drop(sender.send(told));
    });
    receiver
}
