//! One message of any size, in pieces.
//!
//! A piece is acknowledged, or taken out of its queue, long before the message is whole. So an end in the midst of one
//! loses it, and says so: [`Noted`] notes the first piece before it is acknowledged. A queue gives no time between the
//! two, and so the process is busy while it waits there.

use std::io::Read;
use std::time::Instant;

use ringway::RecvError;
use ringway::channel::{ChannelMessage, ChannelReceiver};
use ringway::chunk::{ChunkReceiver, ChunkRecvError, Why};
use ringway::transport::MessageSource;

use super::{BLOCK, Output};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::{self, Busy};
use crate::units::{deadline, human_size};

/// Writes the next message out as it comes. What came of other messages meanwhile is lost with this receiver.
pub(super) fn receive(
    receiver: ChannelReceiver,
    args: &RecvArgs,
    output: &mut Output,
) -> (ChannelReceiver, Result<(), Failure>) {
    let busy = matches!(receiver, ChannelReceiver::Queue(_)).then(Busy::begin);
    let mut receiver = ChunkReceiver::new(Noted {
        receiver,
        progress: output.progress.clone(),
        has_begun: false,
    });
    let mut outcome = write_out(&mut receiver, args, output, busy.as_ref());
    let undelivered = receiver.undelivered();
    if outcome.is_ok() && undelivered > 0 {
        let loss = format!(
            "the message is written, but {} of other messages, which came in between and were taken out with it, \
             are lost: --whole receives one message, of one sender at a time",
            human_size(undelivered)
        );
        output.progress.set_loss(Some(loss.clone()));
        outcome = Err(Failure::error(loss));
    }
    if let Some(busy) = &busy {
        busy.end_if_urged();
    }
    // The failure says it.
    output.progress.set_loss(None);
    (receiver.into_inner().receiver, outcome)
}

/// `busy`: all the time.
fn write_out(
    receiver: &mut ChunkReceiver<Noted>,
    args: &RecvArgs,
    output: &mut Output,
    busy: Option<&Busy>,
) -> Result<(), Failure> {
    let most = args.ring.max_message.unwrap_or(u64::MAX);
    let mut stream = receiver
        .stream_deadline(deadline(args.intake.timeout))
        .map_err(|error| explain(&error))?;
    let total = stream.total();
    if total.is_some_and(|total| total > most) {
        return Err(too_large(most));
    }
    let mut bytes = vec![0; BLOCK];
    let mut done = 0;
    loop {
        // The time-out is for silence, not for the whole message.
        stream.set_deadline(deadline(args.intake.timeout));
        let len = match stream.read(&mut bytes) {
            Ok(0) => {
                output.progress.add(1, 0);
                output.progress.set_loss(None);
                return Ok(());
            }
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
        if done + len as u64 > most {
            return Err(too_large(most));
        }
        let brief = busy.is_none().then(Busy::begin);
        let written = output.write_all(&bytes[..len]);
        let count = match &written {
            Ok(()) => len,
            Err((count, _)) => *count,
        };
        done += count as u64;
        output.progress.advance(count, total);
        let loss = (total != Some(done)).then(|| loss_of_all_but(done));
        output.progress.set_loss(loss);
        if let Some(busy) = busy.or(brief.as_ref()) {
            busy.end_if_urged();
        }
        if let Err((_, error)) = written {
            return Err(Failure::error(format_args!(
                "cannot write to standard output: {error}; {}",
                loss_of_all_but(done)
            )));
        }
    }
}

fn loss_of_all_but(written: u64) -> String {
    format!(
        "only {} of the message are written, and the rest is lost",
        human_size(written)
    )
}

/// A receiver that notes that a message has begun.
struct Noted {
    receiver: ChannelReceiver,
    progress: Progress,
    has_begun: bool,
}

/// Notes that a message has begun: before it is acknowledged, as it borrows the receiver.
fn note(progress: &Progress, has_begun: &mut bool) {
    if !std::mem::replace(has_begun, true) {
        progress.set_loss(Some(loss_of_all_but(0)));
    }
}

impl MessageSource for Noted {
    type Message<'a> = ChannelMessage<'a>;

    fn try_receive(&mut self) -> Result<ChannelMessage<'_>, RecvError> {
        // Only who waits in a queue is busy here, and so urged.
        if signals::is_urged() {
            return Err(RecvError::TimedOut);
        }
        let message = self.receiver.try_receive()?;
        note(&self.progress, &mut self.has_begun);
        Ok(message)
    }

    fn receive_deadline(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<ChannelMessage<'_>, RecvError> {
        let message = self.receiver.receive_deadline(deadline)?;
        note(&self.progress, &mut self.has_begun);
        Ok(message)
    }

    fn is_attached(&self, sender: u64) -> Option<bool> {
        MessageSource::is_attached(&self.receiver, sender)
    }

    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        MessageSource::wait_while_attached_deadline(&mut self.receiver, senders, deadline)
    }

    fn is_drained(&mut self) -> bool {
        MessageSource::is_drained(&mut self.receiver)
    }

    fn capacity(&self) -> Option<u64> {
        MessageSource::capacity(&self.receiver)
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
