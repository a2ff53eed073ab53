//! The broadcast ring: one producer, many consumers, of which each sees every message.
//!
//! # The protocol
//!
//! Records lie as in a stream ring ([`crate::memory::layout::record`]): a 64-bit word and a payload, one behind the other,
//! none of which wraps, and *at the tail there is always a word of zero*. To send is to write the payload behind that word, a new
//! zero behind the payload, and then the record's word over the old zero: the commit. Each consumer polls the word at *its own
//! cursor*. So one message travels to all in the lines that carry it, and the producer does the same work however many
//! there are.
//!
//! What the producer may overwrite is a matter between it and those that hold it up:
//!
//! - The producer has a private *limit*: how far it may write without looking at anybody. A send compares with that, and
//!   with nothing else.
//! - In the segment is [`LIMIT`], never less than the private one. Whatever lies a capacity before it and earlier may
//!   be overwritten at any moment; what lies behind that is whole.
//! - Each consumer has a line of its own: its cursor and its [state](State), which says whether it holds the producer up
//!   ([`Policy`]) and where it is in its life. The state carries the epoch of the slot.
//!
//! # The gate, and how one joins
//!
//! At the limit the producer looks at all consumers (`Producer::raise`), and a newcomer finds its place (`Consumer::join`):
//!
//! | the producer | a newcomer |
//! |---|---|
//! | looks: how far do those go that live and hold it up? | has its slot, and is seen to live |
//! | stores a new `LIMIT` that is not beyond that | says JOINING in its state |
//! | *full fence* | *full fence* |
//! | **looks once more** | reads `LIMIT`: what lies a capacity before it is its floor |
//! | uses the new limit, or takes it back as far as the second look demands | chooses its cursor at the floor or behind it, stores it, then says ACTIVE |
//!
//! The fences are Dekker's: each side stores and then loads what the other one stores. Either the newcomer reads the new
//! `LIMIT`, and chooses a cursor that the producer does not reach; or the second look sees the newcomer. Then it is JOINING,
//! and the producer keeps to the limit that it had, which is not beyond a floor by any `LIMIT` that this one may have read; or it is
//! ACTIVE, and its cursor counts. Without the second look the producer could use a limit that it found before the
//! newcomer was there, and overwrite what that one has begun to read. (`tests/interleavings` has the model, and a planted
//! bug takes the look away.)
//!
//! ```text
//!   (another epoch) -- join --> JOINING -- cursor, swap --> ACTIVE -- leave, death --> (nobody: no sight, or another epoch)
//!                                  |                          |
//!                                  +-- held up for too long --+--> EVICTED    by the producer, only with Policy::Evict
//! ```
//!
//! No cursor is inherited: a state of another epoch than the slot's says nothing, and one that is JOINING has no cursor yet.
//!
//! # Who is not waited for
//!
//! A consumer that is [`Lossy`](Policy::Lossy) is passed over by the look. It may be overtaken while it reads, so it copies
//! first and believes it afterwards, as readers of a seqlock do: copy, fence, load `LIMIT`. If that is not more than a capacity
//! ahead of the record, nothing of the copy was overwritten: the producer stores `LIMIT` before it writes, with a release
//! fence between. Else it goes on at a *waypoint* about half a ring behind the tail, and is told how many messages it
//! missed: a waypoint has the number of its record, and the consumer knows which one it was to have next.
//!
//! With [`Evict`](Policy::Evict) it holds the producer up to its bound. Then the producer swaps its state for EVICTED, and
//! goes on. The consumer looks at its own state behind each copy; if it is still ACTIVE, nothing of the copy was
//! overwritten, because the swap is before the new limit and that before the write.
//!
//! Waypoints, 32 in a ring of their own, are set by the producer, each a sixteenth of the capacity behind the last, or up to an
//! eighth; a longer message has its own. A message at the tail has its waypoint set before it is written. Places within a batch are
//! noted, and set when it is committed: one that is given up leaves none. Position and number are written under a mark, so that a
//! reader sees both of one or neither. The private limit, at which the producer stops to see whether a waypoint is due, is a
//! sixteenth ahead at most, also where the producer may go farther: it may, after a batch or a claim that was given up.
//!
//! A batch ends a capacity behind the tail, also where nobody holds the producer up: nothing that is not committed lies over the
//! batch's own beginning, and `LIMIT` is never more than a capacity ahead of the tail.
//!
//! # Invariants
//!
//! Comments at memory orderings cite them by their numbers.
//!
//! - **B1**: at the tail there is a word of zero, and who sees the word of a record sees its payload (S1 and S2 of [`super::stream`]).
//! - **B2**: the producer writes nothing that ends more than a capacity ahead of the cursor of a consumer that lives, is ACTIVE and
//!   holds it up; and who sees a cursor has all before it read. The release is a release, the look an acquire.
//! - **B3**: `LIMIT` never falls, and is stored before anything is written that it allows. So who has copied something and then sees by `LIMIT` that it
//!   was not to be overwritten has it whole.
//! - **B4**: of a newcomer's JOINING and a new `LIMIT`, at least one is seen by the other side.
//! - **B5**: a state, a cursor and a name are its who holds the slot in that epoch; of another epoch they say nothing.
//! - **B6**: a waypoint is a record's number and position, both or neither.
//!
//! # Names
//!
//! A consumer with a name writes the number of its next message, and then where that is, into an entry of its own, with each release.
//! Who comes with that name again goes on there, or, if that is overwritten, at the first waypoint that is not: one that comes
//! back before anything was sent misses nothing, however full the ring was. An entry is
//! found by a hash of the name, is taken by one compare-and-swap, and then stays that name's until that is forgotten (`names`, which has
//! the table for that). Its holder is known by
//! slot and epoch; another one takes it only when that one is gone, and after [`settle`](Region::settle), so that no late store of
//! the dead comes behind.
//!
//! # States, and what a death or a stop in each leaves
//!
//! | the producer | dies, it leaves | is stopped, the others |
//! |---|---|---|
//! | before the commit | a zero at the tail, bytes behind it that nobody reads | receive all that was sent, and wait |
//! | after the commit, before `SENT` and `TAIL` | the message; the next producer walks from `TAIL` to the zero, and finds tail and number again | have it |
//! | between `LIMIT` and the second look | a `LIMIT` that nobody uses: the next producer begins with no limit of its own, and never stores a lower one | join farther ahead than they must |
//! | within a waypoint | one that says that it is none | take another one |
//! | after the commit of a batch, before the last of its waypoints | records without waypoints between; `TAIL` is still at the batch's beginning, and the next producer sets them as it walks from there | have it; who comes begins at the batch's beginning at the latest |
//! | after the swap to EVICTED | somebody who is told so, though it was not passed yet | the same |
//! | after the commit, before the wake | perhaps sleepers: the kernel and their watchers have them look | sleepers sleep until it goes on: they wait for nothing else than its messages |
//!
//! | a consumer | dies, it leaves | is stopped, the others |
//! |---|---|---|
//! | seen to live, not yet JOINING | nothing: a state of another epoch | go on |
//! | JOINING | a state that holds; the producer sees the death, settles, and clears it by compare-and-swap | wait, if it holds; with a bound up to that, or a tenth of a second where the bound is in bytes |
//! | ACTIVE, having received but not released | the message; nobody else needs it. By its name it gets it again | as its policy says |
//! | between a name's number and its position, or its cursor | a position one operation behind the number, from which the next one walks; a cursor that nobody reads any more | go on |
//! | after its cursor, before the wake | room; the producer's watcher has it look | a producer that sleeps goes on when another one releases, or when this one does |
//! | having taken a name, before anything else | an entry whose holder is gone | refuse the name to others: it is held |
//!
//! Dead consumers hold nobody up, at once: the look skips who is not seen to live. It settles first, as one that is dying may
//! still read, and clears the state, so that the next look need not.
//!
//! # How it ends
//!
//! As a stream does: a producer that closes sets a mark and leaves its slot; one that comes clears it. A consumer that finds nothing
//! is told `Closed` if the mark is set and nobody has the slot, `PeerDied` if the last producer died. Consumers come and go, and end
//! nothing.
//!
//! # Waking
//!
//! All consumers sleep on one event, and the producer on another. A send looks at one word, and wakes all sleepers by one call.
//!
//! # What a hostile peer can do
//!
//! Send garbage, hold the producer up as a consumer that blocks, have others' cursors point elsewhere, and make handles
//! fail with `Corrupt`. Each word is fetched once and checked against this process's own geometry; no walk is longer than
//! the ring, no search longer than its tables, and one call is overtaken once at most. A ring may
//! [refuse](crate::Builder::policies) policies that hold the producer up: the producer then does not wait for who
//! claims one all the same.
//!
//! # Messages in slabs
//!
//! A slab is needed as long as the record with its ticket is, and the gate decides about both: [`producer`]'s `loans` has the
//! states and what a death or a stop in each leaves.

