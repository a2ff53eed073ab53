//! From a log. A named cursor passes what is written, and not before.

use ringway::Address;
use ringway::log::{ReadError, Reader};

use super::sink::Sink;
use super::{BLOCK, Stop};
use crate::cli::JoinArgs;
use crate::failure::Failure;
use crate::log;
use crate::progress::Progress;
use crate::recv;
use crate::signals::Busy;

/// Where a log is read.
pub(super) struct Inlet {
    reader: Reader,
    skip_damaged: bool,
    /// A message on its way.
    copy: Vec<u8>,
    /// What came instead of a message, and is yet to be looked at.
    pending: Option<ReadError>,
}

fn failed(error: ReadError) -> Stop {
    Stop::Failed(log::explain_read(error))
}

impl Inlet {
    pub(super) fn open(address: &Address, args: &JoinArgs) -> Result<Self, Failure> {
        let subscription = (args.intake().subscription.of_log(None)?)
            .follow(args.follow)
            .synced_only(args.read_log.synced);
        let log = log::open(address, &args.how, None)?;
        Ok(Self {
            reader: log.subscribe(&subscription).map_err(log::advise)?,
            skip_damaged: args.read_log.skip_damaged,
            copy: Vec::new(),
            pending: None,
        })
    }

    /// Passes on what comes until the end.
    pub(super) fn pump(&mut self, sink: &mut Sink, progress: &mut Progress) -> Result<(), Stop> {
        loop {
            // Idle: what is only read comes again.
            let next = match self.pending.take() {
                Some(error) => Err(error),
                None => self.next(true),
            };
            match next {
                Ok(number) => {
                    let busy = Busy::begin();
                    let passed = self.pass_on(number, sink, progress);
                    busy.end_if_urged();
                    passed?;
                }
                Err(ReadError::Lagged { missed }) => recv::say_missed(missed),
                Err(ReadError::Closed) => return Ok(()),
                Err(ReadError::Corrupt { .. }) if self.skip_damaged => {
                    self.reader.skip_damaged().map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Copies the next message, and returns its number.
    fn next(&mut self, waits: bool) -> Result<u64, ReadError> {
        let message = match waits {
            true => self.reader.recv_in_place()?,
            false => self.reader.try_recv_in_place()?,
        };
        self.copy.clear();
        self.copy.extend_from_slice(&message);
        Ok(message.number())
    }

    /// Writes this message and those that are there now; then the cursor passes those that are written.
    fn pass_on(
        &mut self,
        mut number: u64,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let before = sink.written();
        let (mut numbers, mut bytes) = (Vec::new(), 0);
        let stop = loop {
            numbers.push(number);
            bytes += self.copy.len().max(1);
            if let Err(stop) = sink.put(&self.copy) {
                break Err(stop);
            }
            if bytes >= BLOCK {
                break Ok(());
            }
            match self.next(false) {
                Ok(next) => number = next,
                Err(ReadError::Empty) => break Ok(()),
                Err(error) => {
                    self.pending = Some(error);
                    break Ok(());
                }
            }
        };
        let stop = stop.and_then(|()| sink.flush());
        sink.forget();
        let count = sink.written() - before;
        if let Some(last) = (count as usize)
            .checked_sub(1)
            .and_then(|last| numbers.get(last))
        {
            self.reader.acknowledge_before(last + 1).map_err(failed)?;
        }
        progress.add(count, bytes);
        stop
    }
}
