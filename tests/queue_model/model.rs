//! The queue that a ring must be.

use std::collections::VecDeque;

use ringway::peer::Role;
use ringway::{RecvError, Ring, SendError};

use crate::two_processes::table::{CELL_LEN, Row};

/// Bytes of the payload that tell messages apart.
const NUMBER_LEN: usize = 8;

/// The messages of a ring in the order in which they were claimed.
pub struct Model {
    row: Row,
    overwrites: bool,
    /// Whether several consumers share the messages.
    shares: bool,
    capacity: u64,
    max: usize,
    /// From the oldest that is still there.
    log: VecDeque<Entry>,
    next_id: u64,
    payloads: u64,
    pub producers: Attached,
    pub consumers: Attached,
    pub committed: u64,
    pub released: u64,
    pub lost: u64,
    /// Backlogs that somebody looks through. What they have not come to yet may be theirs already.
    backlogs: u32,
    /// Whether a claim has failed, which may have cost the rest of the ring up to its end.
    failed: bool,
}

struct Entry {
    id: u64,
    state: State,
    bytes: Vec<u8>,
    /// Bytes of the ring that it takes at most.
    room: u64,
    /// The handle that sent it.
    from: u64,
    /// It may come after younger ones: a consumer gave it back, or the ring came round while it was being written, and
    /// carried it over.
    loose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Claimed,
    Ready,
    /// A consumer looks at it.
    Held,
    Gone,
}

/// Those attached in one role.
#[derive(Default)]
pub struct Attached {
    pub attached: usize,
    /// How the last one to leave left.
    closed: bool,
}

impl Attached {
    pub fn attach(&mut self) {
        self.attached += 1;
    }

    pub fn leave(&mut self, close: bool) {
        self.attached -= 1;
        self.closed = close;
    }

    fn is_closed(&self) -> bool {
        self.attached == 0 && self.closed
    }
}

impl Model {
    pub fn new(row: Row, ring: &Ring, overwrites: bool) -> Self {
        Self {
            row,
            overwrites,
            shares: row.has_many(Role::Consumer),
            capacity: ring.capacity(),
            max: ring.max_message_len() as usize,
            log: VecDeque::new(),
            next_id: 0,
            payloads: 0,
            producers: Attached::default(),
            consumers: Attached::default(),
            committed: 0,
            released: 0,
            lost: 0,
            backlogs: 0,
            failed: false,
        }
    }

    pub fn side(&self, role: Role) -> &Attached {
        match role {
            Role::Producer => &self.producers,
            _ => &self.consumers,
        }
    }

    /// `len`, or more where the order alone does not tell which message it is.
    pub fn least_len(&self, len: usize) -> usize {
        if self.overwrites || self.shares {
            len.max(NUMBER_LEN)
        } else {
            len
        }
    }

    /// The next message of `len` bytes.
    pub fn payload(&mut self, len: usize) -> Vec<u8> {
        self.payloads += 1;
        let number = self.payloads.to_le_bytes();
        let seed = self.payloads as u8;
        let mut bytes: Vec<u8> = (0..self.least_len(len))
            .map(|at| seed.wrapping_add((at / 7) as u8))
            .collect();
        if bytes.len() >= NUMBER_LEN {
            bytes[..NUMBER_LEN].copy_from_slice(&number);
        }
        bytes
    }

    fn room(&self, len: usize) -> u64 {
        let len = len as u64;
        if self.has_cells() {
            (len + 16).next_multiple_of(CELL_LEN.into())
        } else {
            // The word in front, and the one behind that stops.
            len.next_multiple_of(8) + 16
        }
    }

    /// A claim of `len` bytes by the handle `from` had that outcome, which must be right. Returns its id.
    pub fn claim(&mut self, from: u64, len: usize, outcome: Result<(), SendError>) -> Option<u64> {
        let Err(error) = outcome else {
            assert!(len <= self.max);
            assert!(!self.consumers.is_closed(), "nobody will receive");
            return Some(self.append(from, self.room(len), State::Claimed));
        };
        match error {
            SendError::TooLarge { len: said, max } => {
                assert_eq!((said, max), (len, self.max));
                assert!(len > max);
            }
            SendError::Closed => assert!(self.consumers.is_closed(), "not closed"),
            SendError::Full => {
                self.check_full(len);
                self.failed = true;
            }
            error => panic!("{error:?}"),
        }
        None
    }

