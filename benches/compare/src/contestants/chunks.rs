//! Large messages through ringway: in chunks, and the same bytes as messages that the ring can carry.

use std::ops::Range;

use ringway::chunk::{ChunkReceiver, ChunkSender};
use ringway::{Builder, Receiver, Sender, WaitStrategy};

use crate::message;
use crate::track::Lane;

/// Bytes of the messages that need no chunks.
const PART: usize = 1 << 20;
/// A ring that carries those.
const RING_OF_PARTS: u64 = 4 << 20;

/// Where a ring is, and how large.
struct Place {
    address: String,
    capacity: u64,
}

impl Place {
    fn new(name: String, capacity: u64) -> Self {
        Self {
            address: format!("shm:{name}"),
            capacity,
        }
    }

    fn sender(&self) -> Sender {
        let builder = Builder::new(&self.address).expect("the address is well formed");
        let ring = builder
            .capacity(self.capacity)
            .create()
            .expect("a new ring");
        let sender = ring.sender().expect("no other producer");
        sender.with_wait(WaitStrategy::Spin)
    }

    fn receiver(&self) -> Receiver {
        let builder = Builder::new(&self.address).expect("the address is well formed");
        let ring = builder.open().expect("the other process has made it");
        let receiver = ring.receiver().expect("no other consumer");
        receiver.with_wait(WaitStrategy::Spin)
    }

    fn unlink(&self) {
        let address = self.address.parse().expect("the address is well formed");
        ringway::remove(&address, true).expect("it is there");
    }
}

/// Each message in chunks.
pub struct Chunks {
    place: Place,
    message: Vec<u8>,
    size: usize,
    sender: Option<ChunkSender<Sender>>,
    receiver: Option<ChunkReceiver<Receiver>>,
}

impl Chunks {
    pub fn new(name: String, capacity: u64, size: u64) -> Self {
        Self {
            place: Place::new(name, capacity),
            message: Vec::new(),
            size: size as usize,
            sender: None,
            receiver: None,
        }
    }
}

impl Lane for Chunks {
    fn start_sending(&mut self) {
        self.message = vec![1; self.size];
        self.sender = Some(ChunkSender::new(self.place.sender()));
    }

    fn start_receiving(&mut self) {
        self.receiver = Some(ChunkReceiver::new(self.place.receiver()));
    }

    fn unlink(&mut self) {
        self.place.unlink();
    }

    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        for number in numbers {
            message::fill_bytes(&mut self.message, number);
            sender.send(&self.message).expect("a live consumer");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        for number in numbers {
            let message = receiver.recv().expect("a live producer");
            if message.len() != self.size {
                message::wrong(number);
            }
            message::check_bytes(&message, number);
            receiver.recycle(message);
        }
    }
}

/// Each message as parts that the ring can carry.
pub struct Parts {
    place: Place,
    message: Vec<u8>,
    size: usize,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

impl Parts {
    pub fn new(name: String, size: u64) -> Self {
        Self {
            place: Place::new(name, RING_OF_PARTS),
            message: Vec::new(),
            size: size as usize,
            sender: None,
            receiver: None,
        }
    }
}

impl Lane for Parts {
    fn start_sending(&mut self) {
        self.message = vec![1; self.size];
        self.sender = Some(self.place.sender());
    }

    fn start_receiving(&mut self) {
        self.message = vec![1; self.size];
        self.receiver = Some(self.place.receiver());
    }

    fn unlink(&mut self) {
        self.place.unlink();
    }

    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        for number in numbers {
            message::fill_bytes(&mut self.message, number);
            for part in self.message.chunks(PART) {
                sender.send(part).expect("a live consumer");
            }
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        for number in numbers {
            for part in self.message.chunks_mut(PART) {
                let len = receiver.recv_into(part).expect("a live producer");
                if len != part.len() {
                    message::wrong(number);
                }
            }
            message::check_bytes(&self.message, number);
        }
    }
}
