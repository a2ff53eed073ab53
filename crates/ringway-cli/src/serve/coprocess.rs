//! One process that reads requests and writes answers, in frames.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;

use ringway::service::{Failure, Request, ServeError};

use super::{LOOK, not_started, prepared, status_of};

/// What serves one worker.
pub(super) struct Coprocess<'a> {
    command: &'a [OsString],
    running: Option<Running>,
}

struct Running {
    child: Child,
    requests: Sender<Vec<u8>>,
    answers: Receiver<Vec<u8>>,
    /// Answers that are still to come, and that nobody wants any more.
    unwanted: u64,
}

impl<'a> Coprocess<'a> {
    pub(super) fn new(command: &'a [OsString]) -> Self {
        let running = None;
        Self { command, running }
    }

    /// Gives it the request, and answers with the next frame that it writes.
    pub(super) fn answer(&mut self, mut request: Request<'_>) -> Result<(), ServeError> {
        let mut running = match self.running.take() {
            Some(running) if running.lives() => running,
            _ => match Running::start(self.command) {
                Ok(running) => running,
                Err(error) => return not_started(request, self.command, &error),
            },
        };
        // If nobody takes it any more, no answer comes either.
        let _ = running.requests.send(request.take_body());
        loop {
            match running.answers.recv_timeout(LOOK) {
                Ok(_) if running.unwanted > 0 => running.unwanted -= 1,
                Ok(answer) => {
                    self.running = Some(running);
                    return request.answer(&answer);
                }
                Err(RecvTimeoutError::Timeout) if request.is_cancelled() => {
                    running.unwanted += 1;
                    self.running = Some(running);
                    return Err(ServeError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "the command ended without an answer";
                    let status = running.end();
                    return request.fail(&Failure::new(text).with_status(status));
                }
            }
        }
    }
}

impl Running {
    fn start(command: &[OsString]) -> io::Result<Self> {
        let mut child = prepared(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (requests, waiting) = mpsc::channel();
        let (written, answers) = mpsc::channel();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        if let (Some(stdin), Some(stdout)) = (stdin, stdout) {
            thread::spawn(move || write_frames(stdin, &waiting));
            thread::spawn(move || read_frames(stdout, &written));
        }
        Ok(Self {
            child,
            requests,
            answers,
            unwanted: 0,
        })
    }

    /// Whether it has closed its output. Then it is no use any more.
    fn lives(&self) -> bool {
        // What comes unasked is of a command that does not keep to the protocol: it is ended.
        self.unwanted > 0 || matches!(self.answers.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Ends it, if it has not ended, and gives its status, which is no success.
    fn end(mut self) -> i32 {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It has closed its output, and is about to end as a rule.
            thread::sleep(LOOK);
            let _ = self.child.kill();
        }
        let status = self.child.wait().map_or(1, status_of);
        if status == 0 { 1 } else { status }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_frames(mut to: ChildStdin, requests: &Receiver<Vec<u8>>) {
    for request in requests {
        let Ok(len) = u32::try_from(request.len()) else {
            return;
        };
        let written = to.write_all(&len.to_le_bytes());
        if written.and_then(|()| to.write_all(&request)).is_err() {
            return;
        }
    }
}

fn read_frames(mut from: ChildStdout, answers: &Sender<Vec<u8>>) {
    loop {
        let mut len = [0; 4];
        let mut answer = Vec::new();
        let len = match from.read_exact(&mut len) {
            Ok(()) => u64::from(u32::from_le_bytes(len)),
            Err(_) => return,
        };
        // Memory grows with what comes, and not with what is said.
        match (&mut from).take(len).read_to_end(&mut answer) {
            Ok(read) if read as u64 == len => {}
            _ => return,
        }
        if answers.send(answer).is_err() {
            return;
        }
    }
}
