//! The receiving handle.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use ringway::mq::QueueReceiver;
use ringway::wait::WaitError;
use ringway::{Address, RecvError};

use crate::bell::Bell;
use crate::buffer::Bytes;
use crate::errors;
use crate::message::{Message, Received, into_bytes};
use crate::sender::{abandon, name_of};
use crate::turn::{InUse, Turn};
use crate::waiting::{Polled, Timeout, is_main_thread, wait};

/// From a ring or from a queue.
#[expect(clippy::large_enum_variant, reason = "one a handle, which is boxed")]
pub(crate) enum Receiving {
    Ring(ringway::Receiver),
    Queue(QueueReceiver),
}

impl Receiving {
    fn try_next(&'static mut self) -> Result<Received, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.try_recv_in_place().map(Received::InRing),
            Self::Queue(receiver) => receiver.try_recv_in_place().map(Received::FromQueue),
        }
    }

    fn next(&'static mut self, until: Option<Instant>) -> Result<Received, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_in_place_deadline(until).map(Received::InRing),
            Self::Queue(receiver) => receiver
                .recv_in_place_deadline(until)
                .map(Received::FromQueue),
        }
    }

    fn poll_next(&'static mut self, context: &mut Context<'_>) -> Polled<Received, RecvError> {
        self.poll(|receiver| {
            receiver
                .poll_recv_in_place(context)
                .map_ok(Received::InRing)
        })
    }

    /// What a ring's receiver says.
    fn poll<T>(
        &'static mut self,
        ask: impl FnOnce(&'static mut ringway::Receiver) -> Poll<Result<T, RecvError>>,
    ) -> Polled<T, RecvError> {
        match self {
            Self::Ring(receiver) => Some(ask(receiver)),
            Self::Queue(_) => None,
        }
    }
}

/// The side that messages come out of; from `Ring.receiver`. It is iterable, over messages as bytes, to the end of the stream.
///
/// A message is received when it is acknowledged, which `recv` and iteration do when they have copied it, and who has it in place
/// (`recv_view`) when it is released. If the process dies before that, the message comes again, here or to another receiver.
///
/// `ringway.Closed` says that the last sender has closed and all is received, `ringway.PeerDied` that it died. Both are no ends of the ring:
/// `wait_for_peer` waits for the next sender.
///
/// Times are seconds; None waits for ever. The interpreter runs other threads while a call waits, and Ctrl-C ends it. Threads may share a
/// receiver, and then take turns; those that have one each (where the ring's kind allows for several) do not wait for each other.
///
/// >>> import ringway
/// >>> ring = ringway.create("memfd:")
/// >>> sender, receiver = ring.sender(), ring.receiver()
/// >>> sender.send(b"one"); sender.send(b"two"); sender.close()
/// >>> for message in receiver:
/// ...     print(message)
/// b'one'
/// b'two'
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Receiver {
    turn: Arc<Turn<Receiving>>,
    address: Address,
}

