//! ringway for C and C++. `include/ringway.h` is made of this; `include/ringway.hpp` wraps it for C++.
//!
//! | file | what |
//! |---|---|
//! | `outcome.rs` | what every call returns, and what the last error of a thread was |
//! | `sized.rs` | structures that begin with their size, so that older programs go on with newer libraries |
//! | `options.rs` | what a ring is to be like |
//! | `ring.rs`, `sender.rs`, `receiver.rs` | the handles |
//! | `subscription.rs` | how a receiver of a broadcast ring takes part |
//! | `board.rs`, `entry.rs` | boards, and the handles of their entries |
//! | `server.rs`, `client.rs` | call and serve |
//! | `waiting.rs` | timeouts; waiting for several; ending a call that waits |
//! | `inspect.rs` | looking at rings, removing them, collecting |
//!
//! # What is checked, and what is the caller's
//! No panic crosses the border: it ends as [`RINGWAY_PANICKED`](outcome::RINGWAY_PANICKED). A null pointer where something must be is
//! [`RINGWAY_INVALID`](outcome::RINGWAY_INVALID). That other pointers are good, that a handle is used by one thread at a time, and not after it
//! was freed, is the caller's promise: so is every `unsafe` here that follows a pointer of the caller's.
#![allow(non_camel_case_types)]

pub mod board;
pub mod client;
pub mod entry;
mod handle;
pub mod inspect;
pub mod options;
pub mod outcome;
pub mod receiver;
pub mod ring;
pub mod sender;
pub mod server;
mod sized;
pub mod subscription;
pub mod waiting;
