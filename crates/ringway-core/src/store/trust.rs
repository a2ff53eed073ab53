//! Which segments may carry a lock of the C library's.
//!
//! With sync `pthread` and `posix-sem` the lock in the segment is the C library's own object ([`SyncKind::needs_trust`]):
//! it follows pointers in a `pthread_mutex_t`, and ends the process when a `sem_t` holds what it never writes. No
//! check beforehand helps, because whoever can write there can write between the check and the call. So what counts
//! is who *can* write there, as the kernel enforces it, and it is asked before any of that code runs:
//!
//! | segment | may be written by | opened, made or handed over without an opt-in |
//! |---|---|---|
//! | `shm:`, `file:` | its owner; those that its mode lets write; root | if its owner is oneself or root, and the mode lets nobody else write |
//! | `sysv:` | its owner and its creator; those that its mode lets write; root | if both are oneself or root, and the mode lets nobody else write |
//! | `memfd:` that one made | whoever got it | while it is not handed over |
//! | `memfd:` that one was handed | whoever made it, and got it before | never |
//!
//! (An access control list lets others write only as far as the group's bits say, so the mode covers it.) The owner
//! decides for itself when it makes the ring writable for others, or hands it over: that takes the same opt-in.

use super::request::Request;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::SyncKind;
use crate::sys::owner;

/// The bits of a mode by which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// Refuses a ring whose lock strangers could turn against this process, unless the request trusts them. The
/// segment belongs to all of `owners`.
pub(super) fn check(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    sync: SyncKind,
    owners: &[u32],
    mode: u32,
) -> Result<(), Error> {
    if !sync.needs_trust() || request.trust_peers {
        return Ok(());
    }
    match stranger(owners) {
        Some(owner) => Err(untrusted(attempt, sync, &format!("user {owner}"))),
        None if mode & OTHERS_WRITE != 0 => Err(writable(attempt, sync, mode)),
        None => Ok(()),
    }
}

/// Refuses to make a ring whose lock its mode would let others write.
pub(super) fn check_new(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    sync: SyncKind,
) -> Result<(), Error> {
    check(attempt, request, sync, &[], request.mode)
}

/// Refuses a ring from, or for, the process at the other end of a socket.
pub(crate) fn check_handover(
    attempt: Attempt<'_>,
    sync: SyncKind,
    trust_peers: bool,
) -> Result<(), Error> {
    match sync.needs_trust() && !trust_peers {
        true => Err(untrusted(attempt, sync, "whoever else has the memfd")),
        false => Ok(()),
    }
}

/// One of `owners` that is neither this process's user nor root.
fn stranger(owners: &[u32]) -> Option<u32> {
    owners
        .iter()
        .copied()
        .find(|owner| !owner::is_trusted(*owner))
}

fn writable(attempt: Attempt<'_>, sync: SyncKind, mode: u32) -> Error {
    let whom = format!("not its owner alone (mode {:#05o})", mode & 0o777);
    untrusted(attempt, sync, &whom)
}

fn untrusted(attempt: Attempt<'_>, sync: SyncKind, whom: &str) -> Error {
    let name = sync.name();
    let problem = format!(
        "with sync {name} the C library works on a lock in the segment, which {whom} can write, and who writes \
         there can crash this process or make it do what they like"
    );
    attempt
        .error(ErrorKind::Untrusted, problem)
        .remedy("choose sync futex, sysv-sem or mqueue; or, if all who can write there are to be trusted, say so: trust_peers")
}
