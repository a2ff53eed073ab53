//! ringway, through its public interface.

use std::ops::Range;

use ringway::{Builder, Kind, Receiver, Ring, SendError, Sender, SyncKind, WaitStrategy};

use crate::message;
use crate::track::Lane;

/// Messages in a batch or a drain.
const BATCH: u64 = 64;

/// `BATCHED`: 64 messages become visible together. `DRAINED`: up to 64 are released together.
pub struct Ringway<const W: usize, const BATCHED: bool, const DRAINED: bool> {
    address: String,
    capacity: u64,
    kind: Kind,
    sync: SyncKind,
    /// How many may take part in each role that there are many of; `None`: as many as there are by default.
    participants: Option<u32>,
    wait: WaitStrategy,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    buffer: message::Buffer<W>,
}

impl<const W: usize, const BATCHED: bool, const DRAINED: bool> Ringway<W, BATCHED, DRAINED> {
    pub fn new(name: String, capacity: u64, wait: WaitStrategy) -> Self {
        Self {
            address: format!("shm:{name}"),
            capacity,
            kind: Kind::Spsc,
            sync: SyncKind::Futex,
            participants: None,
            wait,
            sender: None,
            receiver: None,
            buffer: message::Buffer::default(),
        }
    }

    /// Instead of shared memory with a name.
    pub fn at(self, address: String) -> Self {
        Self { address, ..self }
    }

    /// Instead of the stream ring.
    pub fn of(self, kind: Kind, sync: SyncKind) -> Self {
        Self { kind, sync, ..self }
    }

    /// With room for so many in each role that there are many of.
    pub fn for_each(self, participants: u32) -> Self {
        let participants = Some(participants);
        Self {
            participants,
            ..self
        }
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.address).expect("the address is well formed")
    }

    /// The ring, when it has been made.
    pub fn open(&self) -> Ring {
        self.builder().open().expect("the sender has made it")
    }
}

impl<const W: usize, const BATCHED: bool, const DRAINED: bool> Lane
    for Ringway<W, BATCHED, DRAINED>
{
    fn start_sending(&mut self) {
        let mut builder = self.builder().capacity(self.capacity);
        if let Some(participants) = self.participants {
            builder = builder.participants(participants);
        }
        let ring = builder
            .kind(self.kind)
            .sync(self.sync)
            .create()
            .expect("a new ring");
        self.sender = Some(
            ring.sender()
                .expect("no other producer")
                .with_wait(self.wait),
        );
    }

    fn start_receiving(&mut self) {
        let ring = self.open();
        self.receiver = Some(
            ring.receiver()
                .expect("no other consumer")
                .with_wait(self.wait),
        );
    }

    fn unlink(&mut self) {
        if matches!(self.sync, SyncKind::SysvSem | SyncKind::Mqueue) {
            // With the name would go what the two sleep on. The run's end removes both.
            return;
        }
        let address = self.address.parse().expect("the address is well formed");
        ringway::remove(&address, true).expect("it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        if !BATCHED {
            for number in numbers {
                message::fill(message, number);
                sender
                    .send(bytemuck::cast_slice(message))
                    .expect("a live consumer");
            }
            return;
        }
        let mut next = numbers.start;
        while next < numbers.end {
            let mut batch = sender.batch();
            let end = numbers.end.min(next + BATCH);
            let mut full = false;
            while next < end && !full {
                message::fill(message, next);
                match batch.push(bytemuck::cast_slice(message)) {
                    Ok(()) => next += 1,
                    Err(SendError::Full) => full = true,
                    Err(error) => panic!("a live consumer: {error}"),
                }
            }
            batch.commit();
            if full {
                sender
                    .send(bytemuck::cast_slice(message))
                    .expect("a live consumer");
                next += 1;
            }
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        if !DRAINED {
            for number in numbers {
                let bytes = bytemuck::cast_slice_mut(message);
                let len = receiver.recv_into(bytes).expect("a live producer");
                if len != W * 8 {
                    message::wrong(number);
                }
                message::check(message, number);
            }
            return;
        }
        let mut next = numbers.start;
        while next < numbers.end {
            receiver.wait().expect("a live producer");
            let most = (numbers.end - next).min(BATCH) as usize;
            receiver
                .drain(most, |view| {
                    if view.read_at(0, bytemuck::cast_slice_mut(message)) != W * 8 {
                        message::wrong(next);
                    }
                    message::check(message, next);
                    next += 1;
                })
                .expect("a live producer");
        }
    }
}
