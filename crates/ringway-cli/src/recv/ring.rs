//! From a ring.

use ringway::{Channel, Receiver, RecvError, Role};

use super::{BLOCK, Output, append, deadline, explain};
use crate::cli::RecvArgs;
use crate::failure::Failure;

/// Writes messages until the senders close.
pub(super) fn receive(
    receiver: &mut Receiver,
    channel: &Channel,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut inlet = Inlet {
        receiver,
        many_senders: channel.allows_many(Role::Producer),
        shared: channel.allows_many(Role::Consumer),
        output,
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    inlet.receive(args)
}

/// A receiver, and where its messages go.
struct Inlet<'a> {
    receiver: &'a mut Receiver,
    /// Whether another sender may come when all have closed.
    many_senders: bool,
    /// Whether other receivers get messages too.
    shared: bool,
    output: &'a mut Output,
    /// Messages that are on their way out, framed.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Inlet<'_> {
    fn receive(&mut self, args: &RecvArgs) -> Result<(), Failure> {
        let mut left = args.count.unwrap_or(u64::MAX);
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
                let message = match backlog.next_message() {
                    Ok(Some(message)) => message,
                    // An error shows again, when what came before it is out.
                    Err(error) if ends.is_empty() && error != RecvError::Empty => {
                        return Err(explain(error));
                    }
                    Ok(None) | Err(_) => break,
                };
                append(bytes, self.output.framing, message.len(), |room| {
                    message.read_at(0, room);
                })?;
                ends.push(bytes.len());
            }
            match self.output.write_all(bytes) {
                Ok(()) => {
                    let count = backlog.release();
                    self.output.progress.add(count, bytes.len());
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