pub(crate) mod consumer;
mod join;
mod names;
pub(crate) mod producer;
pub(crate) mod records;
#[cfg(test)]
mod tests;
mod waypoints;

use std::time::Duration;

#[cfg(doc)]
use crate::memory::layout::broadcast::LIMIT;
#[cfg(doc)]
use crate::memory::layout::broadcast::State;
use crate::memory::layout::broadcast::{Bound, Holds, allowed};
use crate::memory::layout::control::PRODUCER_CLOSED;
use crate::memory::region::Region;
use crate::presence::{Liveness, Outlook, Peer};

pub(crate) use join::{Refused, Wish};
pub(crate) use names::forget;

/// The producer's slot.
pub(crate) const PRODUCER_SLOT: u32 = 0;

/// What becomes of the producer when a consumer does not keep up, as that consumer chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The producer waits: nothing is lost. The slowest consumer that lives and blocks sets the pace; a process that is
    /// stopped lives, and one that died holds nobody up.
    #[default]
    Block,
    /// The producer waits for nobody. A consumer that was overtaken is told how many messages it missed
    /// ([`RecvError::Lagged`](crate::RecvError::Lagged)), and goes on about half a ring behind the newest.
    Lossy,
    /// The producer waits up to this limit; then the consumer is told [`Evicted`](crate::RecvError::Evicted), and gets nothing
    /// more until it subscribes again.
    Evict(EvictAfter),
}

