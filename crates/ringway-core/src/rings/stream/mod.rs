//! The stream ring: one producer, one consumer, records of any size packed one after the other.
//!
//! # The protocol
//!
//! Positions count bytes for ever and are taken modulo the capacity. Between the consumer's *head* and
//! the producer's *tail* lie committed records, each a 64-bit word and a payload
//! ([`crate::memory::layout::record`]). **At the tail there is always a word of zero**, the stop word.
//!
//! To send, the producer writes
//!
//! - the payload behind the stop word, and a new stop word behind the payload, in any order;
//! - then the record's word over the old stop word, with release: the *commit* (`Producer::publish`).
//!
//! The consumer looks at the word at its head, with acquire (`Consumer::find`). Zero: nothing there. Otherwise it is a
//! whole record. It copies the payload and releases the room by storing *head* with release
//! (`Consumer::release_records`).
//!
//! So a message travels in the line that carries its payload; no index is exchanged on the way there.
//! (Aeron commits by a length field in the log in the same manner, and has the consumer zero what it
//! read; FastForward put the idea forward for slots. Here the producer lays the stop word itself, in a
//! line that it is about to write anyway, and the consumer writes nothing into the data.)
//!
//! A record never wraps. If it does not fit before the end of the region, a padding record fills the
//! rest and the message follows at the start; the padding's word is written last and commits both.
//! A batch is committed the same way: all words but the first, then the first.
//!
//! # Short ways and long ones
//!
//! Each operation has two forms. The short one (`send_at_once`, `push_at_once`, `recv_at_once`, `show_at_once`) is a part of the
//! caller's loop: it makes one comparison with a private limit, does what is said above, or does nothing and says so. Then the long
//! one is called, which looks at everything, waits, and sets the limit anew ([`producer`] and [`consumer`] have the tables of what
//! bounds it). To the other side the two are the same: the same words, in the same order.
//!
//! # Word by word, once around
//!
//! A region of 64 bytes, which is eight words. `m0:10` is the word of message number 0 with 10 bytes, `p2:16` one of
//! padding with 16 bytes behind it; what was not written is zero, and dots are bytes that mean nothing.
//!
//! ```text
//! at               0       8       16      24      32      40      48      56      tail  head
//! new              0                                                                  0     0
//! send 10 bytes    m0:10  ABCDEFGH IJ......  0                                       24     0
//! send 8 bytes     m0:10  ABCDEFGH IJ......  m1:8  abcdefgh   0                      40     0
//! receive both                                                0                      40    40
//! ```
//!
//! Now 24 bytes are sent. They take 32 with their word, and from 40 on only 24 are left. So padding begins at 40, and
//! the message at position 64, which is offset 0 again. There is room, because what ends at position 96, with a stop word
//! behind it at 96 to 104, is not more than 64 bytes ahead of the head at 40.
//!
//! ```text
//! at               0       8       16      24      32      40      48      56      tail  head
//! its word         m2:24  ABCDEFGH IJ......  m1:8  abcdefgh   0                      40    40
//! the stop word    m2:24  ABCDEFGH IJ......  m1:8     0       0                      40    40
//! its payload      m2:24  QRSTUVWX YZabcdef ghijklmn  0       0                      40    40
//! the commit       m2:24  QRSTUVWX YZabcdef ghijklmn  0     p2:16  ........ ........ 96    40
//! receive          m2:24  QRSTUVWX YZabcdef ghijklmn  0     p2:16  ........ ........ 96    96
//! ```
//!
//! Until the commit the consumer finds zero at its head, at 40, and looks at nothing else. After it, it finds padding,
//! goes on at 40 + 8 + 16 = 64, finds the message, and its next head is 64 + 8 + 24 = 96, where there is a stop word. If the
//! producer dies before the commit, the next one finds the same zero at 40 and writes over what lies behind. If it dies right after
//! the commit, before it has stored `TAIL`, the next one walks from the head, 40, 64, 96, as the consumer does, and goes
//! on at 96 with message number 3 (`Producer::resume`).
//!
//! # Invariants
//!
//! Comments at memory orderings cite them by their numbers.
//!
//! - **S1**: at the tail there is a word of zero. So whoever walks from the head from record to record comes to it, and reads nothing
//!   behind it.
//! - **S2**: who sees the word of a record sees its payload, and the word behind it. The commit is a release, the look an acquire.
//! - **S3**: the producer writes nothing that ends, with its stop word, more than a capacity ahead of `HEAD`; and who sees `HEAD` has all before
//!   it read. The release is a release, the producer's look an acquire.
//! - **S4**: the counters `TAIL`, `SENT` and `RECEIVED` decide nothing between the two. `TAIL` and `SENT` are never ahead of the words; `RECEIVED` is
//!   never behind `HEAD`.
//! - **S5**: one at a time has a side. The next one begins when the last one's slot is free, or the last one is dead and settled.
//!
//! # States, and what a death in each leaves
//!
//! | the producer dies | it leaves | who repairs, how |
//! |---|---|---|
//! | before the commit | a stop word at the tail; bytes behind it that nobody reads | nobody needs to |
//! | after the commit, before its counters | the message; `TAIL` and `SENT` short of it | the next producer walks the records from the head and finds tail and number again |
//! | after the commit, before the wake | the message, perhaps a sleeping consumer | the kernel and the consumer's watcher, which has it look |
//!
//! | the consumer dies | it leaves | who repairs, how |
//! |---|---|---|
//! | before it stores `HEAD` | the message, not released | the next consumer gets it again |
//! | between `RECEIVED` and `HEAD` | a count that is one operation ahead | the next consumer takes the number from the record at the head |
//! | after `HEAD`, before the wake | free space, perhaps a sleeping producer | the kernel, as above |
//!
//! # How a stream ends, and goes on
//!
//! Each side has a mark, "closed", in its control line. It says how the side left, and counts only while nobody has its
//! slot. A producer that closes sets the mark and then leaves its slot; one that attaches clears it. So a side is, as the
//! other one sees it:
//!
//! | its slot | its mark | it is | a receiver that finds nothing gets | a sender gets |
//! |---|---|---|---|---|
//! | nobody's | 0 | absent: nobody came yet, or the last one left without closing | `Empty`, or it waits | `Full`, or it waits, if there is no room |
//! | held | any | alive | the same | the same |
//! | a dead one's | any | died | `PeerDied` | `PeerDied` if there is no room |
//! | nobody's | 1 | closed | `Closed` | `Closed` |
//!
//! ```text
//!   ABSENT -- attach --> ALIVE -- set the mark, leave --> CLOSED -- attach --> ALIVE
//!      ^                 |   |                                                   ^
//!      +----- leave -----+   +--- death ---> DIED ----------- attach ------------+
//! ```
//!
//! The mark is judged before the last look for a message ([`consumer`]'s `recheck_or_end`), so all that the producer sent before
//! it closed is received first. A successor that attaches before that goes on with the same stream: nobody is told of the end in
//! between. A receiver that has been told `Closed` may ask again, or wait for the next producer.
//!
//! | somebody dies, or is stopped, | the others see |
//! |---|---|
//! | closing, before the mark | a death; or somebody alive |
//! | closing, between the mark and leaving the slot | the same: the mark of one who has not left says nothing. The next one clears it |
//! | closing, between leaving and waking who sleeps | closed. Watchers wake sleepers when somebody leaves |
//! | attaching, before it is seen to live | what they saw before it came |
//! | attaching, before it has cleared the mark | a death; or somebody alive. The next one clears it |
//! | attaching, before it wakes who sleeps | a death, or somebody alive. Watchers wake sleepers of a death; who is stopped here delays one who waits for it |
//!
//! # What a hostile peer can do
//!
//! It can send garbage, and it can make the other side's handle fail with `Corrupt`. Every word is
//! fetched once, checked against this process's own geometry, and only the checked copy is used.

