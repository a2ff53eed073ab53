//! pthread_sigmask(3): threads of ours on which no signal handler of the program ever runs.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

/// Starts a thread with all signals blocked. A signal that is sent to the process, and that all of the program's own
/// threads block so that one of them fetches it by `sigwait`, is then not taken by this one.
///
/// # Errors
/// Those of [`Builder::spawn`].
pub fn spawn<T: Send + 'static>(
    thread: Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    while_blocked(|| thread.spawn(work))?
}

/// Does something while this thread blocks all signals; a thread that it starts inherits that.
pub(super) fn while_blocked<T>(work: impl FnOnce() -> T) -> Result<T, Errno> {
    let mut before = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    let outcome = work();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(outcome)
}
