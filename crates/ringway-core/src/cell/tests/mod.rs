//! Tests of the cell ring over every region but a mapping.

#[cfg(loom)]
mod interleavings;
