//! pthread_create(3): threads that need nothing of the dynamic loader.
//!
//! A thread of the standard library registers destructors of its thread-locals when it starts, for which the C
//! library wants the lock of the dynamic loader. A program that is in a constructor or destructor of a library has
//! that lock, and would wait for ever for a thread that wants it. These threads run a function of ours and nothing else.

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::pthread_sigmask;

/// What a thread runs: must use no thread-local of Rust's, not panic and, to be on the safe side, not allocate.
pub(crate) type Body = extern "C" fn(*mut c_void) -> *mut c_void;

/// The least memory of a stack. (The C library puts the program's static thread-locals there as well, so it may
/// have to be more.)
const STACK: usize = 64 << 10;
const MOST_STACK: usize = 16 << 20;

/// A thread, to be joined once.
#[derive(Debug)]
pub(crate) struct Thread(libc::pthread_t);

// SAFETY: it names a thread, by a number or, as in musl, by a pointer that only the C library follows; any thread may
// join it.
unsafe impl Send for Thread {}
// SAFETY: as above. It is joined once, whoever does it.
unsafe impl Sync for Thread {}

impl Thread {
    /// Starts a thread on a small stack, and with all signals blocked, so that no handler of the program ever runs
    /// on it.
    ///
    /// # Safety
    /// `body` may be called with `argument` in another thread, until that is joined.
    pub(crate) unsafe fn start(body: Body, argument: *mut c_void) -> Result<Self, Errno> {
        let thread = pthread_sigmask::while_blocked(|| {
            let mut stack = STACK;
            loop {
                // SAFETY: the caller's promise.
                match unsafe { create(body, argument, stack) } {
                    // Too small.
                    Err(Errno::EINVAL) if stack < MOST_STACK => stack *= 2,
                    result => break result,
                }
            }
        })?;
        thread.map(Self)
    }

    /// Waits until the thread has ended: until the kernel has done all that it does then.
    pub(crate) fn join(&self) {
        // SAFETY: a thread that was not joined before; it is not the calling one.
        unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
    }
}

/// # Safety
/// As [`Thread::start`].
unsafe fn create(
    body: Body,
    argument: *mut c_void,
    stack: usize,
) -> Result<libc::pthread_t, Errno> {
    let result = |errno| match errno {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: initialises what it is given.
    result(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised; the caller vouches for body and argument.
    let created = unsafe {
        result(libc::pthread_attr_setstacksize(
            attributes.as_mut_ptr(),
            stack,
        ))
        .and_then(|()| {
            result(libc::pthread_create(
                thread.as_mut_ptr(),
                attributes.as_ptr(),
                body,
                argument,
            ))
        })
    };
    // SAFETY: initialised above, and used no more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    // SAFETY: pthread_create has written it.
    created.map(|()| unsafe { thread.assume_init() })
}

/// Names the calling thread.
pub(crate) fn name_this_thread(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a string of at most 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
