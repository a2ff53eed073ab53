//! What every call returns: 0 or a number of its own if it has worked, else one of these, which are negative `errno` numbers.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ringway::board::{GetError, SetError};
use ringway::service::{CallError, ServeError};
use ringway::wait::WaitError;
use ringway::{Error, ErrorKind, RecvError, SendError};

/// -EAGAIN: there is no room now, and no time was given. Receive, or give time.
pub const RINGWAY_FULL: c_int = -11;
/// -EAGAIN: there is no message now, and no time was given.
pub const RINGWAY_EMPTY: c_int = -11;
/// -ETIMEDOUT: the time passed.
pub const RINGWAY_TIMED_OUT: c_int = -110;
/// -EPIPE: the last of the other side has closed. For a receiver: all is received, and this is the end of the stream.
pub const RINGWAY_CLOSED: c_int = -32;
/// -EOWNERDEAD: the process on the other side died without closing. A new one may come and go on.
pub const RINGWAY_PEER_DIED: c_int = -130;
/// -EIDRM: the ring was removed, and nobody can come any more.
pub const RINGWAY_REMOVED: c_int = -43;
/// -EMSGSIZE: the message cannot ever fit.
pub const RINGWAY_TOO_LARGE: c_int = -90;
/// -ENOBUFS: the message is longer than the buffer; it stays the next one.
pub const RINGWAY_BUFFER_TOO_SMALL: c_int = -105;
/// -EINTR: somebody interrupted the call (ringway_interrupt). Signals alone do not.
pub const RINGWAY_INTERRUPTED: c_int = -4;
/// -EBUSY: a message or claim of this handle is held in place, so that it can do nothing else; or live processes are attached to what is to be
/// removed, or hold all places for the role.
pub const RINGWAY_BUSY: c_int = -16;
/// -ECHILD: the handle was inherited through fork: the child opens the ring again.
pub const RINGWAY_FORKED: c_int = -10;
/// -EBADMSG: the memory holds what no peer of ringway's writes.
pub const RINGWAY_CORRUPT: c_int = -74;
/// -EINVAL: an argument is wrong: a null pointer, an address that does not parse, an option that there is not.
pub const RINGWAY_INVALID: c_int = -22;
/// -ERANGE: a number is none that a ring can have.
pub const RINGWAY_OUT_OF_RANGE: c_int = -34;
/// -EEXIST: something is at the address already.
pub const RINGWAY_EXISTS: c_int = -17;
/// -ENOENT: nothing is at the address.
pub const RINGWAY_NOT_FOUND: c_int = -2;
/// -EMEDIUMTYPE: something is at the address, but it is nothing of ringway's.
pub const RINGWAY_NOT_A_RING: c_int = -124;
/// -EPROTO: another layout, or not as was asked for; or shorter than its header says.
pub const RINGWAY_INCOMPATIBLE: c_int = -71;
/// -EINPROGRESS: it was never finished: its creator died or is stopped.
pub const RINGWAY_HALF_MADE: c_int = -115;
/// -EACCES: this process may not do that, or the object is somebody else's.
pub const RINGWAY_DENIED: c_int = -13;
/// -EKEYREJECTED: others can write in a ring of a kind that needs trust.
pub const RINGWAY_UNTRUSTED: c_int = -129;
/// -ENOSPC: memory, disk or a limit is exhausted.
pub const RINGWAY_NO_SPACE: c_int = -28;
/// -EOPNOTSUPP: this kind of address, ring or kernel cannot do that.
pub const RINGWAY_UNSUPPORTED: c_int = -95;
/// -ENOTRECOVERABLE: what lies beside the ring was removed (a semaphore set, the segment of a slab), or a process died and this one is denied the
/// system call that would make sure that it is done. ringway_last_error says which.
pub const RINGWAY_UNUSABLE: c_int = -131;
/// -EOVERFLOW: messages that this receiver of a broadcast ring had asked for are gone: ringway_last_missed says how many. Told once; receive on.
pub const RINGWAY_LAGGED: c_int = -75;
/// -ESTALE: the sender waited for this receiver of a broadcast ring as long as its policy allows, and went on without it. Subscribe again.
pub const RINGWAY_EVICTED: c_int = -116;
/// -ETXTBSY: the value of a board was overwritten each time while it was copied. Read again.
pub const RINGWAY_CHANGING: c_int = -26;
/// -EREMOTEIO: the work of the server that was called failed: ringway_last_status and ringway_last_failure have what it says.
pub const RINGWAY_FAILED: c_int = -121;
/// -ECONNREFUSED: no server of the service is there. The request was not begun.
pub const RINGWAY_NO_SERVER: c_int = -111;
/// -ECONNABORTED: the server let the request go without an answer.
pub const RINGWAY_LET_GO: c_int = -103;
/// -ECANCELED: the caller of this request has left, died, or waits no longer. Serve the next one.
pub const RINGWAY_CANCELLED: c_int = -125;
/// -ETIME: the caller lives and does not take what was sent, for longer than the server's patience.
pub const RINGWAY_NOT_TAKEN: c_int = -62;
/// -EIO: the kernel refused for another reason.
pub const RINGWAY_SYSTEM: c_int = -5;
/// -EFAULT: a fault of ringway's own. The handle must only be freed.
pub const RINGWAY_PANICKED: c_int = -14;

