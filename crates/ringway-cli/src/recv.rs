//! `ringway recv`: from a ring to standard output.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use ringway::{MessageView, Receiver, RecvError, Role};

use crate::attach;
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::output;
use crate::progress::Progress;

/// Bytes that are gathered before they are written, if there are so many.
const BLOCK: usize = 256 << 10;

/// Writes messages until the senders close.
pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    let ring = attach::open(&args.ring)?;
    let receiver = ring.receiver()?;
    let kind = ring.kind();
    let mut inlet = Inlet {
        receiver,
        many_senders: kind.allows_many(Role::Producer),
        shared: kind.allows_many(Role::Consumer),
        framing: args.ring.framing(),
        output: output::data()?,
        bytes: Vec::new(),
        ends: Vec::new(),
        progress: Progress::new(args.ring.quiet, &io::stdout()),
    };
    let outcome = inlet.receive(args);
    let Inlet { receiver, .. } = inlet;
    match outcome {
        Ok(()) => {
            drop(receiver);
            if args.unlink {
                attach::unlink(&ring)
            } else {
                Ok(())
            }
        }
        Err(failure) => {
            if failure.is_error() {
                // Held until this process ends, which is at once: the sender shall learn that something
                // went wrong here, as if this process had died.
                std::mem::forget(receiver);
            }
            Err(failure)
        }
    }
}

/// A receiver, and where its messages go.
struct Inlet {
    receiver: Receiver,
    /// Whether another sender may come when all have closed.
    many_senders: bool,
    /// Whether other receivers get messages too.
    shared: bool,
    framing: Framing,
    output: File,
    /// Messages that are on their way out, framed.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    progress: Progress,
}

impl Inlet {
    fn receive(&mut self, args: &RecvArgs) -> Result<(), Failure> {
        let mut left = match self.framing {
            Framing::Whole => 1,
            _ => args.count.unwrap_or(u64::MAX),
        };
        while left > 0 {
            // Before the wait: who joins after it may have left something.
            let ever = self.receiver.producers_ever();
            match self.receiver.wait(deadline(args.timeout)) {
                Ok(()) => left -= self.pass_on(left)?,
                Err(end @ (RecvError::Closed | RecvError::PeerDied))
                    if self.expects_another(end, ever, args) =>
                {
                    self.receiver
                        .wait_for_producers(ever + 1, deadline(args.timeout))
                        .map_err(explain)?;
                }
                Err(RecvError::Closed) if self.framing == Framing::Whole => {
                    return Err(Failure::negative(
                        "the sender has closed the ring without a message",
                    ));
                }
                Err(RecvError::Closed) => return Ok(()),
                Err(error) => return Err(explain(error)),
            }
        }
        Ok(())
    }

    /// Whether to wait for another sender when all of `ever` have left.
    fn expects_another(&self, end: RecvError, ever: u64, args: &RecvArgs) -> bool {
        let more = args.producers.is_some_and(|producers| ever < producers);
        match end {
            RecvError::PeerDied => args.follow || more,
            _ => self.many_senders && more,
        }
    }

    /// Writes up to `most` messages that are there now, then releases them.
    fn pass_on(&mut self, most: u64) -> Result<u64, Failure> {
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        bytes.clear();
        ends.clear();
        let (written, error) = {
            let mut backlog = self.receiver.backlog();
            while (ends.len() as u64) < most && bytes.len() < BLOCK {
                // An error shows again, in `wait`, when what came before it is out.
                let Ok(Some(message)) = backlog.next_message() else {
                    break;
                };
                append(bytes, message, self.framing);
                ends.push(bytes.len());
            }
            match write_all(&mut self.output, bytes) {
                Ok(()) => {
                    let count = backlog.release();
                    self.progress.add(count, bytes.len());
                    return Ok(count);
                }
                Err(error) => error,
            }
        };
        if !self.shared {
            // The same messages again, from the first: those that are out are released. Other receivers
            // could have come in between; where there are any, all goes to them.
            let whole = ends.partition_point(|end| *end <= written);
            let _ = self.receiver.drain(whole, |_| ());
        }
        Err(Failure::output(error))
    }
}

fn append(bytes: &mut Vec<u8>, message: MessageView<'_>, framing: Framing) {
    if framing == Framing::Frames {
        // No message is longer: its record has 32 bits for the length.
        bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
    }
    let start = bytes.len();
    bytes.resize(start + message.len(), 0);
    message.read_at(0, &mut bytes[start..]);
    if framing == Framing::Lines {
        bytes.push(b'\n');
    }
}

/// Writes everything, or says how much was written before the error.
fn write_all(output: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// A time beyond the clock's range never comes.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

fn explain(error: RecvError) -> Failure {
    match error {
        RecvError::TimedOut => Failure::negative("no message came in time"),
        RecvError::PeerDied => Failure::negative(
            "a sender died before it closed the ring; all that it sent is received (--follow waits \
             for the next sender)",
        ),
        _ => Failure::error(error),
    }
}
