//! The board: entries with names, of each the latest value. Who reads takes part in nothing: it has no slot, keeps
//! nobody waiting, and stores to no line that a writer stores to.
//!
//! # An entry
//! An entry has a key, a *role*, which one writer at a time has, and a value of some bytes with a *number*, which counts
//! the values that it ever had. The bytes lie in two buffers in turn: value n in buffer n mod 2.
//!
//! | word | says | changed by |
//! |---|---|---|
//! | number | which value is published; 0 before the first | the writer |
//! | begun | which value the writer began last: number, or number + 1 | the writer |
//! | two lengths | bytes of the value in each buffer | the writer |
//! | owner | who has the role: an attachment's id, or 0 | who takes or leaves the role |
//! | fingerprint, key | who the entry is | who adds it, once |
//! | event | whether a reader sleeps | readers that sleep, and who wakes them |
//!
//! # Writing and reading
//!
//! | the writer of value n | a reader |
//! |---|---|
//! | store n in `begun` | load `number` with acquire: it is m |
//! | *release fence* | copy buffer m mod 2, as long as its length says |
//! | write the bytes to buffer n mod 2, and their length, if it is not there | *acquire fence* |
//! | store n in `number`, with release | load `begun`: if it is m or m + 1, the copy is value m |
//! | look who sleeps, and wake | else again |
//!
//! The bytes of value m are there when its number is: release and acquire. The writer touches them again when it writes value
//! m + 2. If the reader's copy has a byte of that, then by the two fences it sees m + 2 in `begun`, and throws the copy away.
//! So a reader has the time in which the writer writes one whole value, and more, before it has to begin anew.
//!
//! *A value that is read again* and is still the latest lies where it lay, with the length that it had. So a reader that finds the number
//! of the last one it read copies from there, and asks for `number` once more behind the fence: if it is still m, the copy is value m,
//! for by the two fences who has a byte of value m + 2 sees m + 1 or more there. That costs what a bare seqlock costs, and two
//! comparisons: of the process, and of the length. If it is not so, it reads as above.
//!
//! A reader tries [`reader::ATTEMPTS`] times and gives up then: neither a writer that never rests nor a peer that writes numbers
//! at random keeps it any longer. No number, length or key that it finds is believed further than to the entry's own buffers.
//!
//! # Invariants
//! Comments at memory orderings cite them by their numbers.
//!
//! - **E1**: who sees the number of a value sees its bytes, until the writer begins the value after the next.
//! - **E2**: who has copied a byte of a value sees that it was begun, and that the one before it was published.
//! - **E3**: one at a time has the role. The next one begins when the last one left, or is dead and settled.
//! - **E4**: a fingerprint never changes, and who sees the length of a key sees the key.
//! - **E5**: who has copied a word of a short value sees in `short begun` that it was begun; the words of a short value are overwritten by
//!   the next short one only.
//! - **E6**: of a writer that marks and then looks what a reader has said, and a reader that says something, settles, and then looks at the mark, one sees
//!   what the other stored.
//!
//! # Short values, and the mark
//! What is said at the desks of a service ([`short`]) lies, where it is short, in the writer's own two lines of 64 bytes, beside the number: a reader
//! that polls the number fetches both, and no buffer. There is room for one such value. Who writes it overwrites the last short one, so its
//! writers are those whose reader has no need of that one any more; a reader that comes upon one that is half written finds it changing.
//!
//! | the writer of short value n | a reader |
//! |---|---|
//! | store n in `short begun` | load `number` with acquire: it is m, and its length says that it is short |
//! | *release fence* | copy the words |
//! | write the words, from the last to the first, and the length | *acquire fence* |
//! | store n in `number`, with release | load `short begun`: if it is m, the copy is value m |
//!
//! A short value does not touch the buffers, and another one does not touch the short one's words. One killed among the words leaves a short
//! value that nobody can read, and the number of the last one: nobody reads it before there is a next one.
//!
//! Beside them is the *mark*: a word that the writer stores for who comes after it, and that no reader polls.
//!
//! # The role
//! It is taken by one compare-and-swap of the owner, from nobody or from one that has come to its end: that the watcher's sights prove
//! ([`crate::presence`]), and `settle` makes sure that it does nothing more. (So there are no boards where there is no
//! `membarrier`.) The new writer reads the number, and goes on with the next. What the dead one had begun it writes anew.
//!
//! # Keys
//! Entries are taken in turn, the first free one by one compare-and-swap of its fingerprint, which is computed from the key. A
//! fingerprint never changes again. So of two that add the same key at once both find the same entry: neither passes an entry that is free.
//! The bytes of the key are written behind the fingerprint, by everybody who finds them missing and wants that very key: whoever
//! it is, they are the same. So nobody waits for one that is stopped before it has written them. (Keys with the same 64 bits
//! of fingerprint, added in that very moment, would be taken for one another.)
//!
//! # What a death leaves
//!
//! | a process dies, or is stopped | it leaves | others |
//! |---|---|---|
//! | adding an entry, before its compare-and-swap | nothing | |
//! | after it, before the key's length | an entry whose key cannot be read | who wants that key knows it by the fingerprint, and writes the key; who looks on does not list it |
//! | having taken the role | its id in the owner's word | a dead one's is taken over; who is stopped keeps the role |
//! | having begun, among the bytes | `begun` = number + 1, and a buffer that nobody reads | read the last value; the next writer begins the same number anew |
//! | having stored the number, before the wake-up | the new value | read it. Who sleeps is woken by the kernel, as the writer's end is marked, and looks once a second |
//! | having left the role | the last value | read it, and may write |
//! | a reader, copying | nothing | |
//! | a reader, having said that it sleeps | a bit in the event | one needless wake-up |
//!
//! One that is stopped is alive: it keeps its role, its entries keep their last values, and readers read them.
//!
//! # Sleeping
//! Readers sleep on the entry's event ([`eventcount`](crate::waiting::eventcount)), and with it on the liveness word of its
//! writer, which the kernel marks when that one dies. It wakes one who sleeps there; that one wakes the others. Who takes the role wakes
//! them, so that they sleep on its word from then on. Who sleeps for
//! whatever changes, or for a key that is not there yet, sleeps on the board's event. As those who wait in a ring without a
//! peer, all look once a second by themselves: whether the board has been removed, and whether there is something that one who was
//! stopped, or killed, in the middle has told nobody of.

