//! The cell ring: many producers, many consumers, each message to one consumer.
//!
//! # The protocol
//!
//! Positions count cells for ever; a cell is used anew in each *lap*. A record takes one cell or several
//! adjacent ones, and the control word of its first cell ([`crate::memory::layout::cell`]) says what it is going
//! through, whose it is, and how long it is:
//!
//! ```text
//!            claim            commit           take            release
//!   FREE(l) -------> CLAIMED -------> FULL ----------> TAKEN ----------> FREE(l+1)
//!                     |  |                               |  \            ^
//!               abort |  | dead                     dead |   > FREEING --+  (several cells)
//!                     v  v                               v
//!                    ABORTED --> FREEING --> FREE(l+1)  RETURNED ---> TAKEN ...
//! ```
//!
//! Every arrow is one change of one word, so ownership and position become visible in one step:
//! a compare-and-swap, or a store where nobody else may change the word meanwhile ([`Contention`]). In the code they are
//!
//! | arrow | function |
//! |---|---|
//! | claim | `Producer::claim_cells`, and `send_at_once` for the usual case |
//! | commit, abort | `Producer::show`, `Producer::abort`; `send_at_once` |
//! | take | `Consumer::seize`, and `recv_at_once` for the usual case |
//! | release, FREEING | `Consumer::release`, `Cells::free_cells`; `recv_at_once` |
//! | dead | `Member::repair` |
//!
//! Two rules make it a queue:
//!
//! - Producers walk from record to record and claim the first free cell. A claim of several cells covers
//!   them all by its extent: nobody else looks at a cell inside a record.
//! - Consumers walk from record to record, take the first that is committed, pass what others have taken,
//!   free what is aborted, and never pass a claim: a slow producer delays them, but loses nothing and lets others
//!   claim behind it.
//!
//! All cells before the word `HEAD` are done with. Everybody may advance it, over cells that are; it may
//! lag. Where claiming and taking go on (`CLAIM_HINT`, `TAKE_HINT`) are hints.
//!
//! Where is a word, and where may payload be? Of the cells inside a record only the first has a word; payload runs over the
//! others. In the lap that begins at `HEAD` a walk from record to record meets words only. So:
//!
//! - Who claims *one* cell needs no more than its word: if that says "free in this lap", the compare-and-swap succeeds.
//!   (So a single cell may be claimed a little more than a lap ahead of `HEAD`, which lags. A walker that comes there
//!   sees that the cells in between are done with.)
//! - Who claims *several* cells looks only at the first one's word. So it must know by `HEAD` that all of them are done
//!   with: they end at most a lap behind it.
//! - Who *looks* at a cell, and was perhaps stopped for a whole lap before it did, may find payload there. So it loads `HEAD`
//!   after the word, and believes the word only if `HEAD` has not passed the cell. (Payload is anybody's, and could be
//!   made to look like a word. So words are xored with a key that comes from the ring's random nonce, and a word inside a
//!   record is covered before payload is written over it: [`crate::memory::layout::cell`].)
//!
//! A message that is longer than what is left up to the end of the ring starts at the beginning of the next lap. The
//! cells up to the end are claimed as ABORTED, for nobody.
//!
//! A batch is one claim. It takes as many cells as the last batch needed, or as many of those as are free. The words of
//! its records are written inside the claim, where nobody looks. All become visible together when the first word changes,
//! from CLAIMED with the extent of all to FULL with the extent of the first record.
//! Several records are taken together in the same way: one change makes the first word TAKEN with the extent of all. That is
//! allowed only if the first record has never been taken before. Consumers take records in order, so then nobody
//! has been behind it, and the others are untouched.
//!
//! # Word by word, once around
//!
//! A ring of four cells. P and Q produce, C and D consume; `claimed P 0` is the word CLAIMED, owned by P, in lap 0,
//! and `x2` says that the record has two cells. Each line is one change of one word, and shows where it is.
//!
//! ```text
//!                        cell 0        cell 1        cell 2        cell 3        HEAD
//! new                    free 0        free 0        free 0        free 0           0
//! P claims for 10 bytes  claimed P 0                                                0
//! Q claims for 48 bytes                claimed Q 0                                  0
//! Q commits                            full 0                                       0
//!   consumers that walk from cell 0 find P's claim, and wait: they never pass one
//! P commits              full 0                                                     0
//! C takes                taken C 0                                                  0
//! D walks past it, takes               taken D 0                                    0
//! D releases                           free 1                                       0
//!   HEAD cannot move: cell 0 is not done with
//! C releases             free 1                                                     0
//!   and moves HEAD over both                                                        2
//! ```
//!
//! Now P sends 10 bytes and then 100. The first message takes cell 2. The second needs two cells (16 bytes of each record
//! are not payload, and a cell has 64), and only cell 3 is left before the end: that one is claimed as aborted. The record then
//! goes to positions 4 and 5, which are the cells 0 and 1 in lap 1. They end at position 6, and `HEAD` + 4 is 6: they are
//! done with.
//!
//! ```text
//!                        cell 0        cell 1        cell 2        cell 3        HEAD
//! P claims, commits                                  full 0                         2
//! P passes the end                                                 aborted 0        2
//! P claims two cells     claimed P 1 x2  free 1                                     2
//! P covers the second    claimed P 1 x2  cover                                      2
//! P writes 100 bytes     claimed P 1 x2  payload                                    2
//! P commits              full 1 x2     payload                                      2
//! C takes, releases                                  free 1                         3
//! C frees what is aborted                                          free 1           3
//! C takes                taken C 1 x2  payload                                      3
//! ```
//!
//! # One death, from cell to cell
//!
//! C is killed here, at position 4, with a message that it has not released. The kernel marks C's liveness words, and wakes
//! the keepers of all others by that ([`crate::presence`]). D's keeper wakes D.
//!
//! 1. D walks from its cursor, passes what is taken, and finds nothing. So it looks at what lies before: it moves `HEAD` over
//!    what is done with, walks from there, and repairs what the dead own (`Member::repair_before`).
//! 2. At position 4 it finds TAKEN by C, whose liveness word says that it is dead. Before it changes anything it
//!    *settles*: `membarrier` interrupts all processors, and when it returns no thread of C executes anything more.
//! 3. D changes the word from TAKEN by C to RETURNED, by compare-and-swap. If somebody else has done so meanwhile, this
//!    fails, and D goes on. It raises the word that says that a message came back, and wakes who sleeps.
//! 4. D, or whoever comes first, takes it from RETURNED as from FULL, and reads it: it is delivered again.
//! 5. To release two cells, D makes the word FREEING, frees the second cell, and then the first. Who finds the first one
//!    free can rely on the second.
//!
//! ```text
//!                        cell 0          cell 1        cell 2        cell 3        HEAD
//! C is dead              taken C 1 x2    payload       free 1        free 1           3
//! D moves HEAD           taken C 1 x2    payload       free 1        free 1           4
//! D repairs position 4   returned 1 x2   payload       free 1        free 1           4
//! D takes                taken D 1 x2    payload       free 1        free 1           4
//! D releases             freeing D 1 x2  payload       free 1        free 1           4
//!                        freeing D 1 x2  free 2        free 1        free 1           4
//!                        free 2          free 2        free 1        free 1           6
//! ```
//!
//! If D dies in its turn while it has FREEING, say with the second cell free: the next who is blocked by that record, or
//! attaches, settles, makes the word FREEING of its own, and frees both cells once more, the first one last. To free a
//! free cell again writes the same word, and nobody else writes there meanwhile, because nobody claims the cells before
//! `HEAD` says that the first one is done with.
//!
//!
//! # Overwriting
//!
//! Producers that overwrite wait for nobody. The cell at which claiming goes on may still hold a record of the lap
//! before, which is the oldest there is ([`producer`]'s `overwriting`, [`moving`]):
//!
//! ```text
//!   FULL, RETURNED, ABORTED -- discard, claim --> CLAIMED(l+1)       (one cell, for one: one change)
//!   FULL, RETURNED, ABORTED -- discard --> FREEING --> FREE(l+1)     (else)
//!   CLAIMED(o, l)  -- carry over --> CLAIMED(o, l+1)
//!   FREEING(o, l)  -- carry over --> FREEING(o, l+1)
//!   TAKEN(o, l)    -- carry over --> HELD OVER(o, l+1) -- carry over --> HELD OVER(o, l+2) ...
//! ```
//!
//! What somebody alive owns is *carried over*: only the lap in its word changes. The record keeps its cells, its
//! payload and its owner, lies a lap further on now, and claiming goes on behind it. So here owners change their words
//! by compare-and-swap, and follow them: from a CLAIMED in any lap to FULL in that lap, from HELD OVER in any lap to
//! FREE of the next. A run of several records is carried over as one; who commits a batch lays the words inside of it
//! anew for the lap that it has come to.
//!
//! - *Order.* A claim that is carried over is committed behind what others sent meanwhile; nothing of its own producer's
//!   lies between, as a handle has one claim. Consumers that waited at it find the cells done with, and go on.
//! - What a consumer holds over does not come again: newer messages of the same producer have been received. If it
//!   is given back, or its holder dies, it counts as overwritten, by whoever frees it. If it is released, it is received.
//! - *A refusal discards nothing.* Before anything goes, there must be a place: so many adjacent cells, before the end of
//!   the ring, that nobody alive holds. Only if there is none, it is full. (If consumers take what was about to make
//!   room, a long message may be refused after something went. A short one takes its cell in the change that
//!   discards.) Consumers take no more than a quarter of the cells together, so that something is left.
//! - Padding fills what is free before a record that is held, if it is too short.
//! - `HEAD` passes a record that was carried over as what it is in the lap that it came from: done with, all its cells.
//!   A word of several cells that is a lap ahead of `HEAD` can be nothing else, because other claims of several cells
//!   need `HEAD` to have passed them. What is released after it was carried over is free for the lap behind that, so
//!   `HEAD` passes what is two laps ahead as well. Nothing is discarded or carried over that `HEAD` is a lap or more
//!   behind of.
//!
//! (The cell's word in the place of D. Vyukov's sequence number, with the owner in it; he claims by an
//! index that all share, which leaves nothing to tell who died with a cell.)
//!
//! # Invariants
//!
//! Comments at memory orderings cite them by their numbers.
//!
//! - **C1**: a word with an owner is changed by its owner; by others only if that one is dead and settled, or, where producers overwrite, to
//!   carry it over. A word without one goes to whoever's change succeeds. So a record has one owner at most.
//! - **C2**: who sees FULL sees the payload, and the words inside of the batch. The commit is a release, every look at a word an acquire.
//! - **C3**: who sees FREE sees the last payload of the cell read, and may write. The release is a release.
//! - **C4**: all before `HEAD` is done with, and `HEAD` only rises. Who sees it (acquire) sees the cells before it free (C3).
//! - **C5**: in the lap that begins at `HEAD`, a walk from record to record meets words only. A word at which `HEAD` has passed is not believed.
//! - **C6**: nobody takes a record behind a claim. So of each producer messages are taken in the order of its claims.
//! - **C7**: hints decide nothing: who follows one meets words (C5), and who finds nothing behind it looks from `HEAD`.
//!
//! # States, and what a death in each leaves
//!
//! | the owner dies while its record is | it leaves | who repairs, how |
//! |---|---|---|
//! | CLAIMED | bytes that nobody may read | who is blocked by it or attaches: ABORTED, the cells are freed unread |
//! | FULL | a message | nobody needs to; the kernel wakes who sleeps for it |
//! | TAKEN | a message that was perhaps read, not acknowledged | who finds nothing else, or attaches: RETURNED, delivered again |
//! | FREEING | an acknowledged message, some cells free | who is blocked by it or attaches: takes FREEING over, frees the rest; the first cell last |
//! | HELD OVER | a message that was perhaps read, not acknowledged | who is blocked by it or attaches: frees it unread, and counts it as overwritten |
//!
//! | somebody dies | it leaves | who repairs, how |
//! |---|---|---|
//! | after a change of a word, before a hint or `HEAD` | a hint that lags | who walks on |
//! | after RETURNED, before waking others | a message behind the others' hints | who finds nothing else walks from `HEAD` |
//! | inside a batch's commit, before the first word | a CLAIMED run | as CLAIMED: no part of it was visible |
//! | returning several records, before the first word | some RETURNED inside a TAKEN run | as TAKEN, from the start: each step is a change that fails if it was made |
//! | after a change, before waking who sleeps for it | sleepers | the kernel: it tells the others' watchers of the death, who wake all |
//! | holding the ring's lock | words as above: each operation changes one | the next holder, before it says that all is consistent |
//! | after discarding or freeing, before counting it as overwritten | a count that is too low, by one change's messages | nobody |
//!
//! | somebody is stopped | it delays | in a ring that overwrites |
//! |---|---|---|
//! | while its record is CLAIMED | consumers, at that record; producers that need its cells | consumers, until producers have come round; no producer |
//! | TAKEN, HELD OVER or FREEING | producers that need its cells | nobody |
//! | anywhere else | nobody | nobody |
//! | holding the ring's lock | all who need that | the same |
//!
//! Death is what [`crate::presence`] says, or an epoch of the slot other than the owner's. Before memory
//! of the dead is used again, [`settle`](Region::settle) makes sure that they are done.

