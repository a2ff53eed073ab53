//! Many values of one type at once, each a message of its own.

use std::time::{Duration, Instant};

use bytemuck::{AnyBitPattern, NoUninit};

use crate::api::message::Backlog;
use crate::api::receiver::Receiver;
use crate::api::sender::Sender;
use crate::error::{RecvError, SendError};
use crate::waiting::{WaitOptions, deadline_after};

impl Sender {
    /// Sends each of `values` as a message of its bytes, waiting for room, and returns how many: all, unless something comes in
    /// the way, which the next call then tells. Those for which there is room at the same time become visible together, with
    /// one wake-up, as of a [`Batch`](crate::message::Batch).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// assert_eq!(sender.send_all(&[1_u64, 2, 3])?, 3);
    /// let mut values = [0_u64; 8];
    /// assert_eq!(receiver.recv_all(&mut values)?, 3);
    /// assert_eq!(values[..3], [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send), if not even the first was sent.
    pub fn send_all<T: NoUninit>(&mut self, values: &[T]) -> Result<usize, SendError> {
        self.sending.send_all(values, Some(&self.wait))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout), if not even the first was sent.
    pub fn send_all_timeout<T: NoUninit>(
        &mut self,
        values: &[T],
        timeout: Duration,
    ) -> Result<usize, SendError> {
        self.send_all_deadline(values, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline), if not even the first was sent.
    pub fn send_all_deadline<T: NoUninit>(
        &mut self,
        values: &[T],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<usize, SendError> {
        let wait = self.wait.until(deadline.into());
        self.sending.send_all(values, Some(&wait))
    }

    /// The same of as many values as there is room for now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), if not even the first was sent.
    pub fn try_send_all<T: NoUninit>(&mut self, values: &[T]) -> Result<usize, SendError> {
        self.sending.send_all(values, None)
    }
}

impl Receiver {
    /// Receives into `values` the messages that are there, each as a value, waiting for the first, and returns how many.
    /// Those are acknowledged, some of them together. A message of another length ends it, and is the next one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::WrongLength`], which acknowledges nothing; if not even the first was received.
    pub fn recv_all<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
    ) -> Result<usize, RecvError> {
        let wait = self.wait;
        self.recv_all_until(values, Some(&wait))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_all`](Self::recv_all), and [`RecvError::TimedOut`].
    pub fn recv_all_timeout<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
        timeout: Duration,
    ) -> Result<usize, RecvError> {
        self.recv_all_deadline(values, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_all`](Self::recv_all), and [`RecvError::TimedOut`].
    pub fn recv_all_deadline<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<usize, RecvError> {
        let wait = self.wait.until(deadline.into());
        self.recv_all_until(values, Some(&wait))
    }

    /// The same of the messages that are there now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), and [`RecvError::WrongLength`]; if not even the first was received.
    pub fn try_recv_all<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
    ) -> Result<usize, RecvError> {
        self.recv_all_until(values, None)
    }

