//! Serving calls.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use ringway::service::{Failure, Request, Serve, Server};

use crate::options::{address, answer, strategy};
use crate::outcome::{Fault, NULL, RINGWAY_BUSY, RINGWAY_EMPTY, RINGWAY_INVALID};
use crate::outcome::{guard, guard_free, guard_unit};
use crate::ring::{borrow_mut, copy_text, hand_out};
use crate::sender::bytes;
use crate::sized::{Sized, read};
use crate::waiting::{RINGWAY_FOREVER, Wait, ringway_interrupter_t};

/// Serves the calls of a service, one at a time: ringway_server_next gives a request, and one of ringway_answer, ringway_end_answer, ringway_fail and
/// ringway_let_go is its end. For one thread at a time; threads that serve side by side have one each (ringway_server_another), and so may other processes.
///
/// If the process dies, at whatever instruction, the caller of its request is told (RINGWAY_PEER_DIED), or another server gets the request: as the caller wishes.
pub struct ringway_server_t {
    /// Borrows the server, and so goes before it.
    held: Option<Request<'static>>,
    /// From a box, which this owns.
    server: NonNull<Server>,
}

impl ringway_server_t {
    fn new(server: Server) -> Self {
        Self {
            held: None,
            server: NonNull::from(Box::leak(Box::new(server))),
        }
    }

    /// The server, if no request is held.
    fn server(&mut self) -> Result<&mut Server, Fault> {
        match self.held {
            // SAFETY: this owns it, and nothing else borrows it.
            None => Ok(unsafe { self.server.as_mut() }),
            Some(_) => Err(UNANSWERED),
        }
    }

    /// The same, for a request that is kept in this.
    fn server_for_request(&mut self) -> Result<&'static mut Server, Fault> {
        match self.held {
            // SAFETY: this owns it, and nothing else borrows it; the request goes before it does.
            None => Ok(unsafe { &mut *self.server.as_ptr() }),
            Some(_) => Err(UNANSWERED),
        }
    }
}

impl Drop for ringway_server_t {
    fn drop(&mut self) {
        self.held = None;
        // SAFETY: from a box, which nothing borrows any more.
        drop(unsafe { Box::from_raw(self.server.as_ptr()) });
    }
}

const UNANSWERED: Fault = Fault::Own(
    RINGWAY_BUSY,
    "a request of this server has no end yet: answer it, fail it or let it go first",
);
const NO_REQUEST: Fault = Fault::Own(
    RINGWAY_INVALID,
    "this server has no request: get one by ringway_server_next first",
);
const NONE_NOW: Fault = Fault::Own(
    RINGWAY_EMPTY,
    "there is no request now: try again later, or give time",
);

/// How calls are served. All zero but the size is the default of everything: RINGWAY_SERVE_OPTIONS_INIT. A service that is found must be as clients, part_len,
/// mode and persistent say, if they are set.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_serve_options_t {
    /// sizeof(ringway_serve_options_t)
    pub size: usize,
    /// How many client handles a new service has room for, up to 2032; 240 if it is 0.
    pub clients: u32,
    /// Permission bits, 0600 if it is 0. Who calls needs the right to write.
    pub mode: u32,
    /// Bytes, with their header, that go in one piece, rounded up to a power of two; 4096 if it is 0.
    pub part_len: u64,
    /// Bytes of the longest request that is taken; 64 MiB if it is 0.
    pub max_request: usize,
    /// How long a caller that lives may let a part wait, in nanoseconds; 10 seconds if it is 0, negative is for ever.
    pub patience_ns: i64,
    /// As of ringway_handle_options_t.
    pub spin_ns: i64,
    /// Whether collectors leave it alone, whoever dies holding it: RINGWAY_YES, RINGWAY_NO.
    pub persistent: i32,
    /// Whether to serve at what belongs to another user.
    pub any_owner: i32,
}

// SAFETY: repr(C), begins with its size, and has integers.
unsafe impl Sized for ringway_serve_options_t {}

/// A request, whose memory is the server's until its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_request_t {
    /// Its first byte; never null.
    pub data: *const c_void,
    /// Its bytes.
    pub len: usize,
    /// For how long its caller waits yet, in nanoseconds; RINGWAY_FOREVER.
    pub left_ns: i64,
    /// Whether another server may have begun with it before, and has died or let it go.
    pub is_repeated: bool,
}

