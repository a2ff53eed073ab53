//! A message in place, as a read-only buffer.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use ringway::message::DetachedMessage;
use ringway::mq::QueueMessage;
use ringway::os::fork::Origin;
use ringway::transport::ReceivedMessage;

use crate::buffer::export;
use crate::claim::{AT_THE_END, release};
use crate::errors;
use crate::receiver::Receiving;
use crate::turn::Loan;

/// A message that lies where it was written, in the ring or in a slab; from `Receiver.recv_view`.
///
/// It is this receiver's until it is released, which acknowledges it. One that is given back, or dropped, or whose process dies, comes
/// again. While it is held, its receiver does nothing else; `detach` acknowledges and keeps it.
///
/// As a context manager it gives a read-only memoryview, and releases the message when the block ends, or gives it back if it ends by an
/// exception. Arrays made of the view have to be gone by then: else that raises `ringway.StillHeld` (a BufferError), and the message comes again.
///
/// It has the buffer protocol: `memoryview(message)` and `numpy.frombuffer(message)` are its memory, which a hostile peer could change
/// meanwhile; `recv` copies.
///
/// >>> import ringway
/// >>> ring = ringway.create("memfd:")
/// >>> ring.sender().send(b"hello")
/// >>> receiver = ring.receiver()
/// >>> with receiver.recv_view() as view:
/// ...     view.readonly, bytes(view[1:3])
/// (True, b'el')
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Message {
    inner: Mutex<Inner>,
    view: Mutex<Option<Py<PyMemoryView>>>,
    origin: Origin,
}

struct Inner {
    held: Held,
    /// How many views of the memory there are.
    exports: usize,
}

/// What borrows the handle goes before its loan.
enum Held {
    InRing(ringway::Message<'static>, Loan<Receiving>),
    FromQueue(QueueMessage<'static>, Loan<Receiving>),
    Kept(DetachedMessage),
    Copied(Vec<u8>, u32),
    Gone,
}

impl Held {
    fn memory(&self) -> Option<(*const u8, usize)> {
        let slice: &[u8] = match self {
            // SAFETY: the slice is made for its address only. What reads there is Python, which takes what others write meanwhile as it comes.
            Self::InRing(message, _) => unsafe { message.as_slice() },
            Self::FromQueue(message, _) => message.bytes(),
            // SAFETY: as above.
            Self::Kept(message) => unsafe { message.as_slice() },
            Self::Copied(bytes, _) => bytes,
            Self::Gone => return None,
        };
        Some((slice.as_ptr(), slice.len()))
    }
}

/// What a message is received as.
pub(crate) enum Received {
    InRing(ringway::Message<'static>),
    FromQueue(QueueMessage<'static>),
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::InRing(message) => message.len(),
            Self::FromQueue(message) => message.len(),
        }
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) {
        match self {
            Self::InRing(message) => message.read_at(0, buffer),
            Self::FromQueue(message) => message.read_at(0, buffer),
        };
    }

    pub(crate) fn release(self) {
        match self {
            Self::InRing(message) => message.release(),
            Self::FromQueue(message) => message.release(),
        }
    }
}

/// From so many bytes on the interpreter is let go while they are copied.
const LONG: usize = 256 << 10;

/// The bytes of a message, which is acknowledged when they are copied.
pub(crate) fn into_bytes(py: Python<'_>, received: Received) -> PyResult<Bound<'_, PyBytes>> {
    let len = received.len();
    let mut left = None;
    let bytes = PyBytes::new_with(py, len, |buffer| {
        left = Some(match len < LONG {
            true => {
                received.read(buffer);
                received
            }
            false => py.detach(move || {
                received.read(buffer);
                received
            }),
        });
        Ok(())
    })?;
    if let Some(received) = left {
        received.release();
    }
    Ok(bytes)
}

impl Message {
    pub(crate) fn new(py: Python<'_>, received: Received, loan: Loan<Receiving>) -> PyResult<Self> {
        let origin = Origin::here().map_err(|errno| errors::os(py, errno as i32))?;
        let held = match received {
            Received::InRing(message) => Held::InRing(message, loan),
            Received::FromQueue(message) => Held::FromQueue(message, loan),
        };
        Ok(Self {
            inner: Mutex::new(Inner { held, exports: 0 }),
            view: Mutex::new(None),
            origin,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, Option<Py<PyMemoryView>>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        match self.origin.is_forked() {
            true => Err(errors::forked(py)),
            false => Ok(()),
        }
    }

    /// What is held, if nobody has a view of it.
    fn take(&self, py: Python<'_>, remedy: &str) -> PyResult<Held> {
        self.check_fork(py)?;
        let (taken, is_used) = {
            let mut inner = self.inner();
            match inner.exports {
                0 => (std::mem::replace(&mut inner.held, Held::Gone), false),
                _ => (Held::Gone, true),
            }
        };
        // What says so is made outside of the lock: it runs Python.
        match taken {
            Held::Gone if is_used => Err(errors::exported(py, remedy)),
            Held::Gone => Err(errors::message_gone(py, "message")),
            taken => Ok(taken),
        }
    }

    /// Its memory, for one more view of it.
    fn lend_memory(&self) -> Option<(*const u8, usize)> {
        let mut inner = self.inner();
        let memory = inner.held.memory()?;
        inner.exports += 1;
        Some(memory)
    }

    /// One view less.
    fn take_memory_back(&self) {
        if !self.origin.is_forked() {
            self.inner().exports -= 1;
        }
    }

    fn acknowledge(&self, py: Python<'_>, remedy: &str) -> PyResult<()> {
        match self.take(py, remedy)? {
            Held::InRing(message, loan) => {
                message.release();
                drop(loan);
            }
            Held::FromQueue(message, loan) => {
                message.release();
                drop(loan);
            }
            Held::Kept(_) | Held::Copied(..) | Held::Gone => {}
        }
        Ok(())
    }

    fn ask<T>(&self, py: Python<'_>, ask: impl FnOnce(&Held) -> Option<T>) -> PyResult<T> {
        self.check_fork(py)?;
        let answer = ask(&self.inner().held);
        answer.ok_or_else(|| errors::message_gone(py, "message"))
    }
}

#[pymethods]
impl Message {
    /// Acknowledges the message, so that it does not come again, and gives up its memory.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.acknowledge(
            py,
            "delete those, or release them, and release the message then",
        )
    }

    /// Gives the message back: whoever receives next gets it again, this receiver or another one. One that was detached does not come
    /// again.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        match self.take(
            py,
            "delete those, or release them, and give the message back then",
        )? {
            Held::InRing(message, loan) => {
                message.give_back();
                drop(loan);
            }
            // What has no destructor is given back to its handle so.
            Held::FromQueue(..) | Held::Kept(_) | Held::Copied(..) | Held::Gone => {}
        }
        Ok(())
    }

    /// Acknowledges the message and keeps it, so that its receiver can go on; returns it. Nothing is copied of one that lies in a slab,
    /// which its sender can use again when this is released or dropped.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:", slabs=[(1 << 20, 4)])
    /// >>> sender, receiver = ring.sender(), ring.receiver()
    /// >>> for text in (b"one", b"two"):
    /// ...     sender.send(text * 50_000)
    /// >>> first, second = (receiver.recv_view().detach() for _ in range(2))
    /// >>> bytes(memoryview(second)[:3]), first.is_copy
    /// (b'two', False)
    fn detach(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        let this = slf.get();
        let kept = match this.take(py, "delete those, or release them, and detach it then")? {
            Held::InRing(message, loan) => {
                let kept = message.detach();
                drop(loan);
                Held::Kept(kept.map_err(|error| errors::of_recv(py, error))?)
            }
            Held::FromQueue(message, loan) => {
                let copy = Held::Copied(message.to_vec(), message.deliveries());
                message.release();
                drop(loan);
                copy
            }
            kept => kept,
        };
        this.inner().held = kept;
        Ok(slf)
    }

    /// A copy of the whole message.
    fn tobytes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        let view = crate::buffer::Bytes::of(slf.as_any())?;
        Ok(PyBytes::new(slf.py(), view.as_slice()))
    }