const _: () = {
    assert!(RINGWAY_FULL == -libc::EAGAIN && RINGWAY_EMPTY == RINGWAY_FULL);
    assert!(RINGWAY_TIMED_OUT == -libc::ETIMEDOUT && RINGWAY_CLOSED == -libc::EPIPE);
    assert!(RINGWAY_PEER_DIED == -libc::EOWNERDEAD && RINGWAY_REMOVED == -libc::EIDRM);
    assert!(RINGWAY_TOO_LARGE == -libc::EMSGSIZE && RINGWAY_BUFFER_TOO_SMALL == -libc::ENOBUFS);
    assert!(RINGWAY_INTERRUPTED == -libc::EINTR && RINGWAY_BUSY == -libc::EBUSY);
    assert!(RINGWAY_FORKED == -libc::ECHILD && RINGWAY_CORRUPT == -libc::EBADMSG);
    assert!(RINGWAY_INVALID == -libc::EINVAL && RINGWAY_OUT_OF_RANGE == -libc::ERANGE);
    assert!(RINGWAY_EXISTS == -libc::EEXIST && RINGWAY_NOT_FOUND == -libc::ENOENT);
    assert!(RINGWAY_NOT_A_RING == -libc::EMEDIUMTYPE && RINGWAY_INCOMPATIBLE == -libc::EPROTO);
    assert!(RINGWAY_HALF_MADE == -libc::EINPROGRESS && RINGWAY_DENIED == -libc::EACCES);
    assert!(RINGWAY_UNTRUSTED == -libc::EKEYREJECTED && RINGWAY_NO_SPACE == -libc::ENOSPC);
    assert!(RINGWAY_UNSUPPORTED == -libc::EOPNOTSUPP && RINGWAY_SYSTEM == -libc::EIO);
    assert!(RINGWAY_UNUSABLE == -libc::ENOTRECOVERABLE && RINGWAY_PANICKED == -libc::EFAULT);
    assert!(RINGWAY_LAGGED == -libc::EOVERFLOW && RINGWAY_EVICTED == -libc::ESTALE);
    assert!(RINGWAY_CHANGING == -libc::ETXTBSY && RINGWAY_FAILED == -libc::EREMOTEIO);
    assert!(RINGWAY_NO_SERVER == -libc::ECONNREFUSED && RINGWAY_LET_GO == -libc::ECONNABORTED);
    assert!(RINGWAY_CANCELLED == -libc::ECANCELED && RINGWAY_NOT_TAKEN == -libc::ETIME);
};

/// Why a call has failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Setup(Error),
    Send(SendError),
    Recv(RecvError),
    Wait(WaitError),
    Get(GetError),
    Set(SetError),
    Call(CallError),
    Serve(ServeError),
    /// Of this border: the number, what is wrong, and what to do.
    Own(c_int, &'static str),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Setup(error)
    }
}

impl From<SendError> for Fault {
    #[inline]
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<RecvError> for Fault {
    #[inline]
    fn from(error: RecvError) -> Self {
        Self::Recv(error)
    }
}

impl From<WaitError> for Fault {
    fn from(error: WaitError) -> Self {
        Self::Wait(error)
    }
}

impl From<GetError> for Fault {
    fn from(error: GetError) -> Self {
        Self::Get(error)
    }
}

impl From<SetError> for Fault {
    fn from(error: SetError) -> Self {
        Self::Set(error)
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Other(error) => Self::Setup(error),
            error => Self::Call(error),
        }
    }
}

impl From<ServeError> for Fault {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Other(error) => Self::Setup(error),
            error => Self::Serve(error),
        }
    }
}