/// When a consumer that holds the producer up is passed, and told [`Evicted`](crate::RecvError::Evicted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvictAfter {
    /// When it is more than so many bytes of the ring behind, or needs a slab that the producer wants back.
    Bytes(u64),
    /// When the producer has waited for so long.
    Waiting(Duration),
}

impl Policy {
    /// The name that the CLI and `stat` use.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::broadcast::Policy::Lossy.name(), "lossy");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Lossy => "lossy",
            Self::Evict(_) => "evict",
        }
    }

    /// The bit by which a ring allows it.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Block => allowed::BLOCK,
            Self::Lossy => allowed::LOSSY,
            Self::Evict(_) => allowed::EVICT,
        }
    }

    /// What it is in a state, and the bound beside it.
    fn parts(self) -> (Holds, Bound) {
        match self {
            Self::Block => (Holds::Always, Bound::Bytes(0)),
            Self::Lossy => (Holds::Never, Bound::Bytes(0)),
            Self::Evict(EvictAfter::Bytes(bytes)) => (Holds::Bounded, Bound::Bytes(bytes)),
            Self::Evict(EvictAfter::Waiting(time)) => {
                let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                (Holds::Bounded, Bound::Nanoseconds(time))
            }
        }
    }
}

/// With which message a consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// The oldest one that the ring still holds. (It is known to an eighth of the ring, or of its slabs: what lies at the very edge is
    /// passed over.)
    #[default]
    Oldest,
    /// The next one that is sent.
    Latest,
    /// So many before the next one, as far as there are so many. Those that were sent and are gone are told as
    /// [`Lagged`](crate::RecvError::Lagged) first.
    Last(u64),
    /// The one with this [number](crate::Message::number), or, if it is gone, the oldest one, and how many are missing is told as
    /// [`Lagged`](crate::RecvError::Lagged) first. If it was not sent yet, the next one that is.
    Number(u64),
}

/// What the producer is to a consumer.
fn producer_state<R: Region>(region: &R, outlook: Outlook) -> Peer {
    match outlook.liveness(region, PRODUCER_SLOT) {
        Liveness::Alive => Peer::Alive,
        Liveness::Dead => Peer::Died,
        // The mark after the slot: whoever left it had set the mark before, or cleared it when it came. Acquire pairs
        // with the release in `Producer::close`: what that one did before is seen.
        Liveness::Absent
            if region.load32(PRODUCER_CLOSED, std::sync::atomic::Ordering::Acquire) != 0 =>
        {
            Peer::Closed
        }
        Liveness::Absent => Peer::Absent,
    }
}