    /// The same in a batch. Batches of cells claim more than they need, but all of a batch never takes
    /// more than the longest message does.
    pub fn claim_in_batch(
        &mut self,
        from: u64,
        len: usize,
        outcome: Result<(), SendError>,
        is_first: bool,
    ) -> Option<u64> {
        if !is_first && self.has_cells() && len <= self.max && outcome == Err(SendError::Full) {
            return None;
        }
        let id = self.claim(from, len, outcome)?;
        if self.has_cells() {
            self.append(from, self.capacity, State::Gone);
        }
        Some(id)
    }

    fn append(&mut self, from: u64, room: u64, state: State) -> u64 {
        self.next_id += 1;
        self.log.push_back(Entry {
            id: self.next_id,
            state,
            bytes: Vec::new(),
            room,
            from,
            loose: false,
        });
        self.next_id
    }

    /// The ring is full only if the record and the worst padding do not fit.
    fn check_full(&self, len: usize) {
        assert!(!self.consumers.is_closed(), "nobody will receive");
        assert!(len <= self.max, "no message of {len} bytes fits ever");
        if self.overwrites {
            let stuck = |entry: &Entry| matches!(entry.state, State::Claimed | State::Held);
            assert!(self.log.iter().any(stuck), "full with nothing in the way");
            return;
        }
        let used: u64 = self.log.iter().map(|entry| entry.room).sum();
        let padding = if self.failed {
            self.capacity / 2
        } else {
            self.log.iter().map(|entry| entry.room).max().unwrap_or(0)
        };
        let worst = 2 * self.room(len);
        assert!(
            used + padding + worst > self.capacity,
            "full for {len} bytes with {used} bytes in use"
        );
    }

