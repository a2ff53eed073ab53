//! What a route notes beside its ring: an entry of a [board](ringway::Board), which a death at any instruction leaves whole, either the old note or the new
//! one.
//!
//! An *anchor* says of an outward route which of the ring's messages is which of the stream's. A *plan* says of an inward route which of the
//! stream's messages are about to be which of the ring's. Both name the ring by its nonce and the stream by its identity: notes about others are not
//! believed.

use ringway::board::{Reader, Writer};
use ringway::{Board, Error};

/// The most messages of a plan.
pub const LONGEST_PLAN: usize = 64;
/// Bytes of the longest note.
const VALUE: u64 = (16 + 8 + 8 + 8 + 8 * LONGEST_PLAN) as u64;
/// Routes that can share a board.
const ENTRIES: u32 = 64;

/// A route's notes.
#[derive(Debug)]
pub struct Cursor {
    writer: Writer,
    reader: Reader,
    _board: Board,
}

/// Message `number` of the ring is, or will be, the one behind `behind` in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The ring's nonce.
    pub nonce: u128,
    /// The stream's identity.
    pub identity: i64,
    /// A message of the ring.
    pub number: u64,
    /// A sequence of the stream.
    pub behind: u64,
}

/// The messages of the stream that become the ring's next ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The ring's nonce.
    pub nonce: u128,
    /// The stream's identity.
    pub identity: i64,
    /// How many messages were ever sent into the ring when this was noted.
    pub sent: u64,
    /// The last of the stream's messages that was received then; 0 if none was.
    pub received: u64,
    /// Those that are sent next, by their sequences.
    pub next: Vec<u64>,
}

impl Plan {
    /// The last of the stream's messages that is in the ring, now that so many were ever sent into it: the ring itself says how much of the plan was
    /// carried out. `None` if somebody else has sent there.
    pub fn received(&self, sent: u64) -> Option<u64> {
        match sent.checked_sub(self.sent)? {
            0 => Some(self.received),
            done => self.next.get(usize::try_from(done - 1).ok()?).copied(),
        }
    }
}

impl Cursor {
    /// Opens or makes the board, and takes the role of the entry `name`.
    ///
    /// # Errors
    /// Those of the board: the address is of something else, the entry has a writer that lives, all entries are taken.
    pub fn open(address: &str, name: &str) -> Result<Self, Error> {
        let board = Board::at(address)?.value_len(VALUE).entries(ENTRIES);
        let board = board.persistent(true).open_or_create()?;
        Ok(Self {
            writer: board.writer(name)?,
            reader: board.reader(name)?,
            _board: board,
        })
    }

    /// The anchor that was last noted.
    pub fn anchor(&mut self) -> Option<Anchor> {
        let bytes = self.bytes()?;
        let mut words = Words(&bytes);
        let anchor = Anchor {
            nonce: words.nonce()?,
            identity: words.next()? as i64,
            number: words.next()?,
            behind: words.next()?,
        };
        words.0.is_empty().then_some(anchor)
    }

    /// Notes an anchor.
    ///
    /// # Errors
    /// What the board says.
    pub fn note_anchor(&mut self, anchor: &Anchor) -> Result<(), String> {
        let mut bytes = anchor.nonce.to_le_bytes().to_vec();
        for word in [anchor.identity as u64, anchor.number, anchor.behind] {
            bytes.extend(word.to_le_bytes());
        }
        self.note(&bytes)
    }

    /// The plan that was last noted.
    pub fn plan(&mut self) -> Option<Plan> {
        let bytes = self.bytes()?;
        let mut words = Words(&bytes);
        let mut plan = Plan {
            nonce: words.nonce()?,
            identity: words.next()? as i64,
            sent: words.next()?,
            received: words.next()?,
            next: Vec::new(),
        };
        while let Some(word) = words.next() {
            plan.next.push(word);
        }
        words.0.is_empty().then_some(plan)
    }

    /// Notes a plan.
    ///
    /// # Errors
    /// What the board says.
    pub fn note_plan(&mut self, plan: &Plan) -> Result<(), String> {
        let mut bytes = plan.nonce.to_le_bytes().to_vec();
        let words = [plan.identity as u64, plan.sent, plan.received];
        for word in words.iter().chain(&plan.next) {
            bytes.extend(word.to_le_bytes());
        }
        self.note(&bytes)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        // Nobody writes meanwhile: the role is ours.
        Some(self.reader.get().ok()??.into_bytes())
    }

    fn note(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.writer
            .set(bytes)
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn nonce(&mut self) -> Option<u128> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u128::from_le_bytes(*word))
    }
}
