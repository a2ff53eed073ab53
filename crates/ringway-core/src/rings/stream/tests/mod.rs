//! Tests of the stream ring over every region but a mapping.

#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod picture;
#[cfg(not(loom))]
mod property;
#[cfg(not(loom))]
mod resume;
#[cfg(not(loom))]
mod threads;
