//! How segments are made and opened, a file per backing.

pub(super) mod handover;
pub(super) mod memfd;
pub(super) mod named;
pub(super) mod sysv;
