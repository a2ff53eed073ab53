//! Waiting for several rings at once.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::options::{INTERVAL, WaitOptions};
use super::spin::{Polled, Spun, spin};
use super::watch::Watch;
use crate::error::WaitError;
use crate::memory::region::{MOST_WORDS, Region};
use crate::sys::futex::MonotonicTime;

/// A consumer that can be waited for together with others.
pub(crate) trait Candidate {
    /// Where its ring is.
    type Region: Region;
    /// Where its ring is.
    fn region(&self) -> &Self::Region;
    /// Whether receiving would not block: there is a message, or there will be none.
    fn is_due(&mut self) -> bool;
    /// Whether it is worth asking [`is_due`](Self::is_due) again.
    fn has_changed(&mut self) -> bool;
    /// As [`Blocked::prepare`](super::single::Blocked::prepare).
    fn prepare(&mut self) -> Watch;
    /// As [`Blocked::cancel`](super::single::Blocked::cancel).
    fn cancel(&mut self);
    /// What it sleeps on.
    fn sleeps_on(&self) -> SleepsOn<'_>;
    /// Takes note of what has made the descriptor readable.
    fn drain(&mut self);
    /// As [`Blocked::is_lonely`](super::single::Blocked::is_lonely).
    fn is_lonely(&mut self) -> bool;
    /// As [`Blocked::is_forsaken`](super::single::Blocked::is_forsaken).
    fn is_forsaken(&self) -> bool;
}

/// What a consumer sleeps on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SleepsOn<'a> {
    /// The words of its watch.
    Words,
    /// A descriptor that becomes readable.
    Descriptor(BorrowedFd<'a>),
    /// A semaphore, beside which nothing else can be waited for.
    Semaphore,
}

/// Waits until at least one of `candidates` is due, and returns the indices of all that are.
pub(crate) fn wait_for_any<C: Candidate>(
    candidates: &mut [&mut C],
    wait: &WaitOptions,
) -> Result<Vec<usize>, WaitError> {
    let deadline = wait.deadline;
    let kernel_deadline = deadline.and_then(MonotonicTime::at);
    loop {
        let due = all_due(candidates);
        if !due.is_empty() {
            return Ok(due);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(WaitError::TimedOut);
        }
        match spin(&mut All(candidates), wait) {
            Spun::Ended(Ended::Due) => continue,
            Spun::Ended(Ended::Forsaken) => return Err(WaitError::Removed),
            // Whatever has come in this moment is told at the top.
            Spun::TimedOut => continue,
            Spun::Spent => {}
        }
        let watches: Vec<_> = candidates.iter_mut().map(|one| one.prepare()).collect();
        let due = all_due(candidates);
        let slept = if !due.is_empty() {
            Ok(())
        } else if are_all_forsaken(candidates) {
            Err(WaitError::Removed)
        } else {
            let lonely = candidates.iter_mut().all(|one| one.is_lonely());
            let next_look = lonely.then(|| MonotonicTime::after(INTERVAL)).flatten();
            let until = [next_look, kernel_deadline].into_iter().flatten().min();
            sleep(candidates, &watches, until)
        };
        for candidate in candidates.iter_mut() {
            candidate.cancel();
        }
        slept?;
        if !due.is_empty() {
            return Ok(due);
        }
    }
}

/// All that are waited for, while it spins.
struct All<'a, 'b, C>(&'a mut [&'b mut C]);

/// How a wait for several ends.
enum Ended {
    /// One of them is due.
    Due,
    /// None of them ever will be.
    Forsaken,
}

impl<C: Candidate> Polled for All<'_, '_, C> {
    type End = Ended;

    fn glance(&mut self) -> Option<Ended> {
        // A change alone ends nothing: it may be another's claim, and there may be many of these.
        let mut all = self.0.iter_mut();
        all.any(|one| one.has_changed() && one.is_due())
            .then_some(Ended::Due)
    }

    fn look(&mut self) -> Option<Ended> {
        // Deaths change no word that is polled.
        let mut all = self.0.iter_mut();
        all.any(|one| one.is_due()).then_some(Ended::Due)
    }

    fn look_whether_forsaken(&mut self) -> Option<Ended> {
        are_all_forsaken(self.0).then_some(Ended::Forsaken)
    }
}

fn all_due<C: Candidate>(candidates: &mut [&mut C]) -> Vec<usize> {
    let all = candidates.iter_mut().enumerate();
    all.filter_map(|(index, one)| one.is_due().then_some(index))
        .collect()
}

/// Whether none of them can ever be ready. One that can be may be waited for.
fn are_all_forsaken<C: Candidate>(candidates: &mut [&mut C]) -> bool {
    candidates.iter_mut().all(|one| one.is_lonely())
        && candidates.iter_mut().all(|one| one.is_forsaken())
        // Who attached before it gave up its entry is seen from here on, and so is what it did before it left.
        && candidates.iter_mut().all(|one| !one.is_due() && one.is_lonely())
}

fn sleep<C: Candidate>(
    candidates: &mut [&mut C],
    watches: &[Watch],
    deadline: Option<MonotonicTime>,
) -> Result<(), WaitError> {
    if candidates
        .iter()
        .all(|one| matches!(one.sleeps_on(), SleepsOn::Words))
    {
        return sleep_on_words(candidates, watches, deadline);
    }
    let mut polled = Vec::new();
    let mut mixed = false;
    for candidate in candidates.iter() {
        match candidate.sleeps_on() {
            SleepsOn::Descriptor(descriptor) => {
                polled.push(PollFd::new(descriptor, PollFlags::POLLIN));
            }
            SleepsOn::Semaphore => return Err(WaitError::Semaphore),
            SleepsOn::Words => mixed = true,
        }
    }
    if mixed {
        return Err(WaitError::Mixed);
    }
    let left = deadline.map(|deadline| deadline.remaining().unwrap_or_default());
    // An interruption is a reason to look again, as a message is; so is an error, which shows again when
    // the ring is looked at.
    let _ = ppoll(&mut polled, left.map(TimeSpec::from), None);
    for candidate in candidates.iter_mut() {
        candidate.drain();
    }
    Ok(())
}

fn sleep_on_words<C: Candidate>(
    candidates: &[&mut C],
    watches: &[Watch],
    deadline: Option<MonotonicTime>,
) -> Result<(), WaitError> {
    let rings: Vec<_> = candidates
        .iter()
        .zip(watches)
        .map(|(one, watch)| (one.region(), watch.words()))
        .collect();
    let words = rings.iter().map(|(_, words)| words.len()).sum();
    if words > MOST_WORDS {
        return Err(WaitError::TooMany { words });
    }
    // Whatever it was, the caller looks, and knows the deadline.
    C::Region::wait_on(&rings, deadline);
    Ok(())
}