/// A time that is given in nanoseconds; a negative one is for ever.
pub(crate) fn duration(ns: i64) -> Duration {
    u64::try_from(ns).map_or(Duration::MAX, Duration::from_nanos)
}

impl ringway_serve_options_t {
    fn serve(&self, mut serve: Serve) -> Result<Serve, Fault> {
        if self.clients != 0 {
            serve = serve.clients(self.clients);
        }
        if self.mode != 0 {
            serve = serve.mode(self.mode);
        }
        if self.part_len != 0 {
            serve = serve.part_len(self.part_len);
        }
        if self.max_request != 0 {
            serve = serve.max_request(self.max_request);
        }
        if self.patience_ns != 0 {
            serve = serve.patience(duration(self.patience_ns));
        }
        if let Some(yes) = answer(self.persistent)? {
            serve = serve.persistent(yes);
        }
        if let Some(yes) = answer(self.any_owner)? {
            serve = serve.any_owner(yes);
        }
        Ok(serve.with_wait(strategy(self.spin_ns)?))
    }
}

/// Serves at `address`, where a service is made if nothing is there, and gives the server in `*server`, to be freed by ringway_server_free. `options` may be null.
///
/// Fails as ringway_open_or_create does; with RINGWAY_INCOMPATIBLE if what is there is no service, RINGWAY_BUSY if 31 other processes serve there.
///
/// # Safety
/// `address` ends with a zero byte; `options` has the size that it says; `server` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_serve(
    address: *const c_char,
    options: *const ringway_serve_options_t,
    server: *mut *mut ringway_server_t,
) -> c_int {
    guard_unit(|| {
        if server.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promises about strings and structures.
        let (options, address) = unsafe { (read(options)?, self::address(address)?) };
        let started = options.serve(Serve::at(address))?.start()?;
        // SAFETY: it may be written.
        unsafe { hand_out(server, ringway_server_t::new(started)) }
    })
}

/// Gives in `*another` one more server of this process, for another thread, to be freed by ringway_server_free.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `another` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_another(
    server: *mut ringway_server_t,
    another: *mut *mut ringway_server_t,
) -> c_int {
    guard_unit(|| {
        if another.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let made = unsafe { borrow_mut(server) }?.server()?.another()?;
        // SAFETY: it may be written.
        unsafe { hand_out(another, ringway_server_t::new(made)) }
    })
}

/// Leaves and frees the server. A request without an end is let go, and so are answers that were not taken yet (ringway_server_finish waits for that). Null
/// is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_free(server: *mut ringway_server_t) {
    if !server.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(server) }));
    }
}

/// As ringway_ring_address.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `buffer` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_address(
    server: *mut ringway_server_t,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { borrow_mut(server) }?
            .server()?
            .address()
            .to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&text, buffer, size) }
    })
}

/// For how many client handles there is room.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_clients(server: *mut ringway_server_t) -> i64 {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(server) }?.server()?.clients().into()))
}

/// Gets the next request, and tells in `*request` what it is; waits for one for at most `timeout_ns` nanoseconds. It is this server's until its end.
///
/// Fails with RINGWAY_EMPTY (with RINGWAY_NOW), RINGWAY_TIMED_OUT, RINGWAY_REMOVED, RINGWAY_INTERRUPTED, RINGWAY_BUSY if the last request has no end yet,
/// RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `request` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_next(
    server: *mut ringway_server_t,
    request: *mut ringway_request_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if request.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(server) }?;
        let server = this.server_for_request()?;
        let found = match Wait::of(timeout_ns) {
            Wait::Not => server.try_next()?.ok_or(NONE_NOW)?,
            wait => server.next_deadline(wait.deadline())?,
        };
        let left = found.deadline().map_or(RINGWAY_FOREVER, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)
        });
        let told = ringway_request_t {
            data: found.body().as_ptr().cast(),
            len: found.body().len(),
            left_ns: left,
            is_repeated: found.is_repeated(),
        };
        this.held = Some(found);
        // SAFETY: it may be written.
        unsafe { request.write(told) };
        Ok(())
    })
}

/// # Safety
/// As of the functions that call it.
unsafe fn held<'a>(server: *mut ringway_server_t) -> Result<&'a mut Request<'static>, Fault> {
    // SAFETY: the caller's promise.
    let this = unsafe { borrow_mut(server) }?;
    this.held.as_mut().ok_or(NO_REQUEST)
}