pub(crate) mod consumer;
mod deliveries;
mod loans;
pub(crate) mod member;
pub(crate) mod moving;
pub(crate) mod notify;
pub(crate) mod producer;
mod repair;
pub(crate) mod sight;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{
    CELL_HEADER, Code, DELIVERED_MASK, LEN_AT, State, Word, described_as, max_extent,
};
use crate::memory::layout::control::HEAD;
use crate::memory::region::{Load, Region, Spot};

/// The most looks of one walk are so many for each cell of the ring: it passes two laps at most (`HEAD` goes on before
/// it by one), and a record takes four looks at most, to be given back or given up by the dead, freed, and passed.
const LOOKS_AT_EACH: u64 = 8;
/// And so many more, for others who were faster.
const PATIENCE: u64 = 1024;

/// No honest `HEAD` comes so far.
const MOST_HEAD: u64 = u64::MAX >> 8;

/// The cells of a ring, as all participants see them.
#[derive(Debug)]
pub(crate) struct Cells<R> {
    pub(crate) region: R,
    /// Log2 of the bytes of a cell.
    cell_bits: u32,
    /// How many cells, and log2 of that.
    count: u64,
    lap_bits: u32,
    code: Code,
    contention: Contention,
}

/// Who else may change the word that a participant is about to change. Where nobody may, a store does,
/// which costs a third of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contention {
    /// Whether other producers may claim the cell.
    pub(crate) claim: bool,
    /// Whether others may take the record.
    pub(crate) take: bool,
    /// Whether others may change what a participant owns while that lives: producers that overwrite move it out of
    /// their way, and where [`settle`](Region::settle) cannot keep its promise, one that is taken for dead may live.
    pub(crate) own: bool,
    /// Whether producers overwrite.
    pub(crate) overwrite: bool,
    /// Whether the ring has a lock, which the caller holds: then nobody else may change what has no owner.
    pub(crate) locked: bool,
}