    /// The answer to the question of the handle `from` whether all is received.
    pub fn check_drained(&self, from: u64, answer: Result<(), SendError>) {
        if self.overwrites {
            return;
        }
        let left = |entry: &Entry| matches!(entry.state, State::Ready | State::Held);
        match answer {
            Ok(()) => {
                let mut of_it = self.log.iter().filter(|entry| entry.from == from);
                assert!(!of_it.any(left), "not all is received");
            }
            Err(SendError::TimedOut) => assert!(self.log.iter().any(left), "all is received"),
            Err(SendError::Closed) => assert!(self.consumers.is_closed()),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub fn commit(&mut self, id: u64, bytes: Vec<u8>) {
        let is_carried = self.may_be_carried_over(self.index(id));
        let entry = self.entry(id);
        assert_eq!(entry.state, State::Claimed);
        entry.state = State::Ready;
        entry.loose |= is_carried;
        entry.bytes = bytes;
        self.committed += 1;
    }

    /// Whether a ring that overwrites may have come round to a message that somebody holds or writes: it is then
    /// carried over, and what comes after it does not wait for it.
    fn may_be_carried_over(&self, index: usize) -> bool {
        let since: u64 = self.log.range(index..).map(|entry| entry.room).sum();
        // Where a message does not fit before the end of the ring, the rest goes unused.
        self.overwrites && since > self.capacity / 2
    }

    pub fn abort(&mut self, id: u64) {
        self.entry(id).state = State::Gone;
        self.trim();
    }

    /// A consumer got this message; it must be the next one. Returns its id.
    pub fn hold(&mut self, bytes: &[u8]) -> u64 {
        let candidates = self.candidates();
        let found = candidates
            .iter()
            .copied()
            .find(|&index| self.log[index].bytes == bytes);
        let Some(index) = found else {
            let expected: Vec<_> = candidates
                .iter()
                .map(|&index| name(&self.log[index].bytes))
                .collect();
            panic!("{} came, expected was one of {expected:?}", name(bytes));
        };
        // Only what was overwritten is passed, or comes later.
        for entry in self.log.range_mut(..index) {
            if entry.state == State::Ready && !entry.loose {
                entry.state = State::Gone;
                self.lost += 1;
            }
        }
        self.log[index].state = State::Held;
        self.log[index].id
    }

    /// The same for a message of a backlog, of which those behind may be part.
    pub fn hold_in_backlog(&mut self, bytes: &[u8], is_first: bool) -> u64 {
        self.backlogs += u32::from(is_first);
        let id = self.hold(bytes);
        let claimed = |entry: &Entry| entry.state == State::Claimed;
        let end = self.log.iter().position(claimed).unwrap_or(self.log.len());
        for entry in self.log.range_mut(..end) {
            entry.loose |= entry.id > id && self.shares && entry.state == State::Ready;
        }
        id
    }

    /// A backlog of which something was seen is done with.
    pub fn end_backlog(&mut self) {
        self.backlogs -= 1;
    }

    pub fn release(&mut self, id: u64) {
        self.entry(id).state = State::Gone;
        self.released += 1;
        self.trim();
    }

    /// The consumer left the message where it was. Others may have gone past it; and if it was carried over, it is lost,
    /// as are those that are overwritten, which is seen when it does not come.
    pub fn give_back(&mut self, id: u64) {
        let is_loose = self.shares || self.may_be_carried_over(self.index(id));
        let entry = self.entry(id);
        entry.state = State::Ready;
        entry.loose |= is_loose;
    }

    /// There is a message.
    pub fn check_next(&self) {
        assert!(!self.candidates().is_empty());
    }

    /// There is a message, and it has so many bytes. It was looked at, and given back.
    pub fn check_next_len(&mut self, len: usize) {
        let mut seen = false;
        for index in self.candidates() {
            let entry = &mut self.log[index];
            if entry.bytes.len() == len {
                seen = true;
                entry.loose |= self.shares;
            }
        }
        assert!(seen, "none of {len} bytes");
    }

    /// There is no message now.
    pub fn check_none_follows(&mut self) {
        // What is behind a claim that may have been carried over may be there, and not be found.
        while let Some(&index) = self.candidates_past(false).first() {
            let entry = &mut self.log[index];
            if entry.loose && self.backlogs > 0 {
                break;
            }
            // It can have made room even for a message that was aborted then.
            assert!(self.overwrites, "{} was not found", name(&entry.bytes));
            entry.state = State::Gone;
            self.lost += 1;
        }
        self.trim();
    }

    /// A consumer saw all of its backlog, or of what it asked to drain. There may be more in cells.
    pub fn check_end_of_backlog(&mut self) {
        if !self.has_cells() {
            self.check_none_follows();
        }
    }

    /// A consumer got no message, and was told this.
    pub fn check_nothing(&mut self, error: RecvError) {
        self.check_none_follows();
        match error {
            RecvError::Empty => {
                let over = self.producers.is_closed() && self.log.is_empty();
                assert!(!over, "all producers have closed");
            }
            RecvError::Closed => assert!(self.producers.is_closed(), "not closed"),
            error => panic!("{error:?}"),
        }
    }

    /// Where the messages are of which the next receive gets one: the first in order, past those that
    /// others look at, not past what is not committed yet; or one that was given back; or if some can
    /// have been overwritten, any.
    fn candidates(&self) -> Vec<usize> {
        self.candidates_past(true)
    }

    /// The same, past claims that may have been `carried` over or not past them.
    fn candidates_past(&self, carried: bool) -> Vec<usize> {
        let mut candidates = Vec::new();
        let mut fresh = true;
        for (index, entry) in self.log.iter().enumerate() {
            match entry.state {
                State::Ready if entry.loose => candidates.push(index),
                State::Ready => {
                    if fresh {
                        candidates.push(index);
                    }
                    fresh &= self.overwrites;
                }
                State::Claimed if carried && self.may_be_carried_over(index) => {}
                State::Claimed => break,
                State::Held | State::Gone => {}
            }
        }
        candidates
    }

    fn has_cells(&self) -> bool {
        self.row.has_cells() || self.overwrites
    }

    fn index(&self, id: u64) -> usize {
        let index = self.log.iter().position(|entry| entry.id == id);
        index.expect("it is still in the log")
    }

    fn entry(&mut self, id: u64) -> &mut Entry {
        let index = self.index(id);
        &mut self.log[index]
    }

    fn trim(&mut self) {
        while self
            .log
            .front()
            .is_some_and(|entry| entry.state == State::Gone)
        {
            self.log.pop_front();
        }
        self.failed &= !self.log.is_empty();
    }
}

/// What to call a message: its length and its start.
fn name(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(2)];
    format!("a message of {} bytes, {start:?}", bytes.len())
}
