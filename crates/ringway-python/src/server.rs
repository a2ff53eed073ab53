//! Serving calls.

use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ringway::service::{Failure, Serve, ServeError};

use crate::address::Address;
use crate::buffer::with_bytes;
use crate::turn::{InUse, Turn};
use crate::waiting::{Later, Timeout, moment, wait};
use crate::{errors, options};

/// A server, and its request that has no end yet.
pub(crate) struct Serving {
    /// Borrows the server, and so goes before it. Nobody has it any more if its token is gone.
    held: Option<(ringway::service::Request<'static>, Weak<Token>)>,
    /// From a box, which this owns.
    server: NonNull<ringway::service::Server>,
}

/// What tells a request from all others.
struct Token;

// SAFETY: it owns the server, which may go to another thread, as may the request that borrows it.
unsafe impl Send for Serving {}

impl Serving {
    fn new(server: ringway::service::Server) -> Self {
        Self {
            held: None,
            server: NonNull::from(Box::leak(Box::new(server))),
        }
    }

    /// The server, when no request borrows it.
    fn server(&mut self) -> &'static mut ringway::service::Server {
        debug_assert!(self.held.is_none(), "callers have looked");
        // SAFETY: this owns it, and nothing else borrows it; what is made of it is kept in this, or goes before the call returns.
        unsafe { &mut *self.server.as_ptr() }
    }

    /// The request that has this token, if it has no end yet.
    fn request(&mut self, token: &Arc<Token>) -> Option<&mut ringway::service::Request<'static>> {
        let (request, of) = self.held.as_mut()?;
        std::ptr::eq(of.as_ptr(), Arc::as_ptr(token)).then_some(request)
    }

    fn take(&mut self, token: &Arc<Token>) -> Option<ringway::service::Request<'static>> {
        self.request(token)?;
        self.held.take().map(|(request, _)| request)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.held = None;
        // SAFETY: from a box, which nothing borrows any more.
        drop(unsafe { Box::from_raw(self.server.as_ptr()) });
    }
}

/// Serves the calls of a service, one at a time: `next` gives a request, of which one end must be told before the next one. From `ringway.serve`.
///
/// Threads that serve side by side have one each (`another`), and so may other processes; each request goes to one that is free. If the process dies,
/// the caller of its request is told (`ringway.ServerDied`), or another server gets it: as the caller wishes.
///
/// >>> import os, ringway, threading
/// >>> server = ringway.serve(f"shm:ringway-doc-server-{os.getpid()}")
/// >>> def work():
/// ...     with server.next() as request:
/// ...         request.answer(request.body.upper())
/// ...     server.finish()
/// >>> thread = threading.Thread(target=work)
/// >>> thread.start()
/// >>> with ringway.connect(server.address) as client:
/// ...     client.call(b"hello")
/// b'HELLO'
/// >>> thread.join()
/// >>> ringway.remove(server.address, force=True)
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Server {
    turn: Arc<Turn<Serving>>,
    address: ringway::Address,
}

