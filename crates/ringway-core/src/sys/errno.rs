//! errno(3).

use nix::errno::Errno;

/// Makes a system call and leaves the error number as it was: for what may run in a signal handler, whose program may
/// be between a call and its look at that number.
pub(crate) fn kept<T>(call: impl FnOnce() -> T) -> T {
    let before = Errno::last_raw();
    let result = call();
    Errno::set_raw(before);
    result
}
