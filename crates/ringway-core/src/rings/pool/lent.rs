//! Slabs to whose memory a pointer was lent, which system calls may write that go on when their caller is dead.
//!
//! ```text
//!                 lend a pointer              commit
//!   HELD(P, g) -------------------> LENT(P, g) ----> HELD(P, g) and then the record
//!                                     |   | abort
//!                        P is dead, its memory is gone,    +----> FREE(g+1)
//!                        no record refers to the slab
//!                                     v
//!                                   LENT(R, g): R gives it other pages ----> FREE(g+1)
//! ```
//!
//! | the holder dies | the word | who repairs, how |
//! |---|---|---|
//! | before it has lent the pointer | HELD(P, g) | a reclaimer frees the slab, at once |
//! | while somebody may write by the pointer | LENT(P, g) | a reclaimer that has such a proof itself, when P's memory is gone: below |
//! | having said that this is over, before the commit | HELD(P, g) | a reclaimer frees the slab, at once |
//! | while it gives the slab other pages | LENT(R, g) | the same as for P: the system call that replaces the pages may go on as well |
//!
//! A *stopped* holder is not dead, and keeps the slab. One that is dead and does not end, as its thread waits for a disk
//! that does not answer, keeps the slab as well: it is *withheld*. Others take other slabs; who needs this one sleeps
//! until a thread of its own process, which sleeps for the lock that proves the memory, wakes it
//! ([`liveness::memory`](crate::presence::memory)).
//!
//! Where new pages cannot be had (a full tmpfs), the slab stays the reclaimer's, which tries again when it next looks
//! for a slab.

use std::sync::Arc;

use super::{Loan, Pool};
use crate::memory::layout::pool::{Holder, Word};
use crate::memory::region::Region;
use crate::presence::memory::{Memories, Proof, Wake};

/// What a participant needs to lend pointers, and to take back what others lent.
pub(crate) struct Lender {
    memories: Arc<Memories>,
    wake: Arc<Wake>,
    _proof: Proof,
}

impl std::fmt::Debug for Lender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lender").field(&self.memories).finish()
    }
}

impl Lender {
    /// One with that proof of its memory; `wake` wakes it.
    pub(crate) fn new(memories: Arc<Memories>, proof: Proof, wake: Arc<Wake>) -> Self {
        Self {
            memories,
            wake,
            _proof: proof,
        }
    }
}

impl Pool {
    /// The same, which may lend pointers if there is a lender.
    pub(crate) fn with_lender(mut self: Box<Self>, lender: Option<Lender>) -> Box<Self> {
        self.lender = lender;
        self
    }

    /// Says that a pointer to the memory of the slab that is lent is about to be. `false` if there must be none.
    pub(crate) fn lend_pointer<R: Region>(&mut self, region: &R) -> bool {
        let Some(loan) = &mut self.lent else {
            return false;
        };
        if loan.lent {
            return true;
        }
        if self.lender.is_none() || region.is_forked() {
            return false;
        }
        let held = loan.held(self.me);
        let word = Word::lent(self.me, loan.generation).encode();
        // Before the pointer is known to anybody. It fails if this one was taken for dead.
        loan.lent = region.replace_slab(loan.slab, held, word).is_ok();
        loan.lent
    }

    /// Says that nobody writes by the pointer to this slab any more.
    pub(crate) fn end_lending<R: Region>(&self, region: &R, loan: &mut Loan) {
        if loan.lent {
            let held = loan.held(self.me);
            loan.lent = false;
            // Before the record refers to it: what is LENT and dead is never a message.
            let _ = region.replace_slab(loan.slab, held, loan.held(self.me));
        }
    }

    /// Whether nothing writes to the memory of slabs for one that is dead any more, to which it had lent a pointer.
    pub(super) fn is_memory_gone(&self, holder: Holder) -> bool {
        self.lender
            .as_ref()
            .is_some_and(|lender| lender.memories.is_gone(holder))
    }

    /// Whether a slab of one's own is none that one has for a message, but one that shall have new pages.
    pub(super) fn is_to_be_renewed(&self, slab: u32, word: &Word) -> bool {
        word.lent && self.lent.is_none_or(|loan| loan.slab != slab)
    }

    /// Takes a slab from a dead holder that had lent a pointer to it, whose word is `seen`, if nobody writes to it any
    /// more; and frees it.
    pub(super) fn take_back<R: Region>(&self, region: &R, slab: u32, seen: u64, word: &Word) {
        // Without a lock of one's own, nobody could wait for a call of this process that replaces the pages.
        if self.lender.is_none()
            || !word
                .holder
                .is_some_and(|holder| self.is_memory_gone(holder))
        {
            return;
        }
        let mine = Word::lent(self.me, word.generation).encode();
        if region.replace_slab(slab, seen, mine).is_ok() {
            self.renew(region, slab, mine, word.generation);
        }
    }

    /// Whether there is a slab of one's own that could not be given new pages yet.
    pub(crate) fn has_to_renew<R: Region>(&self, region: &R) -> bool {
        self.lender.is_some()
            && (0..self.slabs.count()).any(|slab| {
                Word::decode(region.load_slab(slab)).is_some_and(|word| {
                    word.holder == Some(self.me) && self.is_to_be_renewed(slab, &word)
                })
            })
    }

    /// Gives a slab of one's own, whose word is `seen`, other pages, and frees it.
    pub(super) fn renew<R: Region>(&self, region: &R, slab: u32, seen: u64, generation: u32) {
        let Some(place) = self.slabs.place(slab) else {
            return;
        };
        if region.renew_slab(place.at, place.len) {
            let free = Word::free(generation.wrapping_add(1)).encode();
            let _ = region.replace_slab(slab, seen, free);
        }
    }

    /// Makes sure that this participant is woken when a slab of the dead can be had that is withheld now. `false` if it
    /// had better look again.
    pub(crate) fn await_withheld<R: Region>(
        &self,
        region: &R,
        is_gone: impl Fn(Holder) -> bool,
    ) -> bool {
        let Some(lender) = &self.lender else {
            // Whoever can take it wakes this one then.
            return true;
        };
        (0..self.slabs.count()).all(|slab| {
            let word = Word::decode(region.load_slab(slab));
            let holder = word
                .filter(|word| word.lent)
                .and_then(|word| word.holder)
                .filter(|holder| *holder != self.me && is_gone(*holder))
                .filter(|holder| !self.is_memory_gone(*holder));
            holder.is_none_or(|holder| lender.memories.watch(holder, &lender.wake))
        })
    }
}
