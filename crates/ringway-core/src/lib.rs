//! Segments, layout, rings, waits and liveness of ringway.
//!
//! Programs depend on the crate `ringway`, which has at its root and in modules of the same names what is here. This crate's
//! own root is for ringway's other crates.

#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(all(target_os = "linux", target_endian = "little")))]
compile_error!("ringway is for Linux on little-endian machines");

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "ringway is for 64-bit machines: a ring and its slabs may be longer than 32 bits can address, and what processes \
     share are 64-bit words that must change in one instruction"
);

pub mod address;
mod admin;
mod api;
mod error;
mod escape;
mod events;
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
    pub use crate::api::board::desk::{Changes, Hearing, Role};
    pub use crate::api::builder::CommonOptions;
    pub use crate::api::tasks::{check_dead_letters, check_tries, longest_message};
    pub use crate::api::threads::Unshared;
    pub use crate::escape::{Line, Name};
    pub use crate::memory::layout::board::MAX_SHORT;
    pub use crate::rings::board::writer::Wakes;
    pub use crate::sys::owner::{difference, is_own, is_trusted, may_remove};
    pub use crate::sys::unwinding::Unwinding;
    pub use crate::sys::{
        fork, ftok, getrandom, mq_overview, msgget, pthread_sigmask, rename, semget,
    };
    pub use crate::tell;
    pub use crate::waiting::deadline_after;
    /// For [`tell`](crate::tell).
    #[cfg(feature = "tracing")]
    pub use ::tracing;
}

/// Boards: entries with names, of each the latest value.
///
/// A [`Board`] gives a [`Writer`](board::Writer) of an entry, of which there is one at a time, [`Reader`](board::Reader)s, of which there
/// may be any number, and a [`Watcher`](board::Watcher) of whatever changes. Each reads a [`Value`](board::Value). A
/// [`Builder`](board::Builder) makes or opens one.
pub mod board {
    #[doc(no_inline)]
    pub use crate::api::board::Board;
    pub use crate::api::board::Value;
    pub use crate::api::board::builder::Builder;
    pub use crate::api::board::reader::Reader;
    pub use crate::api::board::watch::Watcher;
    pub use crate::api::board::writer::Writer;
    pub use crate::error::{GetError, SetError};
}

/// One producer, and every consumer gets every message: [`Kind::Broadcast`].
///
/// A [`Subscription`](broadcast::Subscription) says how a consumer takes part ([`Ring::subscribe`]): with which message it begins
/// ([`Start`](broadcast::Start)), what becomes of the producer when it does not keep up ([`Policy`](broadcast::Policy)), and under which
/// name its place is kept. [`Ring::receiver`] subscribes with the defaults: from the oldest message on, losing none.
///
/// Messages have consecutive [numbers](Message::number). Consumers come and go, and end nothing; without any, the producer goes on,
/// and the ring holds the newest messages. When the producer has closed and all is received, they are told
/// [`Closed`](RecvError::Closed).
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::{Kind, RecvError};
///
/// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).create()?;
/// let (mut one, mut other) = (ring.receiver()?, ring.receiver()?);
/// let mut sender = ring.sender()?;
/// sender.send(b"for all")?;
/// sender.close();
/// for receiver in [&mut one, &mut other] {
///     assert_eq!(receiver.recv()?, b"for all");
///     assert_eq!(receiver.recv(), Err(RecvError::Closed));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod broadcast {
    pub use crate::api::subscription::Subscription;
    pub use crate::rings::broadcast::{EvictAfter, Policy, Start};
}

/// Finding and removing what processes that have died left behind.
///
/// A [`Gc`](gc::Gc) looks for rings, slab segments, semaphore sets and drafts that nobody can use any more, proves that of each,
/// and removes them; a [`GcReport`](gc::GcReport) says what was [`Found`](gc::Found), what became of it ([`Fate`](gc::Fate)),
/// and [`Why`](gc::Why) something was left alone.
pub mod gc {
    pub use crate::admin::gc::{BlindSpot, Fate, Found, Gc, GcReport, Leftover, Why};
}

