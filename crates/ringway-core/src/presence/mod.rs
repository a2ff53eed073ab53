//! Who is alive, by proof of the kernel only.
//!
//! Each attached process owns a 32-bit **liveness word** in its slot of the participants table, and beside it, in the
//! table of **sights**, one such word for every slot: how whoever sits there sees this one. All of them are robust
//! futex words, and the kernel keeps them true:
//!
//! | word | meaning |
//! |---|---|
//! | 0 | nobody, or left in order |
//! | tid + WAITERS | held by the process that has a [keeper](keeper) with this thread id |
//! | OWNER_DIED + WAITERS | the holder died (or called exec) without leaving |
//! | the same + NOTED | a sight: the same, and its [watcher](watcher) has noted it |
//!
//! WAITERS is set from the start, so that the kernel wakes a sleeper on the word when it marks it. It wakes *one*; but
//! on each sight sleeps at most one, the watcher of the slot that it is for. So nobody passes news on to others, and
//! nobody who is stopped, or dying, can keep them from anybody else.
//!
//! The liveness word says whose the slot is: it is taken by compare-and-swap, and observers look at it. A participant
//! decides by its own sights ([`Outlook`]), which are what its watcher sleeps on. Both are written by the keeper, in
//! this order:
//!
//! | who | in this order |
//! |---|---|
//! | a newcomer | takes the liveness word; counts up the slot's epoch; raises `MOVEMENTS`; writes its thread id into all sights of it |
//! | one that leaves | raises `MOVEMENTS`; clears each sight of it and wakes its sleeper, in one step of the kernel; clears the liveness word |
//! | the kernel, for one that died | marks each sight of it and wakes its sleeper; marks the liveness word |
//!
//! So a slot can be taken again only when all who watch it have been told, and who is seen alive has its epoch.
//!
//! | a process dies, or is stopped | dead, it leaves | stopped, others see |
//! |---|---|---|
//! | before its keeper's compare-and-swap | the word as it was | the same |
//! | after it, before its sights | OWNER_DIED in the liveness word; sights of nobody | nobody new |
//! | among its sights | OWNER_DIED in those that it had written | some see it already |
//! | while leaving, among its sights | OWNER_DIED in the others and in the liveness word: not an orderly end | some see it no more |
//! | after that | 0 | 0 |
//!
//! The kernel marks what a dead thread's list names and what holds *its thread id, as its own pid namespace counts*. A
//! keeper of another namespace may have the same. So no list names a sight that may be another keeper's: sights are linked
//! when the slot is taken, and unlinked before it is given up. A liveness word may be in two lists for a moment: in that of
//! one that is about to take it, or has just left it. If that one is killed then, and the word's new holder has the same
//! thread id, this is marked dead; but others see it alive, and so nobody takes its slot. (What is left is one that is
//! killed there while the other one has taken the word and is not seen yet, and a third one that comes in that
//! moment. The kernel offers nothing against that.)
//!
//! The mark comes from the death of the *keeper thread*. Other threads of the dying process have a
//! SIGKILL pending by then, but one that runs on another processor may execute a few more instructions
//! before the interrupt arrives. [`settle`] rules that out: `membarrier` interrupts every processor
//! that runs a registered process, and no thread with a pending SIGKILL returns from an interrupt to
//! user space. Who is denied that call later does not go on without it. What a system call still does for the dead, it does not rule out: [`memory`] does.

#[cfg(all(test, loom))]
mod interleavings;
pub(crate) mod keeper;
mod liveness;
pub(crate) mod memory;
pub(crate) mod outlook;
pub(crate) mod participant;
pub(crate) mod retire;
pub(crate) mod watcher;

pub(crate) use liveness::Liveness;
pub use liveness::Peer;
pub(crate) use outlook::Outlook;

pub(crate) use crate::sys::membarrier::settle;
