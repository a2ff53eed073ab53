//! From a message queue. What is taken out of one cannot be put back: a receiver that is killed has lost what it
//! had not written.

use ringway::mq::{self, QueueReceiver};
use ringway::{Address, Channel, ErrorKind, RecvError};

use super::{BLOCK, Output, append, deadline, explain};
use crate::cli::RecvArgs;
use crate::failure::Failure;

/// Writes messages until the senders close.
pub(super) fn receive(
    receiver: &mut QueueReceiver,
    channel: &Channel,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    if args.producers.is_some() {
        return Err(Failure::error(
            "a queue does not count its senders: leave out --producers, or use a ring of kind mpsc",
        ));
    }
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.clear();
        let mut count = 0;
        let end = loop {
            // Only the first is waited for.
            let message = match count {
                0 => receiver.recv_in_place(deadline(args.timeout)),
                _ => receiver.try_recv_in_place(),
            };
            match message {
                Ok(message) => {
                    let message = message.bytes();
                    append(&mut bytes, output.framing, message.len(), |room| {
                        room.copy_from_slice(message);
                    })?;
                    count += 1;
                }
                Err(end) => break Some(end),
            }
            if count == left || bytes.len() >= BLOCK {
                break None;
            }
        };
        output
            .write_all(&bytes)
            .map_err(|(_, error)| Failure::output(error))?;
        output.progress.add(count, bytes.len());
        left -= count;
        match end {
            None | Some(RecvError::Empty) => {}
            // It shows again when it is waited for.
            Some(_) if count > 0 => {}
            Some(RecvError::Closed) => return refuse_removal(channel),
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
