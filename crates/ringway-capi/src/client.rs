//! Calling a service.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::task::Poll;
use std::time::Instant;

use ringway::service::{Answers, Client, Connect};

use crate::options::{address, answer, opening_wait, strategy};
use crate::outcome::{Fault, NULL, RINGWAY_BUSY, RINGWAY_EMPTY, RINGWAY_INVALID};
use crate::outcome::{guard, guard_free, guard_unit};
use crate::ring::{borrow_mut, copy_text, hand_out};
use crate::sender::bytes;
use crate::server::duration;
use crate::sized::{Sized, read};
use crate::waiting::{Wait, ringway_interrupter_t};

/// Calls a service, one call at a time. For one thread at a time; threads that call side by side have one each (ringway_client_another). If the process dies,
/// at whatever instruction, its place is free at once, and its server is told.
pub struct ringway_client_t {
    /// The call that is not over. Borrows the client, and so goes before it.
    call: Option<Answers<'static>>,
    /// What came last.
    answer: Vec<u8>,
    /// From a box, which this owns.
    client: NonNull<Client>,
}

impl ringway_client_t {
    fn new(client: Client) -> Self {
        Self {
            call: None,
            answer: Vec::new(),
            client: NonNull::from(Box::leak(Box::new(client))),
        }
    }

    /// The client, if no call is begun.
    fn client(&mut self) -> Result<&mut Client, Fault> {
        match self.call {
            // SAFETY: this owns it, and nothing else borrows it.
            None => Ok(unsafe { self.client.as_mut() }),
            Some(_) => Err(BEGUN),
        }
    }

    /// The same, for a call that is kept in this.
    fn client_for_call(&mut self) -> Result<&'static mut Client, Fault> {
        match self.call {
            // SAFETY: this owns it, and nothing else borrows it; the call goes before it does.
            None => Ok(unsafe { &mut *self.client.as_ptr() }),
            Some(_) => Err(BEGUN),
        }
    }

    fn call(&mut self) -> Result<&mut Answers<'static>, Fault> {
        self.call.as_mut().ok_or(NOT_BEGUN)
    }

    /// Keeps what has come, and tells where it is.
    fn keep(&mut self, answer: Vec<u8>) -> ringway_answer_t {
        self.answer = answer;
        ringway_answer_t {
            data: self.answer.as_ptr().cast(),
            len: self.answer.len(),
        }
    }
}

impl Drop for ringway_client_t {
    fn drop(&mut self) {
        self.call = None;
        // SAFETY: from a box, which nothing borrows any more.
        drop(unsafe { Box::from_raw(self.client.as_ptr()) });
    }
}

const BEGUN: Fault = Fault::Own(
    RINGWAY_BUSY,
    "a call of this client is not over: take its parts to the end, or cancel it first",
);
const NOT_BEGUN: Fault = Fault::Own(
    RINGWAY_INVALID,
    "this client has begun no call: do that by ringway_call_begin first",
);
const NOTHING_YET: Fault = Fault::Own(
    RINGWAY_EMPTY,
    "nothing has come of the answer yet: the call goes on, ask again",
);

/// How calls are made. All zero but the size is the default of everything: RINGWAY_CONNECT_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_connect_options_t {
    /// sizeof(ringway_connect_options_t)
    pub size: usize,
    /// Whether a request whose server dies, or lets it go, is served again by the next one: RINGWAY_YES. Else its caller is told.
    pub at_least_once: i32,
    /// How often one request is begun at most then; 10 if it is 0.
    pub attempts: u32,
    /// For how long a call goes on although no server is there, in nanoseconds; negative is for ever.
    pub grace_ns: i64,
    /// Bytes of the longest answer, or part of one, that is gathered; 64 MiB if it is 0.
    pub max_answer: usize,
    /// For how long connecting waits for the service, and for a server, in nanoseconds; negative is for ever.
    pub wait_ns: i64,
    /// As of ringway_handle_options_t.
    pub spin_ns: i64,
    /// Whether to connect to what belongs to another user.
    pub any_owner: i32,
}

