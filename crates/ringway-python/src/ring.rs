//! What is at an address, open: it gives senders and receivers.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ringway::peer::{PeerCredentials, Role};
use ringway::{Channel, channel, mq};

use crate::address::Address;
use crate::errors;
use crate::inspect::Stat;
use crate::options::{self, Options};
use crate::receiver::{Receiver, Receiving};
use crate::sender::{Sender, Sending};

#[derive(Clone)]
enum Carrier {
    Ring(ringway::Ring),
    Queue(mq::Queue),
}

/// A ring that this process has open, or, where the address says so, a message queue of the kernel.
///
/// It comes from `ringway.create`, `ringway.open` and `ringway.open_or_create`, and gives senders and receivers. It stays open while it or
/// a handle of it lives; closing it removes nothing (`ringway.remove` does). Threads may share it.
///
/// >>> import ringway
/// >>> with ringway.create("memfd:", capacity=1 << 20) as ring:
/// ...     with ring.sender() as sender, ring.receiver() as receiver:
/// ...         sender.send(b"hello")
/// ...         receiver.recv()
/// b'hello'
#[pyclass(frozen, module = "ringway")]
pub(crate) struct Ring {
    carrier: Mutex<Option<Carrier>>,
    address: ringway::Address,
    reason: Option<String>,
}

