//! Futures, streams and sinks over ringway's rings, for any executor.
//!
//! [`AsyncReceiver`] and [`AsyncSender`] add to the handles a future for each verb that waits, [`AsyncReader`] and [`AsyncWatcher`] to those of
//! boards, [`AsyncServer`], [`AsyncRequest`], [`AsyncClient`] and [`AsyncAnswers`] to those of services. With the feature `futures` (on by default), a
//! handle also becomes a [`Messages`], which is a `Stream`, or a [`MessagesSink`], which is a `Sink`.
//!
//! ```
//! use ringway_async::{AsyncReceiver, AsyncSender};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let ring = ringway::at("memfd:")?.create()?;
//! let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
//! sender.send_async(b"hello").await?;
//! assert_eq!(receiver.recv_async().await?, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who waits
//! A task that finds nothing is woken by the process's *waiter*, a thread that sleeps for all such handles
//! ([`poll_recv`](ringway::Receiver::poll_recv)). No executor has to be told of it, and none is needed: a future can be polled by anybody. A
//! handle has one task at a time; tasks that receive side by side have a handle each.
//!
//! # Cancelling
//! A future that is dropped before it is ready has received, sent and changed nothing: with `select!` and time-outs no message is lost, and
//! the next call goes on. A [`MessagesSink`] keeps one message that it has accepted and not sent yet; it is sent by flushing.
//!
//! # Shutting down
//! A pending future keeps no thread, so a runtime ends while one is pending. An [`Interrupter`](ringway::wait::Interrupter) ends one with
//! `Interrupted`, from a signal handler too.
//!
//! # `fork`
//! Handles and futures that a child of `fork` inherits say [`Forked`](ringway::RecvError::Forked).
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod board;
mod receiver;
mod sender;
mod service;
#[cfg(feature = "futures")]
mod sink;
#[cfg(feature = "futures")]
mod stream;

pub use board::{AsyncReader, AsyncWatcher};
pub use receiver::AsyncReceiver;
pub use sender::AsyncSender;
pub use service::{AsyncAnswers, AsyncClient, AsyncRequest, AsyncServer};
#[cfg(feature = "futures")]
pub use sink::MessagesSink;
#[cfg(feature = "futures")]
pub use stream::Messages;