/// Serves at `address`: what `ringway.serve` calls.
#[pyfunction]
#[pyo3(signature = (address, options=None))]
pub(crate) fn start_server(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Server> {
    let default = Serve::at(Address::of(address)?);
    let serve = options::apply(options, "ServeOptions", default, |serve, name, value| {
        Ok(Some(match name {
            "clients" => serve.clients(value.extract()?),
            "part_len" => serve.part_len(value.extract()?),
            "mode" => serve.mode(value.extract()?),
            "persistent" => serve.persistent(value.extract()?),
            "any_owner" => serve.any_owner(value.extract()?),
            "max_request" => serve.max_request(value.extract()?),
            "patience" => serve.patience(options::time(value)?),
            "spin" => serve.with_wait(options::strategy(value)?),
            _ => return Ok(None),
        }))
    })?;
    let started = py.detach(|| serve.start());
    let started = started.map_err(|error| errors::of_setup(py, &error))?;
    Server::new(py, started)
}

fn told<T>(py: Python<'_>, answer: Result<T, ServeError>) -> PyResult<T> {
    answer.map_err(|error| errors::of_serve(py, &error))
}

impl Server {
    fn new(py: Python<'_>, mut server: ringway::service::Server) -> PyResult<Self> {
        let interrupter = server.interrupter();
        Ok(Self {
            address: server.address().clone(),
            turn: Turn::new(py, Serving::new(server), Some(interrupter), "server")?,
        })
    }

    /// The server, which has no request.
    fn idle<'a>(&'a self, py: Python<'_>, timeout: Timeout) -> PyResult<InUse<'a, Serving>> {
        let mut turn = self.turn.enter(py, timeout)?;
        if let Some((_, token)) = &turn.held {
            if token.strong_count() > 0 {
                return Err(errors::still_held(py, "server"));
            }
            // Nobody has it, who could answer it.
            turn.held = None;
        }
        Ok(turn)
    }

    /// Keeps a request for who has asked for it.
    fn keep(
        &self,
        py: Python<'_>,
        turn: &mut InUse<'_, Serving>,
        found: ringway::service::Request<'static>,
    ) -> Request {
        let token = Arc::new(Token);
        let request = Request {
            body: PyBytes::new(py, found.body()).unbind(),
            deadline: found.deadline(),
            repeated: found.is_repeated(),
            turn: Arc::clone(&self.turn),
            token: Arc::clone(&token),
        };
        turn.held = Some((found, Arc::downgrade(&token)));
        request
    }
}

#[pymethods]
impl Server {
    /// Where the service is: what clients connect to.
    #[getter]
    fn address(&self) -> Address {
        Address(self.address.clone())
    }

    /// For how many client handles there is room.
    #[getter]
    fn clients(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.idle(py, Timeout::NEVER)?.server().clients())
    }

    /// One more server of this process, for another thread.
    fn another(&self, py: Python<'_>) -> PyResult<Self> {
        let another = self.idle(py, Timeout::NEVER)?.server().another();
        let another = another.map_err(|error| errors::of_setup(py, &error))?;
        Self::new(py, another)
    }

    /// The next request, waiting for it for at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Request> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.idle(py, timeout)?;
        let found = wait(
            py,
            &mut turn,
            timeout,
            |serving, until| serving.server().next_deadline(until),
            |serving, context| Some(serving.server().poll_next(context)),
        )?;
        Ok(self.keep(py, &mut turn, found))
    }

    /// The next request, if one is there; else None.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Request>> {
        let mut turn = self.idle(py, Timeout::NEVER)?;
        let found = told(py, turn.server().try_next())?;
        Ok(found.map(|found| self.keep(py, &mut turn, found)))
    }

    /// Serves one request after the other, until something ends it: calls `work` with the bytes of each, and answers what that returns. If it raises
    /// `ringway.Failed`, the caller gets that; what else it raises ends this, and the caller is told that its request was let go.
    fn run(&self, py: Python<'_>, work: &Bound<'_, PyAny>) -> PyResult<()> {
        loop {
            let request = self.next(py, None)?;
            let answered = match work.call1((request.body.bind(py),)) {
                Ok(answer) => request.answer(py, &answer),
                Err(error) => match errors::failure_of(py, &error)? {
                    Some((status, message)) => request.end_with(py, |request| {
                        request.fail(&Failure::new(message).with_status(status))
                    }),
                    None => {
                        request.let_go(py)?;
                        return Err(error);
                    }
                },
            };
            match answered {
                Err(error) if errors::is_cancelled(py, &error)? => {}
                answered => answered?,
            }
        }
    }

    /// Waits until callers have taken what is on its way to them, have left, or died, for at most `timeout` seconds. Says whether all is taken. New requests
    /// are left to other servers.
    #[pyo3(signature = (timeout=None))]
    fn finish(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.idle(py, timeout)?;
        let finished = wait(
            py,
            &mut turn,
            timeout,
            |serving, until| {
                let patience = until.map(|until| until.saturating_duration_since(Instant::now()));
                match serving
                    .server()
                    .finish(patience.unwrap_or(std::time::Duration::MAX))?
                {
                    true => Ok(()),
                    false => Err(ServeError::TimedOut),
                }
            },
            |serving, context| Some(serving.server().poll_finish(context)),
        );
        match finished {
            Err(error) if errors::is_timed_out(py, &error)? => Ok(false),
            finished => finished.map(|()| true),
        }
    }

    /// A descriptor as `Receiver.fileno`. It becomes readable after `arm`, of this or of its request.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        let descriptor = match &mut turn.held {
            Some((request, _)) => request
                .descriptor()
                .map(|descriptor| descriptor.as_raw_fd()),
            None => turn
                .server()
                .descriptor()
                .map(|descriptor| descriptor.as_raw_fd()),
        };
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// What can be done of `finish` without waiting. Says whether all is taken.
    fn try_finish(&self, py: Python<'_>) -> PyResult<bool> {
        let mut turn = self.idle(py, Timeout::NEVER)?;
        told(py, turn.server().try_finish())
    }

    /// Has the descriptor become readable when `try_next` is worth calling, or, `finishing`, `try_finish`, and returns True; or returns False, as it is now. It
    /// has to be heeded also while answers are on their way to callers.
    #[pyo3(signature = (*, finishing=false))]
    fn arm(&self, py: Python<'_>, finishing: bool) -> PyResult<bool> {
        let mut turn = self.idle(py, Timeout::NEVER)?;
        let server = turn.server();
        told(
            py,
            match finishing {
                true => server.arm_to_finish(),
                false => server.arm(),
            },
        )
    }

    /// Takes `arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        match &mut turn.held {
            Some((request, _)) => request.disarm(),
            None => turn.server().disarm(),
        }
        Ok(())
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Leaves. A request without an end is let go. A call that another thread is in ends with `ringway.HandleClosed`. Done again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Request> {
        self.next(py, None)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Server {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "server"))
    }
}

