//! A handle that several threads of Python may have: one call at a time is in it, and a message in place keeps it.
//!
//! | state | who may touch the handle | goes on to |
//! |---|---|---|
//! | free | nobody | in use, ended |
//! | in use | the call whose [`InUse`] it is | free, lent |
//! | lent | the message or claim whose [`Loan`] it is | free |
//! | ended | nobody: it is gone | |
//!
//! Who finds it in use waits, with the interpreter let go, as for a queue of Python's; who finds it lent is told, because the one who would
//! wait is most often the one who holds what was lent. Who ends it while a call is in it has that call end.
//!
//! In a child of `fork` none of this is looked at: a thread of the parent may have held the lock at that moment. There every call is
//! refused, and what is dropped there leaves the handle where it is, which in that process refers to nothing.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;
use ringway::os::fork::Origin;
use ringway::wait::Interrupter;

use crate::errors;
use crate::waiting::{SLICE, Timeout};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    InUse,
    Lent,
    Ended,
}

/// Why it is not this call's turn.
enum Refusal {
    /// Another thread's call is in it.
    InUse,
    /// This very thread's call is in it.
    Within,
    Lent,
    Ended,
}

/// How a handle ends: dropped, closed or left.
type End<H> = Box<dyn FnOnce(H) + Send>;

/// A thread, told from all others that live. (One that is in a call does.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller(usize);

impl Caller {
    /// Where something lies that each thread has. (`thread::current` counts references.)
    fn here() -> Self {
        thread_local!(static PLACE: Cell<u8> = const { Cell::new(0) });
        Self(PLACE.with(|place| std::ptr::from_ref(place).addr()))
    }
}

struct Inner<H> {
    state: State,
    /// The thread whose call is in it.
    owner: Option<Caller>,
    /// How many wait for a change. Telling nobody would be a system call all the same.
    waiting: usize,
    /// How it shall end when that call has come back.
    end: Option<End<H>>,
}

/// A handle, its state, and what it is called in errors.
pub(crate) struct Turn<H> {
    inner: Mutex<Inner<H>>,
    changed: Condvar,
    /// Whether the call that is in it shall come back.
    ending: AtomicBool,
    /// From a box; dangling once it has ended.
    handle: UnsafeCell<NonNull<H>>,
    origin: Origin,
    /// Ends a call that waits, if there is such a thing.
    interrupter: Option<Interrupter>,
    name: &'static str,
}

// SAFETY: the pointer is to a value that this owns; it may go to another thread if the value may.
unsafe impl<H: Send> Send for Turn<H> {}
// SAFETY: the handle is touched only by the one that has made the state InUse or Lent, under the lock; the lock orders one after the other.
unsafe impl<H: Send> Sync for Turn<H> {}

