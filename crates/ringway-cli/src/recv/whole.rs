//! One message of any size, in pieces.

use std::io::{ErrorKind, Read};

use ringway::chunk::{ChunkReceiver, ChunkRecvError, Why};
use ringway::{ChannelReceiver, RecvError};

use super::{BLOCK, Output, deadline};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::say::say;
use crate::signals::Busy;
use crate::units::human_size;

/// Writes the next message out as it comes. What came of other messages meanwhile is lost with this receiver.
pub(super) fn receive(
    receiver: &mut ChunkReceiver<ChannelReceiver>,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    write_out(receiver, args, output)?;
    match receiver.undelivered() {
        0 => Ok(()),
        lost => Err(Failure::error(format_args!(
            "the message is written, but {} of other messages, which came in between and were taken out with it, \
             are lost: --whole receives one message, of one sender at a time",
            human_size(lost)
        ))),
    }
}

fn write_out(
    receiver: &mut ChunkReceiver<ChannelReceiver>,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let most = args.ring.max_message.unwrap_or(u64::MAX);
    let mut stream = receiver
        .stream(deadline(args.timeout))
        .map_err(|error| explain(&error))?;
    let total = stream.total();
    if total.is_some_and(|total| total > most) {
        return Err(too_large(most));
    }
    let mut bytes = vec![0; BLOCK];
    let mut done = 0;
    loop {
        // The time-out is for silence, not for the whole message.
        stream.set_deadline(deadline(args.timeout));
        let len = match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                let failure = cause.map_or_else(|| Failure::error(&error), explain);
                return Err(failure.after(format_args!(
                    "only {} of the message are written",
                    human_size(done)
                )));
            }
        };
        done += len as u64;
        if done > most {
            return Err(too_large(most));
        }
        let busy = Busy::begin();
        if let Err((written, error)) = output.write_all(&bytes[..len]) {
            let done = done - (len - written) as u64;
            let loss = format!(
                "only {} of the message are written, and the rest is lost",
                human_size(done)
            );
            if error.kind() == ErrorKind::Interrupted {
                say(&loss);
            }
            busy.end_if_urged();
            return Err(Failure::error(format_args!(
                "cannot write to standard output: {error}; {loss}"
            )));
        }
        busy.end_if_urged();
        output.progress.advance(len, total);
    }
}

fn too_large(most: u64) -> Failure {
    Failure::error(format_args!(
        "the message has more than {}: raise --max-message",
        human_size(most)
    ))
}

fn explain(error: &ChunkRecvError) -> Failure {
    match error {
        ChunkRecvError::Transport(RecvError::Closed) => {
            Failure::negative("the sender has closed without a message")
        }
        ChunkRecvError::Transport(error @ RecvError::Removed) => Failure::negative(error),
        ChunkRecvError::Transport(RecvError::Empty | RecvError::TimedOut) => {
            Failure::negative("no message came in time")
        }
        ChunkRecvError::Transport(RecvError::PeerDied) => {
            Failure::negative("the sender died before it sent a message")
        }
        ChunkRecvError::Lost(lost)
            if matches!(lost.why, Why::SenderGone | Why::Aborted | Why::Orphan) =>
        {
            Failure::negative(lost)
        }
        ChunkRecvError::Frame(error) => Failure::error(format_args!(
            "{error}; what is sent without --whole is received without it"
        )),
        _ => Failure::error(error),
    }
}
