//! Copy or map: long messages are written once into a *slab* behind the ring, and only a *ticket* travels
//! through the ring.
//!
//! # The protocol
//!
//! Each slab has a word ([`crate::memory::layout::pool`]): free, or held by a holder of a slot of the participants
//! table; and in both cases its generation, which every freeing raises.
//!
//! ```text
//!            take                seize (detach, release)          free
//!   FREE(g) -------> HELD(P, g) ------------------------> HELD(C, g) -----> FREE(g+1)
//!             free     |  ^ |                                |
//!   FREE(g+1) <--------+  | | the holder is dead             | the same
//!                         | v                                v
//!                     HELD(R, g)                  FREE(g+1), or HELD(R, g) if a record refers to it
//! ```
//!
//! Every arrow is one compare-and-swap. A slab is never anybody's without its word saying whose: this is why
//! there is no linked list of free slabs, in which one that was popped belongs to nobody until the popper has
//! written so. Who looks for a free one scans the words: from where it found the last, or of slabs so long that it matters
//! which of them the caches hold, from the first ([`warm`]).
//!
//! To send, a producer takes a slab, writes the message, and commits a record that carries the ticket: slab,
//! generation, length. The ring's commit is the commit. A consumer accepts a ticket if slab and length are
//! in range and the slab is held, by whomever, in that generation. To release the message it *seizes* the slab,
//! releases the record, and frees the slab; to detach it, it leaves the last step for later.
//!
//! # What a death leaves
//!
//! | the holder dies | the word | a record refers to it | who repairs, how |
//! |---|---|---|---|
//! | while it writes | HELD(P, g) | no | a reclaimer frees the slab |
//! | after its commit | HELD(P, g) | yes | nobody needs to; a reclaimer takes the slab over |
//! | while it reads | HELD(P, g) | yes: it is delivered again | nobody needs to |
//! | between seizing and release | HELD(C, g) | yes: it is delivered again | nobody needs to; a reclaimer takes the slab over |
//! | between release and freeing, or with a detached message | HELD(C, g) | no | a reclaimer frees the slab |
//! | after freeing | FREE(g+1) | no | nobody needs to; who sleeps for a slab is woken by the death |
//!
//! A *reclaimer* is who attaches, or finds no free slab: in a stream ring the producer, elsewhere each
//! participant. It reads a slab's word and finds that its holder is gone. It settles, and looks through all records that
//! are not released. Then it changes that very word: to free if none refers to the slab, else to itself, so that one death is
//! looked into once. No slab is freed that a record refers to, or that anybody holds:
//!
//! - If a record refers to it, that was committed before the look began. The dead commit nothing more
//!   ([`settle`](Region::settle); what they had claimed is aborted first, or the slab is left for the next time), and the
//!   living commit only slabs that their own words name.
//! - All records that are not released lie between a `HEAD` that is not done with and a lap from there. A walk that is
//!   overtaken starts again; what it reads inside of a record counts only if the record's word is the same after it.
//! - A consumer that releases the record meanwhile has seized the slab before, so the reclaimer's change fails.
//! - Nobody who was taken for dead and lives can do harm by a late change: it fails, because the holder or the generation
//!   is another one by then.
//! - No system call of the dead writes to it any more ([`lent`]).
//!
//! All this is about words, which lie in the ring's segment also where each slab is a segment of its own
//! ([`crate::store::slabs`]). There a slab is mapped by who takes it, or has accepted a ticket for it; one that cannot be
//! mapped is freed again, or its record stays where it is.

mod lent;
mod sender;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod warm;

use crate::memory::layout::Corrupt;
use crate::memory::layout::pool::{Holder, Slabs, Ticket, Word};
use crate::memory::region::Region;
use crate::waiting::Look;
pub(crate) use lent::Lender;
pub(crate) use sender::SlabSender;
use warm::WarmBackoff;

/// Messages up to so many bytes are copied through the ring, unless the sender says otherwise. Written and read in
/// place, shorter ones were faster in the ring, and this long they were as fast in a slab (benches/README.md).
pub(crate) const COPY_LIMIT: usize = 64 << 10;

