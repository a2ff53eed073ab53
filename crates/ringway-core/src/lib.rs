//! Segments, layout, rings, waits and liveness of ringway.

#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(all(target_os = "linux", target_endian = "little")))]
compile_error!("ringway is for Linux on little-endian machines");

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "ringway is for 64-bit machines: a ring and its slabs may be longer than 32 bits can address, and what processes \
     share are 64-bit words that must change in one instruction"
);

mod address;
mod builder;
mod cell;
mod error;
mod escape;
mod gc;
mod layout;
mod liveness;
mod message;
mod owner;
mod planted;
mod pool;
mod reader;
mod receiver;
mod receiving;
mod region;
mod ring;
mod segment;
mod sender;
mod sending;
mod slab;
mod stat;
mod stream;
mod support;
mod sync;
mod sys;
mod transport;
mod unwinding;
#[cfg(feature = "verify")]
pub mod verify;
mod wait;

/// Calls of the operating system, and what else ringway's other crates need. Not part of the stable API.
#[doc(hidden)]
pub mod os {
    pub use crate::escape::{Line, Name};
    pub use crate::gc::message_queues;
    pub use crate::owner::{difference, is_own, is_trusted, may_remove};
    pub use crate::sys::{
        fork, ftok, getrandom, mq_overview, msgget, pthread_sigmask, rename, semget,
    };
    pub use crate::unwinding::Unwinding;
}

pub use address::{Address, QueueKey, SysvKey};
pub use builder::{Builder, CommonOptions};
pub use error::{Error, ErrorKind, RecvError, SendError, WaitError};
pub use gc::{BlindSpot, Fate, Found, Gc, GcReport, Leftover, Why};
pub use layout::participant::Role;
pub use layout::{Kind, Sync};
pub use message::{Backlog, Message, MessageView};
pub use reader::MessageReader;
pub use receiver::{Receiver, wait_any};
pub use ring::Ring;
pub use segment::PeerCredentials;
pub use sender::{Batch, Claim, Sender};
pub use slab::Slab;
pub use stat::{
    ParticipantStat, SlabHolder, SlabStat, Stat, WaitsFor, list, list_in, remove, stat,
};
pub use stream::Peer;
pub use support::Support;
pub use transport::{MessageRoom, MessageSink, MessageSource, ReceivedMessage};
pub use wait::Wait;
