//! Timeouts, and waits with the interpreter let go.
//!
//! Python runs the handlers of signals in its main thread, between instructions of its own; a call of that thread that waits has to come back for
//! them. So there a wait is cut into slices: after each the interpreter is asked whether there is a signal. (Its own handlers only set a mark.)
//! Other threads wait in one go. A handle that another thread ends is interrupted; one of a queue, which cannot be, waits in slices, too.

use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ringway::{RecvError, SendError};

use crate::errors;
use crate::turn::InUse;

/// How long a call waits before it looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    /// `None`: for ever.
    deadline: Option<Instant>,
}

impl Timeout {
    /// For ever.
    pub(crate) const NEVER: Self = Self { deadline: None };

    /// Of so many seconds from now on; `None` is for ever.
    pub(crate) fn of(seconds: Option<f64>) -> PyResult<Self> {
        let Some(time) = duration(seconds)? else {
            return Ok(Self::NEVER);
        };
        Ok(Self {
            deadline: Instant::now().checked_add(time),
        })
    }

    pub(crate) fn is_over(self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// When the next slice of it is over.
    pub(crate) fn slice(self) -> Instant {
        let slice = Instant::now() + SLICE;
        self.deadline.map_or(slice, |deadline| deadline.min(slice))
    }

    /// When a wait has to come back: never, if there is no reason to.
    fn next(self, in_slices: bool) -> Option<Instant> {
        match in_slices {
            true => Some(self.slice()),
            false => self.deadline,
        }
    }
}

/// Seconds as Python says them; what no clock can say is for ever.
pub(crate) fn duration(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    match seconds {
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => Err(PyValueError::new_err(
            "a time is a number of seconds that is not negative, or None for ever",
        )),
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds).ok()),
        None => Ok(None),
    }
}

/// An error that may say that it is time.
pub(crate) trait Fault: Send {
    fn is_timed_out(&self) -> bool;
    fn is_interrupted(&self) -> bool;
    fn raise(self, py: Python<'_>) -> PyErr;
}

impl Fault for SendError {
    fn is_timed_out(&self) -> bool {
        *self == Self::TimedOut
    }

    fn is_interrupted(&self) -> bool {
        *self == Self::Interrupted
    }

    fn raise(self, py: Python<'_>) -> PyErr {
        errors::of_send(py, self)
    }
}

impl Fault for RecvError {
    fn is_timed_out(&self) -> bool {
        *self == Self::TimedOut
    }

    fn is_interrupted(&self) -> bool {
        *self == Self::Interrupted
    }

    fn raise(self, py: Python<'_>) -> PyErr {
        errors::of_recv(py, self)
    }
}

/// Whether the handlers of signals run in this thread.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

/// Has `attempt` wait on the handle, each time until the moment that it is given, as long as it takes or the timeout allows.
pub(crate) fn wait<H: Send + 'static, T: Send, E: Fault>(
    py: Python<'_>,
    turn: &mut InUse<'_, H>,
    timeout: Timeout,
    attempt: impl Fn(&'static mut H, Option<Instant>) -> Result<T, E> + Sync,
) -> PyResult<T> {
    let in_slices = !turn.can_be_interrupted() || is_main_thread(py)?;
    loop {
        let until = timeout.next(in_slices);
        // SAFETY: what `attempt` makes of it is kept no longer than the turn, or the loan that the caller makes of that.
        let handle = unsafe { turn.unbounded() };
        match py.detach(|| attempt(handle, until)) {
            // One that came too late for the call that it was for.
            Err(error) if error.is_interrupted() && !turn.is_ending() => {}
            Err(error) if error.is_interrupted() => {
                return Err(errors::handle_closed(py, turn.name()));
            }
            Err(error) if error.is_timed_out() && !timeout.is_over() => {
                py.check_signals()?;
                if turn.is_ending() {
                    return Err(errors::handle_closed(py, turn.name()));
                }
            }
            done => return done.map_err(|error| error.raise(py)),
        }
    }
}