/// How often the consumer of a ticket tries to seize its slab. It fails only if the slab's word changes between its load and
/// its swap, which honest peers do at most once each: a reclaimer takes the slab over.
const MOST_CHANGES: usize = 256;

/// Set in a position that is that of a slab, in bytes from the start of the first, and not one in the ring.
/// (No position in a ring comes so far.)
pub(crate) const IN_SLAB: u64 = 1 << 63;

/// A slab in some generation, with a message in it or room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loan {
    slab: u32,
    generation: u32,
    /// In bytes from the start of the first slab.
    pub(crate) at: u64,
    /// Bytes of the message, or of the slab.
    pub(crate) len: u64,
    /// Whether a pointer to its memory was lent.
    lent: bool,
}

impl Loan {
    /// Which slab it is.
    pub(crate) fn slab(&self) -> u32 {
        self.slab
    }

    /// As records refer to it.
    pub(crate) fn named(&self) -> SlabRef {
        SlabRef {
            slab: self.slab,
            generation: self.generation,
        }
    }

    /// The ticket for a message of so many bytes.
    pub(crate) fn ticket(&self, len: u64) -> Ticket {
        Ticket {
            slab: self.slab,
            generation: self.generation,
            len: len.min(self.len),
        }
    }

    /// Its word, while `holder` has it.
    fn held(&self, holder: Holder) -> u64 {
        let word = match self.lent {
            true => Word::lent(holder, self.generation),
            false => Word::held(holder, self.generation),
        };
        word.encode()
    }
}

/// A slab in some generation, as records refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlabRef {
    slab: u32,
    generation: u32,
}

impl SlabRef {
    /// The one that the ticket in these words is for.
    pub(crate) fn of(words: [u64; 2]) -> Self {
        let ticket = Ticket::decode(words);
        Self {
            slab: ticket.slab,
            generation: ticket.generation,
        }
    }

    /// Whether the ticket in these words is for it.
    pub(crate) fn is_in(&self, words: [u64; 2]) -> bool {
        *self == Self::of(words)
    }
}

/// Whether an unreleased record refers to a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Referenced {
    /// One does.
    Yes,
    /// None does.
    No,
    /// The records changed too fast to tell, or there is something to repair first.
    Unclear,
}

/// Makes one of many glances a good look: who spins for a slab and never sleeps has to see what the dead hold,
/// too, which takes a while.
#[derive(Debug, Default)]
pub(crate) struct EveryNth(u32);

impl EveryNth {
    pub(crate) fn sharpen(&mut self, look: Look) -> Look {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(1 << 14) {
            Look::Last
        } else {
            look
        }
    }
}

/// The pool of a ring, as one participant uses it.
#[derive(Debug)]
pub(crate) struct Pool {
    slabs: Slabs,
    me: Holder,
    /// Of each class, the slab where the last free one was found.
    hints: [u32; crate::memory::layout::pool::MAX_CLASSES],
    /// What the producer writes and has not committed.
    pub(crate) lent: Option<Loan>,
    /// The message that the consumer looks at, if that lies in a slab.
    pub(crate) shown: Option<Loan>,
    /// The producer's: longer messages go into a slab.
    pub(crate) copy_limit: usize,
    pub(crate) warm_backoff: WarmBackoff,
    /// By what pointers to slabs are lent, and slabs are given new pages of which somebody had one.
    lender: Option<Lender>,
}

impl Pool {
    /// The pool as the holder of `slot` in its `epoch` uses it. `None` if the ring has no slabs.
    pub(crate) fn new(slabs: &Slabs, slot: u32, epoch: u64) -> Option<Box<Self>> {
        (!slabs.is_empty()).then(|| {
            Box::new(Self {
                slabs: *slabs,
                me: Holder::new(slot, epoch),
                hints: [0; crate::memory::layout::pool::MAX_CLASSES],
                lent: None,
                shown: None,
                copy_limit: COPY_LIMIT,
                warm_backoff: WarmBackoff::default(),
                lender: None,
            })
        })
    }

