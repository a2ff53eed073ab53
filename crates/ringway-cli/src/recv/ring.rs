//! From a ring.

use ringway::{Receiver, RecvError};

use super::{BLOCK, Output, all_came, append, explain, say_missed};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::signals::Busy;
use crate::units::deadline;

/// Writes messages until the senders close.
pub(super) fn receive(
    receiver: &mut Receiver,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut inlet = Inlet {
        receiver,
        output,
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    inlet.receive(args)
}

/// A receiver, and where its messages go.
struct Inlet<'a> {
    receiver: &'a mut Receiver,
    output: &'a mut Output,
    /// Messages that are on their way out, framed.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Inlet<'_> {
    fn receive(&mut self, args: &RecvArgs) -> Result<(), Failure> {
        let mut left = args.intake.count.unwrap_or(u64::MAX);
        while left > 0 {
            // Before the wait: who joins after it may have left something.
            let ever = self.receiver.producers_ever();
            match self.receiver.wait_deadline(deadline(args.intake.timeout)) {
                Ok(()) => left -= self.pass_on(left)?,
                Err(RecvError::Lagged { missed }) => say_missed(missed),
                Err(end @ (RecvError::Closed | RecvError::PeerDied))
                    if args.intake.expects_another(end, ever) =>
                {
                    self.receiver
                        .wait_for_producers_deadline(ever + 1, deadline(args.intake.timeout))
                        .map_err(explain)?;
                }
                Err(RecvError::Closed) => {
                    return all_came(self.output.progress.messages(), args.intake.count);
                }
                Err(error) => return Err(explain(error)),
            }
        }
        Ok(())
    }

    /// Writes up to `most` messages that are there now, then releases them.
    fn pass_on(&mut self, most: u64) -> Result<u64, Failure> {
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        bytes.clear();
        ends.clear();
        let mut backlog = self.receiver.backlog();
        while (ends.len() as u64) < most && bytes.len() < BLOCK {
            let message = match backlog.next_message() {
                Ok(Some(message)) => message,
                // Another receiver was faster, perhaps with the last one. What that means is found by who waits.
                Ok(None) | Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied) => break,
                Err(RecvError::Lagged { missed }) => {
                    say_missed(missed);
                    break;
                }
                // An error shows again, when what came before it is out.
                Err(error) if ends.is_empty() => return Err(explain(error)),
                Err(_) => break,
            };
            append(bytes, self.output.framing, message.len(), |room| {
                message.read_at(0, room);
            })?;
            ends.push(bytes.len());
        }
        // What is out and not released yet would come again.
        let busy = Busy::begin();
        match self.output.write_all(bytes) {
            Ok(()) => {
                let count = backlog.release();
                self.output.count(count, bytes.len());
                busy.end_if_urged();
                Ok(count)
            }
            Err((written, error)) => {
                let whole = ends.partition_point(|end| *end <= written);
                backlog.release_first(whole as u64);
                let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
                self.output.count(whole as u64, end);
                busy.end_if_urged();
                Err(Failure::output(error))
            }
        }
    }
}
