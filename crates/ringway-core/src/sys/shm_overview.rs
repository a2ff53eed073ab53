//! shm_overview(7): POSIX shared memory.

/// Where the C library keeps POSIX shared memory.
pub(crate) const SHM_DIRECTORY: &str = "/dev/shm";
