//! What standard input and output were before Rust's runtime opened `/dev/null` for those that are closed: data
//! that goes there is lost, and from there comes an end that nobody meant.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::fcntl::OFlag;
use nix::libc;

use crate::failure::Failure;

/// The flags of standard input and output as they were, negative of what was closed.
static AT_START: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];

/// Called by the C library, before Rust's runtime starts.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    for (descriptor, flags) in (0..).zip(&AT_START) {
        // SAFETY: asks about a descriptor, whatever it is, and changes nothing.
        let found = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
        flags.store(found, Ordering::Relaxed);
    }
}

fn flags(descriptor: usize) -> Option<OFlag> {
    let flags = AT_START[descriptor].load(Ordering::Relaxed);
    (flags >= 0).then(|| OFlag::from_bits_retain(flags))
}

/// Fails unless standard input can be read.
pub(crate) fn require_input() -> Result<(), Failure> {
    match flags(0).map(|flags| flags & OFlag::O_ACCMODE) {
        None => Err(Failure::error(
            "standard input is closed, and there is no FILE to send: give it /dev/null to send nothing",
        )),
        Some(OFlag::O_WRONLY) => Err(Failure::error("standard input is not open for reading")),
        Some(_) => Ok(()),
    }
}

/// Fails unless standard output can be written.
pub(crate) fn require_output() -> Result<(), Failure> {
    match flags(1).map(|flags| flags & OFlag::O_ACCMODE) {
        None => Err(Failure::error(
            "standard output is closed, and what goes there would be lost: give it /dev/null to throw it away",
        )),
        Some(OFlag::O_RDONLY) => Err(Failure::error("standard output is not open for writing")),
        Some(_) => Ok(()),
    }
}
