//! ringfire: fixed-size records, lossless, with a registry of as many readers as there are (the shortest scan).

use std::ops::Range;

use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};

use crate::memory::spin_until;
use crate::message;
use crate::track::Lane;

const BATCH: usize = 64;

/// `BATCHED`: 64 records per call on both sides.
pub struct Ringfire<const W: usize, const BATCHED: bool> {
    path: String,
    slots: u64,
    readers: usize,
    producer: Option<RingProducer<[u64; W]>>,
    consumer: Option<RingConsumer<[u64; W]>>,
}

impl<const W: usize, const BATCHED: bool> Ringfire<W, BATCHED> {
    pub fn new(name: String, ring: u64) -> Self {
        Self::for_many(name, ring, 1)
    }

    /// Each of so many readers gets all.
    pub fn for_many(name: String, ring: u64, readers: usize) -> Self {
        let slots = (ring / (W as u64 * 8)).max(2);
        Self {
            path: format!("/dev/shm/{name}"),
            slots,
            readers,
            producer: None,
            consumer: None,
        }
    }
}

impl<const W: usize, const BATCHED: bool> Lane for Ringfire<W, BATCHED> {
    fn start_sending(&mut self) {
        let builder = RingProducerBuilder::new(self.slots)
            .flow_control(FlowControl::LosslessBackpressure)
            .max_readers(self.readers);
        self.producer = Some(builder.build(&self.path).expect("a new ring"));
    }

    fn start_receiving(&mut self) {
        self.consumer = Some(RingConsumer::attach(&self.path).expect("the other has made it"));
    }

    fn unlink(&mut self) {
        std::fs::remove_file(&self.path).expect("it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let producer = self.producer.as_mut().expect("started");
        if BATCHED {
            let mut batch = [[0; W]; BATCH];
            let mut next = numbers.start;
            while next < numbers.end {
                let count = (numbers.end - next).min(BATCH as u64) as usize;
                for (number, message) in (next..).zip(&mut batch[..count]) {
                    message::fill(message, number);
                }
                producer.push_batch(&batch[..count]);
                next += count as u64;
            }
        } else {
            let mut message = [0; W];
            for number in numbers {
                message::fill(&mut message, number);
                spin_until(|| producer.try_push(&message).is_ok());
            }
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let consumer = self.consumer.as_mut().expect("started");
        if BATCHED {
            let mut batch = [[0; W]; BATCH];
            let mut next = numbers.start;
            while next < numbers.end {
                let most = (numbers.end - next).min(BATCH as u64) as usize;
                let mut count = 0;
                spin_until(|| {
                    count = consumer.recv_batch(&mut batch[..most]);
                    count > 0
                });
                for (number, message) in (next..).zip(&batch[..count]) {
                    message::check(message, number);
                }
                next += count as u64;
            }
        } else {
            for number in numbers {
                let mut message = None;
                spin_until(|| {
                    message = consumer.try_recv();
                    message.is_some()
                });
                if let Some(message) = message {
                    message::check(&message, number);
                }
            }
        }
    }
}
