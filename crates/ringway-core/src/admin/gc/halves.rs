//! Half-made segments.

use super::{Fate, Found, Gc, Leftover, Why};
use crate::error::{Error, ErrorKind};
use crate::presence::Liveness;
use crate::store::{self, Half};

impl Gc {
    /// Removes a half-made segment if nobody lives who makes it.
    pub(super) fn half(&self, half: &Half) -> Result<Option<Found>, Error> {
        let being_made = Fate::Kept(Why::BeingMade { pid: half.creator });
        let fate = if half.life == Liveness::Alive {
            being_made
        } else if self.dry_run {
            Fate::Removable
        } else {
            match store::remove_half_made(half) {
                Ok(true) => Fate::Removed,
                Ok(false) => being_made,
                // Somebody else did it.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if is_forbidden(&error) => Fate::Kept(Why::NotPermitted),
                Err(error) => return Err(error),
            }
        };
        Ok(Some(Found {
            what: Leftover::HalfMade(half.address.clone()),
            bytes: half.len,
            fate,
        }))
    }
}

/// Whether another user could do it.
pub(super) fn is_forbidden(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ForeignOwner | ErrorKind::PermissionDenied
    )
}