impl Contention {
    /// Of one that only looks, and changes nothing.
    const OF_OBSERVERS: Self = Self {
        claim: true,
        take: true,
        own: true,
        overwrite: false,
        locked: false,
    };
}

/// What a walker finds at a cell where a record starts, or may.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Not claimed yet: nothing follows.
    Free,
    /// A record: its word, and the same as it is stored.
    Record(Word, u64),
    /// Free for the next lap, or used in it already: the word of that lap. It has more cells than one only if it was
    /// carried over from this lap, and then all of them are done with.
    Done(Word),
    /// A lap ahead of `HEAD`: the ring is full up to here.
    Beyond,
    /// `HEAD` has passed the cell; it may hold anything.
    Stale,
}

/// A message, as its cell describes it.
#[derive(Clone, Copy, Debug)]
struct Description {
    len: u32,
    extent: u32,
}

impl<R: Load> Cells<R> {
    /// The cells of a region, of `cell_len` bytes each.
    pub(crate) fn new(region: R, cell_len: u32, key: u64, contention: Contention) -> Self {
        let cell_bits = cell_len.trailing_zeros();
        let lap_bits = region.capacity().trailing_zeros() - cell_bits;
        Self {
            cell_bits,
            count: 1 << lap_bits,
            lap_bits,
            region,
            code: Code::new(key, 1 << lap_bits),
            contention,
        }
    }