    pub(crate) fn recv_all_until<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        let mut received = 0;
        while received < values.len() {
            let rest = &mut values[received..];
            let some = match self.receiving.recv_run(rest) {
                0 => self.recv_backlog(rest),
                run => Ok(run),
            };
            match (some, wait) {
                (Ok(some), _) => received += some,
                // What it is, the next call tells.
                (Err(_), _) if received > 0 => break,
                (Err(RecvError::Empty), Some(wait)) => self.receiving.ready_until(wait)?,
                (Err(error), _) => return Err(error),
            }
        }
        Ok(received)
    }

    /// The long way, for what is there now; at least one.
    fn recv_backlog<T: NoUninit + AnyBitPattern>(
        &mut self,
        values: &mut [T],
    ) -> Result<usize, RecvError> {
        let mut backlog = Backlog::new(&mut self.receiving, Some(values.len() as u64));
        let mut end = RecvError::Empty;
        let mut read = 0;
        for value in values {
            match backlog.next_message() {
                Ok(Some(message)) if message.len() == size_of::<T>() => {
                    message.read_at(0, bytemuck::bytes_of_mut(value));
                    read += 1;
                }
                Ok(Some(message)) => {
                    end = RecvError::WrongLength {
                        len: message.len(),
                        expected: size_of::<T>(),
                    };
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    end = error;
                    break;
                }
            }
        }
        if read == 0 {
            return Err(end);
        }
        if read == backlog.count() {
            return match backlog.release() {
                0 => Err(RecvError::Corrupt),
                released => Ok(released as usize),
            };
        }
        backlog.release_first(read);
        Ok(read as usize)
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::waiting::WaitStrategy;
    use crate::{Builder, Kind};

    fn values(from: u64, count: u64) -> Vec<[u64; 3]> {
        (from..from + count).map(|at| [at, !at, at * 7]).collect()
    }

    /// Through a small ring, so that runs end at the end of the lap, at what is not released, and everywhere.
    #[test]
    fn all_arrive_in_order_whatever_the_runs_are() {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            let builder = Builder::new("memfd:").unwrap().kind(kind).capacity(4096);
            let ring = builder.create().unwrap();
            let mut receiver = ring.receiver().unwrap();
            let sending = ring.clone();
            let sender = std::thread::spawn(move || {
                let mut sender = sending.sender().unwrap();
                let mut sent = 0;
                for count in (0..200).cycle().take(250) {
                    let these = values(sent, count);
                    assert_eq!(sender.send_all(&these), Ok(these.len()));
                    sent += count;
                }
                sent
            });
            let mut received = 0;
            let mut room = vec![[0; 3]; 300];
            loop {
                let most = 1 + received as usize % 300;
                match receiver.recv_all(&mut room[..most]) {
                    Ok(count) => {
                        assert_eq!(room[..count], values(received, count as u64));
                        received += count as u64;
                    }
                    Err(error) => {
                        assert_eq!(error, RecvError::Closed);
                        break;
                    }
                }
            }
            assert_eq!(received, sender.join().unwrap());
        }
    }

    #[test]
    fn what_has_no_room_is_not_sent_and_nothing_is_waited_for_in_vain() {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            let builder = Builder::new("memfd:").unwrap().kind(kind).capacity(4096);
            let ring = builder.create().unwrap();
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            assert_eq!(sender.try_send_all::<u64>(&[]), Ok(0));
            assert_eq!(receiver.recv_all::<u64>(&mut []), Ok(0));
            let mut room = [[0; 3]; 8];
            assert_eq!(receiver.try_recv_all(&mut room), Err(RecvError::Empty));
            let all = values(0, 500);
            let sent = sender.try_send_all(&all).unwrap();
            assert!((10..500).contains(&sent), "{sent}");
            assert_eq!(sender.try_send_all(&all), Err(SendError::Full));
            let moment = Duration::from_millis(1);
            let refused = sender.send_all_timeout(&all, moment);
            assert_eq!(refused, Err(SendError::TimedOut));
            let mut got = vec![[0; 3]; 500];
            assert_eq!(receiver.try_recv_all(&mut got), Ok(sent));
            assert_eq!(got[..sent], all[..sent]);
            let mut receiver = receiver.with_wait(WaitStrategy::Park);
            let nothing = receiver.recv_all_timeout(&mut got, moment);
            assert_eq!(nothing, Err(RecvError::TimedOut));
        }
    }

    #[test]
    fn a_message_of_another_length_ends_a_run_and_stays() {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            let ring = Builder::new("memfd:").unwrap().kind(kind).create().unwrap();
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            for _ in 0..3 {
                sender.send_all(&[1_u64, 2]).unwrap();
                sender.send(b"other").unwrap();
                sender.send_all(&[3_u64]).unwrap();
                let mut values = [0_u64; 8];
                assert_eq!(receiver.recv_all(&mut values), Ok(2));
                let (len, expected) = (5, 8);
                let wrong = Err(RecvError::WrongLength { len, expected });
                assert_eq!(receiver.recv_all(&mut values), wrong);
                assert_eq!(receiver.try_recv_all(&mut values), wrong);
                assert_eq!(receiver.recv().unwrap(), b"other");
                assert_eq!(receiver.recv_all(&mut values), Ok(1));
                assert_eq!(values[..3], [3, 2, 0]);
            }
        }
    }

    #[test]
    fn values_that_are_long_go_through_slabs() {
        let builder = Builder::new("memfd:").unwrap().capacity(1 << 16);
        let ring = builder.slabs(1 << 20, 2).create().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let long: Vec<_> = [1_u8, 2].map(|byte| [byte; 100_000]).into();
        assert_eq!(sender.try_send_all(&long), Ok(2));
        let mut got = vec![[0; 100_000]; 3];
        assert_eq!(receiver.recv_all(&mut got), Ok(2));
        assert_eq!(got[..2], long);
    }
}
