//! The algorithms: how messages get from producers to consumers through a region of memory.

pub(crate) mod board;
pub(crate) mod broadcast;
pub(crate) mod cell;
pub(crate) mod message;
pub(crate) mod pool;
pub(crate) mod stream;
