//! A region without a segment, for checks.

use super::*;

/// A segment on the heap, zeroed.
#[derive(Debug)]
pub(crate) struct Heap {
    base: NonNull<u8>,
    layout: std::alloc::Layout,
    geometry: Geometry,
    origin: Origin,
}

// SAFETY: the heap memory is accessed like a mapping: by atomics and racy copies only.
unsafe impl Send for Heap {}
// SAFETY: as for Send.
unsafe impl Sync for Heap {}

impl Heap {
    /// Zeroed memory for a ring of that geometry.
    pub(crate) fn new(geometry: Geometry) -> Option<Arc<Self>> {
        let len = usize::try_from(geometry.total_len()).ok()?;
        let layout = std::alloc::Layout::from_size_align(len, 4096).ok()?;
        // SAFETY: the length is not zero: a geometry has a header.
        let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        Some(Arc::new(Self {
            base,
            layout,
            geometry,
            origin: Origin::here().ok()?,
        }))
    }

    /// A region over this memory; any number may exist, as of a mapping.
    pub(crate) fn region(self: &Arc<Self>) -> Memory {
        Memory::over(
            self.base,
            &self.geometry,
            FenceMode::Symmetric,
            self.origin,
            None,
            Arc::clone(self) as _,
        )
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`; every region holds an Arc of this.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), self.layout) };
    }
}