    /// Bytes of the longest slab.
    pub(crate) fn longest(&self) -> u64 {
        self.slabs.longest()
    }

    /// How many slabs there are.
    pub(crate) fn count(&self) -> u32 {
        self.slabs.count()
    }

    /// Bytes of a slab, whatever lies in it.
    pub(crate) fn room(&self, loan: &Loan) -> u64 {
        self.slabs.place(loan.slab).map_or(0, |place| place.len)
    }

    /// The slabs that this participant holds, but for the one that it is about to send.
    pub(crate) fn held<R: Region>(&self, region: &R) -> impl Iterator<Item = Loan> {
        (0..self.slabs.count()).filter_map(|slab| {
            let word = Word::decode(region.load_slab(slab))?;
            let place = self.slabs.place(slab)?;
            let is_sent = !word.lent && self.lent.is_none_or(|loan| loan.slab != slab);
            (word.holder == Some(self.me) && is_sent).then_some(Loan {
                slab,
                generation: word.generation,
                at: place.at,
                len: place.len,
                lent: false,
            })
        })
    }

    /// Takes a free slab for a message of `len` bytes, one of the shortest that will do.
    pub(crate) fn take<R: Region>(&mut self, region: &R, len: u64) -> Option<Loan> {
        for (nth, (range, class)) in self.slabs.ranges().enumerate() {
            if class.len < len {
                continue;
            }
            let from = match warm::count(class) {
                Some(_) => 0,
                None => self.hints[nth],
            };
            let mut slabs = (0..class.count).map(|step| range.start + (from + step) % class.count);
            if let Some(loan) = slabs.find_map(|slab| self.take_free(region, slab)) {
                self.hints[nth] = loan.slab - range.start;
                return Some(loan);
            }
        }
        None
    }

    /// Takes this slab if it is free.
    fn take_free<R: Region>(&self, region: &R, slab: u32) -> Option<Loan> {
        let bits = region.load_slab(slab);
        let word = Word::decode(bits).filter(|word| word.holder.is_none())?;
        let place = self.slabs.place(slab)?;
        let held = Word::held(self.me, word.generation);
        // Its acquire pairs with the release in `free`: the last message has been read.
        region.replace_slab(slab, bits, held.encode()).ok()?;
        Some(Loan {
            slab,
            generation: word.generation,
            at: place.at,
            len: place.len,
            lent: false,
        })
    }

    /// Whether there is a free slab for a message of `len` bytes.
    pub(crate) fn has_free<R: Region>(&self, region: &R, len: u64) -> bool {
        let long_enough = self.slabs.ranges().filter(|(_, class)| class.len >= len);
        long_enough
            .flat_map(|(range, _)| range)
            .any(|slab| is_free(region, slab))
    }

    /// Whether to wait a moment for a warm slab before this message of `len` bytes takes another.
    pub(crate) fn is_restrained<R: Region>(&mut self, region: &R, len: u64) -> bool {
        !self.has_warm(region, len) && self.warm_backoff.is_due()
    }

    /// Whether a warm slab for a message of `len` bytes is free, or it is all the same which one it takes.
    pub(crate) fn has_warm<R: Region>(&self, region: &R, len: u64) -> bool {
        let Some((range, class)) = self.slabs.ranges().find(|(_, class)| class.len >= len) else {
            return true;
        };
        let Some(count) = warm::count(class) else {
            return true;
        };
        range.take(count as usize).any(|slab| is_free(region, slab))
    }

    /// The message that a ticket stands for.
    pub(crate) fn accept<R: Region>(&self, region: &R, words: [u64; 2]) -> Result<Loan, Corrupt> {
        let ticket = Ticket::decode(words);
        let place = self.slabs.place(ticket.slab).ok_or(Corrupt)?;
        let word = Word::decode(region.load_slab(ticket.slab)).ok_or(Corrupt)?;
        let is_valid = word.holder.is_some()
            && word.generation == ticket.generation
            && ticket.len <= place.len
            && usize::try_from(ticket.len).is_ok();
        is_valid
            .then_some(Loan {
                slab: ticket.slab,
                generation: ticket.generation,
                at: place.at,
                len: ticket.len,
                lent: false,
            })
            .ok_or(Corrupt)
    }

