//! What the dead left in a cell ring, put in order.
//!
//! Every step is one change of one word that fails if somebody else has made it, so any number of
//! participants may repair at once, and each may die at any point. Before a word of the dead is changed,
//! [`settle`](Region::settle) makes sure that they are done. One who may not do that any more leaves it to others.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::member::{Member, Refused};
use super::walk::{Step, Walk};
use super::{Cells, Seen};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::participant::{OVERWRITTEN, REPAIRED, Role};
use crate::memory::region::Region;

impl<R: Region> Member<R> {
    /// Repairs what blocks this participant, and what lies before it. `true` if it is worth looking again.
    pub(super) fn repair_before(&mut self, deadline: Option<Instant>) -> Result<bool, Refused> {
        // In order, which takes no lock to see. (`self.head` stays what this participant last looked by:
        // that `HEAD` has moved since is a reason to look again.)
        if self.cells.advance_head() == self.cursor && !self.is_blocked_by_the_dead() {
            return Ok(false);
        }
        self.enter(deadline)?;
        let repaired = match self.role() {
            Role::Producer => self.clear_head(),
            Role::Consumer => self.repair_until(self.cursor),
        };
        self.leave();
        // Who gets the lock after a death has repaired everything before this repairs anything.
        match repaired {
            Ok(repaired) => Ok(repaired || self.obstacle_changed()),
            Err(Corrupt) => Err(self.refused()),
        }
    }

    /// Repairs the whole ring, as one who attaches or gets the lock of a dead holder does.
    pub(super) fn repair_all(&mut self) -> Result<(), Corrupt> {
        self.repair_until(u64::MAX).map(drop)
    }

    /// Advances `HEAD` as far as it goes, over what nobody lives to free as well. What then lies there is
    /// this participant's obstacle. Whether it moved.
    pub(super) fn clear_head(&mut self) -> Result<bool, Corrupt> {
        let before = self.head;
        for _ in 0..self.cells.most_looks() {
            self.head = self.cells.advance_head();
            // Fetched before it is judged: if it changes from now on, that is seen.
            self.obstacle = (self.head, self.cells.load(self.head));
            match self.cells.look(self.head, self.head)? {
                Seen::Record(word, stored) => {
                    if !self.repair(self.head, word, stored)? {
                        break;
                    }
                }
                Seen::Done(_) | Seen::Stale => {}
                Seen::Free | Seen::Beyond => break,
            }
        }
        Ok(self.head != before)
    }

    /// Walks from `HEAD` to the record at `end`, it included, and repairs all that the dead own. `true` if
    /// that changed something, or a message before `end` can be taken.
    fn repair_until(&mut self, end: u64) -> Result<bool, Corrupt> {
        let (mut changed, mut waits) = (false, false);
        self.head = self.cells.advance_head();
        // Each step goes on by a cell at least, or repairs one.
        let mut walk = Walk::new(self.cells.most_looks()).start(self.head);
        while walk.cell <= end {
            match self.cells.step(&mut walk)? {
                Step::End | Step::TooLong => break,
                Step::Overtaken => {
                    self.head = self.cells.head(Ordering::Acquire);
                    walk = walk.start(self.head);
                }
                // Done cells may have led beyond the end.
                Step::Record(..) if walk.cell > end => break,
                Step::Record(word, stored) => {
                    if self.repair(walk.cell, word, stored)? {
                        changed = true;
                        continue;
                    }
                    let is_there = matches!(word.state, State::Full | State::Returned);
                    waits |= walk.cell < end && is_there;
                    walk.pass(word);
                }
            }
        }
        self.head = self.cells.advance_head();
        Ok(changed || waits)
    }

    /// Where the first message before `end` is that can be taken.
    pub(super) fn first_returned(&mut self, end: u64) -> Result<Option<u64>, Corrupt> {
        let mut walk = Walk::new(self.cells.most_looks()).start(self.head);
        loop {
            match self.cells.step(&mut walk)? {
                Step::Record(..) if walk.cell >= end => return Ok(None),
                Step::Record(word, _) => match word.state {
                    State::Full | State::Returned => return Ok(Some(walk.cell)),
                    _ => walk.pass(word),
                },
                Step::Overtaken => {
                    self.head = self.cells.head(Ordering::Acquire);
                    walk = walk.start(self.head);
                }
                Step::End | Step::TooLong => return Ok(None),
            }
        }
    }

