//! Slabs that are segments of their own, without a ring.

use std::path::Path;

use nix::errno::Errno;

use super::{Fate, Found, Gc, GcReport, Leftover, Why, not_removed};
use crate::address::Address;
use crate::error::Error;
use crate::store::slabs::{named, sysv};
use crate::sys::shm_overview::SHM_DIRECTORY;

impl Gc {
    /// Those of all rings.
    pub(super) fn slabs(&self) -> GcReport {
        let mut report = GcReport::default();
        for orphans in named::orphans(Path::new(SHM_DIRECTORY), None) {
            report.add_of_all(self.files(&orphans));
        }
        for orphans in sysv::orphans() {
            report.add_of_all(self.segments(&orphans));
        }
        report
    }

    /// Those of earlier rings at an address.
    pub(super) fn slabs_at(&self, address: &Address) -> GcReport {
        let mut report = GcReport::default();
        if let Some((directory, name)) = named::home_of(address) {
            for orphans in named::orphans(&directory, Some(&name)) {
                report.add_of_all(self.files(&orphans));
            }
        }
        report
    }

    fn files(&self, orphans: &named::Orphans) -> Result<Option<Found>, Error> {
        self.orphans(orphans.names(), orphans.bytes, orphans.are_in_use(), || {
            orphans.remove().map(|()| true)
        })
    }

    fn segments(&self, orphans: &sysv::Orphans) -> Result<Option<Found>, Error> {
        self.orphans(orphans.names(), orphans.bytes, orphans.are_in_use(), || {
            orphans.remove()
        })
    }

    /// Decides about slabs of one ring. `remove` says whether there was something to remove.
    fn orphans(
        &self,
        segments: Vec<String>,
        bytes: u64,
        are_in_use: bool,
        remove: impl FnOnce() -> Result<bool, Errno>,
    ) -> Result<Option<Found>, Error> {
        let failed = |errno| not_removed(segments.first().map_or("", String::as_str), errno);
        let fate = match are_in_use {
            true => Fate::Kept(Why::Open),
            false if self.dry_run => Fate::Removable,
            false if remove().map_err(failed)? => Fate::Removed,
            // Finished meanwhile, or gone.
            false => return Ok(None),
        };
        let what = Leftover::Slabs { segments };
        Ok(Some(Found { what, bytes, fate }))
    }
}
