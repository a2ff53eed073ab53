//! shmem-ipc: a ring of bytes, used as well as it can be.
//!
//! Its low-level calls, which signal nothing; the remainder that each call returns is kept, so that
//! the shared count is polled only when it matters; records divide the ring, so that none wraps; and
//! both mappings are populated.

use std::ops::Range;

use shmem_ipc::ringbuf::{Receiver, Sender};

use crate::memory::{Shared, spin_until};
use crate::message;
use crate::track::Lane;

const BATCH: u64 = 64;
/// What it puts in front of the data.
const HEADER: usize = 64;

/// `BATCHED`: up to 64 records per call of `send`. `DRAIN`: up to so many of those that are there per call of `recv`.
pub struct ShmemIpc<const W: usize, const BATCHED: bool, const DRAIN: u64> {
    memory: Shared,
    sender: Option<Sender<u8>>,
    receiver: Option<Receiver<u8>>,
    /// Bytes of room, or to read, of which this side knows.
    known: usize,
    buffer: message::Buffer<W>,
}

impl<const W: usize, const BATCHED: bool, const DRAIN: u64> ShmemIpc<W, BATCHED, DRAIN> {
    pub fn new(capacity: u64) -> Self {
        let memory = Shared::new(HEADER + capacity as usize);
        Self {
            memory,
            sender: None,
            receiver: None,
            known: 0,
            buffer: message::Buffer::default(),
        }
    }
}

impl<const W: usize, const BATCHED: bool, const DRAIN: u64> Lane for ShmemIpc<W, BATCHED, DRAIN> {
    fn start_sending(&mut self) {
        self.memory.populate();
        // SAFETY: the mapping is readable and writable and never goes away.
        let sender = unsafe { Sender::attach(self.memory.at(0), self.memory.len()) };
        self.sender = Some(sender.expect("zeroed memory is an empty ring"));
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
        // SAFETY: as above.
        let receiver = unsafe { Receiver::attach(self.memory.at(0), self.memory.len()) };
        self.receiver = Some(receiver.expect("zeroed memory is an empty ring"));
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        let mut next = numbers.start;
        while next < numbers.end {
            if self.known < W * 8 {
                spin_until(|| {
                    self.known = sender.write_count().expect("intact");
                    self.known >= W * 8
                });
            }
            let most = if BATCHED {
                (numbers.end - next).min(BATCH) as usize
            } else {
                1
            };
            let status = sender.send(|target, room| {
                let records = most.min(room / (W * 8));
                for record in 0..records {
                    message::fill(message, next + record as u64);
                    // SAFETY: `room` bytes may be written from here, and records are whole.
                    unsafe {
                        target
                            .add(record * W * 8)
                            .copy_from_nonoverlapping(message.as_ptr().cast(), W * 8)
                    };
                }
                next += records as u64;
                records * W * 8
            });
            self.known = status.expect("intact").remaining;
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        let mut next = numbers.start;
        while next < numbers.end {
            if self.known < W * 8 {
                spin_until(|| {
                    self.known = receiver.read_count().expect("intact");
                    self.known >= W * 8
                });
            }
            let most = (numbers.end - next).min(DRAIN) as usize;
            let status = receiver.recv(|source, there| {
                let records = most.min(there / (W * 8));
                for record in 0..records {
                    // SAFETY: `there` bytes may be read from here, and records are whole.
                    unsafe {
                        message
                            .as_mut_ptr()
                            .cast::<u8>()
                            .copy_from_nonoverlapping(source.add(record * W * 8), W * 8)
                    };
                    message::check(message, next + record as u64);
                }
                next += records as u64;
                records * W * 8
            });
            self.known = status.expect("intact").remaining;
        }
    }
}