    /// How many cells.
    #[inline]
    fn count(&self) -> u64 {
        self.count
    }

    /// How many looks a walk over the records may take. One that needs more is led on by peers who change all that it
    /// sees; it ends as if there were nothing more.
    fn most_looks(&self) -> u64 {
        LOOKS_AT_EACH * self.count() + PATIENCE
    }

    /// The longest extent of a record.
    fn max_extent(&self) -> u64 {
        max_extent(self.count())
    }

    /// Where a cell starts, in bytes.
    #[inline]
    fn position(&self, cell: u64) -> u64 {
        cell << self.cell_bits
    }

    /// Where the payload of the record at `cell` starts, in bytes.
    #[inline]
    fn payload(&self, cell: u64) -> u64 {
        self.position(cell) + CELL_HEADER
    }

    /// Cells that a message of `len` bytes takes.
    #[inline]
    fn extent_of(&self, len: u64) -> u64 {
        (len + CELL_HEADER + (1 << self.cell_bits) - 1) >> self.cell_bits
    }

    /// Bytes of payload that so many cells hold.
    fn room_in(&self, extent: u64) -> u64 {
        self.position(extent) - CELL_HEADER
    }

    /// Cells from `cell` to the end of the region.
    #[inline]
    fn to_end(&self, cell: u64) -> u64 {
        self.count() - (cell & (self.count() - 1))
    }

