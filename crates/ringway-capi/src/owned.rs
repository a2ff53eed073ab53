//! What a sending or a receiving handle owns: its side of a ring, or of a queue.

use std::ptr::NonNull;

/// A side of a ring, or of a queue.
pub(crate) enum Side<R, Q> {
    Ring(R),
    Queue(Q),
}

/// The same, in use.
pub(crate) type SideMut<'a, R, Q> = Side<&'a mut R, &'a mut Q>;

/// The same, in a box that the handle owns, so that what borrows from it may lie in the handle, too.
pub(crate) enum Owned<R, Q> {
    Ring(NonNull<R>),
    Queue(NonNull<Q>),
}

impl<R, Q> Clone for Owned<R, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, Q> Copy for Owned<R, Q> {}

impl<R, Q> Owned<R, Q> {
    pub(crate) fn new(side: Side<R, Q>) -> Self {
        match side {
            Side::Ring(side) => Self::Ring(NonNull::from(Box::leak(Box::new(side)))),
            Side::Queue(side) => Self::Queue(NonNull::from(Box::leak(Box::new(side)))),
        }
    }

    /// The side of a ring.
    #[inline]
    pub(crate) fn of_ring(self) -> Option<NonNull<R>> {
        match self {
            Self::Ring(side) => Some(side),
            Self::Queue(_) => None,
        }
    }

    /// # Safety
    /// Nothing else borrows it for as long as the lifetime that is chosen.
    #[inline]
    pub(crate) unsafe fn borrow<'a>(self) -> SideMut<'a, R, Q> {
        match self {
            // SAFETY: the caller's promise; it is there until it is taken.
            Self::Ring(side) => Side::Ring(unsafe { &mut *side.as_ptr() }),
            // SAFETY: the same.
            Self::Queue(side) => Side::Queue(unsafe { &mut *side.as_ptr() }),
        }
    }

    /// # Safety
    /// Nothing borrows it any more, and it is not used after this.
    pub(crate) unsafe fn take(self) -> Side<R, Q> {
        match self {
            // SAFETY: from a box; the caller's promise.
            Self::Ring(side) => Side::Ring(*unsafe { Box::from_raw(side.as_ptr()) }),
            // SAFETY: the same.
            Self::Queue(side) => Side::Queue(*unsafe { Box::from_raw(side.as_ptr()) }),
        }
    }
}