// SAFETY: repr(C), begins with its size, and has integers.
unsafe impl Sized for ringway_connect_options_t {}

/// An answer, or a part of one. Its bytes are the client's, until its next call that gets something.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_answer_t {
    /// Its first byte; never null.
    pub data: *const c_void,
    /// Its bytes.
    pub len: usize,
}

impl ringway_connect_options_t {
    fn connect(&self, mut connect: Connect) -> Result<Connect, Fault> {
        if answer(self.at_least_once)? == Some(true) {
            connect = connect.at_least_once();
        }
        if self.attempts != 0 {
            connect = connect.attempts(self.attempts);
        }
        if self.grace_ns != 0 {
            connect = connect.grace(duration(self.grace_ns));
        }
        if self.max_answer != 0 {
            connect = connect.max_answer(self.max_answer);
        }
        if let Some(wait) = opening_wait(self.wait_ns) {
            connect = connect.wait(wait);
        }
        if let Some(yes) = answer(self.any_owner)? {
            connect = connect.any_owner(yes);
        }
        Ok(connect.with_wait(strategy(self.spin_ns)?))
    }
}

/// Connects to the service at `address`, and gives the client in `*client`, to be freed by ringway_client_free. `options` may be null.
///
/// Fails with RINGWAY_NOT_FOUND if there is no service, RINGWAY_TIMED_OUT if neither it nor a server of it came within wait_ns, RINGWAY_INCOMPATIBLE if what
/// is there is none, RINGWAY_BUSY if it has no room for one more, and as ringway_open does.
///
/// # Safety
/// `address` ends with a zero byte; `options` has the size that it says; `client` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_connect(
    address: *const c_char,
    options: *const ringway_connect_options_t,
    client: *mut *mut ringway_client_t,
) -> c_int {
    guard_unit(|| {
        if client.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promises about strings and structures.
        let (options, address) = unsafe { (read(options)?, self::address(address)?) };
        let made = options.connect(Connect::at(address))?.open()?;
        // SAFETY: it may be written.
        unsafe { hand_out(client, ringway_client_t::new(made)) }
    })
}

/// Gives in `*another` one more client, for another thread, which makes its calls as this one does; to be freed by ringway_client_free.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `another` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_another(
    client: *mut ringway_client_t,
    another: *mut *mut ringway_client_t,
) -> c_int {
    guard_unit(|| {
        if another.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let made = unsafe { borrow_mut(client) }?.client()?.another()?;
        // SAFETY: it may be written.
        unsafe { hand_out(another, ringway_client_t::new(made)) }
    })
}

/// Leaves and frees the client, and its last answer. A call that is not over is cancelled. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_free(client: *mut ringway_client_t) {
    if !client.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(client) }));
    }
}

/// As ringway_ring_address.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `buffer` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_address(
    client: *mut ringway_client_t,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { borrow_mut(client) }?
            .client()?
            .address()
            .to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&text, buffer, size) }
    })
}

/// How many servers are there now.
///
/// # Safety
/// The client is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_servers(client: *mut ringway_client_t) -> i64 {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(client) }?.client()?.servers() as i64))
}

/// Sends a request of `len` bytes to one of the servers, and gives its whole answer in `*answer`. Waits for that for at most `timeout_ns` nanoseconds.
///
/// Fails with RINGWAY_FAILED (ringway_last_status and ringway_last_failure have what the server says), RINGWAY_PEER_DIED if the server died with the request,
/// RINGWAY_LET_GO, RINGWAY_NO_SERVER, RINGWAY_TIMED_OUT, RINGWAY_INTERRUPTED, RINGWAY_TOO_LARGE of a request or an answer, RINGWAY_REMOVED, RINGWAY_BUSY,
/// RINGWAY_CORRUPT, RINGWAY_FORKED. Then the call is over, and its server is told.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `data` has `len` bytes, and `answer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_call(
    client: *mut ringway_client_t,
    data: *const c_void,
    len: usize,
    answer: *mut ringway_answer_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if answer.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let request = unsafe { bytes(data, len) }?;
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(client) }?;
        let deadline = Wait::of(timeout_ns).deadline();
        let whole = this.client()?.call_deadline(request, deadline)?;
        let told = this.keep(whole);
        // SAFETY: it may be written.
        unsafe { answer.write(told) };
        Ok(())
    })
}

