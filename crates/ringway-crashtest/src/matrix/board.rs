//! What a victim has done, in its own memory, where its tracer reads it after each step.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::message::{Id, LONG, SHORT};
use crate::trace::Tracee;

/// The most messages that one operation receives.
pub(super) const MOST: usize = 4;

/// Bytes that a message is read to: a little more than the longest has.
pub(super) const PAGE: usize = LONG + 4;

/// The victim's private log.
#[repr(C)]
pub(super) struct Board {
    /// 0 while the operation is not complete.
    outcome: AtomicU32,
    /// How many messages were received, when it is.
    count: AtomicU32,
    /// Where the victim reads messages to: see [`Pages`].
    pages: AtomicU64,
}

/// A place for each message that is read, of zeros before.
pub(super) type Pages = [[u8; PAGE]; MOST];

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Done,
    /// It could not be done now: the ring is full, or empty.
    NotNow,
    /// An error that says that nobody is there, or that the ring is closed.
    Ended,
    /// Another error.
    Wrong,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::NotNow, Self::Ended, Self::Wrong];
}

/// What a victim knew in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Diary {
    /// `None` if the operation was not complete.
    pub(super) outcome: Option<Outcome>,
    /// What it had read, and was whole.
    pub(super) seen: Vec<Id>,
    /// Whether it was given a message that is not whole.
    pub(super) torn: bool,
}

/// The board of this process.
pub(super) static BOARD: Board = Board {
    outcome: AtomicU32::new(0),
    count: AtomicU32::new(0),
    pages: AtomicU64::new(0),
};

impl Board {
    /// Says where messages will be read to.
    pub(super) fn reads_to(&self, pages: &Pages) {
        let address = pages.as_ptr().addr() as u64;
        self.pages.store(address, Ordering::Release);
    }

    /// Says that the operation is complete, and how many messages it has received.
    pub(super) fn finish(&self, (outcome, received): (Outcome, usize)) {
        self.count.store(received as u32, Ordering::Relaxed);
        let code = Outcome::ALL.iter().position(|known| *known == outcome);
        let code = code.map_or(0, |code| code as u32 + 1);
        self.outcome.store(code, Ordering::Release);
    }
}

/// Reads the board of a victim, which lies at `address`.
pub(super) fn read(tracee: &Tracee, address: u64) -> io::Result<Diary> {
    let mut words = [[0; 8]; 2];
    tracee.read(address, words.as_flattened_mut())?;
    let [state, pages_at] = words.map(u64::from_le_bytes);
    let (outcome, count) = (state as u32 as usize, (state >> 32) as usize);
    let mut diary = Diary {
        outcome: Outcome::ALL.get(outcome.wrapping_sub(1)).copied(),
        ..Diary::default()
    };
    if pages_at == 0 {
        return Ok(diary);
    }
    let mut pages: Pages = [[0; PAGE]; MOST];
    tracee.read(pages_at, pages.as_flattened_mut())?;
    let ids = pages.map(|page| {
        let whole = [SHORT, LONG]
            .into_iter()
            .find_map(|len| Id::of(&page[..len]));
        // A page of zeros is nobody's message.
        whole.filter(|id| id.who != 0)
    });
    diary.torn = ids.iter().take(count).any(Option::is_none);
    diary.seen = ids.into_iter().flatten().collect();
    Ok(diary)
}
