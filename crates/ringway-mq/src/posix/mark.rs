//! What the permission bits of a queue say besides permissions: those that mean nothing on a queue.
//!
//! | bit | means |
//! |---|---|
//! | 0o1000 | ringway made the queue; it stands there from the first moment |
//! | 0o100 | a receiver was attached; alone: and did not leave in order, unless it lives |
//! | 0o010 | the last receiver has closed |
//! | 0o001 | its creator asked for no priorities |
//!
//! `chmod` with a number takes them away. A queue that somebody is attached to is known by its locks all the same, and
//! gets the first one back from whoever attaches and may do that; the others come back when a receiver attaches. One that
//! nobody is attached to cannot be told from a foreign one.
//!
//! Only the owner of a queue and root may change them. For other receivers' sake senders remember what they saw. The
//! umask may take 0o001 until the creator restores it; to whoever opens the queue before that, or if the creator dies
//! before that, it is one with priorities, which the kernel keeps for all.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};

use crate::options::Options;

const OURS: u32 = 0o1000;
const ATTACHED: u32 = 0o100;
const CLOSED: u32 = 0o010;
const IN_TURN: u32 = 0o001;

/// What the last receiver did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// There was none, or it left without closing.
    Absent,
    /// It attached.
    Attached,
    /// It closed.
    Closed,
}

/// The bits of a new queue.
pub(super) fn new(options: &Options) -> u32 {
    let mode = options.new_mode() | OURS;
    match options.priorities {
        true => mode,
        false => mode | IN_TURN,
    }
}

pub(super) fn is_ours(stat: &FileStat) -> bool {
    stat.st_mode & OURS != 0
}

/// Gives the mark back that a `chmod` took, if this process may.
pub(super) fn restore(queue: BorrowedFd<'_>) {
    if let Ok(stat) = fstat(queue)
        && !is_ours(&stat)
    {
        let wanted = stat.st_mode & 0o7777 | OURS;
        let _ = fchmod(queue, Mode::from_bits_truncate(wanted));
    }
}

pub(super) fn has_priorities(stat: &FileStat) -> bool {
    stat.st_mode & IN_TURN == 0
}

/// Gives a new queue the bits that the umask took.
pub(super) fn permit(queue: BorrowedFd<'_>, new: u32) -> Result<(), Errno> {
    let now = fstat(queue)?.st_mode & 0o7777;
    match now | new {
        wanted if wanted == now => Ok(()),
        wanted => fchmod(queue, Mode::from_bits_truncate(wanted)),
    }
}

pub(super) fn receiver(queue: BorrowedFd<'_>) -> Receiver {
    match fstat(queue).map(|stat| stat.st_mode) {
        Ok(mode) if mode & CLOSED != 0 => Receiver::Closed,
        Ok(mode) if mode & ATTACHED != 0 => Receiver::Attached,
        _ => Receiver::Absent,
    }
}

/// For the live receiver, of which there is one.
pub(super) fn set_receiver(queue: BorrowedFd<'_>, receiver: Receiver) {
    let Ok(stat) = fstat(queue) else { return };
    let now = stat.st_mode & 0o7777;
    let others = now & !(ATTACHED | CLOSED) | OURS;
    let wanted = match receiver {
        Receiver::Absent => others,
        Receiver::Attached => others | ATTACHED,
        Receiver::Closed => others | ATTACHED | CLOSED,
    };
    if wanted != now {
        // Refused to those whose queue it is not.
        let _ = fchmod(queue, Mode::from_bits_truncate(wanted));
    }
}
