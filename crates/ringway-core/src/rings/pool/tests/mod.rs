//! Tests of slabs over every region but a mapping. (loom's are those of the rings.)

mod hostile;
#[cfg(not(miri))]
mod lent;
mod property;
mod words;

use crate::memory::layout::pool::{Class, Slabs};

/// Slabs of two lengths.
fn slabs() -> Slabs {
    let classes = [(4096, 3), (8192, 2)].map(|(len, count)| Class { len, count });
    Slabs::new(&classes).unwrap()
}
