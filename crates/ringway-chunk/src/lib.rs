//! Messages of any size over any transport of ringway, in rounds: a message that does not fit goes in
//! fragments, and those of several senders may be interleaved.
//!
//! [`ChunkSender`] and [`ChunkReceiver`] work over whatever carries whole messages
//! ([`MessageSink`](ringway_core::transport::MessageSink), [`MessageSource`](ringway_core::transport::MessageSource)). What they
//! do between two calls of the transport is done by [`Splitter`] and [`Reassembler`], which know no I/O.
//!
//! ```
//! # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
//! use ringway::chunk::{ChunkReceiver, ChunkSender};
//! use ringway::Builder;
//!
//! let ring = Builder::new("memfd:")?.capacity(64 << 10).create()?;
//! let mut sender = ChunkSender::new(ring.sender()?);
//! let mut receiver = ChunkReceiver::new(ring.receiver()?);
//!
//! let message: Vec<u8> = (0..1_000_000).map(|number| number as u8).collect();
//! std::thread::scope(|scope| {
//!     scope.spawn(|| sender.send(&message));
//!     assert_eq!(receiver.recv().unwrap(), message);
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A message that cannot arrive whole is reported ([`Lost`]), once, with the reason; others go on. Those of
//! a sender that has died are dropped when all that it had sent is received, if the transport knows who
//! lives, as rings do. Rings that several receivers share carry only messages of one fragment.

mod event;
mod frame;
mod progress;
mod reassemble;
mod receive;
mod send;
mod split;

pub use event::{Event, Gathered, Lost, Why};
pub use frame::{FrameError, HEADER_LEN, Header, Place};
pub use progress::Progress;
pub use reassemble::{Counts, InFlight, Limits, Piece, Reassembler};
pub use receive::{ChunkReceiver, ChunkRecvError, MessageStream, Streamed};
pub use send::{ChunkSendError, ChunkSender, Sending};
pub use split::Splitter;
