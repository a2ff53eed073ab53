//! ringway's typed messages, one a call, and many a call: what shmem-ipc and ringfire have, messages of one size that is
//! known when the program is compiled.

use std::ops::Range;

use bytemuck::{AnyBitPattern, NoUninit};
use ringway::message::{TypedReceiver, TypedSender};
use ringway::{Builder, WaitStrategy};

use crate::message;
use crate::track::Lane;

/// Messages of a call, at most, if they are sent in bulk.
const BULK: usize = 64;

/// `IN_BULK`: `send_all` and `recv_all` of up to 64.
pub struct Typed<const W: usize, const IN_BULK: bool>
where
    [u64; W]: NoUninit + AnyBitPattern,
{
    address: String,
    capacity: u64,
    sender: Option<TypedSender<[u64; W]>>,
    receiver: Option<TypedReceiver<[u64; W]>>,
}

impl<const W: usize, const IN_BULK: bool> Typed<W, IN_BULK>
where
    [u64; W]: NoUninit + AnyBitPattern,
{
    pub fn new(name: String, capacity: u64) -> Self {
        Self {
            address: format!("shm:{name}"),
            capacity,
            sender: None,
            receiver: None,
        }
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.address).expect("the address is well formed")
    }
}

impl<const W: usize, const IN_BULK: bool> Lane for Typed<W, IN_BULK>
where
    [u64; W]: NoUninit + AnyBitPattern,
{
    fn start_sending(&mut self) {
        let ring = self.builder().capacity(self.capacity).create();
        let sender = ring.expect("a new ring").sender();
        let sender = sender.expect("no other producer");
        self.sender = Some(TypedSender::of(sender.with_wait(WaitStrategy::Spin)));
    }

    fn start_receiving(&mut self) {
        let ring = self.builder().open();
        let receiver = ring.expect("the other process has made it").receiver();
        let receiver = receiver.expect("no other consumer");
        self.receiver = Some(TypedReceiver::of(receiver.with_wait(WaitStrategy::Spin)));
    }

    fn unlink(&mut self) {
        let address = self.address.parse().expect("the address is well formed");
        ringway::remove(&address, true).expect("it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        if !IN_BULK {
            let mut message = [0; W];
            for number in numbers {
                message::fill(&mut message, number);
                sender.send(&message).expect("a live consumer");
            }
            return;
        }
        let mut messages = [[0; W]; BULK];
        let mut next = numbers.start;
        while next < numbers.end {
            let most = (numbers.end - next).min(BULK as u64) as usize;
            let messages = &mut messages[..most];
            for (message, number) in messages.iter_mut().zip(next..) {
                message::fill(message, number);
            }
            let mut left = &messages[..];
            while !left.is_empty() {
                let sent = sender.send_all(left).expect("a live consumer");
                left = &left[sent..];
            }
            next += most as u64;
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        if !IN_BULK {
            for number in numbers {
                let message = receiver.recv().expect("a live producer");
                message::check(&message, number);
            }
            return;
        }
        let mut messages = [[0; W]; BULK];
        let mut next = numbers.start;
        while next < numbers.end {
            let most = (numbers.end - next).min(BULK as u64) as usize;
            let messages = &mut messages[..most];
            let count = receiver.recv_all(messages).expect("a live producer");
            for message in &messages[..count] {
                message::check(message, next);
                next += 1;
            }
        }
    }
}