    fn __bytes__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        Self::tobytes(slf)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.ask(py, |held| held.memory().map(|(_, len)| len))
    }

    /// What tells the message from all others that ever come through its ring; it has it again when it comes again. None in a queue.
    #[getter]
    fn number(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.ask(py, |held| match held {
            Held::InRing(message, _) => Some(Some(message.number())),
            Held::Kept(message) => Some(Some(message.number())),
            Held::FromQueue(..) | Held::Copied(..) => Some(None),
            Held::Gone => None,
        })
    }

    /// How often the message was delivered, with this time: 1 the first time. It counts up to 15.
    #[getter]
    fn deliveries(&self, py: Python<'_>) -> PyResult<u32> {
        self.ask(py, |held| match held {
            Held::InRing(message, _) => Some(message.deliveries()),
            Held::Kept(message) => Some(message.deliveries()),
            Held::FromQueue(message, _) => Some(message.deliveries()),
            Held::Copied(_, deliveries) => Some(*deliveries),
            Held::Gone => None,
        })
    }

    /// Whether the message was delivered before, and not acknowledged.
    #[getter]
    fn redelivered(&self, py: Python<'_>) -> PyResult<bool> {
        self.deliveries(py).map(|deliveries| deliveries > 1)
    }

    /// Whether it lies in memory of this process's own: one that was detached and did not lie in a slab, or came from a queue.
    #[getter]
    fn is_copy(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, |held| match held {
            Held::InRing(..) => Some(false),
            Held::Kept(message) => Some(message.is_copy()),
            Held::FromQueue(..) | Held::Copied(..) => Some(true),
            Held::Gone => None,
        })
    }

    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        this.check_fork(slf.py())?;
        let memory = this.lend_memory();
        let (pointer, len) = memory.ok_or_else(|| errors::message_gone(slf.py(), "message"))?;
        // SAFETY: the view is what was given to this function. The memory is the message's, which is not given up while there are views.
        unsafe { export(slf.as_any(), view, flags, pointer.cast_mut(), len, true) }
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
        self.check_fork(py)?;
        if matches!(self.inner().held, Held::Gone) {
            // The block has released it or given it back.
            return Ok(());
        }
        match exception_type.is_none() {
            true => {
                released?;
                self.acknowledge(py, AT_THE_END)
            }
            // The exception is what is told of. What still has a view, comes again when that is gone.
            false => {
                let _ = self.give_back(py);
                Ok(())
            }
        }
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "message in place"))
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
