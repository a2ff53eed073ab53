//! Segments, layout, rings, waits and liveness of ringway.

#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(all(target_os = "linux", target_endian = "little")))]
compile_error!("ringway is for Linux on little-endian machines");

mod address;
mod builder;
mod cell;
mod error;
mod gc;
mod layout;
mod liveness;
mod planted;
mod receiver;
mod receiving;
mod region;
mod ring;
mod segment;
mod sender;
mod sending;
mod stat;
mod stream;
mod support;
mod sync;
mod sys;
mod transport;
#[cfg(feature = "verify")]
pub mod verify;
mod wait;

pub use address::{Address, QueueKey, SysvKey};
pub use builder::{Builder, CommonOptions};
pub use error::{Error, ErrorKind, RecvError, SendError, WaitError};
pub use gc::{BlindSpot, Fate, Found, Gc, GcReport, Leftover, Why};
pub use layout::participant::Role;
pub use layout::{Kind, Sync};
pub use receiver::{Backlog, Message, MessageView, Receiver, wait_any};
pub use ring::Ring;
pub use segment::PeerCredentials;
pub use sender::{Batch, Claim, Sender};
pub use stat::{ParticipantStat, Stat, WaitsFor, list, remove, stat};
pub use stream::Peer;
pub use support::Support;
pub use transport::{MessageSink, MessageSource, ReceivedMessage};
pub use wait::Wait;
