//! Calling a service.

use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ringway::service::{CallError, Connect};

use crate::address::Address;
use crate::buffer::with_bytes;
use crate::turn::{InUse, Turn};
use crate::waiting::{Later, Timeout, moment, wait};
use crate::{errors, options};

/// A client, and its call that is not over.
pub(crate) struct Calling {
    /// Borrows the client, and so goes before it.
    call: Option<ringway::service::Answers<'static>>,
    /// Which call that is, or was.
    number: u64,
    /// From a box, which this owns.
    client: NonNull<ringway::service::Client>,
}

// SAFETY: it owns the client, which may go to another thread, as may the call that borrows it.
unsafe impl Send for Calling {}

impl Calling {
    fn new(client: ringway::service::Client) -> Self {
        Self {
            call: None,
            number: 0,
            client: NonNull::from(Box::leak(Box::new(client))),
        }
    }

    /// The client. A call that is not over is cancelled.
    fn client(&mut self) -> &'static mut ringway::service::Client {
        self.call = None;
        // SAFETY: this owns it, and nothing else borrows it; what is made of it is kept in this, or goes before the call returns.
        unsafe { &mut *self.client.as_ptr() }
    }

    fn begin(&mut self, request: Vec<u8>, deadline: Option<Instant>) -> Result<u64, CallError> {
        let begun = self.client().stream_deadline(request, deadline)?;
        self.call = Some(begun);
        self.number += 1;
        Ok(self.number)
    }

    /// The call with that number, if it is not over.
    fn call(&mut self, number: u64) -> Option<&mut ringway::service::Answers<'static>> {
        self.call.as_mut().filter(|_| self.number == number)
    }

    fn cancel(&mut self, number: u64) {
        if self.number == number {
            self.call = None;
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.call = None;
        // SAFETY: from a box, which nothing borrows any more.
        drop(unsafe { Box::from_raw(self.client.as_ptr()) });
    }
}

/// Calls a service, one call at a time. From `ringway.connect`. Threads that call side by side have one each (`another`). If the process dies, its place is
/// free at once, and its server is told.
///
/// `ringway.Failed` has what the server's work says when it fails, `ringway.ServerDied` tells that the server died with the request.
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Client {
    turn: Arc<Turn<Calling>>,
    address: ringway::Address,
}

