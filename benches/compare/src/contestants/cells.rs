//! ringway's cell ring, through its public interface.

use std::ops::Range;

use ringway::{Builder, Kind, Receiver, RecvError, SendError, Sender, WaitStrategy};

use crate::crowd::{Queue, Role};
use crate::memory::{pause_or_yield, yield_until};
use crate::message;

/// Bytes of a cell's first sixteen that are not payload.
const OVERHEAD: u64 = 16;

/// Bytes of the cells that hold messages of this size; at least two lines, as everybody's.
pub fn cell_len(message_size: u64) -> u64 {
    (message_size + OVERHEAD).next_power_of_two().max(128)
}

/// How a side waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It polls, with the same patience as everybody.
    Polled,
    /// ringway waits.
    Own(WaitStrategy),
}

/// `BATCH`: so many messages become visible together, and up to so many are released together; 1: single
/// calls.
pub struct Cells<const W: usize, const BATCH: u64> {
    address: String,
    capacity: u64,
    participants: u32,
    waiting: Waiting,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

impl<const W: usize, const BATCH: u64> Cells<W, BATCH> {
    pub fn new(name: String, capacity: u64, participants: u32, waiting: Waiting) -> Self {
        Self {
            address: format!("shm:{name}"),
            capacity,
            participants,
            waiting,
            sender: None,
            receiver: None,
        }
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.address).expect("the address is well formed")
    }

    fn wait(&self) -> WaitStrategy {
        match self.waiting {
            Waiting::Polled => WaitStrategy::Spin,
            Waiting::Own(wait) => wait,
        }
    }
}

/// Sends one message, whatever room there is.
#[inline(always)]
fn send_one(sender: &mut Sender, message: &[u8], waiting: Waiting) {
    if waiting != Waiting::Polled {
        sender.send(message).expect("a live consumer");
        return;
    }
    yield_until(|| match sender.try_send(message) {
        Ok(()) => true,
        Err(SendError::Full) => false,
        Err(error) => panic!("a live consumer: {error}"),
    });
}

impl<const W: usize, const BATCH: u64> Queue<W> for Cells<W, BATCH> {
    fn make(&mut self) {
        self.builder()
            .capacity(self.capacity)
            .kind(Kind::Mpmc)
            .participants(self.participants)
            .cell_len(cell_len(W as u64 * 8) as u32)
            .create()
            .expect("a new ring");
    }

    fn attach(&mut self, role: Role) {
        let ring = self.builder().open().expect("the leader has made it");
        match role {
            Role::Producer => {
                let sender = ring.sender().expect("room for a producer");
                self.sender = Some(sender.with_wait(self.wait()));
            }
            Role::Consumer => {
                let receiver = ring.receiver().expect("room for a consumer");
                self.receiver = Some(receiver.with_wait(self.wait()));
            }
        }
    }

    fn unlink(&mut self) {
        let address = self.address.parse().expect("the address is well formed");
        ringway::remove(&address, true).expect("it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("attached");
        let mut message = [0; W];
        if BATCH == 1 {
            for number in numbers {
                message::fill(&mut message, number);
                send_one(sender, bytemuck::cast_slice(&message), self.waiting);
            }
            return;
        }
        let mut next = numbers.start;
        while next < numbers.end {
            let mut batch = sender.batch();
            let end = numbers.end.min(next + BATCH);
            let mut full = false;
            while next < end && !full {
                message::fill(&mut message, next);
                match batch.push(bytemuck::cast_slice(&message)) {
                    Ok(()) => next += 1,
                    Err(SendError::Full) => full = true,
                    Err(error) => panic!("a live consumer: {error}"),
                }
            }
            batch.commit();
            if full {
                send_one(sender, bytemuck::cast_slice(&message), self.waiting);
                next += 1;
            }
        }
    }

    #[inline(always)]
    fn receive(&mut self, count: u64, mut each: impl FnMut(&[u64; W])) {
        let receiver = self.receiver.as_mut().expect("attached");
        let mut message = [0; W];
        let mut left = count;
        let mut polls = 0;
        while left > 0 {
            let received = if BATCH == 1 {
                let bytes = bytemuck::cast_slice_mut(&mut message);
                let result = match self.waiting {
                    Waiting::Polled => receiver.try_recv_into(bytes),
                    Waiting::Own(_) => receiver.recv_into(bytes),
                };
                result.map(|len| {
                    assert_eq!(len, W * 8, "a message of another length");
                    each(&message);
                    1
                })
            } else {
                receiver.drain(left.min(BATCH) as usize, |view| {
                    let len = view.read_at(0, bytemuck::cast_slice_mut(&mut message));
                    assert_eq!(len, W * 8, "a message of another length");
                    each(&message);
                })
            };
            match received {
                Ok(received) => {
                    left -= received as u64;
                    polls = 0;
                }
                Err(RecvError::Empty) if self.waiting == Waiting::Polled => {
                    pause_or_yield(polls);
                    polls += 1;
                }
                Err(RecvError::Empty) => receiver.wait().expect("a live producer"),
                Err(error) => panic!("a live producer: {error}"),
            }
        }
    }
}
