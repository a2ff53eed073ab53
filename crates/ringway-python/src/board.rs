//! Boards: entries with names, and of each the latest value.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ringway::board::Builder;

use crate::address::Address;
use crate::entry::{Reader, Watcher, Writer};
use crate::errors;
use crate::inspect::Stat;
use crate::options;
use crate::ring::{credentials, unix_stream};

/// A board that this process has open: entries with names, and of each the latest value. One process at a time writes an entry, and waits for
/// nobody; any number read it, whole, or wait until there is a newer one. A writer that is killed, at whatever instruction, leaves the last
/// value, and another takes the entry over at once.
///
/// It comes from `ringway.create_board`, `open_board` and `open_or_create_board`. Closing it removes nothing (`ringway.remove` does), and its handles
/// go on. Threads may share it.
///
/// >>> import ringway
/// >>> board = ringway.create_board("memfd:")
/// >>> speed, gauge = board.writer("speed"), board.reader("speed")
/// >>> speed.set(b"50"), speed.set(b"60")
/// (1, 2)
/// >>> gauge.get()
/// b'60'
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Board {
    board: Mutex<Option<ringway::Board>>,
    address: ringway::Address,
}

fn builder(address: ringway::Address, options: Option<&Bound<'_, PyDict>>) -> PyResult<Builder> {
    options::apply(
        options,
        "BoardOptions",
        Builder::at(address),
        |board, name, value| {
            Ok(Some(match name {
                "entries" => board.entries(value.extract()?),
                "writers" => board.writers(value.extract()?),
                "value_len" => board.value_len(value.extract()?),
                "keys" => board.keys(value.extract::<Vec<String>>()?),
                "mode" => board.mode(value.extract()?),
                "persistent" => board.persistent(value.extract()?),
                "prefault" => board.prefault(value.extract()?),
                "lock_memory" => board.lock_memory(value.extract()?),
                "any_owner" => board.any_owner(value.extract()?),
                "wait" => board.wait(options::time(value)?),
                _ => return Ok(None),
            }))
        },
    )
}

/// Makes or finds the board at `address`: what `ringway.create_board`, `open_board` and `open_or_create_board` call.
#[pyfunction]
#[pyo3(signature = (how, address, options=None))]
pub(crate) fn connect_board(
    py: Python<'_>,
    how: &str,
    address: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Board> {
    let builder = builder(Address::of(address)?, options)?;
    let made = py.detach(|| match how {
        "create" => builder.create(),
        "open" => builder.open(),
        _ => builder.open_or_create(),
    });
    made.map(Board::new)
        .map_err(|error| errors::of_setup(py, &error))
}

/// Receives a `memfd:` board that the process at the other end of a connected Unix socket hands over (`Board.hand_over`), and tells that
/// one's process id, user and group. The socket must block, so it has no timeout.
#[pyfunction]
#[pyo3(signature = (socket, **options))]
pub(crate) fn take_over_board(
    py: Python<'_>,
    socket: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<(Board, (i32, u32, u32))> {
    let socket = unix_stream(socket)?;
    let builder = builder(ringway::Address::Memfd, options)?;
    let taken = py.detach(|| builder.take_over(&socket));
    let (board, peer) = taken.map_err(|error| errors::of_setup(py, &error))?;
    Ok((Board::new(board), credentials(peer)))
}

impl Board {
    fn new(board: ringway::Board) -> Self {
        Self {
            address: board.address().clone(),
            board: Mutex::new(Some(board)),
        }
    }

    /// What is there, outside of the lock.
    fn board(&self, py: Python<'_>) -> PyResult<ringway::Board> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let board = board.clone();
        board.ok_or_else(|| errors::handle_closed(py, "board"))
    }
}

#[pymethods]
impl Board {
    /// Where it is: what another process opens.
    #[getter]
    fn address(&self) -> Address {
        Address(self.address.clone())
    }

    /// Whether this made it, and did not find it.
    #[getter]
    fn is_new(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.board(py)?.is_new())
    }

    /// How many entries it can have.
    #[getter]
    fn entries(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.board(py)?.entries())
    }

    /// How many processes may write to it at once.
    #[getter]
    fn writers(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.board(py)?.writers())
    }

    /// Bytes of the longest value.
    #[getter]
    fn max_value_len(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.board(py)?.max_value_len())
    }

    /// The keys of all entries, in the order in which they were added.
    ///
    /// >>> import ringway
    /// >>> ringway.create_board("memfd:", keys=["speed", "level"]).keys()
    /// ['speed', 'level']
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let keys = self.board(py)?.keys();
        keys.map_err(|error| errors::of_setup(py, &error))
    }

    /// Takes the role of the entry with that key, which is added if it is not there yet. `ringway.RoleTaken` says that a live process writes it.
    fn writer(&self, py: Python<'_>, key: &str) -> PyResult<Writer> {
        let writer = self.board(py)?.writer(key);
        let writer = writer.map_err(|error| errors::of_setup(py, &error))?;
        Writer::new(py, writer, key)
    }

    /// A reader of the entry with that key, which may be added later. `wait` is as in `Ring.sender`.
    #[pyo3(signature = (key, *, wait=None))]
    fn reader(
        &self,
        py: Python<'_>,
        key: &str,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Reader> {
        let wait = wait.map(options::strategy).transpose()?.unwrap_or_default();
        let reader = self.board(py)?.reader(key);
        let reader = reader.map_err(|error| errors::of_setup(py, &error))?;
        Reader::new(py, reader.with_wait(wait), key)
    }

    /// A reader of whatever changes. `wait` is as in `Ring.sender`.
    #[pyo3(signature = (*, wait=None))]
    fn watch(&self, py: Python<'_>, wait: Option<&Bound<'_, PyAny>>) -> PyResult<Watcher> {
        let wait = wait.map(options::strategy).transpose()?.unwrap_or_default();
        let watcher = self.board(py)?.watch();
        let watcher = watcher.map_err(|error| errors::of_setup(py, &error))?;
        Watcher::new(py, watcher.with_wait(wait))
    }

    /// The board as an observer sees it; its `entries` say who writes what.
    fn stat(&self, py: Python<'_>) -> PyResult<Stat> {
        Stat::of_ring(py, &self.board(py)?.stat())
    }

    /// Whether its name is gone: it works on for all who have it open, and nobody else finds it. Asks the kernel.
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        let removed = self.board(py)?.is_removed();
        removed.map_err(|error| errors::of_setup(py, &error))
    }

    /// Hands a `memfd:` board to the process at the other end of a connected Unix socket, which calls `ringway.take_over_board`, and tells that
    /// one's process id, user and group.
    fn hand_over(&self, py: Python<'_>, socket: &Bound<'_, PyAny>) -> PyResult<(i32, u32, u32)> {
        let socket = unix_stream(socket)?;
        let board = self.board(py)?;
        let handed = py.detach(|| board.hand_over(&socket));
        handed
            .map(credentials)
            .map_err(|error| errors::of_setup(py, &error))
    }

    /// Gives up this object's part of it. Handles go on; nothing is removed.
    fn close(&self) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = board.take();
        drop((board, gone));
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Board {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "board"))
    }
}