    #[inline]
    fn lap(&self, cell: u64) -> u64 {
        cell >> self.lap_bits
    }

    /// The word of a cell that nobody has claimed yet.
    #[inline]
    fn free(&self, cell: u64) -> Word {
        Word::free(self.lap(cell))
    }

    /// The same as it is stored.
    #[inline]
    fn free_word(&self, cell: u64) -> u64 {
        self.code.encode(self.free(cell))
    }

    /// The word of a cell that is done with, and free for the next lap.
    #[inline]
    fn freed(&self, cell: u64) -> Word {
        Word::free(self.lap(cell).wrapping_add(1))
    }

    /// Whether a word that was found at `cell` is of its lap.
    #[inline]
    fn is_of_lap(&self, word: Word, cell: u64) -> bool {
        self.code.is_of_lap(word, self.lap(cell))
    }

    /// Whether a word that was found at `cell` says that this is done with: it is of the next lap, or of the one after
    /// that, if what was carried over into the next one was released before `HEAD` came here.
    #[inline]
    fn is_done_with(&self, word: Word, cell: u64) -> bool {
        let lap = self.lap(cell);
        self.code.is_of_lap(word, lap + 1) || self.code.is_of_lap(word, lap + 2)
    }

    /// The word `HEAD`. Whatever a peer makes of it, positions stay far from overflowing.
    #[inline]
    fn head(&self, order: Ordering) -> u64 {
        self.region.load64(HEAD, order) & MOST_HEAD
    }