impl Receiver {
    pub(crate) fn new(
        py: Python<'_>,
        mut receiving: Receiving,
        address: &Address,
    ) -> PyResult<Self> {
        let interrupter = match &mut receiving {
            Receiving::Ring(receiver) => Some(receiver.interrupter()),
            Receiving::Queue(_) => None,
        };
        Ok(Self {
            turn: Turn::new(py, receiving, interrupter, "receiver")?,
            address: address.clone(),
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, Receiving>> {
        self.turn.enter(py, Timeout::NEVER)
    }

    fn ask<T>(&self, py: Python<'_>, ask: impl FnOnce(&mut Receiving) -> T) -> PyResult<T> {
        Ok(ask(&mut *self.enter(py)?))
    }

    /// A number that only a ring's receiver has.
    fn ask_ring<T>(
        &self,
        py: Python<'_>,
        what: &str,
        ask: impl FnOnce(&mut ringway::Receiver) -> T,
    ) -> PyResult<T> {
        let answer = self.ask(py, |receiving| match receiving {
            Receiving::Ring(receiver) => Some(ask(receiver)),
            Receiving::Queue(_) => None,
        })?;
        answer.ok_or_else(|| errors::not_of_queues(py, what))
    }
}

/// The next message, waiting for it.
fn next(py: Python<'_>, turn: &mut InUse<'_, Receiving>, timeout: Timeout) -> PyResult<Received> {
    // Most often there is one, and the interpreter need not be let go.
    // SAFETY: the message is released, dropped or lent before the turn ends.
    match unsafe { turn.unbounded() }.try_next() {
        Err(RecvError::Empty) => wait(py, turn, timeout, Receiving::next, Receiving::poll_next),
        done => done.map_err(|error| errors::of_recv(py, error)),
    }
}

/// Waits until there is a message. Another receiver may be faster than who takes it then.
fn wait_for_message(
    py: Python<'_>,
    turn: &mut InUse<'_, Receiving>,
    timeout: Timeout,
) -> PyResult<()> {
    let attempt = |receiving: &'static mut Receiving, until| match receiving {
        Receiving::Ring(receiver) => receiver.wait_deadline(until),
        // It stays this receiver's next one.
        queue @ Receiving::Queue(_) => queue.next(until).map(drop),
    };
    wait(py, turn, timeout, attempt, |receiving, context| {
        receiving.poll(|receiver| receiver.poll_wait(context))
    })
}

fn try_next(py: Python<'_>, turn: &mut InUse<'_, Receiving>) -> PyResult<Received> {
    // SAFETY: as in `next`.
    unsafe { turn.unbounded() }
        .try_next()
        .map_err(|error| errors::of_recv(py, error))
}

/// Copies a message to the start of `buffer`, or leaves it.
fn copy_into(py: Python<'_>, received: Received, buffer: &mut Bytes<'_>) -> PyResult<usize> {
    let len = received.len();
    let Some(room) = buffer.as_mut_slice().get_mut(..len) else {
        return Err(errors::of_recv(py, RecvError::BufferTooSmall { len }));
    };
    received.read(room);
    received.release();
    Ok(len)
}

#[pymethods]
impl Receiver {
    /// Receives the next message as bytes, waiting for it for at most `timeout` seconds.
    ///
    /// >>> import ringway
    /// >>> receiver = ringway.create("memfd:").receiver()
    /// >>> receiver.recv(timeout=0.01)
    /// Traceback (most recent call last):
    /// ringway.TimedOut: no message came before the deadline: see whether its sender works (ringway stat), or wait longer
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyBytes>> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let received = next(py, &mut turn, timeout)?;
        into_bytes(py, received)
    }

    /// Receives the next message as bytes if there is one now, and else raises `ringway.Empty`.
    fn try_recv<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut turn = self.enter(py)?;
        let received = try_next(py, &mut turn)?;
        into_bytes(py, received)
    }

