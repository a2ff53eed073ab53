//! From a message queue. What is taken out of one cannot be put back: a receiver that is killed has lost what it
//! had not written.

use std::io;

use ringway::mq::{self, QueueReceiver};
use ringway::{Address, Channel, ErrorKind, RecvError};

use super::{BLOCK, Output, all_came, append, deadline, explain};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::say::say;
use crate::signals::Busy;
use crate::units::counted;

/// Writes messages until the senders close.
pub(super) fn receive(
    receiver: &mut QueueReceiver,
    channel: &Channel,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.clear();
        let mut count = 0;
        // What is taken is in hand until it is written.
        let mut busy = None;
        let end = loop {
            // Only the first is waited for.
            let message = match count {
                0 => receiver.recv_in_place(deadline(args.timeout)),
                _ => receiver.try_recv_in_place(),
            };
            match message {
                Ok(message) => {
                    busy.get_or_insert_with(Busy::begin);
                    let text = message.bytes();
                    append(&mut bytes, output.framing, text.len(), |room| {
                        room.copy_from_slice(text);
                    })?;
                    message.release();
                    count += 1;
                }
                Err(end) => break Some(end),
            }
            if count == left || bytes.len() >= BLOCK {
                break None;
            }
        };
        let written = output.write_all(&bytes);
        if let Err((written, error)) = written {
            return Err(lost(&bytes[written..], count, error, busy));
        }
        if let Some(busy) = busy {
            busy.end_if_urged();
        }
        output.progress.add(count, bytes.len());
        left -= count;
        match end {
            None | Some(RecvError::Empty) => {}
            // It shows again when it is waited for.
            Some(_) if count > 0 => {}
            Some(RecvError::Closed) => {
                refuse_removal(channel)?;
                return all_came(output.progress.messages(), args.count);
            }
            Some(RecvError::PeerDied) if args.follow => {
                receiver
                    .wait_for_peer(deadline(args.timeout))
                    .map_err(explain)?;
            }
            Some(error) => return Err(explain(error)),
        }
    }
    Ok(())
}

/// Says what was taken out of the queue and reached nobody. `count` messages were to be written.
fn lost(rest: &[u8], count: u64, error: io::Error, busy: Option<Busy>) -> Failure {
    let loss = format!(
        "{} of the last {} that were taken out of the queue are not written, and lost",
        counted(rest.len() as u64, "byte"),
        counted(count, "message")
    );
    if error.kind() == io::ErrorKind::Interrupted {
        say(&loss);
    }
    if let Some(busy) = busy {
        busy.end_if_urged();
    }
    Failure::error(format_args!(
        "cannot write to standard output: {error}; {loss}"
    ))
}

/// A System V queue that is removed under its receiver says the same as one that is closed, and loses what is in it.
fn refuse_removal(channel: &Channel) -> Result<(), Failure> {
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
