//! The stream ring over heap memory.
//!
//! What a peer could do to a segment, [`HeapRing::set_control`] and [`HeapRing::set_data`] do; the handles
//! attach as the next process in their role would.
//!
//! ```
//! use ringway_core::verify::HeapRing;
//!
//! let ring = HeapRing::new(64).ok_or("64 bytes are enough")?;
//! ring.producer()?.try_send(b"hello")?;
//! assert_eq!(ring.consumer()?.try_recv()?, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::error::{RecvError, SendError};
use crate::memory::layout::control::CONTROL_OFFSET;
use crate::memory::layout::participant::table_end;
use crate::memory::layout::{Corrupt, Geometry};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::message::MessageRef;
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::waiting::{WaitOptions, WaitStrategy};

/// A ring on the heap.
#[derive(Debug)]
pub struct HeapRing {
    heap: Arc<Heap>,
    /// For the writes of a hostile peer.
    region: Memory,
}

impl HeapRing {
    /// The control lines, the participants table and the sights, in bytes from the start of a segment.
    pub const CONTROL: Range<usize> = CONTROL_OFFSET..table_end(2);

    /// An empty ring. `None` unless `capacity` is a power of two from 64 bytes on for which there is
    /// memory.
    pub fn new(capacity: u64) -> Option<Self> {
        let heap = Heap::new(Geometry::stream(capacity)?)?;
        let region = heap.region();
        Some(Self { heap, region })
    }

    /// Bytes for messages.
    pub fn capacity(&self) -> u64 {
        self.region.capacity()
    }

    /// Overwrites a 64-bit word of [`CONTROL`](Self::CONTROL). `offset` counts from its start, in
    /// words, and wraps.
    pub fn set_control(&self, offset: usize, word: u64) {
        let at = Self::CONTROL.start + offset % (Self::CONTROL.len() / 8) * 8;
        self.region.store64(at, word, Ordering::Release);
    }

    /// Overwrites a 64-bit word of the data region. `offset` counts from its start, in words, and
    /// wraps.
    pub fn set_data(&self, offset: usize, word: u64) {
        self.region
            .store_word((offset as u64).wrapping_mul(8), word, Ordering::Release);
    }

    /// Attaches as the next producer.
    ///
    /// # Errors
    /// [`SendError::Corrupt`] if the ring's contents contradict themselves.
    pub fn producer(&self) -> Result<HeapProducer, SendError> {
        Producer::resume(self.heap.region())
            .map(|producer| HeapProducer { producer })
            .map_err(|Corrupt| SendError::Corrupt)
    }

    /// Attaches as the next consumer.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`] if the ring's contents contradict themselves.
    pub fn consumer(&self) -> Result<HeapConsumer, RecvError> {
        Consumer::resume(self.heap.region())
            .map(|consumer| HeapConsumer { consumer })
            .map_err(|Corrupt| RecvError::Corrupt)
    }
}

/// The producer of a [`HeapRing`].
#[derive(Debug)]
pub struct HeapProducer {
    producer: Producer<Memory>,
}

impl HeapProducer {
    /// The longest message, in bytes.
    pub fn max_len(&self) -> u64 {
        self.producer.max_len()
    }