/// A request of one caller, from `Server.next`: it has one end, which is `answer`, `end`, `fail` or `let_go`. If it goes without one, or its `with` block
/// does, it is let go.
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Request {
    body: Py<PyBytes>,
    deadline: Option<Instant>,
    repeated: bool,
    turn: Arc<Turn<Serving>>,
    token: Arc<Token>,
}

impl Request {
    /// Does with the request what ends it.
    fn end_with(
        &self,
        py: Python<'_>,
        end: impl FnOnce(ringway::service::Request<'static>) -> Result<(), ServeError>,
    ) -> PyResult<()> {
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        let request = turn.take(&self.token);
        let request = request.ok_or_else(|| errors::message_gone(py, "request"))?;
        told(py, end(request))
    }

    /// Does something with it.
    fn with<T>(
        &self,
        py: Python<'_>,
        with: impl FnOnce(&mut ringway::service::Request<'static>) -> T,
    ) -> PyResult<T> {
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        let request = turn.request(&self.token);
        let request = request.ok_or_else(|| errors::message_gone(py, "request"))?;
        Ok(with(request))
    }
}

/// What a call that comes back at its moment says.
fn later<T>(said: Poll<Result<T, ServeError>>) -> Result<T, Later<ServeError>> {
    match said {
        Poll::Ready(said) => said.map_err(Later::Failed),
        Poll::Pending => Err(Later::NotYet),
    }
}

/// Of a request that another thread has ended meanwhile.
const ENDED: Later<ServeError> = Later::Failed(ServeError::Cancelled);

#[pymethods]
impl Request {
    /// What the caller sent.
    #[getter]
    fn body(&self, py: Python<'_>) -> Py<PyBytes> {
        self.body.clone_ref(py)
    }

    /// For how many seconds the caller waits yet; None is for ever.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map(|deadline| left(deadline).as_secs_f64())
    }

    /// Whether another server, or this one, may have begun with it before, and has died or let it go.
    #[getter]
    fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Whether the caller has left, died, or waits no longer, so that nobody wants the answer.
    fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, ringway::service::Request::is_cancelled)
    }

    /// Sends one part of the answer. The caller is at most two parts behind: this waits until that one has what was sent before.
    fn send(&self, py: Python<'_>, part: &Bound<'_, PyAny>) -> PyResult<()> {
        let part = with_bytes(part, <[u8]>::to_vec)?;
        let mut turn = self.turn.enter(py, Timeout::NEVER)?;
        if turn.request(&self.token).is_none() {
            return Err(errors::message_gone(py, "request"));
        }
        let (token, part) = (&self.token, &part[..]);
        wait(
            py,
            &mut turn,
            Timeout::NEVER,
            |serving, until| {
                let request = serving.request(token).ok_or(ENDED)?;
                later(request.send_until(part, moment(until)))
            },
            |serving, context| {
                let polled = serving.request(token)?.poll_send(context, part);
                Some(polled.map_err(Later::Failed))
            },
        )?;
        // It is sent: if a signal ends the rest of this, that goes with the next call.
        wait(
            py,
            &mut turn,
            Timeout::NEVER,
            |serving, until| {
                let request = serving.request(token).ok_or(ENDED)?;
                later(request.flush_until(moment(until)))
            },
            |serving, context| {
                let polled = serving.request(token)?.poll_flush(context);
                Some(polled.map_err(Later::Failed))
            },
        )
    }

    /// Sends one part of the answer if the caller has taken what was sent before, and says whether it has. Of a part that is longer than the service's
    /// `part_len` the rest goes with the calls that follow.
    fn try_send(&self, py: Python<'_>, part: &Bound<'_, PyAny>) -> PyResult<bool> {
        let now = Instant::now();
        let said = with_bytes(part, |part| {
            self.with(py, |request| request.send_until(part, now))
        })??;
        match said {
            Poll::Ready(said) => told(py, said).map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Goes on with the part that was sent last, and says whether all of it is on its way.
    fn try_flush(&self, py: Python<'_>) -> PyResult<bool> {
        let now = Instant::now();
        match self.with(py, |request| request.flush_until(now))? {
            Poll::Ready(said) => told(py, said).map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Ends the answer after the parts that were sent. It waits for nobody: what the caller has not taken yet, it gets while the server gets other requests, or
    /// by `Server.finish`.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.end_with(py, ringway::service::Request::end)
    }

    /// Sends an answer of one part, or the last part of one, and ends it, as `end` does.
    fn answer(&self, py: Python<'_>, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(answer, |answer| {
            self.end_with(py, |request| request.answer(answer))
        })?
    }

    /// Ends it with an error: the caller gets `ringway.Failed` with this message, a text or bytes, and this status.
    #[pyo3(signature = (message, status=1))]
    fn fail(&self, py: Python<'_>, message: &Bound<'_, PyAny>, status: i32) -> PyResult<()> {
        let message = match message.extract::<String>() {
            Ok(text) => text.into_bytes(),
            Err(_) => with_bytes(message, <[u8]>::to_vec)?,
        };
        let failure = Failure::new(message).with_status(status);
        self.end_with(py, |request| request.fail(&failure))
    }

    /// Ends it without an answer: its caller is told (`ringway.LetGo`), or another server gets it, as the caller wishes. Of one that has its end it does nothing.
    fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        if !self.turn.has_ended() && !self.turn.is_forked() {
            let mut turn = self.turn.enter(py, Timeout::NEVER)?;
            drop(turn.take(&self.token));
        }
        Ok(())
    }

    /// Has the server's descriptor become readable when `try_send` is worth calling again, and returns True; or returns False, as it is now.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        let armed = self.with(py, ringway::service::Request::arm)?;
        told(py, armed)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.let_go(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "<ringway.Request of {} bytes>",
            self.body.bind(py).as_bytes().len()
        )
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "request"))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // If a call is in the server, the next one sees that nobody has this.
        if !self.turn.is_forked()
            && let Some(mut turn) = self.turn.enter_if_free()
        {
            drop(turn.take(&self.token));
        }
    }
}
