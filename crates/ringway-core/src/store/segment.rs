//! A segment that is mapped, with all that belongs to it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::anchor::Anchor;
use super::slabs::SlabSegments;
use crate::address::Address;
use crate::memory::layout::header::Header;
use crate::memory::map::Map;
use crate::presence::memory::Memories;
use crate::sys::owner::Access;

/// A finished segment in this process.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) map: Arc<Map>,
    /// A private copy.
    pub(crate) header: Header,
    /// What opens it: `sysv:private` has become `sysv:id=N`.
    pub(crate) address: Address,
    /// The slabs, if they are segments of their own.
    pub(crate) slabs: Option<Arc<SlabSegments>>,
    /// A memfd's descriptor, to hand it over.
    pub(crate) file: Option<OwnedFd>,
    /// Who could use it when it was opened.
    pub(crate) access: Access,
    /// By what to ask for its name, which was opened with entry; a memfd has none.
    pub(crate) anchor: Option<Arc<Anchor>>,
    /// By what to ask for the memory of participants, in a ring with slabs.
    pub(crate) memories: Option<Arc<Memories>>,
}

/// By what to ask for the memory of the participants of the ring in `file`, if it may be lent by pointer.
pub(super) fn memories(header: &Header, file: BorrowedFd<'_>) -> Option<Arc<Memories>> {
    match header.geometry.slabs().is_empty() {
        true => None,
        // Without one more descriptor, pointers to private memory are lent.
        false => Memories::of(file.try_clone_to_owned().ok()?),
    }
}
