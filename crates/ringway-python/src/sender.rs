//! The sending handle.

use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pyo3::prelude::*;
use ringway::message::Claim as CoreClaim;
use ringway::mq::QueueSender;
use ringway::peer::Peer;
use ringway::{Address, SendError};

use crate::buffer::{Bytes, with_bytes};
use crate::claim::Claim;
use crate::errors;
use crate::turn::{InUse, Turn};
use crate::waiting::{Polled, Timeout, wait};

/// To a ring or to a queue.
#[expect(clippy::large_enum_variant, reason = "one a handle, which is boxed")]
pub(crate) enum Sending {
    Ring(ringway::Sender),
    Queue(QueueSender),
}

impl Sending {
    /// What a ring's sender says.
    fn poll<T>(
        &'static mut self,
        ask: impl FnOnce(&'static mut ringway::Sender) -> Poll<Result<T, SendError>>,
    ) -> Polled<T, SendError> {
        match self {
            Self::Ring(sender) => Some(ask(sender)),
            Self::Queue(_) => None,
        }
    }
}

/// What a peer is known to be, by its name.
pub(crate) fn name_of(peer: Peer) -> &'static str {
    match peer {
        Peer::Absent => "absent",
        Peer::Alive => "alive",
        Peer::Died => "died",
        Peer::Closed => "closed",
    }
}

/// Ends a handle as a panic would: the others are told that this side died, for what it was about is not complete.
pub(crate) fn abandon<H>(handle: H) {
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _handle = handle;
        std::panic::resume_unwind(Box::new(()))
    }));
    drop(unwound);
}

/// The side that messages go in by; from `Ring.sender`.
///
/// A process that is killed leaves each message whole or not at all. Closing the last sender ends the stream: a receiver gets what was sent,
/// then `ringway.Closed`, until another sender comes. A `with` block closes it; if the block ends by an exception, what was to be sent
/// is not complete, and receivers get `ringway.PeerDied`.
///
/// Times are seconds; None waits for ever. The interpreter runs other threads while a call waits, and Ctrl-C ends it. Threads may share a
/// sender, and then take turns; those that have one each (where the ring's kind allows for several) do not wait for each other.
///
/// >>> import ringway
/// >>> ring = ringway.create("memfd:", kind="mpsc")
/// >>> with ring.sender() as sender:
/// ...     sender.send(b"bytes")
/// ...     sender.send(bytearray(3), timeout=1.5)
/// >>> list(ring.receiver())
/// [b'bytes', b'\x00\x00\x00']
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Sender {
    turn: Arc<Turn<Sending>>,
    address: Address,
}

impl Sender {
    pub(crate) fn new(py: Python<'_>, mut sending: Sending, address: &Address) -> PyResult<Self> {
        let interrupter = match &mut sending {
            Sending::Ring(sender) => Some(sender.interrupter()),
            Sending::Queue(_) => None,
        };
        Ok(Self {
            turn: Turn::new(py, sending, interrupter, "sender")?,
            address: address.clone(),
        })
    }

    fn enter<'a>(&'a self, py: Python<'_>) -> PyResult<InUse<'a, Sending>> {
        self.turn.enter(py, Timeout::NEVER)
    }

    /// A number of the handle's.
    fn ask<T>(&self, py: Python<'_>, ask: impl FnOnce(&mut Sending) -> T) -> PyResult<T> {
        Ok(ask(&mut *self.enter(py)?))
    }
}

impl Sender {
    /// What only a ring's sender has.
    fn ask_ring<T>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut ringway::Sender) -> T,
    ) -> PyResult<T> {
        let answer = self.ask(py, |sending| match sending {
            Sending::Ring(sender) => Some(ask(sender)),
            Sending::Queue(_) => None,
        })?;
        answer.ok_or_else(|| errors::not_of_queues(py, "such descriptor"))
    }
}