pub(crate) mod consumer;
pub(crate) mod producer;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::memory::layout::control::{CONSUMER_CLOSED, DATA_EVENT, PRODUCER_CLOSED, SPACE_EVENT};
use crate::memory::layout::participant::{REPAIRED, Role, slot_offset};
use crate::memory::layout::pool::Holder;
use crate::memory::region::{Control, Region};
use crate::presence::{Liveness, Outlook, Peer};
use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, eventcount};

/// Counts messages that the last holder of `role` did not come to count, or not to release.
fn count_repaired<R: Region>(region: &R, role: Role, messages: u64) {
    if messages > 0 {
        let slot = match role {
            Role::Producer => 0,
            Role::Consumer => 1,
        };
        let counter = slot_offset(slot) + REPAIRED;
        let before = region.load64(counter, Ordering::Relaxed);
        region.store64(counter, before.wrapping_add(messages), Ordering::Relaxed);
    }
}

/// Whether the holder of a slab is not there any more, as the producer sees it.
fn is_gone<R: Region>(region: &R, holder: Holder) -> bool {
    CONSUMER.outlook().is_holder_gone(region, holder)
}

/// The words of one side of the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// What this side sleeps on.
    pub(crate) event: usize,
    /// Where this side says that it has closed.
    pub(crate) closed: usize,
    /// Where it sits.
    pub(crate) slot: u32,
}

