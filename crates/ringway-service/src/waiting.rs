//! How a call waits. What a blocked one does and what a task does is the same, but for where it would sleep.

use std::task::{Context, Poll};
use std::time::Instant;

/// Where it would sleep,
pub(crate) enum Waiting<'a, 'b> {
    /// it sleeps,
    Blocked,
    /// it has the task woken,
    Task(&'a mut Context<'b>),
    /// it comes back.
    Not,
}

/// What a blocked call says, which is never pending but when it comes back at the time that it was given.
pub(crate) fn blocked<T, E>(said: Poll<Result<T, E>>, late: E) -> Result<T, E> {
    match said {
        Poll::Ready(said) => said,
        Poll::Pending => Err(late),
    }
}

/// The first of two moments, of which each may be never.
pub(crate) fn first(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

/// Whether it is over; never is not.
pub(crate) fn is_past(moment: Option<Instant>) -> bool {
    moment.is_some_and(|moment| Instant::now() >= moment)
}
