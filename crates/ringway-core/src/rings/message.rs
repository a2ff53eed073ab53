//! What the receiving sides of both shapes have in common.

use super::pool::IN_SLAB;

/// How often to poll before the first pause.
pub(crate) const EAGER_POLLS: u32 = 1024;

/// A committed message that is not released yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageRef {
    /// Where its payload is; of a message in a slab, where its ticket is, with [`IN_SLAB`].
    pub(crate) payload: u64,
    /// Bytes of the message.
    pub(crate) len: usize,
}

impl MessageRef {
    /// Whether it lies in a slab.
    #[inline]
    pub(crate) fn is_loaned(&self) -> bool {
        self.payload & IN_SLAB != 0
    }
}