/// Looking at rings from outside, without attaching to them.
///
/// [`list`](inspect::list) finds the rings that have names, and [`stat`](inspect::stat) says of one what it is like, how full it is,
/// and who is attached and lives; a [`Tap`](inspect::Tap) sees its messages, and takes none. Nothing here changes a ring or holds anybody up. [`Support`](inspect::Support) is what this kernel can do.
pub mod inspect {
    pub use crate::admin::stat::{
        EntryStat, ParticipantStat, SlabHolder, SlabStat, Stat, SubscriptionStat, WaitsFor, list,
        list_in, stat,
    };
    pub use crate::admin::tap::{Seen, Tap};
    pub use crate::api::support::Support;
}

/// Messages beyond the plain copy: written and read in place, many at a time, or kept for longer than the ring has room.
///
/// A [`Claim`](message::Claim) is room in the ring to write a message into, and a [`Batch`](message::Batch) is room for many.
/// [`TypedSender`](message::TypedSender) and [`TypedReceiver`](message::TypedReceiver) carry values of one type, and a
/// [`MessageType`](message::MessageType) says which that is. A
/// [`Message`] is one that was received in place, a [`Backlog`](message::Backlog) all that is there now, of which each is a
/// [`MessageView`](message::MessageView). A [`MessageReader`](message::MessageReader) reads one as a file, and a
/// [`DetachedMessage`](message::DetachedMessage) is one in a slab that was taken out of the ring's order.
pub mod message {
    pub use crate::api::claim::{Batch, Claim};
    pub use crate::api::detached::DetachedMessage;
    pub use crate::api::message::Backlog;
    #[doc(no_inline)]
    pub use crate::api::message::Message;
    pub use crate::api::reader::MessageReader;
    pub use crate::api::typed::{TypedReceiver, TypedRing, TypedSender};
    pub use crate::api::view::MessageView;
    pub use crate::memory::layout::message_type::MessageType;
}

/// The other side: which [`Role`](peer::Role) a process has, what is known of those that have the opposite one
/// ([`Peer`](peer::Peer)), and who handed over a `memfd:` ring ([`PeerCredentials`](peer::PeerCredentials)).
pub mod peer {
    pub use crate::memory::layout::participant::Role;
    pub use crate::presence::Peer;
    pub use crate::store::PeerCredentials;
}

/// Messages as tasks: each is tried until somebody succeeds with it, and set aside when it was tried often enough.
///
/// A [`TaskReceiver`](tasks::TaskReceiver), which [`Receiver::with_dead_letters`] makes, says why there is no task by a
/// [`TaskError`](tasks::TaskError).
pub mod tasks {
    pub use crate::api::tasks::{TRIES, TaskError, TaskReceiver};
}

/// What carries whole messages, whatever it is: traits for code that works with rings, queues and channels alike.
///
/// A [`MessageSink`](transport::MessageSink) takes messages, each written into a [`MessageRoom`](transport::MessageRoom); a
/// [`MessageSource`](transport::MessageSource) gives them, each as a [`ReceivedMessage`](transport::ReceivedMessage). For tasks there are
/// [`PollSink`](transport::PollSink) and [`PollSource`](transport::PollSource).
pub mod transport {
    pub use crate::api::transport::{
        MessageRoom, MessageSink, MessageSource, PollSink, PollSource, ReceivedMessage,
    };
}

/// Waiting: for the next message of several rings at once ([`WaitSet`](wait::WaitSet)), and how a blocked call waits
/// ([`WaitStrategy`]). [`Receiver::wait`] waits for one ring. An [`Interrupter`](wait::Interrupter) ends a wait from outside.
pub mod wait {
    pub use crate::api::wait_set::{Key, WaitSet};
    pub use crate::error::WaitError;
    #[doc(no_inline)]
    pub use crate::waiting::WaitStrategy;
    pub use crate::waiting::interrupt::Interrupter;
}

#[doc(inline)]
pub use address::Address;
pub use admin::stat::remove;
pub use api::board::Board;
pub use api::builder::Builder;
pub use api::message::Message;
pub use api::receiver::Receiver;
pub use api::ring::Ring;
pub use api::sender::Sender;
pub use error::{Error, ErrorKind, RecvError, SendError};
pub use memory::layout::{Kind, SyncKind};
pub use waiting::WaitStrategy;
