//! The two kinds of work that transports are compared by, over anything that carries messages.
//!
//! Both ends know the number and the size of the messages. Every byte is checked.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use ringway::channel::{ChannelReceiver, ChannelSender};

use crate::failure::Failure;
use crate::payload;

/// The sending end of a transport.
pub(crate) trait Outgoing {
    fn send(&mut self, message: &[u8]) -> Result<(), Failure>;
}

/// The receiving end of a transport.
pub(crate) trait Incoming {
    /// Receives a message into all of `message`.
    fn recv(&mut self, message: &mut [u8]) -> Result<(), Failure>;
}

impl Outgoing for ChannelSender {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        Self::send(self, message).map_err(Failure::error)
    }
}

impl Incoming for ChannelReceiver {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) -> Result<(), Failure> {
        let len = self.recv_into(message).map_err(Failure::error)?;
        if len == message.len() {
            Ok(())
        } else {
            Err(wrong("has the wrong length"))
        }
    }
}

/// A pipe or a socket.
pub(crate) struct Stream(pub(crate) File);

impl Outgoing for Stream {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.0.write_all(message).map_err(Failure::error)
    }
}

impl Incoming for Stream {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) -> Result<(), Failure> {
        self.0.read_exact(message).map_err(Failure::error)
    }
}

/// One way: sends messages 0 to `messages`.
pub(crate) fn send_all(
    outgoing: &mut impl Outgoing,
    messages: u64,
    message: &mut [u8],
) -> Result<(), Failure> {
    for number in 0..messages {
        payload::fill(number, message);
        outgoing.send(message)?;
    }
    Ok(())
}

/// One way: receives what [`send_all`] sends, and gives the time of the first arrival.
pub(crate) fn receive_all(
    incoming: &mut impl Incoming,
    messages: u64,
    message: &mut [u8],
) -> Result<Instant, Failure> {
    let mut first = None;
    for number in 0..messages {
        incoming.recv(message)?;
        if first.is_none() {
            first = Some(Instant::now());
        }
        verify(number, message)?;
    }
    Ok(first.unwrap_or_else(Instant::now))
}

/// Round trips: sends a message, waits for its answer, and tells how many nanoseconds that took, the
/// making and checking of both included.
pub(crate) fn call(
    outgoing: &mut impl Outgoing,
    incoming: &mut impl Incoming,
    trips: u64,
    message: &mut [u8],
    mut record: impl FnMut(u64),
) -> Result<(), Failure> {
    // One look at the clock a trip: it costs a part of what is measured.
    let mut started = Instant::now();
    for number in 0..trips {
        payload::fill(number, message);
        outgoing.send(message)?;
        incoming.recv(message)?;
        verify(!number, message)?;
        let ended = Instant::now();
        record((ended - started).as_nanos() as u64);
        started = ended;
    }
    Ok(())
}

/// Round trips: answers what [`call`] sends. An answer is no echo: it has contents of its own.
pub(crate) fn answer(
    outgoing: &mut impl Outgoing,
    incoming: &mut impl Incoming,
    trips: u64,
    message: &mut [u8],
) -> Result<(), Failure> {
    for number in 0..trips {
        incoming.recv(message)?;
        verify(number, message)?;
        payload::fill(!number, message);
        outgoing.send(message)?;
    }
    Ok(())
}

#[inline]
fn verify(number: u64, message: &[u8]) -> Result<(), Failure> {
    if payload::check(number, message) {
        Ok(())
    } else {
        Err(wrong(&format!("is not number {number}, or damaged")))
    }
}

#[cold]
fn wrong(what: &str) -> Failure {
    Failure::error(format_args!("a message {what}"))
}