impl<H> Turn<H> {
    pub(crate) fn new(
        py: Python<'_>,
        handle: H,
        interrupter: Option<Interrupter>,
        name: &'static str,
    ) -> PyResult<Arc<Self>> {
        let origin = Origin::here().map_err(|errno| errors::os(py, errno as i32))?;
        let inner = Inner {
            state: State::Free,
            owner: None,
            waiting: 0,
            end: None,
        };
        Ok(Arc::new(Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
            handle: UnsafeCell::new(NonNull::from(Box::leak(Box::new(handle)))),
            origin,
            interrupter,
            name,
        }))
    }

    /// Whether this is a child of the process that made the handle.
    pub(crate) fn is_forked(&self) -> bool {
        self.origin.is_forked()
    }

    fn inner(&self) -> MutexGuard<'_, Inner<H>> {
        // Whoever panicked with it has left a state all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn.
    pub(crate) fn enter(
        self: &Arc<Self>,
        py: Python<'_>,
        timeout: Timeout,
    ) -> PyResult<InUse<'_, H>>
    where
        H: Send,
    {
        loop {
            if self.is_forked() {
                return Err(errors::forked(py));
            }
            match self.try_enter() {
                Ok(turn) => return Ok(turn),
                Err(Refusal::InUse) => {}
                // What says so is made outside of the lock: it runs Python.
                Err(Refusal::Within) => return Err(errors::within_itself(py, self.name)),
                Err(Refusal::Lent) => return Err(errors::still_held(py, self.name)),
                Err(Refusal::Ended) => return Err(errors::handle_closed(py, self.name)),
            }
            if timeout.is_over() {
                return Err(errors::timed_out_for_turn(py, self.name));
            }
            let until = timeout.slice();
            py.detach(|| self.wait_while_in_use(until));
            py.check_signals()?;
        }
    }

    /// Its turn, if no call is in it.
    pub(crate) fn enter_if_free(self: &Arc<Self>) -> Option<InUse<'_, H>> {
        self.try_enter().ok()
    }

    fn try_enter(self: &Arc<Self>) -> Result<InUse<'_, H>, Refusal> {
        let me = Caller::here();
        let mut inner = self.inner();
        match inner.state {
            State::Free => {
                (inner.state, inner.owner) = (State::InUse, Some(me));
                Ok(InUse { turn: self })
            }
            State::InUse if inner.owner == Some(me) => Err(Refusal::Within),
            State::InUse => Err(Refusal::InUse),
            State::Lent => Err(Refusal::Lent),
            State::Ended => Err(Refusal::Ended),
        }
    }

    /// Sleeps until no call is in it, or it is time.
    fn wait_while_in_use(&self, until: Instant) {
        let mut inner = self.inner();
        while inner.state == State::InUse {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner.waiting += 1;
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            inner.waiting -= 1;
        }
    }

    fn change(&self, to: State) {
        let mut inner = self.inner();
        let end = inner.end.take();
        inner.owner = None;
        inner.state = match end {
            Some(_) => State::Ended,
            None => to,
        };
        let is_awaited = inner.waiting > 0;
        drop(inner);
        if is_awaited {
            self.changed.notify_all();
        }
        if let Some(end) = end {
            // SAFETY: this has made it Ended.
            end(unsafe { self.take() });
        }
    }

    /// The handle itself.
    ///
    /// # Safety
    /// For the one that has made the state Ended, once.
    unsafe fn take(&self) -> H {
        // SAFETY: from a box, and from now on nobody reads the pointer.
        *unsafe { Box::from_raw((*self.handle.get()).as_ptr()) }
    }

    /// Whether the call that is in it shall come back.
    pub(crate) fn is_ending(&self) -> bool {
        // Relaxed: it decides nothing but when a wait ends; what follows is ordered by the lock.
        self.ending.load(Ordering::Relaxed)
    }

    /// Takes the handle out, to be ended by `end`; does nothing if that is done already.
    ///
    /// A call that another thread is in comes back first. One that this thread is in, of which a handler of a signal interrupts the wait, does so
    /// when the handler returns. What is lent has to be given back before.
    pub(crate) fn end(&self, py: Python<'_>, end: impl FnOnce(H) + Send + 'static) -> PyResult<()>
    where
        H: Send,
    {
        if self.is_forked() {
            return Ok(());
        }
        let mut inner = self.inner();
        match inner.state {
            State::Ended => return Ok(()),
            State::Lent => {
                drop(inner);
                return Err(errors::still_held(py, self.name));
            }
            State::Free => {
                inner.state = State::Ended;
                drop(inner);
                // SAFETY: this has made it Ended.
                let handle = unsafe { self.take() };
                // Leaving may wait for other threads of the process.
                py.detach(|| end(handle));
                return Ok(());
            }
            State::InUse => {
                inner.end = Some(Box::new(end));
                self.ending.store(true, Ordering::Relaxed);
                if inner.owner == Some(Caller::here()) {
                    return Ok(());
                }
            }
        }
        drop(inner);
        if let Some(interrupter) = &self.interrupter {
            interrupter.interrupt();
        }
        loop {
            py.detach(|| self.wait_while_in_use(Instant::now() + SLICE));
            if self.inner().state != State::InUse {
                return Ok(());
            }
            py.check_signals()?;
        }
    }

    /// Whether it has ended, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        !self.is_forked() && (self.is_ending() || self.inner().state == State::Ended)
    }
}

impl<H> Drop for Turn<H> {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        if self.inner().state != State::Ended {
            // SAFETY: nothing borrows this any more, and the handle has not been taken out.
            drop(unsafe { self.take() });
        }
    }
}

/// One call's turn.
pub(crate) struct InUse<'a, H> {
    turn: &'a Arc<Turn<H>>,
}

impl<H> InUse<'_, H> {
    pub(crate) fn is_ending(&self) -> bool {
        self.turn.is_ending()
    }

    /// Whether a wait of it comes back when another thread ends it.
    pub(crate) fn can_be_interrupted(&self) -> bool {
        self.turn.interrupter.is_some()
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> &'static str {
        self.turn.name
    }

    /// The handle, for as long as the turn lasts or, if it is [lent](Self::lend), the loan.
    ///
    /// # Safety
    /// Nothing made of it may be used after that.
    pub(crate) unsafe fn unbounded(&mut self) -> &'static mut H {
        // SAFETY: the state is InUse by this very call, so nobody else touches the handle; the caller bounds the lifetime.
        unsafe { &mut *(*self.turn.handle.get()).as_ptr() }
    }

    /// The turn does not end with the call but with the loan.
    pub(crate) fn lend(self) -> Loan<H> {
        let this = ManuallyDrop::new(self);
        this.turn.change(State::Lent);
        Loan {
            turn: Arc::clone(this.turn),
        }
    }
}

impl<H> Deref for InUse<'_, H> {
    type Target = H;

    fn deref(&self) -> &H {
        // SAFETY: the state is InUse by this very call, so nobody else touches the handle.
        unsafe { (*self.turn.handle.get()).as_ref() }
    }
}

impl<H> DerefMut for InUse<'_, H> {
    fn deref_mut(&mut self) -> &mut H {
        // SAFETY: as in `deref`.
        unsafe { (*self.turn.handle.get()).as_mut() }
    }
}

impl<H> Drop for InUse<'_, H> {
    fn drop(&mut self) {
        self.turn.change(State::Free);
    }
}

/// The right to use a handle that is in the hands of a message or a claim. Whoever has it drops what borrows the handle first.
pub(crate) struct Loan<H> {
    turn: Arc<Turn<H>>,
}

impl<H> Loan<H> {
    pub(crate) fn is_forked(&self) -> bool {
        self.turn.is_forked()
    }
}

impl<H> Drop for Loan<H> {
    fn drop(&mut self) {
        if !self.turn.is_forked() {
            self.turn.change(State::Free);
        }
    }
}