/// The producer's words.
pub(crate) const PRODUCER: Side = Side {
    event: SPACE_EVENT,
    closed: PRODUCER_CLOSED,
    slot: 0,
};

/// The consumer's words.
pub(crate) const CONSUMER: Side = Side {
    event: DATA_EVENT,
    closed: CONSUMER_CLOSED,
    slot: 1,
};

impl Side {
    /// The words of the side that plays `role`.
    pub(crate) fn of(role: Role) -> Self {
        match role {
            Role::Producer => PRODUCER,
            Role::Consumer => CONSUMER,
        }
    }

    /// Whether this side's mark is set: it has [closed](Peer::Closed), if nobody has its slot.
    #[inline(always)]
    fn is_marked(self, control: impl Control) -> bool {
        // (S5) Acquire pairs with the release in `mark_closed`: what it did before is seen.
        control.load32(self.closed, Ordering::Acquire) != 0
    }

    /// How the other side sees this one.
    fn outlook(self) -> Outlook {
        Outlook::new(2, 1 - self.slot)
    }

    /// Whether this side is attached, as the other one sees it.
    pub(crate) fn liveness<R: Region>(self, region: &R) -> Liveness {
        self.outlook().liveness(region, self.slot)
    }

    /// What this side is, to the other.
    pub(crate) fn state<R: Region>(self, region: &R) -> Peer {
        match self.liveness(region) {
            Liveness::Alive => Peer::Alive,
            Liveness::Dead => Peer::Died,
            // The mark after the slot: whoever left it had set the mark before, or cleared it when it came. If
            // somebody has come meanwhile, either answer was true a moment ago.
            Liveness::Absent if self.is_marked(region.control()) => Peer::Closed,
            Liveness::Absent => Peer::Absent,
        }
    }

    /// Says, for the time after this side has left its slot, that it has closed.
    fn mark_closed<R: Region>(self, region: &R) {
        region.store32(self.closed, 1, Ordering::Release);
    }

    /// Forgets that the last one on this side closed. To be called when one has come, and all see that it lives.
    fn reopen<R: Region>(self, region: &R) {
        // Relaxed: made visible by whatever this one does next, its leaving included.
        region.store32(self.closed, 0, Ordering::Relaxed);
    }

    /// Wakes `other`, if it sleeps, to see that this side has come or left. Its fence is also the one that who comes makes before its
    /// first message ([`publisher`](crate::waiting::publisher)).
    pub(crate) fn announce<R: Region>(self, other: Self, region: &R) {
        eventcount::announce(region, other.event);
    }
}

/// What waits in a stream ring: one side for the other.
pub(crate) trait OneSide {
    /// Where the ring is.
    type Region: Region;
    /// This side's words, and the other's.
    const SIDES: (Side, Side);
    /// Where the ring is.
    fn region(&self) -> &Self::Region;
}

impl<S: OneSide> Blocked for S {
    fn prepare(&mut self) -> Watch {
        let (own, other) = S::SIDES;
        let event = eventcount::prepare_for(self.region(), own.event, other.slot);
        // The watcher sees to deaths.
        Watch::of(own.event, event)
    }

    fn cancel(&mut self) {
        eventcount::cancel(self.region(), S::SIDES.0.event);
    }

    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake {
        self.region().wait(watch.words(), deadline)
    }

    fn in_vain(&mut self) -> bool {
        matches!(self.peer(), Peer::Closed | Peer::Died)
    }

    fn peer(&self) -> Peer {
        S::SIDES.1.state(self.region())
    }

    fn is_lonely(&mut self) -> bool {
        let region = self.region();
        region.name().is_some() && S::SIDES.1.liveness(region) != Liveness::Alive
    }

    fn is_forsaken(&self) -> bool {
        self.region().name().is_some_and(|name| name.is_forsaken())
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.region().interrupted()
    }
}
