//! The handles of a board's entries: who writes one, who reads one, and who reads whatever changes.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ringway::board::{self, GetError, Value};

use crate::buffer::with_bytes;
use crate::errors;
use crate::turn::{InUse, Turn};
use crate::waiting::{Timeout, wait};

fn bytes<'py>(py: Python<'py>, value: &Value) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value)
}

/// The writer of one entry of a board: it alone sets its value. From `Board.writer`. Closing it, or the end of a `with` block, gives the role up,
/// and the value stays. When its process dies, another may take the role over at once.
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Writer {
    turn: Arc<Turn<board::Writer>>,
    key: String,
}

impl Writer {
    pub(crate) fn new(py: Python<'_>, writer: board::Writer, key: &str) -> PyResult<Self> {
        Ok(Self {
            turn: Turn::new(py, writer, None, "writer")?,
            key: key.to_owned(),
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, board::Writer>> {
        self.turn.enter(py, Timeout::NEVER)
    }
}

#[pymethods]
impl Writer {
    /// Publishes a value, bytes or whatever has contiguous memory, and returns its number: the first one that the entry ever had is 1. It waits for
    /// nobody.
    fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let mut turn = self.enter(py)?;
        let set = with_bytes(value, |bytes| turn.set(bytes))?;
        set.map_err(|error| errors::of_set(py, error))
    }

    /// The key of the entry.
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// The number of the value that is there; 0 before the first.
    #[getter]
    fn number(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.enter(py)?.number())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Gives the role up. Done again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Writer of {:?}>", self.key)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "writer"))
    }
}

/// Reads one entry of a board; from `Board.reader`. It holds no place, and nobody waits for it.
///
/// >>> import ringway
/// >>> board = ringway.create_board("memfd:")
/// >>> gauge = board.reader("speed")
/// >>> gauge.get() is None
/// True
/// >>> board.writer("speed").set(b"50")
/// 1
/// >>> gauge.newer(timeout=1), gauge.try_newer(), gauge.get(), gauge.number
/// (b'50', None, b'50', 1)
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Reader {
    turn: Arc<Turn<board::Reader>>,
    key: String,
}

impl Reader {
    pub(crate) fn new(py: Python<'_>, mut reader: board::Reader, key: &str) -> PyResult<Self> {
        let interrupter = reader.interrupter();
        Ok(Self {
            turn: Turn::new(py, reader, Some(interrupter), "reader")?,
            key: key.to_owned(),
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, board::Reader>> {
        self.turn.enter(py, Timeout::NEVER)
    }
}

fn told<T>(py: Python<'_>, answer: Result<T, GetError>) -> PyResult<T> {
    answer.map_err(|error| errors::of_get(py, error))
}

#[pymethods]
impl Reader {
    /// The latest value, whether it was read before or not; None if there is none yet. It waits for nobody.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let value = told(py, self.enter(py)?.get())?;
        Ok(value.map(|value| bytes(py, &value)))
    }

    /// The latest value if it is newer than the last one that this reader has read; else None.
    fn try_newer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let value = told(py, self.enter(py)?.get_if_newer())?;
        Ok(value.map(|value| bytes(py, &value)))
    }

    /// Waits for a value that is newer than the last one that this reader has read: of several that came meanwhile, it is the latest.
    /// `ringway.PeerDied` tells, once, that the writer died.
    #[pyo3(signature = (timeout=None))]
    fn newer<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyBytes>> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        if let Some(value) = told(py, turn.get_if_newer())? {
            return Ok(bytes(py, &value));
        }
        let value = wait(
            py,
            &mut turn,
            timeout,
            |reader, until| reader.wait_newer_deadline(until),
            |reader, context| Some(reader.poll_newer(context)),
        )?;
        Ok(bytes(py, &value))
    }

    /// The key of the entry.
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// The number of the last value that this reader has read; 0 before the first.
    #[getter]
    fn number(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.enter(py)?.seen())
    }

    /// What is known of the writer: "alive", "absent" or "died".
    #[getter]
    fn peer(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match self.enter(py)?.writer_lives() {
            None => "absent",
            Some(true) => "alive",
            Some(false) => "died",
        })
    }

    /// A descriptor as `Receiver.fileno`. It becomes readable after `arm`.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut turn = self.enter(py)?;
        let descriptor = turn.descriptor().map(|descriptor| descriptor.as_raw_fd());
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// Has the descriptor become readable when there may be a newer value, and returns True; or returns False, as there is one now.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        told(py, self.enter(py)?.arm())
    }

    /// Takes `arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        self.enter(py)?.disarm();
        Ok(())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Ends it. A call that another thread is in ends with `ringway.HandleClosed`. Done again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Reader of {:?}>", self.key)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "reader"))
    }
}

/// Reads whatever changes on a board: of each entry the latest value, and again when there is a newer one. From `Board.watch`.
///
/// >>> import ringway
/// >>> board = ringway.create_board("memfd:")
/// >>> watcher = board.watch()
/// >>> board.writer("speed").set(b"50")
/// 1
/// >>> watcher.newer(timeout=1), watcher.try_newer()
/// (('speed', b'50'), None)
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Watcher {
    turn: Arc<Turn<board::Watcher>>,
}

impl Watcher {
    pub(crate) fn new(py: Python<'_>, mut watcher: board::Watcher) -> PyResult<Self> {
        let interrupter = watcher.interrupter();
        Ok(Self {
            turn: Turn::new(py, watcher, Some(interrupter), "watcher")?,
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, board::Watcher>> {
        self.turn.enter(py, Timeout::NEVER)
    }
}

type Changed<'py> = (String, Bound<'py, PyBytes>);

#[pymethods]
impl Watcher {
    /// A value that this watcher has not read yet, behind the key of its entry; None if there is none.
    fn try_newer<'py>(&self, py: Python<'py>) -> PyResult<Option<Changed<'py>>> {
        let found = told(py, self.enter(py)?.next())?;
        Ok(found.map(|(key, value)| (key, bytes(py, &value))))
    }

    /// Waits for one. No death ends it.
    #[pyo3(signature = (timeout=None))]
    fn newer<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Changed<'py>> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        if let Some((key, value)) = told(py, turn.next())? {
            return Ok((key, bytes(py, &value)));
        }
        let (key, value) = wait(
            py,
            &mut turn,
            timeout,
            |watcher, until| watcher.wait_deadline(until),
            |watcher, context| Some(watcher.poll_wait(context)),
        )?;
        Ok((key, bytes(py, &value)))
    }

    /// A descriptor as `Receiver.fileno`. It becomes readable after `arm`.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut turn = self.enter(py)?;
        let descriptor = turn.descriptor().map(|descriptor| descriptor.as_raw_fd());
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// Has the descriptor become readable when there may be a value to read, and returns True; or returns False, as there is one now.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        told(py, self.enter(py)?.arm())
    }

    /// Takes `arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        self.enter(py)?.disarm();
        Ok(())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Ends it. A call that another thread is in ends with `ringway.HandleClosed`. Done again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Changed<'py>> {
        self.newer(py, None)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> &'static str {
        "<ringway.Watcher>"
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "watcher"))
    }
}