/// A pointer that must not be null.
pub(crate) const NULL: Fault = Fault::Own(
    RINGWAY_INVALID,
    "an argument is a null pointer: give what the documentation asks for",
);
/// A handle with something in place.
pub(crate) const HELD: Fault = Fault::Own(
    RINGWAY_BUSY,
    "a message of this handle is held in place: release, commit or abort it first",
);
/// There is nothing in place.
pub(crate) const NOT_HELD: Fault = Fault::Own(
    RINGWAY_INVALID,
    "no message of this handle is held in place: receive or claim one first",
);
/// What a queue does not have.
pub(crate) const OF_RINGS: Fault = Fault::Own(
    RINGWAY_UNSUPPORTED,
    "a message queue of the kernel does not have this: use an address of shared memory",
);

impl Fault {
    fn number(&self) -> c_int {
        match self {
            Self::Own(number, _) => *number,
            Self::Send(error) => of_send(*error),
            Self::Recv(error) => of_recv(*error),
            Self::Wait(WaitError::TimedOut) => RINGWAY_TIMED_OUT,
            Self::Wait(WaitError::Removed) => RINGWAY_REMOVED,
            Self::Wait(WaitError::Nothing) => RINGWAY_INVALID,
            Self::Wait(_) => RINGWAY_UNSUPPORTED,
            Self::Get(error) => of_get(*error),
            Self::Set(SetError::TooLarge { .. }) => RINGWAY_TOO_LARGE,
            Self::Set(_) => RINGWAY_FORKED,
            Self::Call(error) => of_call(error),
            Self::Serve(error) => of_serve(error),
            Self::Setup(error) => of_setup(error),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Own(_, text) => (*text).to_owned(),
            Self::Send(error) => error.to_string(),
            Self::Recv(error) => error.to_string(),
            Self::Wait(error) => error.to_string(),
            Self::Get(error) => error.to_string(),
            Self::Set(error) => error.to_string(),
            Self::Call(error) => error.to_string(),
            Self::Serve(error) => error.to_string(),
            Self::Setup(error) => error.to_string(),
        }
    }
}

fn of_send(error: SendError) -> c_int {
    match error {
        SendError::Full => RINGWAY_FULL,
        SendError::TimedOut => RINGWAY_TIMED_OUT,
        SendError::Closed => RINGWAY_CLOSED,
        SendError::PeerDied => RINGWAY_PEER_DIED,
        SendError::Removed => RINGWAY_REMOVED,
        SendError::TooLarge { .. } => RINGWAY_TOO_LARGE,
        SendError::NoPriorities => RINGWAY_UNSUPPORTED,
        SendError::Corrupt => RINGWAY_CORRUPT,
        SendError::Forked => RINGWAY_FORKED,
        SendError::NoWaiter { .. } => RINGWAY_NO_SPACE,
        SendError::Interrupted => RINGWAY_INTERRUPTED,
        _ => RINGWAY_UNUSABLE,
    }
}

fn of_recv(error: RecvError) -> c_int {
    match error {
        RecvError::Empty => RINGWAY_EMPTY,
        RecvError::TimedOut => RINGWAY_TIMED_OUT,
        RecvError::Closed => RINGWAY_CLOSED,
        RecvError::PeerDied => RINGWAY_PEER_DIED,
        RecvError::Removed => RINGWAY_REMOVED,
        RecvError::BufferTooSmall { .. } => RINGWAY_BUFFER_TOO_SMALL,
        RecvError::Corrupt => RINGWAY_CORRUPT,
        RecvError::Forked => RINGWAY_FORKED,
        RecvError::NoWaiter { .. } => RINGWAY_NO_SPACE,
        RecvError::Interrupted => RINGWAY_INTERRUPTED,
        RecvError::Lagged { .. } => RINGWAY_LAGGED,
        RecvError::Evicted => RINGWAY_EVICTED,
        _ => RINGWAY_UNUSABLE,
    }
}

fn of_get(error: GetError) -> c_int {
    match error {
        GetError::TimedOut => RINGWAY_TIMED_OUT,
        GetError::Changing => RINGWAY_CHANGING,
        GetError::WriterDied => RINGWAY_PEER_DIED,
        GetError::Removed => RINGWAY_REMOVED,
        GetError::Corrupt => RINGWAY_CORRUPT,
        GetError::Forked => RINGWAY_FORKED,
        GetError::Interrupted => RINGWAY_INTERRUPTED,
        GetError::NoWaiter { .. } => RINGWAY_NO_SPACE,
        _ => RINGWAY_UNUSABLE,
    }
}

