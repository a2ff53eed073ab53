//! Segments.
pub(crate) mod map;