    /// Copies the next message to the start of `buffer`, a bytearray or an array of numpy, waiting for it, and returns its length. A
    /// message that is longer stays the next one, and that raises `ringway.BufferTooSmall`, whose `len` is its length.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send(b"hello")
    /// >>> buffer = bytearray(64)
    /// >>> size = ring.receiver().recv_into(buffer)
    /// >>> buffer[:size]
    /// bytearray(b'hello')
    #[pyo3(signature = (buffer, timeout=None))]
    fn recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let timeout = Timeout::of(timeout)?;
        let mut buffer = Bytes::writable(buffer)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let received = next(py, &mut turn, timeout)?;
        copy_into(py, received, &mut buffer)
    }

    /// The same with a message that is there now.
    fn try_recv_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut buffer = Bytes::writable(buffer)?;
        let mut turn = self.enter(py)?;
        let received = try_next(py, &mut turn)?;
        copy_into(py, received, &mut buffer)
    }

    /// Receives the next message where it lies, waiting for it: nothing is copied. `with` gives a read-only memoryview of it, and
    /// acknowledges it at the end of the block; see `Message`.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send(b"hello")
    /// >>> with ring.receiver().recv_view() as view:
    /// ...     view[0]
    /// 104
    #[pyo3(signature = (timeout=None))]
    fn recv_view(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Message> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let received = next(py, &mut turn, timeout)?;
        Message::new(py, received, turn.lend())
    }

    /// The same with a message that is there now.
    fn try_recv_view(&self, py: Python<'_>) -> PyResult<Message> {
        let mut turn = self.enter(py)?;
        let received = try_next(py, &mut turn)?;
        Message::new(py, received, turn.lend())
    }

    /// Waits for a message, and receives up to `most` that are there then, as a list of bytes. They are acknowledged together.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send_many([b"one", b"two", b"three"])
    /// 3
    /// >>> receiver = ring.receiver()
    /// >>> receiver.recv_many(2), receiver.recv_many(2)
    /// ([b'one', b'two'], [b'three'])
    #[pyo3(signature = (most, timeout=None))]
    fn recv_many<'py>(
        &self,
        py: Python<'py>,
        most: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let messages = PyList::empty(py);
        if most == 0 {
            return Ok(messages);
        }
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        loop {
            receive_all(py, &mut turn, most, &messages)?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            wait_for_message(py, &mut turn, timeout)?;
        }
    }

    /// Waits until there is a message, or the stream has come to its end, which raises as `recv` does.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        wait_for_message(py, &mut turn, timeout)
    }

    /// A descriptor for `select`, `poll`, `epoll` and loops that are made of them; of a ring. It is closed with the receiver, and must not be read. It becomes
    /// readable after `arm`.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let descriptor = self.ask_ring(py, "such descriptor", |receiver| {
            receiver
                .descriptor()
                .map(|descriptor| descriptor.as_raw_fd())
        })?;
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// Has the descriptor become readable when there may be a message, or none will come, and returns True; or returns False, as there is a message
    /// now. To be called when there was none. It may become readable for nothing. A call that waits takes it back.
    ///
    /// >>> import ringway, select
    /// >>> ring = ringway.create("memfd:")
    /// >>> sender, receiver = ring.sender(), ring.receiver()
    /// >>> receiver.arm(), select.select([receiver], [], [], 0)[0]
    /// (True, [])
    /// >>> sender.send(b"hello")
    /// >>> select.select([receiver], [], [])[0] == [receiver], receiver.arm(), receiver.try_recv()
    /// (True, False, b'hello')
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask_ring(py, "such descriptor", ringway::Receiver::arm)?
            .map_err(|error| errors::of_recv(py, error))
    }

    /// Takes `arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        self.ask_ring(py, "such descriptor", ringway::Receiver::disarm)
    }

    /// Waits until a sender is attached, or has been and left a message: to go on after `ringway.Closed` or `ringway.PeerDied`.
    #[pyo3(signature = (timeout=None))]
    fn wait_for_peer(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let attempt = |receiving: &'static mut Receiving, until| match receiving {
            Receiving::Ring(receiver) => receiver.wait_for_peer_deadline(until),
            Receiving::Queue(receiver) => receiver.wait_for_peer_deadline(until),
        };
        wait(py, &mut turn, timeout, attempt, |receiving, context| {
            receiving.poll(|receiver| receiver.poll_wait_for_peer(context))
        })
    }

    /// Waits until `count` senders have ever attached, be they gone again or not; of a ring.
    #[pyo3(signature = (count, timeout=None))]
    fn wait_for_senders(&self, py: Python<'_>, count: u64, timeout: Option<f64>) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        if let Receiving::Queue(_) = &*turn {
            return Err(errors::not_of_queues(py, "count of senders"));
        }
        let attempt = |receiving: &'static mut Receiving, until| match receiving {
            Receiving::Ring(receiver) => receiver.wait_for_producers_deadline(count, until),
            Receiving::Queue(_) => Ok(()),
        };
        wait(py, &mut turn, timeout, attempt, |receiving, context| {
            receiving.poll(|receiver| receiver.poll_wait_for_producers(context, count))
        })
    }

    /// How many senders ever attached; of a ring.
    #[getter]
    fn senders_ever(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask_ring(py, "count of senders", |receiver| receiver.producers_ever())
    }

    /// Whether the sender's attachment with that `Sender.id` still lives; of a ring.
    fn is_attached(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        self.ask_ring(py, "attachments", |receiver| receiver.is_attached(id))
    }

    /// Whether all that was committed before this call is received; of a ring. There may be no message to receive now, but some behind one
    /// that is still being written.
    fn is_drained(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask_ring(py, "such question", ringway::Receiver::is_drained)
    }

    /// Acknowledges the next message unread if it lies in a slab that this process cannot map (`ringway.Unmapped`), and returns whether that
    /// was so; of a ring.
    fn skip_unreadable(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask_ring(py, "slabs", ringway::Receiver::skip_unreadable)?
            .map_err(|error| errors::of_recv(py, error))
    }

    /// What is known of the senders: "alive", "absent", "closed" or "died".
    #[getter]
    fn peer(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.ask(py, |receiving| {
            name_of(match receiving {
                Receiving::Ring(receiver) => receiver.peer(),
                Receiving::Queue(receiver) => receiver.peer(),
            })
        })
    }

    /// Messages that the ring's receivers have ever received and released; of a queue, that this one has.
    #[getter]
    fn received(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |receiving| match receiving {
            Receiving::Ring(receiver) => receiver.received(),
            Receiving::Queue(receiver) => receiver.received(),
        })
    }

    /// Messages that were ever lost because senders overwrite the oldest, in a ring made for that.
    #[getter]
    fn lost(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |receiving| match receiving {
            Receiving::Ring(receiver) => receiver.lost(),
            Receiving::Queue(_) => 0,
        })
    }

    /// Where it receives from.
    #[getter]
    fn address(&self) -> crate::address::Address {
        crate::address::Address(self.address.clone())
    }

    /// Whether it has been closed, or has left.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Leaves, and refuses further messages if this is the last receiver: senders get `ringway.Closed`, until another one comes. Messages stay
    /// in the ring. A call that another thread is in ends with `ringway.HandleClosed`. Done again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, |receiving| match receiving {
            Receiving::Ring(receiver) => receiver.close(),
            Receiving::Queue(receiver) => receiver.close(),
        })
    }

    /// Leaves: the next receiver goes on with the next message, and senders wait for it. So does the end of a `with` block.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut turn = self.enter(py)?;
        // SAFETY: as in `next`.
        let received = match unsafe { turn.unbounded() }.try_next() {
            Err(RecvError::Closed) => return Ok(None),
            Err(RecvError::Empty) => {
                let or_end = |next: Result<Received, RecvError>| match next {
                    Err(RecvError::Closed) => Ok(None),
                    next => next.map(Some),
                };
                let next = |receiving: &'static mut Receiving, until| or_end(receiving.next(until));
                let poll = |receiving: &'static mut Receiving, context: &mut Context<'_>| {
                    let polled = receiving.poll_next(context);
                    polled.map(|polled| polled.map(or_end))
                };
                wait(py, &mut turn, Timeout::NEVER, next, poll)?
            }
            next => Some(next.map_err(|error| errors::of_recv(py, error))?),
        };
        received
            .map(|received| into_bytes(py, received))
            .transpose()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        _exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match exception_type.is_none() {
            true => self.turn.end(py, drop),
            false => self.turn.end(py, abandon),
        }
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Receiver from {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "receiver"))
    }
}

