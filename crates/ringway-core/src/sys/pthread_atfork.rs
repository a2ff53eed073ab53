//! pthread_atfork(3): how a process that was forked tells that it is not its parent.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the program's start, as far as [`count_forks`] was called before
/// them. A child of `fork` sees another number than its parent does.
#[inline]
pub fn generation() -> u64 {
    // Relaxed: only a forked child's only thread changes it.
    GENERATION.load(Ordering::Relaxed)
}

/// Has forks counted from now on.
///
/// # Errors
/// ENOMEM.
pub fn count_forks() -> Result<(), Errno> {
    static ONCE: Once = Once::new();
    let mut errno = 0;
    ONCE.call_once(|| {
        // SAFETY: the handler is a function of this program that does nothing but an atomic addition, which
        // is allowed in a child of a process with several threads.
        errno = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
    match errno {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
