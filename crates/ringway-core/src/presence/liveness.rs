//! What a liveness word says, and what is known of a peer.

use crate::sys::futex;

/// What a liveness word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Never held, or left in order.
    Absent,
    /// Held by a live process.
    Alive,
    /// The holder died without leaving.
    Dead,
}

impl Liveness {
    /// Reads a word that was fetched once.
    #[inline]
    pub(crate) fn of(word: u32) -> Self {
        if word & futex::OWNER_DIED != 0 {
            Self::Dead
        } else if word & futex::TID_MASK != 0 {
            Self::Alive
        } else {
            Self::Absent
        }
    }
}

/// What is known of the other side of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Nobody is attached: not yet, or not any more after one left without closing.
    Absent,
    /// A live process is attached.
    Alive,
    /// The process died, and nobody has taken its place.
    Died,
    /// It closed when it left, and nobody has come since.
    Closed,
}
