//! A durable log beside the rings: `log:DIR`, a directory of segment files that one process appends to and any number read.
//!
//! ```
//! # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
//! use ringway::log::{Durability, Level, Log, ReadError};
//!
//! # let directory = tempfile::tempdir()?;
//! # let address = format!("log:{}", directory.path().join("orders").display());
//! let log = Log::at(&address)?.durability(Durability::Each).create()?;
//! let mut writer = log.writer()?;
//! let receipt = writer.append(b"buy 100")?;
//! assert_eq!((receipt.number, receipt.level), (0, Level::Synced));
//!
//! let mut reader = log.reader()?;
//! assert_eq!(reader.recv()?, b"buy 100");
//! assert_eq!(reader.try_recv(), Err(ReadError::Empty));
//! writer.close()?;
//! assert_eq!(reader.recv(), Err(ReadError::Closed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Builder`] makes or opens a [`Log`]; that gives one [`Writer`] at a time and any number of [`Reader`]s, each of which begins where its
//! [`Subscription`] says. Reading takes nothing away: what goes is decided by the writer's [`Retention`].
//!
//! # What an acknowledgement means
#![doc = include_str!("acknowledgements.md")]
//!
//! # When something is wrong
//!
//! | | then |
//! |---|---|
//! | the writer is killed, at any instruction | what it had acknowledged is there, whole and in order; the next writer takes away what was half written, and goes on. Readers that wait are told at once |
//! | the writer is stopped | it stays the writer; readers get what it had told |
//! | a reader is killed | nobody notices; its successor of that name begins behind what it had acknowledged |
//! | the power is lost | what was synced is there. What was not may be gone from some message on; nothing else is shown in its place |
//! | the disk is full | [`AppendError::NoSpace`], before anything is half written (a segment's room is taken when it is begun); append goes on when there is room |
//! | a sync fails | [`AppendError::Poisoned`], for this writer and all that follow, until a [repair](Builder::repair) has written anew what may be lost |
//! | a bit of a message that was acknowledged flips, a file is missing | [`ReadError::Corrupt`] with the number, and a writer is refused; nothing is cut unless a repair is asked for, and what it cuts is kept |
//! | the directory is removed | [`AppendError::Removed`], [`ReadError::Removed`] |
//! | somebody puts a file among the segments | an error that names it, if it has a name like theirs; else it is let be |
//!
//! Nothing here maps the segments: a disk that fails is an error, and kills nobody.

#![deny(unsafe_code)]

mod catch_up;
mod control;
mod crc;
mod cursor;
mod error;
mod group;
mod lock;
mod log;
mod options;
mod reader;
mod recorder;
mod source;
mod writer;

#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod appender;
#[cfg(not(feature = "verify"))]
mod appender;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod files;
#[cfg(not(feature = "verify"))]
mod files;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod format;
#[cfg(not(feature = "verify"))]
mod format;
mod index;
mod names;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod ordeal;
#[cfg(all(test, not(feature = "verify")))]
mod ordeal;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod place;
#[cfg(not(feature = "verify"))]
mod place;
mod recover;
mod rewrite;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod scan;
#[cfg(not(feature = "verify"))]
mod scan;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod slots;
#[cfg(not(feature = "verify"))]
mod slots;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod syncing;
#[cfg(not(feature = "verify"))]
mod syncing;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod tape;
#[cfg(not(feature = "verify"))]
mod tape;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod trouble;
#[cfg(not(feature = "verify"))]
mod trouble;

pub use appender::Recovery;
pub use catch_up::{CatchUp, CatchUpError, Caught};
pub use error::{AppendError, ReadError};
pub use log::{Builder, Log, LogStat, remove};
pub use options::{Durability, Level, Receipt, Retention, Start};
pub use reader::{Message, Reader, Subscription};
pub use recorder::{RecordError, Recorder};
pub use writer::{Batch, Writer};
