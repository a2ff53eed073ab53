//! The rings over heap memory, for fuzzing: the shipped code with nothing around it.
//!
//! Only with the feature `verify`, and not part of the stable interface.

mod board;
mod broadcast;
mod cells;
mod header;
mod pool;
mod stream;

pub use board::{HeapBoard, Meddling};
pub use broadcast::{BroadcastRing, BroadcastWrite, ForgedPhase};
pub use cells::{HostileRing, Write};
pub use header::{Header, Refused};
pub use pool::{PoolRing, PoolStep, PoolWrite};
pub use stream::{HeapConsumer, HeapProducer, HeapRing, Seen};

pub use crate::testing::cells::{Leaving, Setup};
pub use crate::testing::queue::{Queue, Step};
