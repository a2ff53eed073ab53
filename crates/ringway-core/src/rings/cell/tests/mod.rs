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
mod locked;
#[cfg(not(loom))]
mod picture;
#[cfg(not(loom))]
mod property;
#[cfg(not(loom))]
mod threads;
#[cfg(not(loom))]
mod walk;

/// The kinds of rings that may have cells.
#[cfg(not(loom))]
const SHARING: [crate::memory::layout::Kind; 4] = {
    use crate::memory::layout::Kind;
    [Kind::Spsc, Kind::Mpsc, Kind::Spmc, Kind::Mpmc]
};
