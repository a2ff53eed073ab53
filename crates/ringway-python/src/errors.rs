//! The errors of ringway as exceptions. `_errors.py` defines the classes; here it is said which is which.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyModule};
use ringway::board::{GetError, SetError};
use ringway::service::{CallError, ServeError};
use ringway::wait::WaitError;
use ringway::{Error, ErrorKind, RecvError, SendError};

/// What an exception carries beside its text.
enum Detail {
    Nothing,
    Errno(i32),
    Pid(u32),
    Len(usize),
    LenAndMax(usize, usize),
    Missed(u64),
    /// Of a server's work.
    Failure(i32, Vec<u8>),
}

fn raise(py: Python<'_>, class: &str, text: &str, remedy: &str, detail: &Detail) -> PyErr {
    make(py, class, text, remedy, detail).unwrap_or_else(|error| error)
}

fn make(py: Python<'_>, class: &str, text: &str, remedy: &str, detail: &Detail) -> PyResult<PyErr> {
    static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let classes =
        CLASSES.get_or_try_init(py, || py.import("ringway._errors").map(Bound::unbind))?;
    let details = PyDict::new(py);
    details.set_item("remedy", remedy)?;
    match detail {
        Detail::Nothing => {}
        Detail::Errno(errno) => details.set_item("errno", errno)?,
        Detail::Pid(pid) => details.set_item("pid", pid)?,
        Detail::Len(len) => details.set_item("len", len)?,
        Detail::LenAndMax(len, max) => {
            details.set_item("len", len)?;
            details.set_item("max", max)?;
        }
        Detail::Missed(missed) => details.set_item("missed", missed)?,
        Detail::Failure(status, failure) => {
            details.set_item("status", status)?;
            details.set_item("failure", PyBytes::new(py, failure))?;
        }
    }
    let class = classes.bind(py).getattr(class)?;
    Ok(PyErr::from_value(class.call((text,), Some(&details))?))
}

/// The next action that a text of ringway's ends with: behind the first colon or semicolon that is followed by a blank and stands in no
/// parentheses, without what stands in parentheses at the end.
fn remedy_of(text: &str) -> &str {
    let mut depth = 0;
    let mut previous = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 && matches!(previous, ':' | ';') => {
                let rest = &text[at + 1..];
                return match rest.rfind(" (E") {
                    Some(end) if rest.ends_with(')') => &rest[..end],
                    _ => rest,
                };
            }
            _ => {}
        }
        previous = letter;
    }
    ""
}

/// Of making, finding and removing.
pub(crate) fn of_setup(py: Python<'_>, error: &Error) -> PyErr {
    let (class, detail) = match error.kind() {
        ErrorKind::InvalidAddress => ("InvalidAddress", Detail::Nothing),
        ErrorKind::InvalidCapacity => ("InvalidCapacity", Detail::Nothing),
        ErrorKind::InvalidKey => ("InvalidKey", Detail::Nothing),
        ErrorKind::AlreadyExists => ("AlreadyExists", Detail::Nothing),
        ErrorKind::NotFound => ("NotFound", Detail::Nothing),
        ErrorKind::NotARing => ("NotARing", Detail::Nothing),
        ErrorKind::Incompatible => ("Incompatible", Detail::Nothing),
        ErrorKind::Truncated => ("Truncated", Detail::Nothing),
        ErrorKind::Corrupt => ("Corrupt", Detail::Nothing),
        ErrorKind::CompanionLost => ("CompanionLost", Detail::Nothing),
        ErrorKind::HalfMade => ("HalfMade", Detail::Nothing),
        ErrorKind::RoleTaken { pid } => ("RoleTaken", Detail::Pid(pid)),
        ErrorKind::InUse { pid } => ("InUse", Detail::Pid(pid)),
        ErrorKind::PermissionDenied => ("PermissionDenied", Detail::Nothing),
        ErrorKind::ForeignOwner => ("ForeignOwner", Detail::Nothing),
        ErrorKind::Untrusted => ("Untrusted", Detail::Nothing),
        ErrorKind::NoSpace => ("NoSpace", Detail::Nothing),
        ErrorKind::Unsupported => ("Unsupported", Detail::Nothing),
        ErrorKind::TimedOut => ("TimedOut", Detail::Nothing),
        ErrorKind::Forked => ("Forked", Detail::Nothing),
        _ => ("SystemFailure", Detail::Nothing),
    };
    let detail = match (error.errno(), detail) {
        (Some(errno), Detail::Nothing) => Detail::Errno(errno),
        (_, detail) => detail,
    };
    raise(py, class, &error.to_string(), error.next_step(), &detail)
}