    /// Makes the slab this participant's own, whose record it is about to release.
    pub(crate) fn seize<R: Region>(&self, region: &R, loan: &Loan) -> Result<(), Corrupt> {
        let mine = Word::held(self.me, loan.generation).encode();
        let mut seen = region.load_slab(loan.slab);
        for _ in 0..MOST_CHANGES {
            let word = Word::decode(seen).ok_or(Corrupt)?;
            if word.holder.is_none() || word.generation != loan.generation {
                break;
            }
            match region.replace_slab(loan.slab, seen, mine) {
                Ok(()) => return Ok(()),
                Err(found) => seen = found,
            }
        }
        Err(Corrupt)
    }

    /// Frees a slab that is this participant's own.
    pub(crate) fn free<R: Region>(&self, region: &R, loan: &Loan) {
        free(region, self.me, loan);
    }

    /// Frees what the dead held, or takes it over if a record refers to it. `is_gone` tells of whom it may
    /// be taken, after [`settle`](Region::settle). `false`: that cannot be had, and slabs of the dead stay theirs.
    #[must_use]
    pub(crate) fn reclaim<R: Region>(
        &self,
        region: &R,
        is_gone: impl Fn(Holder) -> bool,
        refers: impl Fn(&SlabRef) -> Referenced,
    ) -> bool {
        let mut settled = None;
        let mut unsettled = false;
        for slab in 0..self.slabs.count() {
            // Fetched first: whatever happens to the slab from here on makes the change below fail.
            let seen = region.load_slab(slab);
            let Some(
                word @ Word {
                    generation,
                    holder: Some(holder),
                    lent,
                },
            ) = Word::decode(seen)
            else {
                continue;
            };
            if holder == self.me {
                if self.is_to_be_renewed(slab, &word) {
                    self.renew(region, slab, seen, generation);
                }
                continue;
            }
            if !is_gone(holder) {
                continue;
            }
            if settled != Some(holder) {
                if unsettled || !region.settle() {
                    unsettled = true;
                    continue;
                }
                settled = Some(holder);
            }
            if lent {
                // What is lent and dead is never a message.
                self.take_back(region, slab, seen, &word);
                continue;
            }
            let next = match refers(&SlabRef { slab, generation }) {
                Referenced::No => Word::free(generation.wrapping_add(1)),
                Referenced::Yes => Word::held(self.me, generation),
                Referenced::Unclear => continue,
            };
            let _ = region.replace_slab(slab, seen, next.encode());
        }
        !unsettled
    }

    /// Whether somebody that is gone holds a slab, which can be had.
    pub(crate) fn is_held_by_the_gone<R: Region>(
        &self,
        region: &R,
        is_gone: impl Fn(Holder) -> bool,
    ) -> bool {
        (0..self.slabs.count()).any(|slab| {
            let Some(word) = Word::decode(region.load_slab(slab)) else {
                return false;
            };
            word.holder.is_some_and(|holder| {
                holder != self.me && is_gone(holder) && (!word.lent || self.is_memory_gone(holder))
            })
        })
    }
}

fn is_free<R: Region>(region: &R, slab: u32) -> bool {
    Word::decode(region.load_slab(slab)).is_some_and(|word| word.holder.is_none())
}

/// Frees a slab that is `holder`'s. If it is not any more, somebody took `holder` for dead.
pub(crate) fn free<R: Region>(region: &R, holder: Holder, loan: &Loan) {
    let free = Word::free(loan.generation.wrapping_add(1)).encode();
    // Its release pairs with the acquire in `take`: the message has been read.
    let _ = region.replace_slab(loan.slab, loan.held(holder), free);
}