pub(crate) mod directory;
pub(crate) mod reader;
pub(crate) mod short;
pub(crate) mod sleeper;
#[cfg(test)]
mod tests;
pub(crate) mod watcher;
pub(crate) mod writer;

#[cfg(test)]
use crate::memory::layout::board::BEGUN;
use crate::memory::layout::board::{
    CHANGED, FINGERPRINT, KEY, KEY_LEN, LENGTHS, MARK, MIN_BUFFER_LEN, NUMBER, OWNER, SHORT,
    SHORT_BEGUN, SHORT_REST, buffer_len, entry_offset,
};
use crate::memory::layout::control::DATA_EVENT;
use crate::memory::layout::{Geometry, Shape};
use crate::memory::region::pane::Place;

/// Whoever waits for any change of the board sleeps on it.
pub(crate) const ANY_CHANGE: usize = DATA_EVENT;

/// Numbers that no writer reaches.
pub(crate) const TOO_HIGH: u64 = 1 << 63;

/// Where the entries of one board lie: computed from checked numbers, and a private copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slate {
    pub(crate) participants: u32,
    pub(crate) entries: u32,
    buffer_len: u64,
}

impl Slate {
    /// Of a board; `None` of a ring.
    pub(crate) fn of(geometry: &Geometry) -> Option<Self> {
        match geometry.shape() {
            Shape::Board(entries) => Some(Self::new(
                geometry.participants(),
                entries,
                geometry.capacity(),
            )),
            _ => None,
        }
    }

    pub(crate) fn new(participants: u32, entries: u32, capacity: u64) -> Self {
        Self {
            participants,
            entries,
            buffer_len: buffer_len(capacity, entries),
        }
    }

    /// Bytes of the longest value.
    pub(crate) fn max_len(&self) -> u64 {
        self.buffer_len
    }

    /// An entry, which must be one of them.
    pub(crate) fn entry(&self, index: u32) -> Entry {
        debug_assert!(index < self.entries, "entry {index}");
        let even = u64::from(index) * 2 * self.buffer_len;
        Entry {
            place: Place {
                words: entry_offset(self.participants, index),
                buffers: [even, even + self.buffer_len],
            },
            buffer_len: self.buffer_len,
        }
    }

    /// All entries, in the order in which they are taken.
    pub(crate) fn all(self) -> impl Iterator<Item = (u32, Entry)> {
        (0..self.entries).map(move |index| (index, self.entry(index)))
    }
}

/// Where one entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) buffer_len: u64,
}

impl Entry {
    /// Whether its buffers have room for so many bytes.
    #[inline(always)]
    pub(crate) fn has_room(&self, len: u64) -> bool {
        // What fits in the shortest buffer fits in all: known lengths are not compared. (Models have shorter ones.)
        (len <= MIN_BUFFER_LEN && !cfg!(loom)) || len <= self.buffer_len
    }

    pub(crate) const fn number(self) -> usize {
        self.place.words + NUMBER
    }

    #[cfg(test)]
    pub(crate) const fn begun(self) -> usize {
        self.place.words + BEGUN
    }

    /// Where the length of value `number` is.
    pub(crate) const fn length(self, number: u64) -> usize {
        self.place.words + length_field(number)
    }

    pub(crate) const fn short_begun(self) -> usize {
        self.place.words + SHORT_BEGUN
    }

    /// Where word `index` of a short value is.
    pub(crate) const fn short(self, index: usize) -> usize {
        const FIRST: usize = (SHORT_BEGUN - SHORT) / 8;
        match index < FIRST {
            true => self.place.words + SHORT + 8 * index,
            false => self.place.words + SHORT_REST + 8 * (index - FIRST),
        }
    }

    pub(crate) const fn mark(self) -> usize {
        self.place.words + MARK
    }

    pub(crate) const fn event(self) -> usize {
        self.place.words + CHANGED
    }

    pub(crate) const fn owner(self) -> usize {
        self.place.words + OWNER
    }

    pub(crate) const fn fingerprint(self) -> usize {
        self.place.words + FINGERPRINT
    }

    pub(crate) const fn key_len(self) -> usize {
        self.place.words + KEY_LEN
    }

    pub(crate) const fn key(self) -> usize {
        self.place.words + KEY
    }
}

/// Which word of an entry has the length of value `number`.
const fn length_field(number: u64) -> usize {
    LENGTHS + 8 * (number & 1) as usize
}