/// Of sending.
pub(crate) fn of_send(py: Python<'_>, error: SendError) -> PyErr {
    let (class, detail) = match error {
        SendError::Full => ("Full", Detail::Nothing),
        SendError::TimedOut => ("TimedOut", Detail::Nothing),
        SendError::Closed => ("Closed", Detail::Nothing),
        SendError::PeerDied => ("PeerDied", Detail::Nothing),
        SendError::Removed => ("Removed", Detail::Nothing),
        SendError::TooLarge { len, max } => ("TooLarge", Detail::LenAndMax(len, max)),
        SendError::NoPriorities => ("NoPriorities", Detail::Nothing),
        SendError::Unmapped { errno } => ("Unmapped", Detail::Errno(errno)),
        SendError::NoWaiter { errno } => ("NoSpace", Detail::Errno(errno)),
        SendError::Companion { errno } => ("CompanionLost", Detail::Errno(errno)),
        SendError::Unsettled => ("Unsettled", Detail::Nothing),
        SendError::Corrupt => ("Corrupt", Detail::Nothing),
        SendError::Forked => ("Forked", Detail::Nothing),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

/// Of receiving.
pub(crate) fn of_recv(py: Python<'_>, error: RecvError) -> PyErr {
    let (class, detail) = match error {
        RecvError::Empty => ("Empty", Detail::Nothing),
        RecvError::TimedOut => ("TimedOut", Detail::Nothing),
        RecvError::Closed => ("Closed", Detail::Nothing),
        RecvError::PeerDied => ("PeerDied", Detail::Nothing),
        RecvError::Removed => ("Removed", Detail::Nothing),
        RecvError::BufferTooSmall { len } => ("BufferTooSmall", Detail::Len(len)),
        RecvError::Lagged { missed } => ("Lagged", Detail::Missed(missed)),
        RecvError::Evicted => ("Evicted", Detail::Nothing),
        RecvError::Unmapped { errno } => ("Unmapped", Detail::Errno(errno)),
        RecvError::NoWaiter { errno } => ("NoSpace", Detail::Errno(errno)),
        RecvError::Companion { errno } => ("CompanionLost", Detail::Errno(errno)),
        RecvError::Unsettled => ("Unsettled", Detail::Nothing),
        RecvError::Corrupt => ("Corrupt", Detail::Nothing),
        RecvError::Forked => ("Forked", Detail::Nothing),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

/// Of setting a value of a board.
pub(crate) fn of_set(py: Python<'_>, error: SetError) -> PyErr {
    let (class, detail) = match error {
        SetError::TooLarge { len, max } => ("TooLarge", Detail::LenAndMax(len, max)),
        SetError::Forked => ("Forked", Detail::Nothing),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

/// Of reading one.
pub(crate) fn of_get(py: Python<'_>, error: GetError) -> PyErr {
    let (class, detail) = match error {
        GetError::TimedOut => ("TimedOut", Detail::Nothing),
        GetError::Changing => ("Changing", Detail::Nothing),
        GetError::WriterDied => ("PeerDied", Detail::Nothing),
        GetError::Removed => ("Removed", Detail::Nothing),
        GetError::NoWaiter { errno } => ("NoSpace", Detail::Errno(errno)),
        GetError::Corrupt => ("Corrupt", Detail::Nothing),
        GetError::Forked => ("Forked", Detail::Nothing),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

/// Of calling.
pub(crate) fn of_call(py: Python<'_>, error: &CallError) -> PyErr {
    let (class, detail) = match error {
        CallError::Failed(failure) => {
            let detail = Detail::Failure(failure.status(), failure.message().to_vec());
            ("Failed", detail)
        }
        CallError::ServerDied => ("ServerDied", Detail::Nothing),
        CallError::LetGo => ("LetGo", Detail::Nothing),
        CallError::NoServer => ("NoServer", Detail::Nothing),
        CallError::TimedOut => ("TimedOut", Detail::Nothing),
        CallError::RequestTooLong { .. } | CallError::AnswerTooLong { .. } => {
            ("TooLarge", Detail::Nothing)
        }
        CallError::Removed => ("Removed", Detail::Nothing),
        CallError::NoWaiter { errno } => ("NoSpace", Detail::Errno(*errno)),
        CallError::Corrupt => ("Corrupt", Detail::Nothing),
        CallError::Forked => ("Forked", Detail::Nothing),
        CallError::Other(error) => return of_setup(py, error),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

/// Of serving.
pub(crate) fn of_serve(py: Python<'_>, error: &ServeError) -> PyErr {
    let (class, detail) = match error {
        ServeError::TimedOut => ("TimedOut", Detail::Nothing),
        ServeError::Cancelled => ("Cancelled", Detail::Nothing),
        ServeError::NotTaken => ("NotTaken", Detail::Nothing),
        ServeError::Removed => ("Removed", Detail::Nothing),
        ServeError::NoWaiter { errno } => ("NoSpace", Detail::Errno(*errno)),
        ServeError::Corrupt => ("Corrupt", Detail::Nothing),
        ServeError::Forked => ("Forked", Detail::Nothing),
        ServeError::Other(error) => return of_setup(py, error),
        _ => ("Error", Detail::Nothing),
    };
    of_text(py, class, &error.to_string(), &detail)
}

fn is(py: Python<'_>, error: &PyErr, class: &str) -> PyResult<bool> {
    let classes = py.import("ringway._errors")?;
    Ok(error.is_instance(py, &classes.getattr(class)?))
}

pub(crate) fn is_cancelled(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    is(py, error, "Cancelled")
}

pub(crate) fn is_timed_out(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    is(py, error, "TimedOut")
}

/// The status and the bytes, if that is what a server's work raises for its caller.
pub(crate) fn failure_of(py: Python<'_>, error: &PyErr) -> PyResult<Option<(i32, Vec<u8>)>> {
    if !is(py, error, "Failed")? {
        return Ok(None);
    }
    let error = error.value(py);
    let failure: Vec<u8> = error.getattr("failure")?.extract()?;
    let message = match failure.is_empty() {
        true => error.str()?.to_string_lossy().into_owned().into_bytes(),
        false => failure,
    };
    Ok(Some((error.getattr("status")?.extract()?, message)))
}

pub(crate) fn nothing_yet(py: Python<'_>) -> PyErr {
    own(
        py,
        "Empty",
        "nothing has come of the answer yet",
        "arm, and try again when the descriptor is readable",
    )
}

/// Of waiting for several.
pub(crate) fn of_wait(py: Python<'_>, error: WaitError) -> PyErr {
    let class = match error {
        WaitError::TimedOut => "TimedOut",
        WaitError::Removed => "Removed",
        _ => "Unsupported",
    };
    of_text(py, class, &error.to_string(), &Detail::Nothing)
}

fn of_text(py: Python<'_>, class: &str, text: &str, detail: &Detail) -> PyErr {
    raise(py, class, text, remedy_of(text), detail)
}

fn own(py: Python<'_>, class: &str, problem: &str, remedy: &str) -> PyErr {
    let text = format!("{problem}: {remedy}");
    raise(py, class, &text, remedy, &Detail::Nothing)
}

pub(crate) fn forked(py: Python<'_>) -> PyErr {
    of_send(py, SendError::Forked)
}

pub(crate) fn still_held(py: Python<'_>, handle: &str) -> PyErr {
    let problem = match handle {
        "server" => "a request of this server has no end yet".to_owned(),
        _ => format!("a message of this {handle} is held in place"),
    };
    let remedy = match handle {
        "server" => "answer it, fail it or let it go first",
        "sender" => "commit or abort the claim first",
        _ => "release it first, or detach it to keep it",
    };
    own(py, "StillHeld", &problem, remedy)
}

pub(crate) fn within_itself(py: Python<'_>, handle: &str) -> PyErr {
    let problem = format!(
        "this thread is in a call of this {handle}, which a handler of a signal interrupts"
    );
    own(
        py,
        "StillHeld",
        &problem,
        "use it when that call has returned",
    )
}

pub(crate) fn exported(py: Python<'_>, remedy: &str) -> PyErr {
    own(
        py,
        "StillHeld",
        "the memory of the message is still used by a memoryview or an array",
        remedy,
    )
}

pub(crate) fn handle_closed(py: Python<'_>, handle: &str) -> PyErr {
    let problem = format!("this {handle} is closed");
    let remedy = match handle {
        "server" => "serve again",
        "client" => "connect again",
        _ => "get another one from the ring",
    };
    own(py, "HandleClosed", &problem, remedy)
}

pub(crate) fn message_gone(py: Python<'_>, what: &str) -> PyErr {
    let problem = format!("this {what} is not held any more");
    let remedy = match what {
        "request" => "tell one end of each request",
        "answer" => "take it before the next call, or call by another client",
        _ => "copy what is needed before it is given back",
    };
    own(py, "HandleClosed", &problem, remedy)
}

pub(crate) fn timed_out_for_turn(py: Python<'_>, handle: &str) -> PyErr {
    let problem = format!("another thread was in a call of this {handle} until the deadline");
    own(
        py,
        "TimedOut",
        &problem,
        "give each thread a handle of its own",
    )
}

pub(crate) fn not_picklable(py: Python<'_>, what: &str) -> PyErr {
    let problem = format!("a {what} belongs to the process that made it, and cannot be pickled");
    let remedy = "pickle the ring's address, and open that in the other process";
    own(py, "NotPicklable", &problem, remedy)
}

pub(crate) fn not_of_queues(py: Python<'_>, what: &str) -> PyErr {
    let problem = format!("a message queue of the kernel has no {what}");
    own(
        py,
        "Unsupported",
        &problem,
        "use an address of shared memory",
    )
}

pub(crate) fn only_of_queues(py: Python<'_>, what: &str) -> PyErr {
    let problem = format!("a ring has no {what}, which is an option of message queues");
    own(
        py,
        "Unsupported",
        &problem,
        "leave it out, or use an address of a queue (mq:/NAME)",
    )
}

pub(crate) fn os(py: Python<'_>, errno: i32) -> PyErr {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let remedy = "free memory and try again";
    raise(
        py,
        "SystemFailure",
        &format!("{text}; {remedy}"),
        remedy,
        &Detail::Errno(errno),
    )
}
