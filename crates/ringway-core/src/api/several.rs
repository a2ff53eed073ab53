//! Waiting for several rings at once.

use std::time::{Duration, Instant};

use crate::api::receiver::Receiver;
use crate::error::WaitError;
use crate::waiting::deadline_after;
use crate::waiting::several::wait_for_any;

/// Waits until at least one of `receivers` has something to receive, or has come to its end, and returns
/// the indices of all for which that is so. Where another consumer may
/// be faster, there may be nothing left when it is asked.
///
/// One thread can wait for rings of sync `futex` and `pthread`, or for those of sync `mqueue`, which it
/// polls. It sleeps on an event of each ring, at most 128 in all.
///
/// # Errors
/// [`WaitError`].
///
/// ```
/// # use ringway_core as ringway;
/// let rings = [ringway::Builder::new("memfd:")?.create()?, ringway::Builder::new("memfd:")?.create()?];
/// let (mut first, mut second) = (rings[0].receiver()?, rings[1].receiver()?);
/// rings[1].sender()?.send(b"hello")?;
/// let ready = ringway::wait::wait_any(&mut [&mut first, &mut second])?;
/// assert_eq!(ready, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_any(receivers: &mut [&mut Receiver]) -> Result<Vec<usize>, WaitError> {
    wait_any_deadline(receivers, None)
}

/// As [`wait_any`], for at most `timeout`.
///
/// # Errors
/// [`WaitError`].
pub fn wait_any_timeout(
    receivers: &mut [&mut Receiver],
    timeout: Duration,
) -> Result<Vec<usize>, WaitError> {
    wait_any_deadline(receivers, deadline_after(timeout))
}

/// As [`wait_any`], until `deadline`; `None` is never.
///
/// # Errors
/// [`WaitError`].
pub fn wait_any_deadline(
    receivers: &mut [&mut Receiver],
    deadline: impl Into<Option<Instant>>,
) -> Result<Vec<usize>, WaitError> {
    let wait = receivers.first().ok_or(WaitError::Nothing)?.wait;
    let mut candidates: Vec<_> = receivers
        .iter_mut()
        .map(|receiver| &mut *receiver.receiving)
        .collect();
    wait_for_any(&mut candidates, &wait.until(deadline.into()))
}
