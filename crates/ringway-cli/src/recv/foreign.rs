//! From a POSIX queue of another program's.

use ringway::RecvError;

use super::queue::{self, Patience, Source, Stop};
use super::{Output, explain};
use crate::cli::RecvArgs;
use crate::failure::Failure;
use crate::foreign::{Direction, ForeignQueue};
use crate::signals;

/// Writes messages until so many have come, none comes for so long, or a signal ends it.
pub(super) fn receive(args: &RecvArgs, output: &mut Output) -> Result<(), Failure> {
    let queue = ForeignQueue::open(&args.ring.place, Direction::In)?;
    output.progress.begin();
    let buffer = vec![0; queue.max_len()];
    queue::receive(&mut Theirs { queue, buffer }, args, output)
}

struct Theirs {
    queue: ForeignQueue,
    buffer: Vec<u8>,
}

impl Source for Theirs {
    fn take(
        &mut self,
        patience: Patience,
        keep: impl FnOnce(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Stop> {
        loop {
            let taken = self.queue.try_receive(&mut self.buffer);
            if let Some(len) = taken.map_err(Stop::Failed)? {
                return keep(&self.buffer[..len]).map_err(Stop::Failed);
            }
            let Patience::Until(deadline) = patience else {
                return Err(Stop::Ended(RecvError::Empty));
            };
            if signals::is_urged() || self.queue.wait(Direction::In, deadline) {
                return Err(Stop::Ended(RecvError::TimedOut));
            }
        }
    }

    fn check_end(&self, end: RecvError) -> Result<(), Failure> {
        Err(explain(end))
    }
}