    /// The stored word of a cell. Acquire pairs with the release of whoever changed it (C2, C3).
    #[inline]
    fn load(&self, cell: u64) -> u64 {
        self.region
            .load_word(self.position(cell), Ordering::Acquire)
    }
}

impl<R: Region> Cells<R> {
    /// A cell's word, found once.
    #[inline(always)]
    fn spot(&self, cell: u64) -> R::Spot<'_> {
        self.region.spot(self.position(cell))
    }

    /// Changes a cell's word if it is what was seen. Acquires and releases: what the last owner did is
    /// seen by the next.
    #[inline]
    fn change(&self, cell: u64, seen: u64, to: Word) -> bool {
        self.change_to(cell, seen, self.code.encode(to))
    }

    /// The same, to a word as it is stored.
    #[inline]
    fn change_to(&self, cell: u64, seen: u64, to: u64) -> bool {
        // Where owners' words are moved, owners change them without the lock.
        if self.contention.locked && !self.contention.overwrite {
            self.change_alone(cell, seen, to)
        } else {
            self.region
                .replace_word(self.position(cell), seen, to)
                .is_ok()
        }
    }

    /// The same where nobody else may change the word meanwhile.
    #[inline]
    fn change_alone(&self, cell: u64, seen: u64, to: u64) -> bool {
        let unchanged = self.load(cell) == seen;
        if unchanged {
            self.region
                .store_word(self.position(cell), to, Ordering::Release);
        }
        unchanged
    }

    /// Claims a free cell.
    #[inline]
    fn claim(&self, cell: u64, free: u64, to: u64) -> bool {
        if self.contention.claim {
            self.change_to(cell, free, to)
        } else {
            self.change_alone(cell, free, to)
        }
    }

    /// Takes a record.
    #[inline]
    fn take(&self, cell: u64, seen: u64, to: u64) -> bool {
        if self.contention.take {
            self.change_to(cell, seen, to)
        } else {
            self.change_alone(cell, seen, to)
        }
    }

    /// Changes the word of a record that the caller owns, in a ring that does not overwrite. Others change it only
    /// if the caller is dead; where it could be marked so and still run, it has to make sure.
    #[inline]
    fn change_own(&self, cell: u64, seen: u64, to: u64) -> bool {
        if self.contention.own {
            return self.change_to(cell, seen, to);
        }
        // Release pairs with the acquire in `load` (C3).
        self.region
            .store_word(self.position(cell), to, Ordering::Release);
        true
    }
}

impl<R: Load> Cells<R> {
    /// Looks at a cell where a record starts. `head` is any value that `HEAD` has had.
    #[inline]
    fn look(&self, cell: u64, head: u64) -> Result<Seen, Corrupt> {
        if cell >= head + self.count() {
            return Ok(Seen::Beyond);
        }
        let stored = self.load(cell);
        // Behind the load above, by its acquire. If a later lap's payload was found there, its
        // producer's fence (`Producer::claim_cells`) lets us see the HEAD that it claimed by.
        if self.head(Ordering::Relaxed) > cell {
            return Ok(Seen::Stale);
        }
        let word = self.code.decode(stored).ok_or(Corrupt)?;
        if self.is_of_lap(word, cell) {
            if word.state == State::Free {
                Ok(Seen::Free)
            } else if word.extent <= self.to_end(cell) {
                Ok(Seen::Record(word.in_lap(self.lap(cell)), stored))
            } else {
                Err(Corrupt)
            }
        } else if self.is_done_with(word, cell) && word.extent <= self.to_end(cell) {
            Ok(Seen::Done(word))
        } else {
            Err(Corrupt)
        }
    }

