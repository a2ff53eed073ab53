//! What clients and servers say to each other: a header, and bytes behind it. Whatever is read was perhaps written by a hostile peer; every
//! bit pattern is a header, and what it says is believed no further than this file and its callers say.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use nix::time::{ClockId, clock_gettime};

/// Before what a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Said {
    /// The number of the value by which the call began: no other call at that desk ever has it.
    pub(crate) call: u64,
    /// Which attachment to the board says it. Who has taken a dead client's desk, and has said nothing yet, waits for nothing.
    pub(crate) by: u64,
    /// Of [`NEXT`], which run's fragment it wants.
    pub(crate) run: u64,
    /// [`REQUEST`], [`NEXT`] or [`GONE`].
    pub(crate) kind: u32,
    /// How often the request was begun, as far as the client knows: from 1.
    pub(crate) attempt: u32,
    /// Which fragment of the request it is; of [`NEXT`], which one of the answer it wants.
    pub(crate) index: u64,
    /// Bytes of the whole request.
    pub(crate) len: u64,
    /// Until when the client waits, in nanoseconds of the monotonic clock; [`NEVER`].
    pub(crate) deadline: u64,
    /// 1: at most once.
    pub(crate) once: u64,
}

/// A fragment of a request. The first one makes the request known.
pub(crate) const REQUEST: u32 = 1;
/// "I have that fragment of the answer, and want the next."
pub(crate) const NEXT: u32 = 2;
/// "I wait no longer."
pub(crate) const GONE: u32 = 3;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// Before what a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Answered {
    pub(crate) call: u64,
    /// The number of the first value of who serves the call now: no other one ever has it at that desk.
    pub(crate) run: u64,
    /// One of those below.
    pub(crate) kind: u32,
    /// The client's attempt that it serves.
    pub(crate) attempt: u32,
    /// Of [`WANT`] and [`PART`], which fragment; of [`FAILED`], the status; of [`TOO_LONG`], the most bytes.
    pub(crate) index: u64,
    /// Of [`PART`]: [`ENDS_PART`], [`ENDS_ANSWER`].
    pub(crate) flags: u64,
}

/// "I have begun." Said of calls at most once, before anything is done.
pub(crate) const BEGUN: u32 = 1;
/// "I want that fragment of the request."
pub(crate) const WANT: u32 = 2;
/// A fragment of the answer.
pub(crate) const PART: u32 = 3;
/// The answer is over.
pub(crate) const END: u32 = 4;
/// It is over, by an error of the server's work.
pub(crate) const FAILED: u32 = 5;
/// The server does not answer it, and somebody else may.
pub(crate) const LET_GO: u32 = 6;
/// A server died with it, and it is of those at most once.
pub(crate) const DIED: u32 = 7;
/// The request is longer than the server takes.
pub(crate) const TOO_LONG: u32 = 8;

/// The last fragment of a part.
pub(crate) const ENDS_PART: u64 = 1;
/// Nothing comes behind it.
pub(crate) const ENDS_ANSWER: u64 = 2;

impl Answered {
    /// Whether nobody needs to serve `call` any more, in an attempt that is no later than `attempt`.
    pub(crate) fn settles(&self, call: u64, attempt: u32) -> bool {
        self.call == call
            && match self.kind {
                END | FAILED | DIED | TOO_LONG => true,
                PART => self.flags & ENDS_ANSWER != 0,
                LET_GO => self.attempt >= attempt,
                _ => false,
            }
    }
}

pub(crate) const SAID: usize = size_of::<Said>();
pub(crate) const ANSWERED: usize = size_of::<Answered>();

/// The header in front, if there is room for one, and what is behind it.
pub(crate) fn split<T: Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (header, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(header), rest))
}

/// A time on the clock that all processes share.
pub(crate) fn to_shared(deadline: Option<Instant>) -> u64 {
    let Some(deadline) = deadline else {
        return NEVER;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let nanos = u64::try_from(left.as_nanos()).unwrap_or(NEVER);
    shared_now().saturating_add(nanos)
}

/// A time of the shared clock as one of this process; `None` is never.
pub(crate) fn from_shared(deadline: u64) -> Option<Instant> {
    if deadline == NEVER {
        return None;
    }
    let left = Duration::from_nanos(deadline.saturating_sub(shared_now()));
    Instant::now().checked_add(left)
}

/// Whether a time of the shared clock is over.
pub(crate) fn is_over(deadline: u64) -> bool {
    deadline != NEVER && shared_now() >= deadline
}

fn shared_now() -> u64 {
    // The kernel has this clock, and never refuses to read it.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(NEVER)
}
