//! Memory of other objects, through the buffer protocol.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The bytes of an object, which stay where they are while this lives.
pub(crate) struct Bytes<'py> {
    view: ffi::Py_buffer,
    _py: Python<'py>,
}

impl<'py> Bytes<'py> {
    /// To be read.
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_SIMPLE)
    }

    /// To be written.
    pub(crate) fn writable(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_SIMPLE | ffi::PyBUF_WRITABLE)
    }

    fn get(object: &Bound<'py, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = MaybeUninit::uninit();
        // SAFETY: the object lives, and the view is written if the call succeeds.
        let result = unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) };
        if result != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self {
            // SAFETY: the call has succeeded.
            view: unsafe { view.assume_init() },
            _py: object.py(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.view.len.cast_unsigned()
    }

    /// The bytes themselves. No other thread may write them meanwhile, which those of Python do not while this one is attached; so
    /// the slice must not be kept while it is detached. (Without a global lock, and in code that works without it, who writes to what it
    /// sends has a race of its own.)
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.view.len == 0 {
            return &[];
        }
        // SAFETY: `len` bytes from there are the object's, by the buffer protocol, until the view is released.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast(), self.len()) }
    }

    /// The same, to be written; from [`writable`](Self::writable).
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.view.len == 0 || self.view.readonly != 0 {
            return &mut [];
        }
        // SAFETY: as in `as_slice`; that it is not read-only, the object has said.
        unsafe { std::slice::from_raw_parts_mut(self.view.buf.cast(), self.len()) }
    }
}

impl Drop for Bytes<'_> {
    fn drop(&mut self) {
        // SAFETY: it was filled by PyObject_GetBuffer and is released once; this thread is attached, as `_py` says.
        unsafe { ffi::PyBuffer_Release(&mut self.view) };
    }
}

/// Calls `with` with the bytes of `object`, without asking for a buffer if they are `bytes`.
pub(crate) fn with_bytes<T>(
    object: &Bound<'_, PyAny>,
    with: impl FnOnce(&[u8]) -> T,
) -> PyResult<T> {
    match object.cast_exact::<PyBytes>() {
        Ok(bytes) => Ok(with(bytes.as_bytes())),
        Err(_) => Ok(with(Bytes::of(object)?.as_slice())),
    }
}

/// Fills in a view of `len` bytes at `pointer` for who asks `exporter` for one.
///
/// # Safety
/// `view` is what `__getbuffer__` was given. The bytes stay until `__releasebuffer__` is called for it.
pub(crate) unsafe fn export(
    exporter: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    pointer: *mut u8,
    len: usize,
    read_only: bool,
) -> PyResult<()> {
    let (object, len, read_only) = (exporter.as_ptr(), len.cast_signed(), c_int::from(read_only));
    // SAFETY: the caller vouches for the view and the bytes; the function takes a reference to the object, and refuses what the bytes are not.
    let result =
        unsafe { ffi::PyBuffer_FillInfo(view, object, pointer.cast(), len, read_only, flags) };
    match result {
        0 => Ok(()),
        _ => Err(PyErr::fetch(exporter.py())),
    }
}
