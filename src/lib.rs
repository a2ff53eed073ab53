//! Message transport between processes on one Linux machine through shared memory.
//!
//! One process sends, another receives, or many do, and the kernel is asked for nothing while they are awake.
//!
//! ```
//! use ringway::RecvError;
//!
//! let ring = ringway::at("memfd:")?.capacity(1 << 20).create()?;
//! let mut sender = ring.sender()?;
//! let mut receiver = ring.receiver()?;
//!
//! sender.send(b"hello")?;
//! sender.close();
//!
//! assert_eq!(receiver.recv()?, b"hello");
//! assert_eq!(receiver.recv(), Err(RecvError::Closed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Addresses
//!
//! | address | what it is | lives until |
//! |---|---|---|
//! | `shm:orders` | POSIX shared memory, `/dev/shm/orders` | it is removed, or a reboot |
//! | `file:/var/lib/orders.ring` | a memory-mapped file | it is removed |
//! | `sysv:0x52494e47` | System V shared memory, by key | it is removed, or a reboot |
//! | `sysv:/etc/hostname#7` | the same, the key from `ftok(3)` | it is removed, or a reboot |
//! | `sysv:private`, then `sysv:id=42` | the same, by the id that `ipcs -m` shows | it is removed, or a reboot |
//! | `memfd:` | anonymous sealed memory, handed over a Unix socket | its last process |
//! | `mq:/orders` | POSIX message queue | it is removed, or a reboot |
//! | `sysvmq:0x52494e47` | System V message queue, by key (or `ftok`, as above) | it is removed, or a reboot |
//! | `auto:orders` | `shm:orders` where it can be had, else `mq:/orders` | as that |
//! | `log:/var/lib/orders` | a durable log: a directory of files | it is removed |
//!
//! [`Channel`] opens all of them but logs; [`Ring`] what is shared memory, with all that a ring can do; [`log`] has what is for logs.
//!
//! # The parts
//!
//! [`at`] names an address and gives a [`Builder`]; that makes or opens a [`Ring`]; the ring gives a
//! [`Sender`] or a [`Receiver`]: one of each at a time, or as many as its [`Kind`] allows. [`remove`] removes a ring that has a
//! name. That is what most programs need, and it is here at the root. The rest is in modules:
//!
//! | module | what is there |
//! |---|---|
//! | [`broadcast`] | one producer, and every consumer gets every message |
//! | [`address`] | the keys in addresses of System V objects and of queues |
//! | [`message`] | messages in place, in batches, in slabs that outlive their turn |
//! | [`wait`] | waiting for several rings at once |
//! | [`peer`] | the other side: roles, and who is known to be there |
//! | [`inspect`] | what rings there are, how full they are, who is attached |
//! | [`gc`] | removing what processes that have died left behind |
//! | [`channel`] | rings and queues under one type: [`Channel`] |
//! | [`transport`] | the traits that rings, queues and channels have in common |
//! | [`tasks`] | messages that are tried until somebody succeeds, and set aside after so many tries |
//! | [`stage`] | a stage of a pipeline: takes from one ring and sends to another, each message exactly once |
//! | [`board`] | entries with names, of each the latest value: [`Board`] |
//! | [`service`] | call and serve: [`serve`] at an address, [`connect`] to it |
//! | [`chunk`] | messages of any length |
//! | [`mq`] | the kernel's queues |
//! | [`log`] | a durable log beside the rings: record, replay, catch up |
//! | [`events`] | what is told by `tracing` |
//!
//! # When a process dies
//!
//! A message is *sent* when `send` returned, or died after its commit, and *received* when it was
//! released. Whatever instruction a process is killed at, nothing that was sent is lost, nothing that
//! was received comes again, and nothing is ever seen in part. The other side is woken by the kernel; it
//! first gets what was sent, then [`RecvError::PeerDied`] or [`SendError::PeerDied`]. A process that
//! attaches in the dead one's place goes on where it stood.
//!
//! # Trust
//!
//! Whatever a peer writes into the segment, the other process does not leave its memory, panic or loop;
//! its handle fails with `Corrupt`. What a peer with write access *can* do is to send garbage, to stop,
//! and, but for `memfd:`, to truncate the object, which is a SIGBUS for those who have it mapped. Give
//! peers that you do not trust a sealed `memfd:`.

pub mod channel;
pub mod stage;

/// What is told by [`tracing`](https://docs.rs/tracing), with the feature `tracing` of this crate, which is off by default.
///
/// Whatever happens seldom is told to the subscriber of the program: that something is made, opened, renewed and removed, who comes and
/// leaves, dies, and what was put in order after a death. Nothing is told where a message is sent or received. Without the feature none
/// of this is in the program.
///
#[doc = include_str!("events.md")]
///
/// A `pid` is as its own pid namespace counts it, and is what that process has written: of one that means harm it may be any number.
///
/// What the program itself does is told in its calls, by its own threads. What others do is told, for each [`Sender`] and [`Receiver`], by a
/// thread of its own (`ringway-news`), with the subscriber that was the default where the handle was made; it is there only if that one
/// wants warnings of `ringway::peer`. So a subscriber that takes long, or panics, keeps no message and no news from the handle: a handle that
/// leaves waits for what is being told for some seconds, and not longer. Who is there in a [`Board`] is not told.
pub mod events {}

#[doc(inline)]
pub use ringway_chunk as chunk;
pub use ringway_core::{
    address, board, broadcast, gc, inspect, message, peer, tasks, transport, wait,
};
#[doc(inline)]
pub use ringway_log as log;
#[doc(inline)]
pub use ringway_mq as mq;
#[doc(inline)]
pub use ringway_service as service;
pub use ringway_service::{connect, serve};

#[doc(inline)]
pub use channel::Channel;
pub use ringway_core::{
    Address, Board, Builder, Error, ErrorKind, Kind, Message, Receiver, RecvError, Ring, SendError,
    Sender, SyncKind, WaitStrategy, remove,
};

#[doc(hidden)]
pub use ringway_core::os;

/// Names an address; see [`Builder`].
///
/// # Errors
/// [`ErrorKind::InvalidAddress`] if the address does not parse.
///
/// ```
/// let ring = ringway::at("memfd:")?.create()?;
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn at(address: &str) -> Result<Builder, Error> {
    Builder::new(address)
}