/// Makes or finds what is at `address`: what `ringway.create`, `open` and `open_or_create` call.
#[pyfunction]
#[pyo3(signature = (how, address, options=None))]
pub(crate) fn connect(
    py: Python<'_>,
    how: &str,
    address: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Ring> {
    let options = Options::new(Address::of(address)?, options)?;
    let made = py.detach(|| -> Result<_, ringway::Error> {
        if let Some(queue) = options.queue {
            let queue = match how {
                "create" => queue.create(),
                "open" => queue.open(),
                _ => queue.open_or_create(),
            }?;
            return Ok((Carrier::Queue(queue), None));
        }
        let channel = match how {
            "create" => Channel::create(options.ring),
            "open" => Channel::open(options.ring),
            _ => Channel::open_or_create(options.ring),
        }?;
        let reason = channel.reason().map(str::to_owned);
        Ok(match channel.carrier() {
            channel::Carrier::Queue(queue) => (Carrier::Queue(queue.clone()), reason),
            channel::Carrier::Ring(ring) => (Carrier::Ring(ring.clone()), reason),
            _ => unreachable!("channels are rings or queues"),
        })
    });
    let (carrier, reason) = made.map_err(|error| errors::of_setup(py, &error))?;
    Ok(Ring::new(carrier, reason))
}

/// Receives a `memfd:` ring that the process at the other end of a connected Unix socket hands over (`Ring.hand_over`), and tells that
/// one's process id, user and group. The socket must block, so it has no timeout.
#[pyfunction]
#[pyo3(signature = (socket, **options))]
pub(crate) fn take_over(
    py: Python<'_>,
    socket: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<(Ring, (i32, u32, u32))> {
    let socket = unix_stream(socket)?;
    let options = Options::new(ringway::Address::Memfd, options)?;
    let taken = py.detach(|| options.ring.take_over(&socket));
    let (ring, peer) = taken.map_err(|error| errors::of_setup(py, &error))?;
    Ok((Ring::new(Carrier::Ring(ring), None), credentials(peer)))
}

pub(crate) fn credentials(peer: PeerCredentials) -> (i32, u32, u32) {
    (peer.pid, peer.uid, peer.gid)
}

/// A socket of Python's, under a descriptor of our own.
pub(crate) fn unix_stream(socket: &Bound<'_, PyAny>) -> PyResult<UnixStream> {
    let descriptor: i32 = socket.call_method0("fileno")?.extract()?;
    if descriptor < 0 {
        return Err(pyo3::exceptions::PyValueError::new_err(
            "the socket is closed",
        ));
    }
    // SAFETY: the socket object keeps its descriptor open while this thread is attached, and it is not negative.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

impl Ring {
    fn new(carrier: Carrier, reason: Option<String>) -> Self {
        let address = match &carrier {
            Carrier::Ring(ring) => ring.address(),
            Carrier::Queue(queue) => queue.address(),
        };
        Self {
            address: address.clone(),
            carrier: Mutex::new(Some(carrier)),
            reason,
        }
    }

    fn carrier(&self) -> MutexGuard<'_, Option<Carrier>> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there, outside of the lock.
    fn with<T>(&self, py: Python<'_>, with: impl FnOnce(&Carrier) -> T) -> PyResult<T> {
        let carrier = self.carrier().clone();
        let carrier = carrier.ok_or_else(|| errors::handle_closed(py, "ring"))?;
        Ok(with(&carrier))
    }

    /// What only a ring has, by the name of `what`.
    fn with_ring<T>(
        &self,
        py: Python<'_>,
        what: &str,
        with: impl FnOnce(&ringway::Ring) -> T,
    ) -> PyResult<T> {
        self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => Ok(with(ring)),
            Carrier::Queue(_) => Err(errors::not_of_queues(py, what)),
        })?
    }
}

#[pymethods]
impl Ring {
    /// Where it is: what another process opens. Never `auto:`, but what that stands for.
    #[getter]
    fn address(&self) -> Address {
        Address(self.address.clone())
    }

    /// Why `auto:` is what it is; None for other addresses.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether it is a message queue of the kernel and no ring in shared memory.
    #[getter]
    fn is_queue(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |carrier| matches!(carrier, Carrier::Queue(_)))
    }

    /// Whether this made it, and did not find it.
    #[getter]
    fn is_new(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.is_new(),
            Carrier::Queue(queue) => queue.is_new(),
        })
    }

    /// Who may take part: "spsc", "mpsc", "spmc", "mpmc" or "broadcast". A queue has many senders and one receiver.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.kind().name(),
            Carrier::Queue(_) => ringway::Kind::Mpsc.name(),
        })
    }

    /// How its participants exclude and wake each other; of a ring.
    #[getter]
    fn sync(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with_ring(py, "sync", |ring| ring.sync().name())
    }

    /// Bytes for messages, with what each takes beside its text; of a ring.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_ring(py, "capacity", ringway::Ring::capacity)
    }

    /// Bytes of a cell; None of a ring without cells, and of a queue.
    #[getter]
    fn cell_len(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.cell_len(),
            Carrier::Queue(_) => None,
        })
    }

    /// The longest message, in bytes.
    #[getter]
    fn max_message_len(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.max_message_len(),
            Carrier::Queue(queue) => queue.max_message_len() as u64,
        })
    }

    /// How many senders may be attached at once; of a ring.
    #[getter]
    fn max_senders(&self, py: Python<'_>) -> PyResult<u32> {
        self.with_ring(py, "limit of senders", |ring| {
            ring.participants(Role::Producer)
        })
    }

    /// How many receivers may be attached at once; of a ring.
    #[getter]
    fn max_receivers(&self, py: Python<'_>) -> PyResult<u32> {
        let limit = |ring: &ringway::Ring| ring.participants(Role::Consumer);
        self.with_ring(py, "limit of receivers", limit)
    }

    /// A number that tells this ring from any other that had its address; of a ring.
    #[getter]
    fn nonce(&self, py: Python<'_>) -> PyResult<u128> {
        self.with_ring(py, "nonce", ringway::Ring::nonce)
    }

    /// Attaches this process as a sender.
    ///
    /// A message longer than `copy_limit` (64 KiB if it is not given) goes in a slab, if the ring has slabs. `wait` says how blocked calls
    /// wait: "park" sleeps at once, a number of seconds is spun first (50 microseconds if it is not given), "spin" never sleeps.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> with ring.sender() as sender:
    /// ...     sender.send(b"hello")
    #[pyo3(signature = (*, copy_limit=None, wait=None))]
    fn sender(
        &self,
        py: Python<'_>,
        copy_limit: Option<usize>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Sender> {
        let wait = wait.map(options::strategy).transpose()?;
        let made = self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.sender().map(|sender| {
                let sender = match wait {
                    Some(wait) => sender.with_wait(wait),
                    None => sender,
                };
                Sending::Ring(match copy_limit {
                    Some(bytes) => sender.with_copy_limit(bytes),
                    None => sender,
                })
            }),
            Carrier::Queue(queue) => queue.sender().map(Sending::Queue),
        })?;
        let sending = made.map_err(|error| errors::of_setup(py, &error))?;
        Sender::new(py, sending, &self.address)
    }

    /// Attaches this process as a receiver. `wait` is as in `sender`.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> with ring.sender() as sender:
    /// ...     sender.send(b"one"); sender.send(b"two")
    /// >>> list(ring.receiver())
    /// [b'one', b'two']
    #[pyo3(signature = (*, wait=None))]
    fn receiver(&self, py: Python<'_>, wait: Option<&Bound<'_, PyAny>>) -> PyResult<Receiver> {
        let wait = wait.map(options::strategy).transpose()?;
        let made = self.with(py, |carrier| match carrier {
            Carrier::Ring(ring) => ring.receiver().map(|receiver| {
                Receiving::Ring(match wait {
                    Some(wait) => receiver.with_wait(wait),
                    None => receiver,
                })
            }),
            Carrier::Queue(queue) => queue.receiver().map(Receiving::Queue),
        })?;
        let receiving = made.map_err(|error| errors::of_setup(py, &error))?;
        Receiver::new(py, receiving, &self.address)
    }

    /// Attaches this process as a receiver of a ring of kind "broadcast" that takes part as it wishes. `wait` is as in `sender`.
    ///
    /// It begins with the oldest message that the ring holds (`start="oldest"`), the next one (`start="latest"`), `last` before the next one, or the
    /// one of that `number`. What of that is gone is told first, as `ringway.Lagged`.
    ///
    /// `policy` says what becomes of the sender when this receiver does not keep up: "block" (the sender waits for it), "lossy" (the sender
    /// does not wait; the receiver is told `ringway.Lagged`), or "evict": the sender waits until it is more than `evict_bytes` behind, or for
    /// `evict_after` seconds; then the receiver is told `ringway.Evicted`.
    ///
    /// Under a `name` the ring keeps the receiver's place: who subscribes with it again, after a restart or a death, goes on with the first
    /// message that was not released.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:", kind="broadcast", capacity=4096)
    /// >>> sender = ring.sender()
    /// >>> for number in range(1000):
    /// ...     sender.send(b"%d" % number)
    /// >>> receiver = ring.subscribe(last=2, policy="lossy", name="screen")
    /// >>> receiver.recv()
    /// b'998'
    /// >>> receiver.leave()
    /// >>> ring.subscribe(name="screen").recv()
    /// b'999'
    #[pyo3(signature = (*, start=None, last=None, number=None, policy=None, evict_bytes=None, evict_after=None, name=None, wait=None))]
    #[expect(clippy::too_many_arguments, reason = "they have names")]
    fn subscribe(
        &self,
        py: Python<'_>,
        start: Option<String>,
        last: Option<u64>,
        number: Option<u64>,
        policy: Option<String>,
        evict_bytes: Option<u64>,
        evict_after: Option<f64>,
        name: Option<String>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Receiver> {
        let wishes = options::Wishes {
            start,
            last,
            number,
            policy,
            evict_bytes,
            evict_after,
            name,
        };
        let subscription = wishes.subscription()?;
        let wait = wait.map(options::strategy).transpose()?.unwrap_or_default();
        let made = self.with_ring(py, "receivers that each get every message", |ring| {
            ring.subscribe(&subscription)
        })?;
        let receiver = made.map_err(|error| errors::of_setup(py, &error))?;
        Receiver::new(py, Receiving::Ring(receiver.with_wait(wait)), &self.address)
    }

    /// How full the ring is, and who is attached: also of one without a name, and of one that was removed.
    ///
    /// >>> import ringway
    /// >>> ring = ringway.create("memfd:")
    /// >>> ring.sender().send(b"hello")
    /// >>> ring.stat().sent
    /// 1
    fn stat(&self, py: Python<'_>) -> PyResult<Stat> {
        let what = "such statistics (ringway.stat of its address has others)";
        let stat = self.with_ring(py, what, ringway::Ring::stat)?;
        Stat::of_ring(py, &stat)
    }

    /// Whether its name is gone: it works on for all who have it open, and nobody else finds it. Asks the kernel.
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        let removed = self.with_ring(py, "such question", ringway::Ring::is_removed)?;
        removed.map_err(|error| errors::of_setup(py, &error))
    }

    /// Hands a `memfd:` ring to the process at the other end of a connected Unix socket, which calls `ringway.take_over`, and tells that
    /// one's process id, user and group.
    ///
    /// >>> import ringway, socket
    /// >>> here, there = socket.socketpair()
    /// >>> ring = ringway.create("memfd:")
    /// >>> peer = ring.hand_over(here)
    /// >>> same, peer = ringway.take_over(there)
    /// >>> ring.sender().send(b"hello")
    /// >>> same.receiver().recv()
    /// b'hello'
    /// >>> here.close(); there.close()
    fn hand_over(&self, py: Python<'_>, socket: &Bound<'_, PyAny>) -> PyResult<(i32, u32, u32)> {
        let socket = unix_stream(socket)?;
        let ring = self.with_ring(py, "memory to hand over", Clone::clone)?;
        let handed = py.detach(|| ring.hand_over(&socket));
        handed
            .map(credentials)
            .map_err(|error| errors::of_setup(py, &error))
    }

    /// Gives up this object's part of it. Handles go on; nothing is removed.
    fn close(&self) {
        drop(self.carrier().take());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!("<ringway.Ring {}>", self.address)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::not_picklable(py, "ring"))
    }
}
