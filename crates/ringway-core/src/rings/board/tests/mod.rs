//! Checks of the board's algorithms.

#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod threads;
#[cfg(not(loom))]
mod values;