/// # Safety
/// As of the functions that call it.
unsafe fn take(server: *mut ringway_server_t) -> Result<Request<'static>, Fault> {
    // SAFETY: the caller's promise.
    let this = unsafe { borrow_mut(server) }?;
    this.held.take().ok_or(NO_REQUEST)
}

/// 1 if the caller of the request has left, died, or waits no longer, so that nobody wants the answer; 0 if it waits.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_is_cancelled(server: *mut ringway_server_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { held(server) }?.is_cancelled().into())) as c_int
}

/// Sends one part of the answer. The caller is at most two parts behind: it waits until that one has what was sent before.
///
/// Fails with RINGWAY_CANCELLED, RINGWAY_NOT_TAKEN after the server's patience, RINGWAY_INTERRUPTED (and then the part was not sent), RINGWAY_CORRUPT, RINGWAY_FORKED.
/// The request stays this server's.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_send_part(
    server: *mut ringway_server_t,
    data: *const c_void,
    len: usize,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let part = unsafe { bytes(data, len) }?;
        // SAFETY: the caller's promise.
        Ok(unsafe { held(server) }?.send(part)?)
    })
}

/// Ends the answer after the parts that were sent, of which there may be none. It waits for nobody: what the caller has not taken yet, it gets while the server
/// gets other requests, or by ringway_server_finish. The request is no longer this server's, also if this fails.
///
/// Fails with RINGWAY_CANCELLED, RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_end_answer(server: *mut ringway_server_t) -> c_int {
    // SAFETY: the caller's promise.
    guard_unit(|| Ok(unsafe { take(server) }?.end()?))
}

/// Sends an answer of one part, or the last part of one, and ends it, as ringway_end_answer does.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_answer(
    server: *mut ringway_server_t,
    data: *const c_void,
    len: usize,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let answer = unsafe { bytes(data, len) }?;
        // SAFETY: the caller's promise.
        Ok(unsafe { take(server) }?.answer(answer)?)
    })
}

/// Ends the request with an error: the caller gets RINGWAY_FAILED, `status`, and of the `len` bytes, most often a text, as many as go in one piece. Otherwise as
/// ringway_end_answer.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_fail(
    server: *mut ringway_server_t,
    status: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let message = unsafe { bytes(data, len) }?;
        let failure = Failure::new(message).with_status(status);
        // SAFETY: the caller's promise.
        Ok(unsafe { take(server) }?.fail(&failure)?)
    })
}

/// Lets the request go without an answer: its caller is told (RINGWAY_LET_GO), or another server gets it, as the caller wishes.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_let_go(server: *mut ringway_server_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { take(server) }?);
        Ok(())
    })
}

/// Waits until callers have taken what is on its way to them, have left, or died, for at most `patience_ns` nanoseconds: 1 if all is taken, else 0. New
/// requests are left to other servers.
///
/// Fails with RINGWAY_REMOVED, RINGWAY_INTERRUPTED, RINGWAY_BUSY, RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_finish(
    server: *mut ringway_server_t,
    patience_ns: i64,
) -> c_int {
    guard(|| {
        let patience = duration(patience_ns);
        // SAFETY: the caller's promise.
        let all = unsafe { borrow_mut(server) }?.server()?.finish(patience)?;
        Ok(all.into())
    }) as c_int
}

/// As ringway_receiver_descriptor: it becomes readable after ringway_server_arm.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_descriptor(server: *mut ringway_server_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { borrow_mut(server) }?.server()?;
        Ok(server.descriptor()?.as_raw_fd().into())
    }) as c_int
}

/// As ringway_receiver_arm: 1, and the descriptor becomes readable when ringway_server_next is worth calling; 0, and it is now. It may become readable for
/// nothing, and has to be heeded also while answers are on their way. It fails as ringway_server_next.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_arm(server: *mut ringway_server_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(server) }?.server()?.arm()?.into())) as c_int
}

/// Takes ringway_server_arm back.
///
/// # Safety
/// The server is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_disarm(server: *mut ringway_server_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(server) }?.server()?.disarm();
        Ok(())
    })
}

/// Gives in `*interrupter` what ends calls of this server that wait, to be freed by ringway_interrupter_free.
///
/// # Safety
/// The server is from this library, and used by this thread alone; `interrupter` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_server_interrupter(
    server: *mut ringway_server_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { borrow_mut(server) }?.server()?;
        let made = ringway_interrupter_t {
            interrupter: server.interrupter(),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(interrupter, made) }
    })
}