    /// Repairs the record at `cell` if it is aborted or its owner is dead. `true` if its word is another
    /// one now. [`Corrupt`] as well if the dead cannot be settled ([`refused`](Self::refused) tells).
    pub(super) fn repair(&self, cell: u64, word: Word, stored: u64) -> Result<bool, Corrupt> {
        match word.state {
            State::Aborted => {
                self.free_unread(cell, word, stored);
                Ok(true)
            }
            _ if word.state.is_owned() && self.is_dead(word.owner) => {
                if !self.settle() {
                    return Err(Corrupt);
                }
                let changed = match word.state {
                    State::Taken => {
                        let given = self.cells.give_back(cell, word, stored)?;
                        self.announce_return(cell);
                        given
                    }
                    State::Claimed => {
                        let aborted = word.become_nobodys(State::Aborted);
                        let aborted = self.cells.change(cell, stored, aborted);
                        // Those who waited for it look again.
                        self.announce(Role::Consumer);
                        aborted
                    }
                    // It was overwritten but for those who held it.
                    State::HeldOver => self.discard_held_over(cell, word, stored)?,
                    _ => self.free_unread(cell, word, stored),
                };
                if changed {
                    self.add(REPAIRED, 1);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Frees a record whose payload nobody needs.
    pub(super) fn free_unread(&self, cell: u64, word: Word, stored: u64) -> bool {
        let mine = word.become_owned(State::Freeing, self.me);
        let changed = self.cells.change(cell, stored, mine);
        if changed {
            if self.cells.contention.overwrite {
                // It fails only if somebody took us for dead, and then frees them.
                let _ = self.cells.free_moved(cell, mine);
            } else {
                self.cells.free_cells(cell, word.extent);
            }
            self.notify(Role::Producer);
        }
        changed
    }

    /// Frees what a dead consumer held when producers had come round. Its messages count as overwritten.
    fn discard_held_over(&self, cell: u64, word: Word, stored: u64) -> Result<bool, Corrupt> {
        let messages = self.cells.records_in(cell, word);
        if self.cells.load(cell) != stored {
            return Ok(false);
        }
        let messages = messages?;
        let changed = self.free_unread(cell, word, stored);
        if changed {
            self.add(OVERWRITTEN, messages);
        }
        Ok(changed)
    }
}

impl<R: Region> Cells<R> {
    /// Gives the records of a taken run back: all but the first, then the first, whose word shows what is
    /// done. Whoever owns the run calls this, or one who found its owner dead. Whether it was done by this.
    pub(super) fn give_back(&self, cell: u64, run: Word, stored: u64) -> Result<bool, Corrupt> {
        let end = cell + run.extent;
        let given = self.give_back_behind(cell, end);
        if self.load(cell) != stored {
            // Somebody else has done it; what was found behind may be in use again.
            return Ok(false);
        }
        let extent = given?;
        let returned = run.become_nobodys(State::Returned).with_extent(extent);
        Ok(self.change(cell, stored, returned))
    }

    /// Gives back all records of the run but the first; returns that one's extent.
    fn give_back_behind(&self, cell: u64, end: u64) -> Result<u64, Corrupt> {
        let first = self.extent_at(cell, end - cell)?;
        self.return_records(cell + first, end)?;
        Ok(first)
    }

    /// Marks the full records from `cell` to `end`, inside a taken run, as returned.
    pub(super) fn return_records(&self, mut cell: u64, end: u64) -> Result<(), Corrupt> {
        while cell < end {
            let stored = self.load(cell);
            let word = self.code.decode(stored).ok_or(Corrupt)?;
            let fits = word.extent <= end - cell && self.is_of_lap(word, cell);
            match word.state {
                State::Full if fits => {
                    self.change(cell, stored, word.become_nobodys(State::Returned));
                }
                State::Returned if fits => {}
                _ => return Err(Corrupt),
            }
            cell += word.extent;
        }
        Ok(())
    }
}
