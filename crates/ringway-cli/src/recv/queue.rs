//! From a message queue. What is taken out of one cannot be put back: a receiver that is killed has lost what it
//! had not written. One that is told to end by a signal writes it first, or says how much is lost.

use std::io;
use std::time::Instant;

use ringway::mq::{self, QueueReceiver};
use ringway::{Address, Channel, ErrorKind, RecvError};

use super::{BLOCK, Output, all_came, append, explain};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::signals::Busy;
use crate::units::{counted, deadline};

/// How long to wait for a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    None,
    Until(Option<Instant>),
}

/// Why there is no message.
pub(super) enum Stop {
    Ended(RecvError),
    Failed(Failure),
}

/// What messages are taken out of.
pub(super) trait Source {
    /// Shows the next message to `keep`, which has it then. A wait ends as if its time had passed when a signal tells the
    /// process to end.
    fn take(
        &mut self,
        patience: Patience,
        keep: impl FnOnce(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Stop>;

    /// Fails unless an end is an orderly one.
    fn check_end(&self, end: RecvError) -> Result<(), Failure>;
}

/// Writes messages until the senders close.
pub(super) fn receive(
    source: &mut impl Source,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut left = args.intake.count.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // Also while it waits: what is taken must not go with the process in the moment before that is known.
    let busy = Busy::begin();
    while left > 0 {
        let (count, stop) = take_block(source, left, args, output, &mut bytes);
        if let Err((written, error)) = output.write_all(&bytes) {
            return Err(lost(&bytes[written..], count, &error, output, &busy));
        }
        output.count(count, bytes.len());
        busy.end_if_urged();
        left -= count;
        match stop {
            None | Some(Stop::Ended(RecvError::Empty)) => {}
            // It shows again when it is waited for.
            Some(_) if count > 0 => {}
            Some(Stop::Ended(end)) => {
                source.check_end(end)?;
                return all_came(output.progress.messages(), args.intake.count);
            }
            Some(Stop::Failed(failure)) => return Err(failure),
        }
    }
    Ok(())
}

/// Takes up to `most` messages into `bytes`, in their frames; only the first is waited for. Returns how many, and what
/// came behind them if not another message.
fn take_block(
    source: &mut impl Source,
    most: u64,
    args: &RecvArgs,
    output: &Output,
    bytes: &mut Vec<u8>,
) -> (u64, Option<Stop>) {
    bytes.clear();
    let mut count = 0;
    while count < most && bytes.len() < BLOCK {
        let patience = match count {
            0 => Patience::Until(deadline(args.intake.timeout)),
            _ => Patience::None,
        };
        let taken = source.take(patience, |message| {
            append(bytes, output.framing, message.len(), |room| {
                room.copy_from_slice(message);
            })
        });
        match taken {
            Ok(()) => count += 1,
            Err(stop) => return (count, Some(stop)),
        }
    }
    (count, None)
}

/// Says what was taken out of the queue and reached nobody. `count` messages were to be written.
fn lost(rest: &[u8], count: u64, error: &io::Error, output: &Output, busy: &Busy) -> Failure {
    let loss = format!(
        "{} of the last {} that were taken out of the queue are not written, and lost",
        counted(rest.len() as u64, "byte"),
        counted(count, "message")
    );
    output.progress.set_loss(Some(loss.clone()));
    busy.end_if_urged();
    // The failure says it.
    output.progress.set_loss(None);
    Failure::error(format_args!(
        "cannot write to standard output: {error}; {loss}"
    ))
}

/// A queue of ringway's.
pub(super) struct Ours<'a> {
    pub(super) queue: &'a mut QueueReceiver,
    pub(super) channel: &'a Channel,
}

impl Source for Ours<'_> {
    fn take(
        &mut self,
        patience: Patience,
        keep: impl FnOnce(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Stop> {
        let message = match patience {
            Patience::None => self.queue.try_recv_in_place(),
            Patience::Until(deadline) => self.queue.recv_in_place_deadline(deadline),
        };
        let message = message.map_err(Stop::Ended)?;
        keep(message.bytes()).map_err(Stop::Failed)?;
        message.release();
        Ok(())
    }

    fn check_end(&self, end: RecvError) -> Result<(), Failure> {
        match end {
            RecvError::Closed => refuse_removal(self.channel),
            error => Err(explain(error)),
        }
    }
}

/// A System V queue that is removed under its receiver says the same as one that is closed, and loses what is in it.
pub(crate) fn refuse_removal(channel: &Channel) -> Result<(), Failure> {
    let address = channel.address();
    match address {
        Address::Sysvmq(_) => match mq::stat(address) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Failure::negative(format_args!(
                    "{address} was removed by somebody; what was not received yet is lost"
                )))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
