//! Tests of the stream ring over every region but a mapping.

#[cfg(not(loom))]
mod at_once;
#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod picture;
#[cfg(not(loom))]
mod property;
#[cfg(not(loom))]
mod resume;
#[cfg(not(loom))]
mod staging;
#[cfg(not(loom))]
mod threads;

use crate::error::{RecvError, SendError};
use crate::memory::region::Region;
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::{Pending, Producer, Reservation};
use crate::waiting::WaitOptions;

/// As a `Sender` does: by the short way if that can be.
fn send<R: Region>(
    producer: &mut Producer<R>,
    message: &[u8],
    wait: Option<&WaitOptions>,
) -> Result<(), SendError> {
    match producer.send_at_once(message) {
        true => Ok(()),
        false => producer.send(message, wait),
    }
}

/// As a `Claim` does: commits the first `len` bytes of what was reserved.
fn commit<R: Region>(producer: &mut Producer<R>, reservation: Reservation, len: u64) {
    if !producer.commit_at_once(&reservation, len) {
        let pending = producer.stage(None, reservation, len);
        producer.commit(pending);
    }
}

/// As a `Batch` does.
fn push<R: Region>(
    producer: &mut Producer<R>,
    pending: &mut Option<Pending>,
    message: &[u8],
) -> Result<(), SendError> {
    match producer.push_at_once(pending, message) {
        true => Ok(()),
        false => producer.push(pending, message),
    }
}

/// As a `Receiver` does.
fn receive_into<R: Region>(
    consumer: &mut Consumer<R>,
    buffer: &mut [u8],
    wait: Option<&WaitOptions>,
) -> Result<usize, RecvError> {
    match consumer.recv_at_once(buffer) {
        Some(len) => Ok(len),
        None => consumer.recv_into(buffer, wait),
    }
}
