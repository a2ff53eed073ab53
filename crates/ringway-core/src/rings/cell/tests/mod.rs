//! Tests of the cell ring over every region but a mapping.

#[cfg(not(loom))]
mod batches;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod picture;
#[cfg(not(loom))]
mod property;
#[cfg(not(loom))]
mod threads;
#[cfg(not(loom))]
mod walk;