/// Room for a message of `len` bytes in a ring, waiting for it.
fn claim_room(
    py: Python<'_>,
    turn: &mut InUse<'_, Sending>,
    len: usize,
    timeout: Timeout,
) -> PyResult<CoreClaim<'static>> {
    // Most often there is room, and the interpreter need not be let go.
    // SAFETY: the claim is committed, aborted or lent before the turn ends.
    if let Sending::Ring(sender) = unsafe { turn.unbounded() } {
        match sender.try_claim(len) {
            Err(SendError::Full) => {}
            done => return done.map_err(|error| errors::of_send(py, error)),
        }
    }
    let claim = |sending: &'static mut Sending, until: Option<Instant>| match sending {
        Sending::Ring(sender) => sender.claim_deadline(len, until).map(Some),
        Sending::Queue(_) => Ok(None),
    };
    let poll = |sending: &'static mut Sending, context: &mut Context<'_>| {
        sending.poll(|sender| sender.poll_claim(context, len).map_ok(Some))
    };
    wait(py, turn, timeout, claim, poll)?
        .ok_or_else(|| errors::not_of_queues(py, "room to write a message in place"))
}

/// Sends `parts` as one message that found no room at once, waiting for it.
fn send_when_there_is_room(
    py: Python<'_>,
    turn: &mut InUse<'_, Sending>,
    parts: &[&[u8]],
    priority: u32,
    timeout: Timeout,
) -> PyResult<()> {
    if let Sending::Queue(_) = **turn {
        // The message is the interpreter's, who is let go.
        let message = parts.concat();
        let send = |sending: &'static mut Sending, until: Option<Instant>| match sending {
            Sending::Queue(sender) => sender.send_with_priority_deadline(&message, priority, until),
            Sending::Ring(_) => Ok(()),
        };
        return wait(py, turn, timeout, send, |_, _| None);
    }
    let len = parts.iter().map(|part| part.len()).sum();
    let mut claim = claim_room(py, turn, len, timeout)?;
    let mut offset = 0;
    for part in parts {
        offset += claim.write_at(offset, part);
    }
    claim.commit();
    Ok(())
}

fn try_send(sending: &mut Sending, message: &[u8], priority: u32) -> Result<(), SendError> {
    match sending {
        Sending::Ring(_) if priority > 0 => Err(SendError::NoPriorities),
        Sending::Ring(sender) => sender.try_send(message),
        Sending::Queue(sender) => sender.try_send_with_priority(message, priority),
    }
}

fn send(
    py: Python<'_>,
    turn: &mut InUse<'_, Sending>,
    message: &[u8],
    priority: u32,
    timeout: Timeout,
) -> PyResult<()> {
    match try_send(turn, message, priority) {
        Ok(()) => Ok(()),
        Err(SendError::Full) => send_when_there_is_room(py, turn, &[message], priority, timeout),
        Err(error) => Err(errors::of_send(py, error)),
    }
}