fn of_call(error: &CallError) -> c_int {
    match error {
        CallError::Failed(_) => RINGWAY_FAILED,
        CallError::ServerDied => RINGWAY_PEER_DIED,
        CallError::LetGo => RINGWAY_LET_GO,
        CallError::NoServer => RINGWAY_NO_SERVER,
        CallError::TimedOut => RINGWAY_TIMED_OUT,
        CallError::RequestTooLong { .. } | CallError::AnswerTooLong { .. } => RINGWAY_TOO_LARGE,
        CallError::Removed => RINGWAY_REMOVED,
        CallError::Interrupted => RINGWAY_INTERRUPTED,
        CallError::NoWaiter { .. } => RINGWAY_NO_SPACE,
        CallError::Corrupt => RINGWAY_CORRUPT,
        CallError::Forked => RINGWAY_FORKED,
        CallError::Other(error) => of_setup(error),
        _ => RINGWAY_UNUSABLE,
    }
}

fn of_serve(error: &ServeError) -> c_int {
    match error {
        ServeError::TimedOut => RINGWAY_TIMED_OUT,
        ServeError::Cancelled => RINGWAY_CANCELLED,
        ServeError::NotTaken => RINGWAY_NOT_TAKEN,
        ServeError::Removed => RINGWAY_REMOVED,
        ServeError::Interrupted => RINGWAY_INTERRUPTED,
        ServeError::NoWaiter { .. } => RINGWAY_NO_SPACE,
        ServeError::Corrupt => RINGWAY_CORRUPT,
        ServeError::Forked => RINGWAY_FORKED,
        ServeError::Other(error) => of_setup(error),
        _ => RINGWAY_UNUSABLE,
    }
}

fn of_setup(error: &Error) -> c_int {
    match error.kind() {
        ErrorKind::InvalidAddress | ErrorKind::InvalidKey => RINGWAY_INVALID,
        ErrorKind::InvalidCapacity => RINGWAY_OUT_OF_RANGE,
        ErrorKind::AlreadyExists => RINGWAY_EXISTS,
        ErrorKind::NotFound => RINGWAY_NOT_FOUND,
        ErrorKind::NotARing => RINGWAY_NOT_A_RING,
        ErrorKind::Incompatible | ErrorKind::Truncated => RINGWAY_INCOMPATIBLE,
        ErrorKind::Corrupt => RINGWAY_CORRUPT,
        ErrorKind::CompanionLost => RINGWAY_UNUSABLE,
        ErrorKind::HalfMade => RINGWAY_HALF_MADE,
        ErrorKind::RoleTaken { .. } | ErrorKind::InUse { .. } => RINGWAY_BUSY,
        ErrorKind::PermissionDenied | ErrorKind::ForeignOwner => RINGWAY_DENIED,
        ErrorKind::Untrusted => RINGWAY_UNTRUSTED,
        ErrorKind::NoSpace => RINGWAY_NO_SPACE,
        ErrorKind::Unsupported => RINGWAY_UNSUPPORTED,
        ErrorKind::TimedOut => RINGWAY_TIMED_OUT,
        ErrorKind::Forked => RINGWAY_FORKED,
        _ => RINGWAY_SYSTEM,
    }
}

struct Last {
    fault: Option<Fault>,
    /// The text, once somebody has asked for it.
    text: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Last> = const {
        RefCell::new(Last { fault: None, text: None })
    };
}

/// Runs `call`, and returns what it says, or the number of its fault, which this thread can ask for then.
#[inline]
pub(crate) fn guard(call: impl FnOnce() -> Result<i64, Fault>) -> i64 {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    match outcome {
        Ok(Ok(number)) => number,
        Ok(Err(fault)) => failed(fault),
        Err(payload) => panicked(payload).into(),
    }
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> c_int {
    // Dropping what somebody panicked with could panic.
    std::mem::forget(payload);
    failed(Fault::Own(
        RINGWAY_PANICKED,
        "a fault of ringway's own: free the handle, and tell its maintainers",
    ));
    RINGWAY_PANICKED
}

/// Up to so many bytes are copied without a call.
pub(crate) const SHORT: usize = 256;

/// Runs the short way of a call, which says whether it was the usual case; returns what the call returns then, or if it has panicked. `None`: nothing was
/// done. Nothing is kept beside it: no fault is made, and no memory of the thread is touched; and that a panic is caught costs nothing where there is none.
#[inline(always)]
pub(crate) fn at_once(call: impl FnOnce() -> bool) -> Option<c_int> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(true) => Some(0),
        Ok(false) => None,
        Err(payload) => Some(panicked(payload)),
    }
}

