//! What rings and workers that are gone could have left in the coordinator.

use std::fs;

/// What this process has.
#[derive(Debug)]
pub(super) struct Remains {
    descriptors: usize,
    threads: usize,
    mappings: usize,
}

impl Remains {
    /// Looks at this process. A ring in use takes nothing of it but a directory by its name.
    pub(super) fn now() -> Self {
        let entries = |path| fs::read_dir(path).map_or(0, Iterator::count);
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            mappings: maps.lines().filter(|line| is_shared(line)).count(),
        }
    }

    /// That there is nothing more now.
    pub(super) fn compare(&self, now: &Self) -> Result<(), String> {
        let more = now.descriptors > self.descriptors
            || now.threads > self.threads
            || now.mappings > self.mappings;
        match more {
            true => Err(format!("the coordinator had {self:?}, and has {now:?} now")),
            false => Ok(()),
        }
    }
}

/// Whether a line of /proc/self/maps is of memory that others may have, too. (Private memory is the
/// allocator's.)
fn is_shared(line: &str) -> bool {
    line.split_whitespace()
        .nth(1)
        .is_some_and(|access| access.ends_with('s'))
}