    /// How many cells from `cell` on, which is `HEAD` or lies behind it, are done with together; 0 if it is not.
    fn done(&self, cell: u64) -> u64 {
        let stored = self.load(cell);
        // Most often.
        if stored == self.code.nobodys(State::Free, cell + self.count(), 1) {
            return 1;
        }
        match self.code.decode(stored) {
            Some(word) if self.is_done_with(word, cell) => word.extent,
            _ => 0,
        }
    }

    /// Whether a cell from `HEAD` on is done with.
    fn is_done(&self, cell: u64) -> bool {
        self.done(cell) > 0
    }
}

impl<R: Region> Cells<R> {
    /// Advances `HEAD` over all cells that are done with, and returns where it is.
    fn advance_head(&self) -> u64 {
        self.advance_head_over(0..0)
    }

    /// The same for one who knows of some cells that they are done with, and need no look.
    fn advance_head_over(&self, done: Range<u64>) -> u64 {
        // Acquire pairs with the release in `replace64`: what is done with before HEAD has been read (C4).
        let head = self.head(Ordering::Acquire);
        let mut end = if head == done.start { done.end } else { head };
        while end - head < self.count() {
            match self.done(end) {
                0 => break,
                cells => end += cells,
            }
        }
        if end == head {
            return head;
        }
        match self.region.replace64(HEAD, head, end) {
            Ok(()) => end,
            Err(found) => found & MOST_HEAD,
        }
    }

    /// Frees the cells of a record that the caller owns, as FREEING if there are several: the first one
    /// last, so that who finds it free finds all free. In a ring that does not overwrite.
    #[inline]
    fn free_cells(&self, cell: u64, extent: u64) {
        // A record does not wrap: all of its cells are of one lap.
        let freed = self.code.nobodys(State::Free, cell + self.count(), 1);
        for cell in (cell..cell + extent).rev() {
            // (C4) Release pairs with the acquire in `advance_head` and of the next claim: the payload has
            // been read.
            self.spot(cell).store(freed, Ordering::Release);
        }
    }

    /// Covers the words of the cells inside a record, before any payload is written there: who was stopped for a lap or
    /// more takes nothing of it for a word ([`crate::memory::layout::cell`]).
    #[inline]
    fn cover(&self, cell: u64, extent: u64) {
        let cover = self.code.cover();
        for inside in cell + 1..cell + extent {
            // Relaxed: for one that was stopped, what counts is the order of changes of this word, and they are all
            // this producer's until the record is freed.
            self.spot(inside).store(cover, Ordering::Relaxed);
        }
    }

    /// Writes what the record at `cell` is. Made visible by the release of its word.
    #[inline]
    fn describe(&self, cell: u64, len: u64, extent: u64) {
        let description = described_as(len, extent);
        self.region
            .store_word(self.position(cell) + LEN_AT, description, Ordering::Relaxed);
    }
}

impl<R: Load> Cells<R> {
    /// How long the message in the record at `cell` is, which has so many cells; `None` if it does not say that, or lies in a slab. The
    /// caller has acquired its word.
    #[inline(always)]
    fn len_at(&self, cell: u64, extent: u64) -> Option<u64> {
        // Of another extent, this is no length that there is room for.
        let len = self.described(cell) & !DELIVERED_MASK ^ described_as(0, extent);
        (len <= self.room_in(extent).min(u32::MAX.into())).then_some(len)
    }

    /// What the record at `cell` is, which has at most `most` cells. The caller has acquired its word.
    #[inline]
    fn description(&self, cell: u64, most: u64) -> Result<Description, Corrupt> {
        let bits = self
            .region
            .load_word(self.position(cell) + LEN_AT, Ordering::Relaxed)
            & !DELIVERED_MASK;
        let (len, extent) = (bits & u64::from(u32::MAX), bits >> 32);
        if extent == 0 || extent > most || len > self.room_in(extent) {
            return Err(Corrupt);
        }
        Ok(Description {
            len: len as u32,
            extent: extent as u32,
        })
    }
}