/// The same, of calls that say no number of their own.
#[inline]
pub(crate) fn guard_unit(call: impl FnOnce() -> Result<(), Fault>) -> c_int {
    guard(|| call().map(|()| 0)) as c_int
}

/// Runs what cannot fail: freeing.
pub(crate) fn guard_free(call: impl FnOnce()) {
    guard_unit(|| {
        call();
        Ok(())
    });
}

#[cold]
fn failed(fault: Fault) -> i64 {
    let number = fault.number();
    // A thread that ends has no last error any more.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            last.fault = Some(fault);
            last.text = None;
        }
    });
    i64::from(number)
}

/// What the last error of this thread was, as a sentence that says what to do next. "" if there was none. It is valid until the next call of
/// ringway's that fails in this thread, and belongs to the library. (A call that succeeds leaves it as it is.)
#[unsafe(no_mangle)]
pub extern "C" fn ringway_last_error() -> *const c_char {
    let text = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else {
            return c"".as_ptr();
        };
        let Last { fault, text } = &mut *last;
        let Some(fault) = fault else {
            return c"".as_ptr();
        };
        let text = text.get_or_insert_with(|| {
            // Names that others chose are shown without zero bytes.
            CString::new(fault.text()).unwrap_or_default()
        });
        text.as_ptr()
    });
    text.unwrap_or(c"".as_ptr())
}

/// Of the last error of this thread, the errno that the kernel gave; 0 if it gave none.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_last_errno() -> c_int {
    let errno = LAST.try_with(|last| match &last.try_borrow().ok()?.fault {
        Some(Fault::Setup(error)) => error.errno(),
        Some(Fault::Send(
            SendError::Unmapped { errno }
            | SendError::Companion { errno }
            | SendError::NoWaiter { errno },
        )) => Some(*errno),
        Some(Fault::Recv(
            RecvError::Unmapped { errno }
            | RecvError::Companion { errno }
            | RecvError::NoWaiter { errno },
        )) => Some(*errno),
        Some(
            Fault::Get(GetError::NoWaiter { errno })
            | Fault::Call(CallError::NoWaiter { errno })
            | Fault::Serve(ServeError::NoWaiter { errno }),
        ) => Some(*errno),
        _ => None,
    });
    errno.ok().flatten().unwrap_or(0)
}

/// Of the last error of this thread, if that was RINGWAY_LAGGED, how many messages are gone: 0 if it was overtaken again at once, and a later call
/// tells.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_last_missed() -> u64 {
    let missed = LAST.try_with(|last| match &last.try_borrow().ok()?.fault {
        Some(Fault::Recv(RecvError::Lagged { missed })) => Some(*missed),
        _ => None,
    });
    missed.ok().flatten().unwrap_or(0)
}

/// Of the last error of this thread, if that was RINGWAY_FAILED, the status that the server gave; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_last_status() -> c_int {
    let status = LAST.try_with(|last| match &last.try_borrow().ok()?.fault {
        Some(Fault::Call(CallError::Failed(failure))) => Some(failure.status()),
        _ => None,
    });
    status.ok().flatten().unwrap_or(0)
}

/// Of the last error of this thread, if that was RINGWAY_FAILED, the bytes that the server gave, most often a text without a zero byte, and in `*len` how many; else
/// none. Never null. They are valid until the next call of ringway's that fails in this thread, and belong to the library.
///
/// # Safety
/// `len` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_last_failure(len: *mut usize) -> *const c_void {
    let bytes = LAST.try_with(|last| match &last.try_borrow().ok()?.fault {
        Some(Fault::Call(CallError::Failed(failure))) => {
            let message = failure.message();
            Some((message.as_ptr(), message.len()))
        }
        _ => None,
    });
    let (bytes, count) = bytes.ok().flatten().unwrap_or((c"".as_ptr().cast(), 0));
    if !len.is_null() {
        // SAFETY: the caller's promise.
        unsafe { len.write(count) };
    }
    bytes.cast()
}

