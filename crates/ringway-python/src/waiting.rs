//! Timeouts, and waits with the interpreter let go.
//!
//! Python runs the handlers of signals in its main thread, between instructions of its own; a call of that thread that waits has to come back for
//! them. So there a wait begins with a short sleep on the handle itself, [`FIRST`], as a message comes soon or not at all; what lasts longer is
//! [polled](crate::bell), and that sleep a signal ends. Other threads wait in one go. A handle that another thread ends is interrupted.
//!
//! What cannot be interrupted or polled, a queue of the kernel, waits in slices: after each the interpreter is asked whether there is a signal.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ringway::board::GetError;
use ringway::service::{CallError, ServeError};
use ringway::{RecvError, SendError};

use crate::bell::Bell;
use crate::errors;
use crate::turn::InUse;

/// How long a call that has no better way waits before it looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// How long a call of the main thread sleeps on its handle itself.
const FIRST: Duration = Duration::from_millis(10);

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    /// `None`: for ever.
    pub(crate) deadline: Option<Instant>,
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
        self.within(SLICE)
    }

    /// When so much time is over, or its own.
    fn within(self, time: Duration) -> Instant {
        let end = Instant::now() + time;
        self.deadline.map_or(end, |deadline| deadline.min(end))
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

/// The same where for ever is the longest time that there is.
pub(crate) fn longest(seconds: Option<f64>) -> PyResult<Duration> {
    Ok(duration(seconds)?.unwrap_or(Duration::MAX))
}

/// An error that may say that it is time.
pub(crate) trait Fault: Send {
    const TIMED_OUT: Self;
    fn is_timed_out(&self) -> bool;
    /// It cannot be polled now.
    fn has_no_waiter(&self) -> bool;
    fn is_interrupted(&self) -> bool;
    fn raise(self, py: Python<'_>) -> PyErr;
}

/// Says of an error what they all have; `raise` is its function in [`errors`].
macro_rules! fault {
    ($error:ty, $raise:expr) => {
        impl Fault for $error {
            const TIMED_OUT: Self = Self::TimedOut;

            fn is_timed_out(&self) -> bool {
                matches!(self, Self::TimedOut)
            }

            fn has_no_waiter(&self) -> bool {
                matches!(self, Self::NoWaiter { .. })
            }

            fn is_interrupted(&self) -> bool {
                matches!(self, Self::Interrupted)
            }

            fn raise(self, py: Python<'_>) -> PyErr {
                let raise: fn(Python<'_>, Self) -> PyErr = $raise;
                raise(py, self)
            }
        }
    };
}

fault!(SendError, errors::of_send);
fault!(RecvError, errors::of_recv);
fault!(GetError, errors::of_get);
fault!(ServeError, |py, error| errors::of_serve(py, &error));
fault!(CallError, |py, error| errors::of_call(py, &error));

/// For calls that come back at a moment: when that is, of one that nothing but its own end or an interruption has to end.
pub(crate) fn moment(until: Option<Instant>) -> Instant {
    until.unwrap_or_else(|| Instant::now() + LONG)
}

const LONG: Duration = Duration::from_secs(10);

/// What calls say that come back at a moment which is not their deadline.
pub(crate) enum Later<E> {
    NotYet,
    Failed(E),
}

impl<E: Fault> Fault for Later<E> {
    const TIMED_OUT: Self = Self::NotYet;

    fn is_timed_out(&self) -> bool {
        matches!(self, Self::NotYet)
    }

    fn has_no_waiter(&self) -> bool {
        matches!(self, Self::Failed(error) if error.has_no_waiter())
    }

    fn is_interrupted(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_interrupted())
    }

    fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::NotYet => E::TIMED_OUT.raise(py),
            Self::Failed(error) => error.raise(py),
        }
    }
}

/// Whether the handlers of signals run in this thread.
pub(crate) fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

/// What a call that never blocks says; `None` of a handle that cannot be asked so.
pub(crate) type Polled<T, E> = Option<Poll<Result<T, E>>>;

/// Has `attempt` wait on the handle, each time until the moment that it is given, as long as it takes or the timeout allows. `poll` is the same
/// without blocking.
pub(crate) fn wait<H: Send + 'static, T: Send, E: Fault>(
    py: Python<'_>,
    turn: &mut InUse<'_, H>,
    timeout: Timeout,
    attempt: impl Fn(&'static mut H, Option<Instant>) -> Result<T, E> + Sync,
    poll: impl Fn(&'static mut H, &mut Context<'_>) -> Polled<T, E> + Sync,
) -> PyResult<T> {
    let main = is_main_thread(py)?;
    let mut slice = match (turn.can_be_interrupted(), main) {
        (true, false) => None,
        (true, true) => Some(FIRST),
        (false, _) => Some(SLICE),
    };
    loop {
        let until = slice.map_or(timeout.deadline, |slice| Some(timeout.within(slice)));
        // SAFETY: what `attempt` makes of it is kept no longer than the turn, or the loan that the caller makes of that.
        let handle = unsafe { turn.unbounded() };
        if let Some(done) = judge(py, turn, timeout, py.detach(|| attempt(handle, until)))? {
            return Ok(done);
        }
        if slice == Some(FIRST) {
            if let Some(bell) = Bell::here()
                && let Some(done) = wait_polling(py, turn, timeout, &bell, main, &poll)?
            {
                return Ok(done);
            }
            slice = Some(SLICE);
        }
    }
}

/// What becomes of a call by what an attempt has said; `None`: it goes on.
fn judge<H, T, E: Fault>(
    py: Python<'_>,
    turn: &InUse<'_, H>,
    timeout: Timeout,
    said: Result<T, E>,
) -> PyResult<Option<T>> {
    let error = match said {
        Ok(done) => return Ok(Some(done)),
        Err(error) => error,
    };
    // An interruption may have come too late for the call that it was for.
    let goes_on = error.is_interrupted() || error.is_timed_out() && !timeout.is_over();
    if !goes_on {
        return Err(error.raise(py));
    }
    py.check_signals()?;
    match turn.is_ending() {
        true => Err(errors::handle_closed(py, turn.name())),
        false => Ok(None),
    }
}

/// Waits by polling. `None`: the handle cannot be polled.
fn wait_polling<H: Send + 'static, T: Send, E: Fault>(
    py: Python<'_>,
    turn: &mut InUse<'_, H>,
    timeout: Timeout,
    bell: &Bell,
    main: bool,
    poll: &(impl Fn(&'static mut H, &mut Context<'_>) -> Polled<T, E> + Sync),
) -> PyResult<Option<T>> {
    loop {
        bell.calm();
        // SAFETY: as in `wait`.
        let handle = unsafe { turn.unbounded() };
        let polled = py.detach(|| poll(handle, &mut Context::from_waker(bell.waker())));
        let said = match polled {
            None => return Ok(None),
            Some(Poll::Ready(Err(error))) if error.has_no_waiter() => return Ok(None),
            Some(Poll::Ready(said)) => said,
            Some(Poll::Pending) if timeout.is_over() => Err(E::TIMED_OUT),
            Some(Poll::Pending) => {
                bell.sleep(py, timeout.deadline, main)?;
                continue;
            }
        };
        if let Some(done) = judge(py, turn, timeout, said)? {
            return Ok(Some(done));
        }
    }
}
