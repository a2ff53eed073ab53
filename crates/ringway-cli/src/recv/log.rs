//! From a log.

use ringway::log::{ReadError, Reader};

use super::{BLOCK, Output, all_came, append, say_missed};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log;
use crate::signals::Busy;
use crate::units::deadline;

/// Writes messages until the writer closes, or the log ends and nobody writes.
pub(super) fn receive(args: &RecvArgs, output: &mut Output) -> Result<(), Failure> {
    refuse(args)?;
    let subscription = (args.intake.subscription.of_log(None)?)
        .follow(args.intake.follow)
        .synced_only(args.log.synced);
    let log = log::open(&args.ring.place.address, &args.ring.place.how, None)?;
    let reader = log.subscribe(&subscription).map_err(log::advise)?;
    output.progress.begin();
    let mut inlet = Inlet {
        reader,
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    inlet.receive(args, output)?;
    if args.intake.unlink {
        drop(inlet);
        ringway::log::remove(&args.ring.place.address, false)?;
    }
    Ok(())
}

struct Inlet {
    reader: Reader,
    /// Messages that are on their way out, framed.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Inlet {
    fn receive(&mut self, args: &RecvArgs, output: &mut Output) -> Result<(), Failure> {
        let mut left = args.intake.count.unwrap_or(u64::MAX);
        while left > 0 {
            let end = self.gather(left, args, output.framing)?;
            left -= self.pass_on(args, output)?;
            match end {
                None => {}
                Some(ReadError::Lagged { missed }) => say_missed(missed),
                Some(ReadError::Empty) if args.peek => break,
                // When what came before it is out, it shows again where it is waited for.
                Some(ReadError::Empty) => {}
                Some(ReadError::Closed) => {
                    return all_came(output.progress.messages(), args.intake.count);
                }
                Some(ReadError::Corrupt { .. }) if args.log.skip_damaged => {
                    self.reader.skip_damaged().map_err(log::explain_read)?;
                }
                Some(error) => return Err(log::explain_read(error)),
            }
        }
        Ok(())
    }

    /// Takes messages that are there, and waits for the first.
    fn gather(
        &mut self,
        most: u64,
        args: &RecvArgs,
        framing: Framing,
    ) -> Result<Option<ReadError>, Failure> {
        self.bytes.clear();
        self.ends.clear();
        while (self.ends.len() as u64) < most && self.bytes.len() < BLOCK {
            let message = match self.ends.is_empty() && !args.peek {
                true => (self.reader).recv_in_place_deadline(deadline(args.intake.timeout)),
                false => self.reader.try_recv_in_place(),
            };
            match message {
                Ok(message) => append(&mut self.bytes, framing, message.len(), |room| {
                    room.copy_from_slice(&message);
                })?,
                Err(error) => return Ok(Some(error)),
            }
            self.ends.push(self.bytes.len());
        }
        Ok(None)
    }

    /// Writes them out, then acknowledges them. Returns how many.
    fn pass_on(&mut self, args: &RecvArgs, output: &mut Output) -> Result<u64, Failure> {
        let count = self.ends.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        // What is out and not acknowledged yet would come again.
        let busy = Busy::begin();
        match output.write_all(&self.bytes) {
            Ok(()) => {
                if !args.peek {
                    self.reader.acknowledge().map_err(log::explain_read)?;
                }
                output.count(count, self.bytes.len());
                busy.end_if_urged();
                Ok(count)
            }
            Err((written, error)) => {
                let whole = self.ends.partition_point(|end| *end <= written);
                let end = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
                let first = self.reader.next_number() - count;
                let done = self.reader.acknowledge_before(first + whole as u64);
                output.count(whole as u64, end);
                busy.end_if_urged();
                done.map_err(log::explain_read)?;
                Err(Failure::output(error))
            }
        }
    }
}

fn refuse(args: &RecvArgs) -> Result<(), Failure> {
    let refused = [
        (args.ring.framing() == Framing::Whole, "--whole"),
        (args.intake.producers.is_some(), "--producers"),
        (args.ring.foreign, "--foreign"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(Failure::error(format_args!(
            "{} is a log: leave out {option}",
            args.ring.place.address
        ))),
        None => Ok(()),
    }
}
