//! The compiled part of the Python package `ringway`, where it is `ringway._ringway`.
//!
//! | file | what |
//! |---|---|
//! | `turn.rs` | a handle that threads share: they take turns, and what is lent of it keeps it |
//! | `waiting.rs`, `bell.rs` | timeouts, and waits that let the interpreter go and that signals end |
//! | `address.rs`, `options.rs` | what users write |
//! | `ring.rs`, `sender.rs`, `receiver.rs` | the handles |
//! | `board.rs`, `entry.rs` | boards, and the handles of their entries |
//! | `server.rs`, `client.rs` | call and serve |
//! | `claim.rs`, `message.rs` | messages in place, which export their memory as buffers |
//! | `buffer.rs` | memory of other objects |
//! | `inspect.rs` | looking at rings, and removing them |
//! | `errors.rs` | the errors of ringway as exceptions, which `_errors.py` defines |
//!
//! # What is shared, and with whom
//! Objects here are `frozen`: whatever changes is behind a lock, so that they are sound where there is no global lock of the interpreter.
//! A message in place holds its handle by [`turn::Loan`], and is held by nobody but Python. No lock is held while Python runs.

mod address;
mod bell;
mod board;
mod buffer;
mod claim;
mod client;
mod entry;
mod errors;
mod inspect;
mod message;
mod options;
mod receiver;
mod ring;
mod sender;
mod server;
mod turn;
mod waiting;

/// The compiled part of ringway.
#[pyo3::pymodule(gil_used = false)]
mod _ringway {
    #[pymodule_export]
    use crate::address::Address;
    #[pymodule_export]
    use crate::board::{Board, connect_board, take_over_board};
    #[pymodule_export]
    use crate::claim::Claim;
    #[pymodule_export]
    use crate::client::{Answers, Client, connect_client};
    #[pymodule_export]
    use crate::entry::{Reader, Watcher, Writer};
    #[pymodule_export]
    use crate::inspect::{
        Entry, Found, GcReport, Participant, SlabStat, Stat, collect, list_rings, remove, stat,
    };
    #[pymodule_export]
    use crate::message::Message;
    #[pymodule_export]
    use crate::receiver::{Receiver, wait_any};
    #[pymodule_export]
    use crate::ring::{Ring, connect, take_over};
    #[pymodule_export]
    use crate::sender::Sender;
    #[pymodule_export]
    use crate::server::{Request, Server, start_server};
}
