//! The work of one of several producers or consumers, and what shows that nothing was lost or repeated.

use ringway::channel::ChannelSender;
use ringway::{RecvError, Ring};
use serde::{Deserialize, Serialize};

use super::worker::{WorkerReport, now_ns, wait_for_start};
use crate::cli::DemoWorkerArgs;
use crate::failure::Failure;
use crate::payload;

/// A message's number says in its high bits which producer sent it.
const PRODUCER_SHIFT: u32 = 40;

/// Which messages of each producer one consumer, or all of them, received.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Share {
    /// For each producer, a bit for each message.
    received: Vec<Vec<u64>>,
}

impl Share {
    fn add(&mut self, producer: usize, number: u64) {
        let (word, bit) = ((number / 64) as usize, number % 64);
        if self.received.len() <= producer {
            self.received.resize(producer + 1, Vec::new());
        }
        let words = &mut self.received[producer];
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << bit;
    }

    /// Adds another consumer's share; `false` if a message is in both.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        if self.received.len() < other.received.len() {
            self.received.resize(other.received.len(), Vec::new());
        }
        let mut disjoint = true;
        for (words, others) in self.received.iter_mut().zip(&other.received) {
            if words.len() < others.len() {
                words.resize(others.len(), 0);
            }
            for (word, other) in words.iter_mut().zip(others) {
                disjoint &= *word & other == 0;
                *word |= other;
            }
        }
        disjoint
    }

    /// How many messages.
    pub(super) fn count(&self) -> u64 {
        let words = self.received.iter().flatten();
        words.map(|word| u64::from(word.count_ones())).sum()
    }
}

/// Sends this producer's messages and closes.
pub(super) fn send(ring: &Ring, args: &DemoWorkerArgs) -> Result<WorkerReport, Failure> {
    let mut sender = args.copy.apply(ChannelSender::Ring(ring.sender()?));
    let mut message = vec![0; args.size];
    wait_for_start(args)?;
    for number in 0..args.messages {
        payload::fill(args.producer << PRODUCER_SHIFT | number, &mut message);
        sender.send(&message).map_err(Failure::error)?;
    }
    sender.close();
    Ok(WorkerReport::default())
}

/// Receives what comes to this consumer until all producers have come and gone.
pub(super) fn receive(ring: &Ring, args: &DemoWorkerArgs) -> Result<WorkerReport, Failure> {
    let mut receiver = ring.receiver()?;
    let mut message = vec![0; args.size];
    let mut report = WorkerReport::default();
    // The least number that may come next, of each producer.
    let mut next = vec![0; args.producers as usize];
    wait_for_start(args)?;
    loop {
        let ever = receiver.producers_ever();
        match receiver.recv_into(&mut message) {
            Ok(len) if len == message.len() => {
                let (producer, number) = sort(&message, &mut next, args.messages)?;
                report.share.add(producer, number);
            }
            Ok(len) => {
                return Err(Failure::error(format_args!("a message has {len} bytes")));
            }
            Err(RecvError::Closed) if ever < args.producers => {
                receiver
                    .wait_for_producers(ever + 1)
                    .map_err(Failure::error)?;
            }
            Err(RecvError::Closed) => break,
            Err(error) => return Err(Failure::error(error)),
        }
    }
    report.elapsed_ns = now_ns()?.saturating_sub(args.start_ns);
    Ok(report)
}

/// Whose message it is and which, if it is whole and comes in order.
fn sort(message: &[u8], next: &mut [u64], messages: u64) -> Result<(usize, u64), Failure> {
    let word = payload::number(message).unwrap_or(u64::MAX);
    let number = word & ((1 << PRODUCER_SHIFT) - 1);
    let producer = (word >> PRODUCER_SHIFT) as usize;
    match next.get_mut(producer) {
        Some(next) if number < messages && payload::check(word, message) => {
            if number < *next {
                return Err(Failure::error(format_args!(
                    "message {number} of producer {producer} came after {}",
                    *next - 1
                )));
            }
            *next = number + 1;
            Ok((producer, number))
        }
        _ => Err(Failure::error("a message is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_overlap_are_told() {
        let share = |messages: &[(usize, u64)]| {
            let mut share = Share::default();
            for (producer, number) in messages {
                share.add(*producer, *number);
            }
            share
        };
        let mut all = share(&[(0, 0), (2, 64)]);
        assert!(all.merge(&share(&[(0, 1), (3, 64), (2, 1000)])));
        assert_eq!(all.count(), 5);
        assert!(!all.merge(&share(&[(2, 1000)])));
        assert_eq!(all.count(), 5);
    }

    #[test]
    fn a_message_out_of_order_or_of_nobody_is_an_error() {
        let mut next = [0; 2];
        let mut sort_number = |word: u64| {
            let mut message = [0; 20];
            payload::fill(word, &mut message);
            sort(&message, &mut next, 100).ok()
        };
        assert_eq!(sort_number(3), Some((0, 3)));
        assert_eq!(sort_number(3), None);
        assert_eq!(sort_number(1 << 40 | 3), Some((1, 3)));
        assert_eq!(sort_number(2 << 40), None);
        assert_eq!(sort_number(100), None);
        assert_eq!(sort_number(99), Some((0, 99)));
    }
}
