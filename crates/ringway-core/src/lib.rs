//! Segments, layout, rings, waits and liveness of ringway.

#![cfg_attr(loom, allow(dead_code))]

mod address;
mod error;
mod layout;
mod liveness;
mod segment;
mod sys;

pub use address::{Address, SysvKey};
pub use error::{Error, ErrorKind, RecvError, SendError};
pub use layout::participant::Role;
pub use layout::{Kind, Sync};