#[pymethods]
impl Sender {
    /// Sends a copy of `message`, which is bytes or whatever has contiguous memory (a bytearray, an array of numpy), waiting for room for
    /// at most `timeout` seconds.
    ///
    /// A queue receives messages of a higher `priority` first; in a ring all have priority 0.
    #[pyo3(signature = (message, timeout=None, *, priority=0))]
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        priority: u32,
    ) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        with_bytes(message, |bytes| {
            send(py, &mut turn, bytes, priority, timeout)
        })?
    }

    /// Sends a copy of `message` if there is room now, and else raises `ringway.Full`.
    #[pyo3(signature = (message, *, priority=0))]
    fn try_send(&self, py: Python<'_>, message: &Bound<'_, PyAny>, priority: u32) -> PyResult<()> {
        let mut turn = self.enter(py)?;
        let sent = with_bytes(message, |bytes| try_send(&mut turn, bytes, priority))?;
        sent.map_err(|error| errors::of_send(py, error))
    }

    /// Sends the concatenation of `parts` as one message, waiting for room.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send_parts([b"head ", b"and tail"])
    /// >>> ring.receiver().recv()
    /// b'head and tail'
    #[pyo3(signature = (parts, timeout=None))]
    fn send_parts(
        &self,
        py: Python<'_>,
        parts: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let parts = buffers(parts)?;
        let parts: Vec<&[u8]> = parts.iter().map(Bytes::as_slice).collect();
        let mut turn = self.turn.enter(py, timeout)?;
        if let Sending::Ring(sender) = &mut *turn {
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            match sender.try_send_vectored(&slices) {
                Err(SendError::Full) => {}
                done => return done.map_err(|error| errors::of_send(py, error)),
            }
        }
        send_when_there_is_room(py, &mut turn, &parts, 0, timeout)
    }

    /// Sends each of `messages`, in batches as there is room, and returns how many they were. One batch costs one wake-up.
    ///
    /// If it raises an error of ringway's, the error's `sent` says how many were sent before.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send_many(b"%d" % n for n in range(1000))
    /// 1000
    #[pyo3(signature = (messages, timeout=None))]
    fn send_many(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let timeout = Timeout::of(timeout)?;
        let messages = buffers(messages)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let mut sent = 0;
        let done = send_all(py, &mut turn, &messages, timeout, &mut sent);
        if let Err(error) = &done {
            error.value(py).setattr("sent", sent)?;
        }
        done.map(|()| sent)
    }

    /// Sends all of `messages` together if there is room for all of them now, and else none of them, and raises `ringway.Full`.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:", capacity=4096)
    /// >>> sender = ring.sender()
    /// >>> sender.try_send_batch([b"one", b"two"])
    /// >>> sender.try_send_batch([bytes(1000)] * 8)
    /// Traceback (most recent call last):
    /// ringway.Full: the ring is full: receive from it, or use a blocking send
    fn try_send_batch(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> PyResult<()> {
        let messages = buffers(messages)?;
        let mut turn = self.enter(py)?;
        let Sending::Ring(sender) = &mut *turn else {
            return Err(errors::not_of_queues(py, "batches"));
        };
        let mut batch = sender.batch();
        for message in &messages {
            let pushed = batch.push(message.as_slice());
            pushed.map_err(|error| errors::of_send(py, error))?;
        }
        batch.commit();
        Ok(())
    }

    /// Claims room for a message of `size` bytes, waiting for it, to be written in place: a slab if the ring has slabs and the message is
    /// longer than the copy limit.
    ///
    /// As a context manager it gives a writable memoryview, and sends the message when the block ends, or not if it ends by an
    /// exception. Arrays made of the view have to be gone by then: else that raises `ringway.StillHeld` (a BufferError), and nothing is sent.
    ///
    /// What is not written holds old bytes of the ring. With `in_place=True` a message that lies in the ring and not in a slab is written there, too,
    /// and not in private memory first; that is for programs whose own instructions write it. System calls must not (`readinto`,
    /// `recv_into`): what such a call of a process that was killed still writes would land in messages of others.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:", slabs=[(1 << 20, 4)])
    /// >>> sender = ring.sender()
    /// >>> with sender.claim(1 << 20) as view:
    /// ...     view[:5] = b"hello"
    /// >>> with ring.receiver().recv_view() as view:
    /// ...     len(view), bytes(view[:5])
    /// (1048576, b'hello')
    #[pyo3(signature = (size, timeout=None, *, in_place=false))]
    fn claim(
        &self,
        py: Python<'_>,
        size: usize,
        timeout: Option<f64>,
        in_place: bool,
    ) -> PyResult<Claim> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let claim = claim_room(py, &mut turn, size, timeout)?;
        Ok(Claim::new(claim, turn.lend(), in_place))
    }

    /// A descriptor as `Receiver.fileno`; of a ring. It becomes readable (not writable) after `arm`.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let descriptor = self.ask_ring(py, |sender| {
            sender.descriptor().map(|descriptor| descriptor.as_raw_fd())
        })?;
        descriptor.map_err(|error| errors::of_setup(py, &error))
    }

    /// Has the descriptor become readable when there may be room for a message of `size` bytes, or there will be none, and returns True; or returns
    /// False, as there is room now.
    fn arm(&self, py: Python<'_>, size: usize) -> PyResult<bool> {
        self.ask_ring(py, |sender| sender.arm(size))?
            .map_err(|error| errors::of_send(py, error))
    }

    /// Takes `arm` back.
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        self.ask_ring(py, ringway::Sender::disarm)
    }

    /// Waits until a receiver is attached: to go on after `ringway.PeerDied` or `ringway.Closed`.
    #[pyo3(signature = (timeout=None))]
    fn wait_for_peer(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        let attempt = |sending: &'static mut Sending, until| match sending {
            Sending::Ring(sender) => sender.wait_for_peer_deadline(until),
            Sending::Queue(sender) => sender.wait_for_peer_deadline(until),
        };
        wait(py, &mut turn, timeout, attempt, |sending, context| {
            sending.poll(|sender| sender.poll_wait_for_peer(context))
        })
    }

    /// Waits until receivers have released all that was sent; of a ring.
    #[pyo3(signature = (timeout=None))]
    fn wait_until_drained(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = Timeout::of(timeout)?;
        let mut turn = self.turn.enter(py, timeout)?;
        if let Sending::Queue(_) = &*turn {
            return Err(errors::not_of_queues(py, "such wait"));
        }
        let attempt = |sending: &'static mut Sending, until| match sending {
            Sending::Ring(sender) => sender.wait_until_drained_deadline(until),
            Sending::Queue(_) => Ok(()),
        };
        wait(py, &mut turn, timeout, attempt, |sending, context| {
            sending.poll(|sender| sender.poll_wait_until_drained(context))
        })
    }

    /// What is known of the receivers: "alive", "absent", "closed" or "died".
    #[getter]
    fn peer(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.ask(py, |sending| {
            name_of(match sending {
                Sending::Ring(sender) => sender.peer(),
                Sending::Queue(sender) => sender.peer(),
            })
        })
    }

    /// A number that tells this attachment from all others: by it a receiver asks whether it still lives.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |sending| match sending {
            Sending::Ring(sender) => sender.id(),
            Sending::Queue(sender) => sender.id(),
        })
    }

    /// Messages that the ring's senders have ever sent; of a queue, that this one has.
    #[getter]
    fn sent(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |sending| match sending {
            Sending::Ring(sender) => sender.sent(),
            Sending::Queue(sender) => sender.sent(),
        })
    }

    /// Messages that this handle overwrote, in a ring made for that.
    #[getter]
    fn overwritten(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |sending| match sending {
            Sending::Ring(sender) => sender.overwritten(),
            Sending::Queue(_) => 0,
        })
    }

    /// Where it sends to.
    #[getter]
    fn address(&self) -> crate::address::Address {
        crate::address::Address(self.address.clone())
    }

    /// Whether it has been closed, or has left.
    #[getter]
    fn closed(&self) -> bool {
        self.turn.has_ended()
    }

    /// Leaves, and ends the stream if this is the last sender. A call that another thread is in ends with `ringway.HandleClosed`. Done
    /// again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, drop)
    }

    /// Leaves without ending the stream: receivers wait for the next sender.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.end(py, |sending| match sending {
            Sending::Ring(sender) => sender.leave(),
            Sending::Queue(sender) => sender.leave(),
        })
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
        format!("<ringway.Sender to {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "sender"))
    }
}

/// The memory of each of `objects`.
fn buffers<'py>(objects: &Bound<'py, PyAny>) -> PyResult<Vec<Bytes<'py>>> {
    objects
        .try_iter()?
        .map(|object| Bytes::of(&object?))
        .collect()
}

fn send_all(
    py: Python<'_>,
    turn: &mut InUse<'_, Sending>,
    messages: &[Bytes<'_>],
    timeout: Timeout,
    sent: &mut u64,
) -> PyResult<()> {
    while let Some(rest) = messages
        .get(*sent as usize..)
        .filter(|rest| !rest.is_empty())
    {
        if let Sending::Ring(sender) = &mut **turn {
            let mut batch = sender.batch();
            for message in rest {
                if batch.push(message.as_slice()).is_err() {
                    break;
                }
            }
            *sent += batch.commit();
        }
        // What did not go in a batch, goes by itself: it waits for room, goes in a slab, or says what is wrong.
        if let Some(message) = messages.get(*sent as usize) {
            send(py, turn, message.as_slice(), 0, timeout)?;
            *sent += 1;
        }
    }
    Ok(())
}
