//! Slabs that are segments of their own, without a ring.

use std::path::Path;

use super::{Fate, Found, Gc, GcReport, Leftover, Why, not_removed};
use crate::address::Address;
use crate::error::Error;
use crate::segment::SHM_DIRECTORY;
use crate::segment::slabs::{named, sysv};

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
        let names = orphans.names();
        let fate = if orphans.are_in_use() {
            Fate::Kept(Why::Open)
        } else if self.dry_run {
            Fate::Removable
        } else {
            let failed = |errno| not_removed(names.first().map_or("", String::as_str), errno);
            orphans.remove().map_err(failed)?;
            Fate::Removed
        };
        Ok(Some(Found {
            what: Leftover::Slabs { segments: names },
            bytes: orphans.bytes,
            fate,
        }))
    }

    fn segments(&self, orphans: &sysv::Orphans) -> Result<Option<Found>, Error> {
        let names = orphans.names();
        let fate = if orphans.are_in_use() {
            Fate::Kept(Why::Open)
        } else if self.dry_run {
            Fate::Removable
        } else {
            let failed = |errno| not_removed(names.first().map_or("", String::as_str), errno);
            match orphans.remove().map_err(failed)? {
                true => Fate::Removed,
                // Finished meanwhile, or gone.
                false => return Ok(None),
            }
        };
        Ok(Some(Found {
            what: Leftover::Slabs { segments: names },
            bytes: orphans.bytes,
            fate,
        }))
    }
}
