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
mod admin;
mod api;
mod error;
mod escape;
mod memory;
mod presence;
mod rings;
mod store;
mod sys;
mod testing;
mod waiting;

#[cfg(feature = "verify")]
pub use testing::verify;

/// Calls of the operating system, and what else ringway's other crates need. Not part of the stable API.
#[doc(hidden)]
pub mod os {
    pub use crate::admin::gc::message_queues;
    pub use crate::escape::{Line, Name};
    pub use crate::sys::owner::{difference, is_own, is_trusted, may_remove};
    pub use crate::sys::unwinding::Unwinding;
    pub use crate::sys::{
        fork, ftok, getrandom, mq_overview, msgget, pthread_sigmask, rename, semget,
    };
    pub use crate::waiting::deadline_after;
}

pub use address::{Address, QueueKey, SysvKey};
pub use admin::gc::{BlindSpot, Fate, Found, Gc, GcReport, Leftover, Why};
pub use admin::stat::{
    ParticipantStat, SlabHolder, SlabStat, Stat, WaitsFor, list, list_in, remove, stat,
};
pub use api::builder::{Builder, CommonOptions};
pub use api::claim::{Batch, Claim};
pub use api::detached::DetachedMessage;
pub use api::message::{Backlog, Message, MessageView};
pub use api::reader::MessageReader;
pub use api::receiver::{Receiver, wait_any, wait_any_deadline, wait_any_timeout};
pub use api::ring::Ring;
pub use api::sender::Sender;
pub use api::support::Support;
pub use api::transport::{MessageRoom, MessageSink, MessageSource, ReceivedMessage};
pub use error::{Error, ErrorKind, RecvError, SendError, WaitError};
pub use memory::layout::participant::Role;
pub use memory::layout::{Kind, SyncKind};
pub use presence::Peer;
pub use store::PeerCredentials;
pub use waiting::WaitStrategy;