/// Adds up to `most` messages that are there now, and acknowledges those that were added.
fn receive_all<'py>(
    py: Python<'py>,
    turn: &mut InUse<'_, Receiving>,
    most: usize,
    messages: &Bound<'py, PyList>,
) -> PyResult<()> {
    match &mut **turn {
        Receiving::Queue(receiver) => {
            while messages.len() < most
                && let Ok(message) = receiver.try_recv()
            {
                messages.append(PyBytes::new(py, &message))?;
            }
        }
        Receiving::Ring(receiver) => {
            let mut backlog = receiver.backlog();
            // What cannot be received ends it, and is what the next call tells.
            while messages.len() < most
                && let Ok(Some(message)) = backlog.next_message()
            {
                let copy = PyBytes::new_with(py, message.len(), |buffer| {
                    message.read_at(0, buffer);
                    Ok(())
                });
                messages.append(copy?)?;
            }
            backlog.release();
        }
    }
    Ok(())
}

/// Waits until at least one of `receivers` has something to receive, or has come to its end, and returns those for which that is so. Where
/// another receiver may be faster, there may be nothing left when it is asked.
///
/// >>> import ringway
/// >>> rings = [ringway.create("memfd:") for _ in range(2)]
/// >>> receivers = [ring.receiver() for ring in rings]
/// >>> rings[1].sender().send(b"hello")
/// >>> [receiver.recv() for receiver in ringway.wait_any(receivers)]
/// [b'hello']
#[pyfunction]
#[pyo3(signature = (receivers, timeout=None))]
pub(crate) fn wait_any<'py>(
    py: Python<'py>,
    receivers: Vec<Bound<'py, Receiver>>,
    timeout: Option<f64>,
) -> PyResult<Vec<Bound<'py, Receiver>>> {
    let timeout = Timeout::of(timeout)?;
    let mut turns = Vec::new();
    for receiver in &receivers {
        // Who waits for one while it has another could wait for ever: none is waited for.
        let turn = receiver.get().turn.enter(py, Timeout::of(Some(0.0))?)?;
        if let Receiving::Queue(_) = &*turn {
            return Err(errors::not_of_queues(py, "wait for several"));
        }
        turns.push(turn);
    }
    if turns.is_empty() {
        return Err(PyValueError::new_err("there is no receiver to wait for"));
    }
    let main = is_main_thread(py)?;
    let bell = Bell::here().ok_or_else(|| errors::of_recv(py, NO_DESCRIPTOR))?;
    loop {
        bell.calm();
        let mut due = Vec::new();
        for (turn, receiver) in turns.iter_mut().zip(&receivers) {
            let Receiving::Ring(handle) = &mut **turn else {
                continue;
            };
            let context = &mut Context::from_waker(bell.waker());
            match handle.poll_wait(context) {
                // One that came too late for the call that it was for.
                Poll::Ready(Err(RecvError::Interrupted)) => context.waker().wake_by_ref(),
                Poll::Ready(Err(error @ (RecvError::Forked | RecvError::NoWaiter { .. }))) => {
                    return Err(errors::of_recv(py, error));
                }
                // There is one, or what the next call tells.
                Poll::Ready(_) => due.push(receiver.clone()),
                Poll::Pending => {}
            }
        }
        if !due.is_empty() {
            return Ok(due);
        }
        if turns.iter().any(InUse::is_ending) {
            return Err(errors::handle_closed(py, "receiver"));
        }
        if timeout.is_over() {
            return Err(errors::of_wait(py, WaitError::TimedOut));
        }
        bell.sleep(py, timeout.deadline, main)?;
    }
}

/// This thread cannot be woken.
const NO_DESCRIPTOR: RecvError = RecvError::NoWaiter {
    errno: libc::EMFILE,
};
