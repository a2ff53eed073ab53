//! The walk of one who looks at messages, and takes none. Who takes part runs through nothing of this.
//!
//! A record's payload is what its word says as long as the word is that: whoever frees it, claims it or takes it changes the word first, by a
//! compare-and-swap, and a word does not come again ([`crate::memory::layout::cell`]). So an observer loads the word, copies, and
//! loads it once more; if it is another one, the copy is thrown away, and the walk looks again. A message whose consumer holds
//! it is as whole as one that waits.

use std::sync::atomic::{Ordering, fence};

use super::walk::{Step, Walk};
use super::{CELL_HEADER, Cells, Contention, DELIVERED_MASK, MOST_HEAD};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{LEN_AT, LOANED, State};
use crate::memory::layout::control::HEAD;
use crate::memory::region::Load;

/// Where a message's payload is, or its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) position: u64,
    pub(crate) len: u64,
    pub(crate) is_loaned: bool,
}

/// Copies the messages from cell `next` on in their order, up to the first that is not committed, and gives those to `see` that were
/// whole when they had been copied. Returns where the next one will be. It takes at most so many looks.
pub(crate) fn see<R: Load, T>(
    region: R,
    (cell_len, key): (u32, u64),
    mut next: u64,
    looks: u64,
    mut copy: impl FnMut(Sight) -> T,
    mut see: impl FnMut(T),
) -> Result<u64, Corrupt> {
    let cells = Cells::new(region, cell_len, key, Contention::OF_OBSERVERS);
    let head = || match cells.region.load64(HEAD, Ordering::Acquire) {
        head if head > MOST_HEAD => Err(Corrupt),
        head => Ok(head),
    };
    let mut walk = Walk::new(looks).start(head()?);
    loop {
        let (word, stored) = match cells.step(&mut walk)? {
            Step::Record(word, stored) => (word, stored),
            Step::Overtaken => {
                walk = walk.start(head()?);
                continue;
            }
            Step::End | Step::TooLong => return Ok(next),
        };
        let (first, end) = (walk.cell, walk.cell + word.extent);
        let mut copied = Vec::new();
        let outcome = match word.state {
            // What lies behind comes after it.
            State::Claimed => return Ok(next),
            State::Full | State::Returned => cells.sight(first, end).map(|sight| {
                if first >= next {
                    copied.push(copy(sight));
                }
            }),
            State::Taken => {
                let mut all = Ok(());
                let visited = cells.visit_run(first, word, |at| {
                    match cells.sight(at, end) {
                        Ok(sight) if at >= next => copied.push(copy(sight)),
                        Ok(_) => {}
                        Err(error) => all = Err(error),
                    }
                    all.is_err()
                });
                visited.and(all)
            }
            // Done with, or nobody's any more.
            State::Free | State::Freeing | State::Aborted | State::HeldOver => Ok(()),
        };
        // What was copied is older than the loads behind this.
        fence(Ordering::Acquire);
        if cells.load(first) != stored || head()? > first {
            // The next step looks at the same cell again, or is overtaken.
            continue;
        }
        outcome?;
        copied.into_iter().for_each(&mut see);
        next = next.max(end);
        walk.pass(word);
    }
}

impl<R: Load> Cells<R> {
    /// The message in the record at `cell`, which ends at `end` at the latest.
    fn sight(&self, cell: u64, end: u64) -> Result<Sight, Corrupt> {
        let at = self.position(cell) + LEN_AT;
        let bits = self.region.load_word(at, Ordering::Relaxed) & !DELIVERED_MASK;
        let position = self.position(cell) + CELL_HEADER;
        if bits == LOANED {
            return Ok(Sight {
                position,
                len: 0,
                is_loaned: true,
            });
        }
        let (len, extent) = (bits & u64::from(u32::MAX), bits >> 32);
        if extent == 0 || extent > end.saturating_sub(cell) || len > self.room_in(extent) {
            return Err(Corrupt);
        }
        Ok(Sight {
            position,
            len,
            is_loaned: false,
        })
    }
}
