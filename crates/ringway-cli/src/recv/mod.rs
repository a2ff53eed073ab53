//! `ringway recv`: from a ring or a queue to standard output.

mod queue;
mod ring;
mod whole;

use std::fs::File;
use std::io::{self, Write};
use std::sync::Once;
use std::time::{Duration, Instant};

use ringway::chunk::{ChunkReceiver, Header};
use ringway::{ChannelReceiver, RecvError};

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
    let channel = attach::open(&args.ring)?;
    let mut receiver = channel.receiver()?;
    let mut output = Output {
        file: output::data()?,
        framing: args.ring.framing(),
        progress: Progress::new(args.ring.quiet, &io::stdout()),
    };
    let outcome = match &mut receiver {
        _ if output.framing == Framing::Whole => {
            let mut chunks = ChunkReceiver::new(receiver);
            let outcome = whole::receive(&mut chunks, args, &mut output);
            receiver = chunks.into_inner();
            outcome
        }
        ChannelReceiver::Ring(ring) => ring::receive(ring, &channel, args, &mut output),
        ChannelReceiver::Queue(queue) => queue::receive(queue, &channel, args, &mut output),
        _ => Err(Failure::error("this is neither a ring nor a queue")),
    };
    match outcome {
        Ok(()) => {
            drop(receiver);
            if args.unlink {
                attach::unlink(&channel)
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

/// Where messages go.
struct Output {
    file: File,
    framing: Framing,
    progress: Progress,
}

impl Output {
    /// Writes everything, or says how much was written before the error.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

/// A time beyond the clock's range never comes.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Appends a message of `len` bytes, which `copy` writes, in its frame.
fn append(
    bytes: &mut Vec<u8>,
    framing: Framing,
    len: usize,
    copy: impl FnOnce(&mut [u8]),
) -> Result<(), Failure> {
    if framing == Framing::Frames {
        // A slab can hold more.
        let len = u32::try_from(len).map_err(|_| {
            Failure::error(format_args!(
                "a message of {len} bytes is too long for a frame: receive it with --raw"
            ))
        })?;
        bytes.extend_from_slice(&len.to_le_bytes());
    }
    let start = bytes.len();
    bytes.resize(start + len, 0);
    copy(&mut bytes[start..]);
    hint(&bytes[start..]);
    if framing == Framing::Lines {
        bytes.push(b'\n');
    }
    Ok(())
}

/// Says, once, that what comes was sent in pieces: it is received as it is, but hardly on purpose.
fn hint(message: &[u8]) {
    static SAID: Once = Once::new();
    if Header::decode(message, message.len()).is_ok_and(|piece| piece.is_first()) {
        SAID.call_once(|| {
            eprintln!("ringway: these are pieces of a message that was sent with --whole: receive it with --whole");
        });
    }
}

fn explain(error: RecvError) -> Failure {
    match error {
        RecvError::TimedOut => Failure::negative("no message came in time"),
        RecvError::PeerDied => Failure::negative(
            "a sender died before it closed; all that it sent is received (--follow waits for the next \
             sender)",
        ),
        _ => Failure::error(error),
    }
}