    /// Sends a copy of `message` if there is room now.
    ///
    /// # Errors
    /// As [`Sender::try_send`](crate::Sender::try_send).
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self.producer.send_at_once(message) {
            true => Ok(()),
            false => self.producer.send(message, None),
        }
    }

    /// Sends a copy of `message`, waiting for room until `deadline`.
    ///
    /// # Errors
    /// As [`Sender::send_deadline`](crate::Sender::send_deadline).
    pub fn send_deadline(
        &mut self,
        message: &[u8],
        wait: WaitStrategy,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let wait = WaitOptions::new(wait).until(Some(deadline));
        match self.producer.send_at_once(message) {
            true => Ok(()),
            false => self.producer.send(message, Some(&wait)),
        }
    }

    /// Claims room for `message`, writes it, and commits the first `len` bytes, or all if it is
    /// shorter; `None` aborts.
    ///
    /// # Errors
    /// As [`Sender::try_claim`](crate::Sender::try_claim).
    pub fn claim(&mut self, message: &[u8], len: Option<usize>) -> Result<(), SendError> {
        let reservation = self.producer.reserve(message.len(), None)?;
        self.producer.region.write(reservation.payload(), message);
        if let Some(len) = len {
            let len = len.min(message.len()) as u64;
            if !self.producer.commit_at_once(&reservation, len) {
                let pending = self.producer.stage(None, reservation, len);
                self.producer.commit(pending);
            }
        }
        Ok(())
    }

    /// Lays the messages one behind the other up to the first that is refused, and, if `commits`,
    /// commits them together. Returns how many were laid, and why no more.
    pub fn batch<'a>(
        &mut self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        commits: bool,
    ) -> (u64, Result<(), SendError>) {
        let (mut pending, mut outcome) = (None, Ok(()));
        for message in messages {
            if !self.producer.push_at_once(&mut pending, message) {
                outcome = self.producer.push(&mut pending, message);
                if outcome.is_err() {
                    break;
                }
            }
        }
        let laid = pending.map_or(0, |pending| pending.messages());
        if let Some(pending) = pending.filter(|_| commits) {
            self.producer.commit(pending);
        }
        (laid, outcome)
    }

    /// Waits until the consumer has released all, until `deadline`.
    ///
    /// # Errors
    /// As [`Sender::wait_until_drained`](crate::Sender::wait_until_drained).
    pub fn wait_until_drained(
        &mut self,
        wait: WaitStrategy,
        deadline: Instant,
    ) -> Result<(), SendError> {
        self.producer
            .drained_until(&WaitOptions::new(wait).until(Some(deadline)))
    }

    /// Ends the stream.
    pub fn close(&self) {
        self.producer.close();
        PRODUCER.announce(CONSUMER, &self.producer.region);
    }
}

/// Messages that are in a ring, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Their payloads.
    pub messages: Vec<Vec<u8>>,
    /// The error that is behind them, if there is one.
    pub end: Option<RecvError>,
}

/// The consumer of a [`HeapRing`].
#[derive(Debug)]
pub struct HeapConsumer {
    consumer: Consumer<Memory>,
}

impl HeapConsumer {
    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv).
    pub fn try_recv(&mut self) -> Result<Vec<u8>, RecvError> {
        let found = self.consumer.peek()?;
        let message = self.copy(&found);
        self.consumer.release(&found, 1);
        Ok(message)
    }

    /// Receives the next message, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`Receiver::recv_deadline`](crate::Receiver::recv_deadline).
    pub fn recv_deadline(
        &mut self,
        wait: WaitStrategy,
        deadline: Instant,
    ) -> Result<Vec<u8>, RecvError> {
        let found = self
            .consumer
            .peek_until(&WaitOptions::new(wait).until(Some(deadline)))?;
        let message = self.copy(&found);
        self.consumer.release(&found, 1);
        Ok(message)
    }

    /// Copies up to `most` messages without releasing any.
    pub fn peek(&mut self, most: usize) -> Seen {
        self.look(most).0
    }

    /// Copies up to `most` messages and releases them together.
    pub fn drain(&mut self, most: usize) -> Seen {
        let (seen, last) = self.look(most);
        if let Some(last) = last {
            self.consumer.release(&last, seen.messages.len() as u64);
        }
        seen
    }

    /// Refuses further messages.
    pub fn close(&self) {
        self.consumer.close();
        CONSUMER.announce(PRODUCER, &self.consumer.region);
    }

    fn look(&mut self, most: usize) -> (Seen, Option<MessageRef>) {
        let (mut messages, mut last) = (Vec::new(), None);
        while messages.len() < most {
            let next = match &last {
                None => self.consumer.peek().map(Some),
                Some(last) => self.consumer.peek_behind(last, messages.len() as u64),
            };
            match next {
                Ok(Some(found)) => {
                    messages.push(self.copy(&found));
                    last = Some(found);
                }
                Ok(None) => break,
                Err(error) => {
                    let end = Some(error);
                    return (Seen { messages, end }, last);
                }
            }
        }
        (
            Seen {
                messages,
                end: None,
            },
            last,
        )
    }

    fn copy(&self, found: &MessageRef) -> Vec<u8> {
        // Asserted here, so that a lie about the length fails as such and not for lack of memory.
        assert!(
            found.len as u64 <= self.consumer.region.capacity(),
            "a message of {} bytes",
            found.len
        );
        let mut bytes = vec![0; found.len];
        self.consumer.region.read(found.payload, &mut bytes);
        bytes
    }
}
