//! Room for a message, as a writable buffer.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use pyo3::{ffi, sync::PyOnceLock};

use crate::buffer::export;
use crate::errors;
use crate::sender::Sending;
use crate::turn::Loan;

/// Room for one message; from `Sender.claim`. Nobody sees anything of it before it is committed; one that is dropped is aborted.
///
/// It has the buffer protocol: `memoryview(claim)` and `numpy.frombuffer(claim)` are its memory.
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Claim {
    held: Mutex<Option<Held>>,
    view: Mutex<Option<Py<PyMemoryView>>>,
    len: usize,
}

/// The claim goes before the loan of the handle that it borrows.
struct Held {
    claim: ringway::message::Claim<'static>,
    loan: Loan<Sending>,
    memory: *mut u8,
    /// How many views of the memory there are.
    exports: usize,
}

// SAFETY: the pointer is to memory that stays where it is, of the ring or of the handle; the claim and the loan may go to other threads.
unsafe impl Send for Held {}

impl Claim {
    pub(crate) fn new(
        mut claim: ringway::message::Claim<'static>,
        loan: Loan<Sending>,
        in_place: bool,
    ) -> Self {
        let len = claim.len();
        let memory = match in_place {
            true => claim.as_mut_ptr(),
            // SAFETY: the slice is made for its address only. What writes there is Python, which takes what others write meanwhile as it comes.
            false => unsafe { claim.as_mut_slice() }.as_mut_ptr(),
        };
        let held = Held {
            claim,
            loan,
            memory,
            exports: 0,
        };
        Self {
            held: Mutex::new(Some(held)),
            view: Mutex::new(None),
            len,
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, Option<Py<PyMemoryView>>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held, if nobody has a view of it.
    fn take(&self, py: Python<'_>, remedy: &str) -> PyResult<Held> {
        let forked = |held: &Held| held.loan.is_forked();
        if self.held().as_ref().is_some_and(forked) {
            return Err(errors::forked(py));
        }
        let (taken, is_used) = {
            let mut held = self.held();
            match &*held {
                Some(held) if held.exports > 0 => (None, true),
                _ => (held.take(), false),
            }
        };
        // What says so is made outside of the lock: it runs Python.
        taken.ok_or_else(|| match is_used {
            true => errors::exported(py, remedy),
            false => errors::message_gone(py, "claim"),
        })
    }

    /// One view less.
    fn take_memory_back(&self) {
        if let Some(held) = &mut *self.held() {
            held.exports -= 1;
        }
    }

    /// Its memory, for one more view of it.
    fn lend_memory(&self) -> Option<*mut u8> {
        let mut held = self.held();
        let held = held.as_mut().filter(|held| !held.loan.is_forked())?;
        held.exports += 1;
        Some(held.memory)
    }
}

#[pymethods]
impl Claim {
    /// Sends the message, or its first `size` bytes.
    #[pyo3(signature = (size=None))]
    fn commit(&self, py: Python<'_>, size: Option<usize>) -> PyResult<()> {
        let held = self.take(py, "delete those, or release them, and commit then")?;
        let Held { claim, loan, .. } = held;
        claim.commit_len(size.unwrap_or(self.len));
        drop(loan);
        Ok(())
    }

    /// Gives the room back; nothing is sent.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.take(py, "delete those, or release them, and abort then")
            .map(drop)
    }

    fn __len__(&self) -> usize {
        self.len
    }

    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        let memory = this.lend_memory();
        let memory = memory.ok_or_else(|| errors::message_gone(slf.py(), "claim"))?;
        // SAFETY: the view is what was given to this function. The memory is the claim's, which is not given up while there are views.
        unsafe { export(slf.as_any(), view, flags, memory, this.len, false) }
            .inspect_err(|_| this.take_memory_back())
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.take_memory_back();
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        let view = PyMemoryView::from(slf.as_any())?;
        *slf.get().view() = Some(view.clone().unbind());
        Ok(view)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        _exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let view = self.view().take();
        let released = release(py, view);
        if self.held().is_none() {
            // The block has committed or aborted it.
            return Ok(());
        }
        match exception_type.is_none() {
            true => {
                released?;
                let Held { claim, loan, .. } = self.take(py, AT_THE_END)?;
                claim.commit();
                drop(loan);
                Ok(())
            }
            // The exception is what is told of. What still has a view, is aborted when that is gone.
            false => {
                let _ = self.abort(py);
                Ok(())
            }
        }
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "claim"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.view.try_lock() {
            Ok(view) => visit.call(&*view),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        drop(self.view().take());
    }
}

/// What to do about memory that is used when its block ends.
pub(crate) const AT_THE_END: &str = "delete arrays and views of it before the block ends";

/// Releases the view of a `with` block; an error of ringway's if it is still used.
pub(crate) fn release(py: Python<'_>, view: Option<Py<PyMemoryView>>) -> PyResult<()> {
    static NAME: PyOnceLock<Py<pyo3::types::PyString>> = PyOnceLock::new();
    let Some(view) = view else { return Ok(()) };
    let name = NAME.get_or_init(py, || pyo3::types::PyString::new(py, "release").unbind());
    match view.bind(py).call_method0(name) {
        Ok(_) => Ok(()),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyBufferError>(py) => {
            let told = errors::exported(py, AT_THE_END);
            told.set_cause(py, Some(error));
            Err(told)
        }
        Err(error) => Err(error),
    }
}
