//! To a POSIX queue of another program's.

use super::outlet::NO_ROOM;
use super::{Items, SendArgs};
use crate::failure::Failure;
use crate::foreign::{Direction, ForeignQueue};
use crate::progress::Progress;
use crate::units::deadline;

/// Sends everything, and leaves it there: such a queue has no end.
pub(super) fn send(args: &SendArgs, items: Items, progress: &mut Progress) -> Result<(), Failure> {
    if args.copy.copy_limit.is_some() {
        return Err(Failure::error(
            "a queue copies every message: leave out --copy-limit",
        ));
    }
    let queue = ForeignQueue::open(&args.ring.place, Direction::Out)?;
    progress.begin();
    items.each(args, queue.max_len(), |message| {
        let mut until = None;
        while !queue.try_send(message)? {
            let until = *until.get_or_insert_with(|| deadline(args.timeout));
            if queue.wait(Direction::Out, until) {
                return Err(Failure::negative(NO_ROOM));
            }
        }
        progress.add(1, message.len());
        Ok(())
    })
}
