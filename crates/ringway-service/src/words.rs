//! What clients and servers say to each other: a header, and bytes behind it. Whatever is read was perhaps written by a hostile peer; every
//! bit pattern is a header, and what it says is believed no further than this file and its callers say.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use nix::time::{ClockId, clock_gettime};
use ringway_core::board::SetError;
use ringway_core::os::{Hearing, MAX_SHORT, Role, Wakes};

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

/// "I want that fragment of the request."
pub(crate) const WANT: u32 = 1;
/// A fragment of the answer.
pub(crate) const PART: u32 = 2;
/// The answer is over.
pub(crate) const END: u32 = 3;
/// It is over, by an error of the server's work.
pub(crate) const FAILED: u32 = 4;
/// The server does not answer it, and somebody else may.
pub(crate) const LET_GO: u32 = 5;
/// A server died with it, and it is of those at most once.
pub(crate) const DIED: u32 = 6;
/// The request is longer than the server takes.
pub(crate) const TOO_LONG: u32 = 7;

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

/// The header in front of bytes, if there is room for one.
fn header<T: Pod>(bytes: &[u8]) -> Option<T> {
    let header = bytes.get(..size_of::<T>())?;
    Some(bytemuck::pod_read_unaligned(header))
}

// A whole request that is said for the first time, and a whole answer of one part, may be short values. Of a request there are *by* and *deadline* in front, of an answer
// *call* and *run*; all else is known from the value's number, its length and its tag.

/// Tags of such requests, at most once and at least once, and of such answers.
const SHORT_ONCE: u16 = 1;
const SHORT_REQUEST: u16 = 2;
const SHORT_ANSWER: u16 = 3;

/// Bytes of the longest request and of the longest answer in a short value.
pub(crate) const SHORT: usize = MAX_SHORT - SHORT_HEADER;
/// Bytes of the two words in front of them.
const SHORT_HEADER: usize = size_of::<[u64; 2]>();

/// What a client or a server says, and where the bytes behind it begin.
pub(crate) trait Words: Sized {
    /// What value `number` says; `None` if it has no header.
    fn heard(number: u64, heard: &Hearing) -> Option<(Self, usize)>;
}

impl Words for Said {
    #[inline]
    fn heard(number: u64, heard: &Hearing) -> Option<(Self, usize)> {
        let Some((tag, [by, deadline])) = heard.short() else {
            return Some((header(heard.bytes())?, SAID));
        };
        let once = match tag {
            SHORT_ONCE => 1,
            SHORT_REQUEST => 0,
            _ => return None,
        };
        let said = Self {
            call: number,
            by,
            run: 0,
            kind: REQUEST,
            attempt: 1,
            index: 0,
            len: heard.bytes().len().checked_sub(SHORT_HEADER)? as u64,
            deadline,
            once,
        };
        Some((said, SHORT_HEADER))
    }
}

impl Words for Answered {
    #[inline]
    fn heard(_: u64, heard: &Hearing) -> Option<(Self, usize)> {
        let (call, run) = match heard.short() {
            None => return Some((header(heard.bytes())?, ANSWERED)),
            Some((SHORT_ANSWER, [call, run])) if heard.bytes().len() >= SHORT_HEADER => (call, run),
            Some(_) => return None,
        };
        let answered = Self {
            call,
            run,
            kind: PART,
            attempt: 0,
            index: 0,
            flags: ENDS_PART | ENDS_ANSWER,
        };
        Some((answered, SHORT_HEADER))
    }
}

impl Said {
    /// Says it. A short value may take the place of a request that nobody needs any more, and of no other.
    #[inline]
    pub(crate) fn say(&self, role: &mut Role, bytes: &[u8]) -> Result<u64, SetError> {
        let is_first = self.call == role.number() + 1 && self.attempt == 1;
        if self.kind != REQUEST
            || !is_first
            || bytes.len() as u64 != self.len
            || bytes.len() > SHORT
        {
            return role.set_parts([bytemuck::bytes_of(self), bytes], Wakes::All);
        }
        let tag = match self.once {
            0 => SHORT_REQUEST,
            _ => SHORT_ONCE,
        };
        role.set_short(tag, [self.by, self.deadline], bytes, Wakes::All)
    }
}

impl Answered {
    /// Says it. A whole answer follows nothing of the same call, so a short value may take the place of the one before.
    #[inline]
    pub(crate) fn say(&self, role: &mut Role, bytes: &[u8]) -> Result<u64, SetError> {
        let is_whole =
            self.kind == PART && self.index == 0 && self.flags == ENDS_PART | ENDS_ANSWER;
        if !is_whole || bytes.len() > SHORT {
            let parts = [bytemuck::bytes_of(self), bytes];
            return role.set_parts(parts, Wakes::ItsReaders);
        }
        let header = [self.call, self.run];
        role.set_short(SHORT_ANSWER, header, bytes, Wakes::ItsReaders)
    }
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
