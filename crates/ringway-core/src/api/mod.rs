//! What users hold: the builder, the ring, its senders and receivers, and messages.

pub(crate) mod board;
pub(crate) mod builder;
pub(crate) mod bulk;
pub(crate) mod claim;
pub(crate) mod detached;
pub(crate) mod fit;
pub(crate) mod known;
pub(crate) mod message;
#[cfg(feature = "tracing")]
pub(crate) mod news;
mod polling;
pub(crate) mod reach;
pub(crate) mod reader;
pub(crate) mod receiver;
pub(crate) mod receiving;
pub(crate) mod ring;
pub(crate) mod sender;
pub(crate) mod sending;
pub(crate) mod shape;
pub(crate) mod subscription;
pub(crate) mod support;
pub(crate) mod tasks;
pub(crate) mod threads;
pub(crate) mod transport;
pub(crate) mod typed;
pub(crate) mod view;
pub(crate) mod wait_set;