/// Connects to the service at `address`: what `ringway.connect` calls.
#[pyfunction]
#[pyo3(signature = (address, options=None))]
pub(crate) fn connect_client(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Client> {
    let default = Connect::at(Address::of(address)?);
    let connect = options::apply(
        options,
        "ConnectOptions",
        default,
        |connect, name, value| {
            Ok(Some(match name {
                "at_least_once" => match value.extract()? {
                    true => connect.at_least_once(),
                    false => connect,
                },
                "attempts" => connect.attempts(value.extract()?),
                "timeout" => connect.timeout(options::time(value)?),
                "grace" => connect.grace(options::time(value)?),
                "max_answer" => connect.max_answer(value.extract()?),
                "any_owner" => connect.any_owner(value.extract()?),
                "wait" => connect.wait(options::time(value)?),
                "spin" => connect.with_wait(options::strategy(value)?),
                _ => return Ok(None),
            }))
        },
    )?;
    let made = py.detach(|| connect.open());
    let made = made.map_err(|error| errors::of_setup(py, &error))?;
    Client::new(py, made)
}

fn told<T>(py: Python<'_>, answer: Result<T, CallError>) -> PyResult<T> {
    answer.map_err(|error| errors::of_call(py, &error))
}

/// What a call that comes back at its moment says.
fn later<T>(said: Poll<Result<T, CallError>>) -> Result<T, Later<CallError>> {
    match said {
        Poll::Ready(said) => said.map_err(Later::Failed),
        Poll::Pending => Err(Later::NotYet),
    }
}

/// Of a call that is over.
const OVER: Later<CallError> = Later::Failed(CallError::LetGo);

impl Client {
    fn new(py: Python<'_>, mut client: ringway::service::Client) -> PyResult<Self> {
        let interrupter = client.interrupter();
        Ok(Self {
            address: client.address().clone(),
            turn: Turn::new(py, Calling::new(client), Some(interrupter), "client")?,
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, Calling>> {
        self.turn.enter(py, Timeout::NEVER)
    }

    fn begin<'a>(
        &'a self,
        py: Python<'_>,
        request: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<(InUse<'a, Calling>, u64)> {
        let request = with_bytes(request, <[u8]>::to_vec)?;
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let calling = &mut *turn;
        let deadline = timeout.deadline.or_else(|| calling.client().deadline());
        let begun = py.detach(|| calling.begin(request, deadline));
        let number = told(py, begun)?;
        Ok((turn, number))
    }
}

#[pymethods]
impl Client {
    /// Where the service is.
    #[getter]
    fn address(&self) -> Address {
        Address(self.address.clone())
    }

    /// How many servers are there now.
    #[getter]
    fn servers(&self, py: Python<'_>) -> PyResult<usize> {
        let mut turn = self.enter(py)?;
        Ok(turn.client().servers())
    }

    /// One more client, for another thread, which makes its calls as this one does.
    fn another(&self, py: Python<'_>) -> PyResult<Self> {
        let another = self.enter(py)?.client().another();
        let another = another.map_err(|error| errors::of_setup(py, &error))?;
        Self::new(py, another)
    }

    /// Sends a request, bytes or whatever has contiguous memory, to one of the servers, and returns its whole answer. The call is over in `timeout` seconds at the
    /// latest. One of `stream` that is not over is cancelled.
    #[pyo3(signature = (request, timeout=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (mut turn, number) = self.begin(py, request, timeout)?;
        let answer = wait(
            py,
            &mut turn,
            Timeout::NEVER,
            |calling, until| {
                let call = calling.call(number).ok_or(OVER)?;
                later(call.whole_until(moment(until)))
            },
            |calling, context| {
                let polled = calling.call(number)?.poll_whole(context);
                Some(polled.map_err(Later::Failed))
            },
        );
        // However it has ended: a signal ends it, too.
        turn.cancel(number);
        Ok(PyBytes::new(py, &answer?))
    }

    /// Sends a request, and returns its answer part by part: an iterator.
    ///
    /// >>> import os, ringway, threading
    /// >>> server = ringway.serve(f"shm:ringway-doc-stream-{os.getpid()}")
    /// >>> def work():
    /// ...     with server.next() as request:
    /// ...         for part in (b"one", b"two"):
    /// ...             request.send(part)
    /// ...         request.end()
    /// ...     server.finish()
    /// >>> thread = threading.Thread(target=work)
    /// >>> thread.start()
    /// >>> with ringway.connect(server.address) as client:
    /// ...     list(client.stream(b"count"))
    /// [b'one', b'two']
    /// >>> thread.join()
    /// >>> ringway.remove(server.address, force=True)
    #[pyo3(signature = (request, timeout=None))]
    fn stream(
        &self,
        py: Python<'_>,
        request: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Answers> {
        let (_turn, number) = self.begin(py, request, timeout)?;
        Ok(Answers {
            turn: Arc::clone(&self.turn),
            number,
        })
    }

    /// A descriptor as `Receiver.fileno`. It becomes readable after `Answers.arm`.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut turn = self.enter(py)?;
        let descriptor = match &mut turn.call {
            Some(call) => call.descriptor().map(|descriptor| descriptor.as_raw_fd()),
            None => turn
                .client()
                .descriptor()
                .map(|descriptor| descriptor.as_raw_fd()),
        };
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// Takes `Answers.arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(call) = &mut self.enter(py)?.call {
            call.disarm();
        }
        Ok(())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Leaves. A call that is not over is cancelled; one that another thread is in ends with `ringway.HandleClosed`. Done again, it does nothing.
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
        format!("<ringway.Client {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "client"))
    }
}

/// The answer to one call, part by part; from `Client.stream`. It is cancelled by `cancel`, if it goes, and by the next call of its client.
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Answers {
    turn: Arc<Turn<Calling>>,
    number: u64,
}

impl Answers {
    /// What `ask` says of the call, which is over if that is an end or a failure.
    fn ask<T>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut ringway::service::Answers<'static>) -> Poll<Result<Option<T>, CallError>>,
    ) -> PyResult<Option<T>> {
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        let call = turn.call(self.number);
        let call = call.ok_or_else(|| errors::message_gone(py, "answer"))?;
        match ask(call) {
            Poll::Pending => Err(errors::nothing_yet(py)),
            Poll::Ready(Ok(Some(part))) => Ok(Some(part)),
            Poll::Ready(ended) => {
                turn.cancel(self.number);
                told(py, ended)
            }
        }
    }
}

#[pymethods]
impl Answers {
    /// The next part if it has come; None at the end, and then the call is over. `ringway.Empty` says that nothing has come yet.
    fn try_next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let part = self.ask(py, |call| call.next_part_until(Instant::now()))?;
        Ok(part.map(|part| PyBytes::new(py, &part)))
    }

    /// The whole answer if it has come, and then the call is over. `ringway.Empty` says that it has not come yet.
    fn try_whole<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let whole = self.ask(py, |call| call.whole_until(Instant::now()).map_ok(Some))?;
        self.cancel(py)?;
        Ok(PyBytes::new(py, &whole.unwrap_or_default()))
    }

    /// Has the client's descriptor become readable when `try_next` is worth calling, and returns True; or returns False, as it is now. It may become
    /// readable for nothing, and has to be heeded: a call looks after itself a few times a second.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        let armed = self.ask(py, |call| Poll::Ready(call.arm().map(Some)))?;
        Ok(armed == Some(true))
    }

    /// Ends the call: its server is told that nobody waits. Done again, it does nothing.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        if !self.turn.has_ended() && !self.turn.is_forked() {
            self.turn.enter(py, Timeout::NEVER)?.cancel(self.number);
        }
        Ok(())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let number = self.number;
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        if turn.call(number).is_none() {
            // It is over; unless another one was begun, which is not what who iterates expects.
            return match turn.number == number {
                true => Ok(None),
                false => Err(errors::message_gone(py, "answer")),
            };
        }
        let part = wait(
            py,
            &mut turn,
            Timeout::NEVER,
            |calling, until| {
                let call = calling.call(number).ok_or(OVER)?;
                later(call.next_part_until(moment(until)))
            },
            |calling, context| {
                let polled = calling.call(number)?.poll_part(context);
                Some(polled.map_err(Later::Failed))
            },
        );
        if !matches!(part, Ok(Some(_))) {
            turn.cancel(number);
        }
        Ok(part?.map(|part| PyBytes::new(py, &part)))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.cancel(py)
    }

    fn __repr__(&self) -> &'static str {
        "<ringway.Answers>"
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "answer"))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // If a call is in the client, it is this one's successor, which has cancelled it.
        if !self.turn.is_forked()
            && let Some(mut turn) = self.turn.enter_if_free()
        {
            turn.cancel(self.number);
        }
    }
}