/// The name of what a call has returned: "RINGWAY_CLOSED" and so on; "0" of a call that has worked. Static. (RINGWAY_FULL and RINGWAY_EMPTY
/// are the same number.)
#[unsafe(no_mangle)]
pub extern "C" fn ringway_error_name(result: i64) -> *const c_char {
    let name = match c_int::try_from(result).unwrap_or(0) {
        0.. => c"0",
        RINGWAY_EMPTY => c"RINGWAY_EMPTY",
        RINGWAY_TIMED_OUT => c"RINGWAY_TIMED_OUT",
        RINGWAY_CLOSED => c"RINGWAY_CLOSED",
        RINGWAY_PEER_DIED => c"RINGWAY_PEER_DIED",
        RINGWAY_REMOVED => c"RINGWAY_REMOVED",
        RINGWAY_TOO_LARGE => c"RINGWAY_TOO_LARGE",
        RINGWAY_BUFFER_TOO_SMALL => c"RINGWAY_BUFFER_TOO_SMALL",
        RINGWAY_INTERRUPTED => c"RINGWAY_INTERRUPTED",
        RINGWAY_BUSY => c"RINGWAY_BUSY",
        RINGWAY_FORKED => c"RINGWAY_FORKED",
        RINGWAY_CORRUPT => c"RINGWAY_CORRUPT",
        RINGWAY_INVALID => c"RINGWAY_INVALID",
        RINGWAY_OUT_OF_RANGE => c"RINGWAY_OUT_OF_RANGE",
        RINGWAY_EXISTS => c"RINGWAY_EXISTS",
        RINGWAY_NOT_FOUND => c"RINGWAY_NOT_FOUND",
        RINGWAY_NOT_A_RING => c"RINGWAY_NOT_A_RING",
        RINGWAY_INCOMPATIBLE => c"RINGWAY_INCOMPATIBLE",
        RINGWAY_HALF_MADE => c"RINGWAY_HALF_MADE",
        RINGWAY_DENIED => c"RINGWAY_DENIED",
        RINGWAY_UNTRUSTED => c"RINGWAY_UNTRUSTED",
        RINGWAY_NO_SPACE => c"RINGWAY_NO_SPACE",
        RINGWAY_UNSUPPORTED => c"RINGWAY_UNSUPPORTED",
        RINGWAY_UNUSABLE => c"RINGWAY_UNUSABLE",
        RINGWAY_LAGGED => c"RINGWAY_LAGGED",
        RINGWAY_EVICTED => c"RINGWAY_EVICTED",
        RINGWAY_CHANGING => c"RINGWAY_CHANGING",
        RINGWAY_FAILED => c"RINGWAY_FAILED",
        RINGWAY_NO_SERVER => c"RINGWAY_NO_SERVER",
        RINGWAY_LET_GO => c"RINGWAY_LET_GO",
        RINGWAY_CANCELLED => c"RINGWAY_CANCELLED",
        RINGWAY_NOT_TAKEN => c"RINGWAY_NOT_TAKEN",
        RINGWAY_SYSTEM => c"RINGWAY_SYSTEM",
        RINGWAY_PANICKED => c"RINGWAY_PANICKED",
        _ => c"unknown",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        // SAFETY: the text is the library's, and valid until the next failure.
        let text = unsafe { CStr::from_ptr(ringway_last_error()) };
        text.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_ends_at_the_border() {
        assert_eq!(guard(|| panic!("on purpose")), RINGWAY_PANICKED.into());
        assert!(last().contains("a fault of ringway's own"));
        guard_free(|| panic!("on purpose"));
        guard_unit(|| Err(SendError::Full.into()));
        assert_eq!(at_once(|| panic!("on purpose")), Some(RINGWAY_PANICKED));
        assert!(last().contains("a fault of ringway's own"));
    }

    #[test]
    fn what_failed_last_is_told_to_its_thread() {
        assert_eq!(last(), "");
        assert_eq!(guard_unit(|| Err(SendError::Full.into())), RINGWAY_FULL);
        assert_eq!(guard(|| Ok(5)), 5);
        assert_eq!(last(), SendError::Full.to_string());
        assert_eq!(ringway_last_errno(), 0);
        guard_unit(|| Err(RecvError::Unmapped { errno: 24 }.into()));
        assert_eq!(ringway_last_errno(), 24);
        std::thread::spawn(|| assert_eq!(last(), ""))
            .join()
            .unwrap();
    }

    #[test]
    fn every_number_has_a_name() {
        let mut names = std::collections::HashSet::new();
        for number in -200..0 {
            // SAFETY: the text is static.
            let name = unsafe { CStr::from_ptr(ringway_error_name(number)) };
            names.insert(name);
        }
        // One for each constant, of which two are the same, and "unknown".
        let text = include_str!("outcome.rs");
        let constants = text.matches("\npub const RINGWAY_").count();
        assert_eq!(names.len(), constants);
    }
}
