//! The facade.
pub use ringway_core::*;
