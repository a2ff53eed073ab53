//! What a gateway needs of an engine that carries messages between machines.
//!
//! An engine keeps *streams*: messages with sequences that grow by one and are never used again. [`nats`] is the one that gateways use;
//! [`memory`] is one within the process, on which the same tests run, with faults that a server does not have on demand.

mod answers;
pub mod memory;
pub mod nats;

use std::fmt;

use bytes::Bytes;

/// An engine: where outlets and inlets come from.
pub trait Engine {
    /// A way out.
    type Outlet: Outlet;
    /// A way in.
    type Inlet: Inlet;

    /// A way out into a stream, under a subject.
    fn outlet(&self, stream: &str, subject: &str) -> Self::Outlet;

    /// A way in from a stream: what has that subject, or all, by the consumer of that name, with up to `window` messages that are
    /// delivered and not acknowledged.
    fn inlet(
        &self,
        stream: &str,
        subject: Option<&str>,
        consumer: &str,
        window: usize,
    ) -> Self::Inlet;
}

/// What an outlet finds in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What tells this stream from an earlier one of its name.
    pub identity: i64,
    /// The sequence that was last given to a message, be it still there or not; 0 if none ever was.
    pub last: u64,
    /// The last message that is there under the outlet's subject: its sequence, and its id if it has one.
    pub newest: Option<(u64, Option<String>)>,
}

/// A message on its way into a stream.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its id: [`crate::outward::id`].
    pub id: String,
    /// The message is stored only if the stream's last sequence is this.
    pub behind: u64,
    /// And only if the last message has this id, if one is given.
    pub behind_id: Option<String>,
    /// What it says.
    pub payload: Bytes,
}

/// A way out.
pub trait Outlet {
    /// The engine's acknowledgement: the sequence of the message.
    type Ack: Future<Output = Result<u64, Trouble>> + Unpin;

    /// What the stream holds.
    async fn state(&mut self) -> Result<State, Trouble>;

    /// Hands a message over, and does not wait for its acknowledgement.
    async fn publish(&mut self, publication: Publication) -> Result<Self::Ack, Trouble>;

    /// Returns when the connection was lost since the last [`state`](Self::state): acknowledgements will not come. It may be dropped before.
    async fn disturbed(&mut self);
}

/// A message that came out of a stream.
#[derive(Debug)]
pub struct Delivery<T> {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Which delivery of the consumer this is, from 1. Each has a number of its own, also one of a message that comes again. So who sees all
    /// numbers has seen all deliveries.
    pub delivery: u64,
    /// What it says.
    pub payload: Bytes,
    /// What it is acknowledged with.
    pub token: T,
}

/// A way in.
pub trait Inlet {
    /// What a message is acknowledged with.
    type Token;

    /// The stream's identity, and its last sequence.
    async fn state(&mut self) -> Result<(i64, u64), Trouble>;

    /// Makes the consumer anew: deliveries count from 1, and begin at the latest with the first message behind `after`. They come in the order of their
    /// sequences, but for those that come again.
    async fn start(&mut self, after: u64) -> Result<(), Trouble>;

    /// The next delivery. It may be dropped before, and nothing is lost by it.
    async fn next(&mut self) -> Result<Delivery<Self::Token>, Trouble>;

    /// Acknowledges a message. Whether the engine hears of it is not waited for.
    async fn acknowledge(&mut self, token: Self::Token) -> Result<(), Trouble>;
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: the connection, a server that starts, an answer that did not come. Whether a message was stored is not known.
    Passing(String),
    /// The stream takes no message now, and has not taken this one.
    Full(String),
    /// It does not pass by itself.
    Lasting(String),
}

impl Trouble {
    /// It may pass.
    pub fn passing(what: impl fmt::Display) -> Self {
        Self::Passing(what.to_string())
    }

    /// It does not pass by itself.
    pub fn lasting(what: impl fmt::Display) -> Self {
        Self::Lasting(what.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(what) | Self::Lasting(what) => f.write_str(what),
            Self::Full(what) => write!(f, "the stream is full: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}