/// Begins a call whose answer is taken by ringway_next_part, and which is over in `timeout_ns` nanoseconds at the latest. The request is copied.
///
/// Fails as ringway_call.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_call_begin(
    client: *mut ringway_client_t,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let request = unsafe { bytes(data, len) }?.to_vec();
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(client) }?;
        let deadline = Wait::of(timeout_ns).deadline();
        let begun = this.client_for_call()?.stream_deadline(request, deadline)?;
        this.call = Some(begun);
        Ok(())
    })
}

/// Gives the next part of the answer in `*part`, and returns 1; returns 0 at its end, and then the call is over. Waits for at most `timeout_ns` nanoseconds;
/// RINGWAY_EMPTY says that nothing has come until then, and that the call goes on.
///
/// Fails as ringway_call, and then the call is over, but for RINGWAY_EMPTY and RINGWAY_INTERRUPTED.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `part` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_next_part(
    client: *mut ringway_client_t,
    part: *mut ringway_answer_t,
    timeout_ns: i64,
) -> c_int {
    guard(|| {
        use ringway::service::CallError;
        if part.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(client) }?;
        let call = this.call()?;
        let found = match Wait::of(timeout_ns) {
            Wait::Not => call.next_part_until(Instant::now()),
            Wait::Until(moment) => call.next_part_until(moment),
            Wait::ForEver => Poll::Ready(call.next_part()),
        };
        match found {
            Poll::Pending => Err(NOTHING_YET),
            Poll::Ready(Ok(Some(bytes))) => {
                let told = this.keep(bytes);
                // SAFETY: it may be written.
                unsafe { part.write(told) };
                Ok(1)
            }
            Poll::Ready(Err(error @ CallError::Interrupted)) => Err(error.into()),
            Poll::Ready(ended) => {
                this.call = None;
                ended?;
                Ok(0)
            }
        }
    }) as c_int
}

/// Ends the call that was begun: its server is told that nobody waits. Does nothing if there is none.
///
/// # Safety
/// The client is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_call_cancel(client: *mut ringway_client_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(client) }?.call = None;
        Ok(())
    })
}

/// As ringway_receiver_descriptor: it becomes readable after ringway_client_arm. Get it before a call is begun.
///
/// # Safety
/// The client is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_descriptor(client: *mut ringway_client_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let client = unsafe { borrow_mut(client) }?.client()?;
        Ok(client.descriptor()?.as_raw_fd().into())
    }) as c_int
}

/// As ringway_receiver_arm, of a call that was begun: 1, and the descriptor becomes readable when ringway_next_part is worth calling; 0, and it is now. It may
/// become readable for nothing, and has to be heeded: a call looks after itself a few times a second. It fails as ringway_next_part, and then the call is over.
///
/// # Safety
/// The client is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_arm(client: *mut ringway_client_t) -> c_int {
    guard(|| {
        use ringway::service::CallError;
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(client) }?;
        let armed = this.call()?.arm();
        if armed
            .as_ref()
            .is_err_and(|error| *error != CallError::Interrupted)
        {
            this.call = None;
        }
        Ok(armed?.into())
    }) as c_int
}

/// Takes ringway_client_arm back.
///
/// # Safety
/// The client is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_disarm(client: *mut ringway_client_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(client) }?.call()?.disarm();
        Ok(())
    })
}

/// Gives in `*interrupter` what ends calls of this client that wait, to be freed by ringway_interrupter_free.
///
/// # Safety
/// The client is from this library, and used by this thread alone; `interrupter` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_interrupter(
    client: *mut ringway_client_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let client = unsafe { borrow_mut(client) }?.client()?;
        let made = ringway_interrupter_t {
            interrupter: client.interrupter(),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(interrupter, made) }
    })
}
