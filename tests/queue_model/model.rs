//! The queue that a ring must be.

use std::collections::VecDeque;

use ringway::{RecvError, Ring, Role, SendError};

use crate::two_processes::table::{CELL_LEN, Row};

/// Bytes of the payload that tell messages apart where some are lost.
const NUMBER_LEN: usize = 8;

/// The messages of a ring in the order in which they were claimed.
pub struct Model {
    row: Row,
    overwrites: bool,
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
}

struct Entry {
    id: u64,
    state: State,
    bytes: Vec<u8>,
    /// Bytes of the ring that it takes at most.
    room: u64,
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
    /// Of those that left since somebody was attached last: whether all closed, whether none did.
    all_closed: bool,
    none_closed: bool,
}

impl Attached {
    pub fn attach(&mut self) {
        if self.attached == 0 {
            (self.all_closed, self.none_closed) = (true, true);
        }
        self.attached += 1;
    }

    pub fn leave(&mut self, close: bool) {
        self.attached -= 1;
        self.all_closed &= close;
        self.none_closed &= !close;
    }

    fn must_be_closed(&self) -> bool {
        self.attached == 0 && self.all_closed && !self.none_closed
    }

    fn may_be_closed(&self) -> bool {
        self.attached == 0 && !self.none_closed
    }
}

impl Model {
    pub fn new(row: Row, ring: &Ring, overwrites: bool) -> Self {
        Self {
            row,
            overwrites,
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
        }
    }

    pub fn side(&self, role: Role) -> &Attached {
        match role {
            Role::Producer => &self.producers,
            _ => &self.consumers,
        }
    }

    /// `len`, or more where a message must tell its number.
    pub fn least_len(&self, len: usize) -> usize {
        if self.overwrites {
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
        if self.row.has_cells() || self.overwrites {
            (len + 16).next_multiple_of(CELL_LEN.into())
        } else {
            // The word in front, and the one behind that stops.
            len.next_multiple_of(8) + 16
        }
    }

    /// A claim of `len` bytes had that outcome, which must be right. Returns its id.
    pub fn claim(&mut self, len: usize, outcome: Result<(), SendError>) -> Option<u64> {
        if outcome.is_ok() {
            assert!(len <= self.max);
            assert!(!self.consumers.must_be_closed(), "nobody will receive");
            self.next_id += 1;
            self.log.push_back(Entry {
                id: self.next_id,
                state: State::Claimed,
                bytes: Vec::new(),
                room: self.room(len),
            });
            return Some(self.next_id);
        }
        match outcome.unwrap_err() {
            SendError::TooLarge { len: said, max } => {
                assert_eq!((said, max), (len, self.max));
                assert!(len > max);
            }
            SendError::Closed => assert!(self.consumers.may_be_closed(), "not closed"),
            SendError::Full => self.check_full(len),
            error => panic!("{error:?}"),
        }
        None
    }

    /// The ring is full only if the record and the worst padding do not fit.
    fn check_full(&self, len: usize) {
        assert!(!self.consumers.must_be_closed(), "nobody will receive");
        assert!(len <= self.max, "no message of {len} bytes fits ever");
        let stuck = |entry: &Entry| matches!(entry.state, State::Claimed | State::Held);
        if self.overwrites {
            assert!(self.log.iter().any(stuck), "full with nothing in the way");
        }
        let used: u64 = self.log.iter().map(|entry| entry.room).sum();
        let padding = self.log.iter().map(|entry| entry.room).max().unwrap_or(0);
        let worst = 2 * self.room(len);
        assert!(
            used + padding + worst > self.capacity,
            "full for {len} bytes with {used} bytes in use"
        );
    }

    /// The answer to the question whether all is received.
    pub fn check_drained(&self, answer: Result<(), SendError>) {
        let left = |entry: &Entry| matches!(entry.state, State::Ready | State::Held);
        let drained = !self.log.iter().any(left);
        match answer {
            Ok(()) => assert!(drained, "not all is received"),
            Err(SendError::TimedOut) => assert!(!drained, "all is received"),
            Err(SendError::Closed) => assert!(self.consumers.may_be_closed() && !drained),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub fn commit(&mut self, id: u64, bytes: Vec<u8>) {
        let entry = self.entry(id);
        assert_eq!(entry.state, State::Claimed);
        entry.state = State::Ready;
        entry.bytes = bytes;
        self.committed += 1;
    }

    pub fn abort(&mut self, id: u64) {
        self.entry(id).state = State::Gone;
        self.trim();
    }

    /// A consumer got this message; it must be the next one. Returns its id.
    pub fn hold(&mut self, bytes: &[u8]) -> u64 {
        loop {
            let index = self
                .next()
                .unwrap_or_else(|| panic!("{bytes:?} from nowhere"));
            let entry = &mut self.log[index];
            if entry.bytes == bytes {
                entry.state = State::Held;
                return entry.id;
            }
            assert!(
                self.overwrites,
                "{:?} is next, and {bytes:?} came",
                entry.bytes
            );
            entry.state = State::Gone;
            self.lost += 1;
        }
    }

    pub fn release(&mut self, id: u64) {
        self.entry(id).state = State::Gone;
        self.released += 1;
        self.trim();
    }

    /// The consumer left the message where it was.
    pub fn give_back(&mut self, id: u64) {
        self.entry(id).state = State::Ready;
    }

    /// There is a message.
    pub fn check_next(&self) {
        assert!(self.next().is_some());
    }

    /// There is a message, and it has so many bytes.
    pub fn check_next_len(&self, len: usize) {
        let index = self.next().expect("a message from nowhere");
        if !self.overwrites {
            assert_eq!(self.log[index].bytes.len(), len);
        }
    }

    /// There is no message now.
    pub fn check_none_follows(&self) {
        let left = self.next().map(|index| &self.log[index].bytes);
        assert_eq!(left, None, "a message was not found");
    }

    /// A consumer got no message, and was told this.
    pub fn check_nothing(&self, error: RecvError) {
        self.check_none_follows();
        match error {
            RecvError::Empty => {
                let over = self.producers.must_be_closed() && self.log.is_empty();
                assert!(!over, "all producers have closed");
            }
            RecvError::Closed => assert!(self.producers.may_be_closed(), "not closed"),
            error => panic!("{error:?}"),
        }
    }

    /// Where the message is that the next receive gets: in order, past those that others look at, not
    /// past what is not committed yet.
    fn next(&self) -> Option<usize> {
        let open = |entry: &Entry| matches!(entry.state, State::Ready | State::Claimed);
        let index = self.log.iter().position(open)?;
        (self.log[index].state == State::Ready).then_some(index)
    }

    fn entry(&mut self, id: u64) -> &mut Entry {
        self.log
            .iter_mut()
            .find(|entry| entry.id == id)
            .expect("it is still in the log")
    }

    fn trim(&mut self) {
        while self
            .log
            .front()
            .is_some_and(|entry| entry.state == State::Gone)
        {
            self.log.pop_front();
        }
    }
}
