//! What a sending or a receiving handle has: its side of a ring, or of a queue, and what is held of it in place.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::outcome::{Fault, HELD, NOT_HELD, OF_RINGS};

/// A side of a ring, or of a queue.
pub(crate) enum Side<R, Q> {
    Ring(R),
    Queue(Q),
}

/// The same, in use.
pub(crate) type SideMut<'a, R, Q> = Side<&'a mut R, &'a mut Q>;

/// The same, in a box, so that what borrows from it may lie beside it.
enum Owned<R, Q> {
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
    fn new(side: Side<R, Q>) -> Self {
        match side {
            Side::Ring(side) => Self::Ring(NonNull::from(Box::leak(Box::new(side)))),
            Side::Queue(side) => Self::Queue(NonNull::from(Box::leak(Box::new(side)))),
        }
    }

    /// The side of a ring.
    #[inline]
    fn of_ring(self) -> Option<NonNull<R>> {
        match self {
            Self::Ring(side) => Some(side),
            Self::Queue(_) => None,
        }
    }

    /// # Safety
    /// Nothing else borrows it for as long as the lifetime that is chosen.
    #[inline]
    unsafe fn borrow<'a>(self) -> SideMut<'a, R, Q> {
        match self {
            // SAFETY: the caller's promise; it is there until it is taken.
            Self::Ring(side) => Side::Ring(unsafe { &mut *side.as_ptr() }),
            // SAFETY: the same.
            Self::Queue(side) => Side::Queue(unsafe { &mut *side.as_ptr() }),
        }
    }

    /// # Safety
    /// Nothing borrows it any more, and it is not used after this.
    unsafe fn take(self) -> Side<R, Q> {
        match self {
            // SAFETY: from a box; the caller's promise.
            Self::Ring(side) => Side::Ring(*unsafe { Box::from_raw(side.as_ptr()) }),
            // SAFETY: the same.
            Self::Queue(side) => Side::Queue(*unsafe { Box::from_raw(side.as_ptr()) }),
        }
    }
}

/// A side, which it owns, and what is held of it in place: a claim or a message, which borrows the side.
pub(crate) struct Handle<R, Q, H> {
    /// The side of a ring while nothing is held: all that the usual case has to look at.
    usual: Option<NonNull<R>>,
    /// Goes before the side does.
    held: Option<H>,
    owned: Owned<R, Q>,
}

impl<R, Q, H> Handle<R, Q, H> {
    pub(crate) fn new(side: Side<R, Q>) -> Self {
        let owned = Owned::new(side);
        Self {
            usual: owned.of_ring(),
            held: None,
            owned,
        }
    }

    /// The side of a ring, if nothing is held.
    #[inline(always)]
    pub(crate) fn usual(&mut self) -> Option<&mut R> {
        // SAFETY: this owns it, and as nothing is held, nothing else borrows it.
        self.usual.map(|mut side| unsafe { side.as_mut() })
    }

    /// The side, if nothing is held.
    #[inline]
    pub(crate) fn side(&mut self) -> Result<SideMut<'_, R, Q>, Fault> {
        // SAFETY: nothing that borrows it is kept beyond this borrow of the handle.
        unsafe { self.side_for_held() }
    }

    /// The same, for what will be [held](Self::hold).
    ///
    /// # Safety
    /// What borrows from it is held by this, or dropped before this is used again.
    #[inline]
    pub(crate) unsafe fn side_for_held<'a>(&mut self) -> Result<SideMut<'a, R, Q>, Fault> {
        match self.held {
            // SAFETY: this owns it, and nothing else borrows it; what is held goes before it does, as the caller promises.
            None => Ok(unsafe { self.owned.borrow() }),
            Some(_) => Err(HELD),
        }
    }

    /// The side, if it is one of a ring, and nothing is held.
    pub(crate) fn ring(&mut self) -> Result<&mut R, Fault> {
        match self.side()? {
            Side::Ring(side) => Ok(side),
            Side::Queue(_) => Err(OF_RINGS),
        }
    }

    /// Keeps what borrows the side.
    #[inline]
    pub(crate) fn hold(&mut self, held: H) {
        self.usual = None;
        self.held = Some(held);
    }

    /// What is held. It is used, or dropped, before the handle is.
    #[inline]
    pub(crate) fn take_held(&mut self) -> Result<H, Fault> {
        let Some(held) = self.held.take() else {
            return Err(NOT_HELD);
        };
        self.usual = self.owned.of_ring();
        Ok(held)
    }

    /// The side alone. What is held is dropped.
    pub(crate) fn into_side(mut self) -> Side<R, Q> {
        self.held = None;
        let this = ManuallyDrop::new(self);
        // SAFETY: nothing borrows it, and `self` is not dropped.
        unsafe { this.owned.take() }
    }
}

impl<R, Q, H> Drop for Handle<R, Q, H> {
    fn drop(&mut self) {
        self.held = None;
        // SAFETY: nothing borrows it any more.
        drop(unsafe { self.owned.take() });
    }
}
