//! Looking at rings and queues from outside, and removing them.

use std::time::Duration;

use pyo3::prelude::*;
use ringway::gc::{Fate, Gc, GcReport as GcOutcome, Leftover};
use ringway::peer::Role;
use ringway::{Channel, inspect, mq};

use crate::address::Address;
use crate::errors;
use crate::waiting::duration;

/// A ring or a queue as an observer sees it at one moment. What a queue does not tell is None.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct Stat {
    /// Where it is.
    address: Address,
    /// Whether it is a message queue of the kernel.
    is_queue: bool,
    /// Who may take part: "spsc", "mpsc", "spmc", "mpmc" or "broadcast"; or "board".
    kind: &'static str,
    /// How its participants exclude and wake each other.
    sync: Option<&'static str>,
    /// Whether senders overwrite the oldest message when the ring is full.
    overwrites_oldest: bool,
    /// Bytes for messages.
    capacity: Option<u64>,
    /// Bytes that messages take now.
    used: Option<u64>,
    /// Messages that wait.
    messages: Option<u64>,
    /// Messages ever sent.
    sent: Option<u64>,
    /// Messages ever received and released.
    received: Option<u64>,
    /// What the dead left and others put in order.
    repaired: Option<u64>,
    /// Messages that senders overwrote.
    overwritten: Option<u64>,
    /// Whether the last sender to leave closed, and none has come since.
    senders_closed: Option<bool>,
    /// Whether the last receiver to leave closed, and none has come since.
    receivers_closed: Option<bool>,
    /// How many senders ever attached.
    senders_ever: Option<u64>,
    /// When it was made, in seconds since 1970.
    created: Option<f64>,
    /// Who is attached, or was and died.
    participants: Vec<Py<Participant>>,
    /// The slabs for long messages, the shortest first.
    slabs: Vec<Py<SlabStat>>,
    /// The entries of a board.
    entries: Vec<Py<Entry>>,
}

/// An entry of a board, as an observer sees it.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct Entry {
    /// Its key.
    key: String,
    /// How many values it has had; 0 if it has none yet.
    number: u64,
    /// Bytes of its value.
    len: u64,
    /// The process id of its writer, as that one's own pid namespace counts it; None if nobody has written it, or the last one left.
    writer: Option<u32>,
    /// Whether the writer lives.
    writer_alive: bool,
}

/// One who is attached to a ring, or died attached to it.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct Participant {
    /// "sender" or "receiver".
    role: &'static str,
    /// Its process id as this process can use it; None if it cannot be seen from here, or has gone.
    pid: Option<u32>,
    /// Whether it lives, by the kernel's word.
    alive: bool,
    /// When it attached, in seconds since 1970.
    attached: f64,
    /// Messages that holders of its place ever sent or released.
    messages: u64,
    /// What it sleeps for, "a message" or "room"; None if it does not sleep, or that is not known.
    waits_for: Option<&'static str>,
    /// Of a receiver of a broadcast ring, what becomes of the sender when it does not keep up: "block", "lossy" or "evict".
    policy: Option<&'static str>,
    /// Of such a receiver, whether the sender has gone on without it.
    evicted: Option<bool>,
    /// Of such a receiver, the number of the message that comes next.
    next_number: Option<u64>,
    /// Of such a receiver, how many messages it is behind the sender.
    behind: Option<u64>,
}

/// The slabs of one length.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct SlabStat {
    /// Bytes of each.
    len: u64,
    /// How many there are.
    count: u32,
    /// How many nobody holds.
    free: u32,
    /// How many nobody can have for now, because the kernel may still write there for one that died.
    withheld: u32,
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

impl Stat {
    pub(crate) fn of_ring(py: Python<'_>, stat: &inspect::Stat) -> PyResult<Self> {
        let participant = |one: &inspect::ParticipantStat| {
            Py::new(
                py,
                Participant {
                    role: match one.role {
                        Role::Producer => "sender",
                        _ => "receiver",
                    },
                    pid: one.pid_here(),
                    alive: one.alive,
                    attached: seconds(one.attached_ns),
                    messages: one.messages,
                    waits_for: one.waits_for.map(inspect::WaitsFor::name),
                    policy: one.subscription.as_ref().map(|one| one.policy),
                    evicted: one.subscription.as_ref().map(|one| one.evicted),
                    next_number: one.subscription.as_ref().map(|one| one.next_number),
                    behind: one.subscription.as_ref().map(|one| one.behind),
                },
            )
        };
        let slabs = |one: &inspect::SlabStat| {
            Py::new(
                py,
                SlabStat {
                    len: one.slab_bytes,
                    count: one.count,
                    free: one.free,
                    withheld: one.withheld,
                },
            )
        };
        let entry = |one: &inspect::EntryStat| {
            Py::new(
                py,
                Entry {
                    key: one.key.clone(),
                    number: one.number,
                    len: one.len,
                    writer: one.writer,
                    writer_alive: one.writer_alive,
                },
            )
        };
        Ok(Self {
            address: Address(stat.address.clone()),
            is_queue: false,
            kind: stat.kind.name(),
            sync: Some(stat.sync.name()),
            overwrites_oldest: stat.overwrites_oldest,
            capacity: Some(stat.capacity_bytes),
            used: Some(stat.used_bytes),
            messages: Some(
                stat.sent
                    .saturating_sub(stat.received)
                    .saturating_sub(stat.overwritten),
            ),
            sent: Some(stat.sent),
            received: Some(stat.received),
            repaired: Some(stat.repaired),
            overwritten: Some(stat.overwritten),
            senders_closed: Some(stat.producer_closed),
            receivers_closed: Some(stat.consumer_closed),
            senders_ever: Some(stat.producers_ever),
            created: Some(seconds(stat.created_ns)),
            participants: stat
                .participants
                .iter()
                .map(participant)
                .collect::<Result<_, _>>()?,
            slabs: stat.slabs.iter().map(slabs).collect::<Result<_, _>>()?,
            entries: stat.entries.iter().map(entry).collect::<Result<_, _>>()?,
        })
    }
}

impl Stat {
    fn of_queue(stat: &mq::QueueStat) -> Self {
        Self {
            address: Address(stat.address.clone()),
            is_queue: true,
            kind: ringway::Kind::Mpsc.name(),
            sync: None,
            overwrites_oldest: false,
            capacity: stat.max_bytes,
            used: Some(stat.bytes),
            messages: Some(stat.messages),
            sent: None,
            received: None,
            repaired: None,
            overwritten: None,
            senders_closed: None,
            receivers_closed: None,
            senders_ever: None,
            created: None,
            participants: Vec::new(),
            slabs: Vec::new(),
            entries: Vec::new(),
        }
    }
}

#[pymethods]
impl Stat {
    fn __repr__(&self) -> String {
        let messages = self.messages.unwrap_or_default();
        format!("<ringway.Stat {}: {messages} messages>", self.address.0)
    }
}

#[pymethods]
impl Entry {
    fn __repr__(&self) -> String {
        format!("<ringway.Entry {:?}: {} values>", self.key, self.number)
    }
}

#[pymethods]
impl Participant {
    fn __repr__(&self) -> String {
        let state = if self.alive { "alive" } else { "died" };
        match self.pid {
            Some(pid) => format!("<ringway.Participant {} {pid}, {state}>", self.role),
            None => format!("<ringway.Participant {}, {state}>", self.role),
        }
    }
}

/// Looks at the ring or queue at `address`, without taking part.
///
/// >>> import ringway
/// >>> ringway.stat("shm:ringway-not-there")
/// Traceback (most recent call last):
/// ringway.NotFound: cannot inspect shm:ringway-not-there: there is no such ring ...
#[pyfunction]
pub(crate) fn stat(py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<Stat> {
    let address = Address::of(address)?;
    let address = Channel::find(&address).map_err(|error| errors::of_setup(py, &error))?;
    if matches!(address.scheme(), "mq" | "sysvmq") {
        let stat = py.detach(|| mq::stat(&address));
        return stat
            .map(|stat| Stat::of_queue(&stat))
            .map_err(|error| errors::of_setup(py, &error));
    }
    let stat = py
        .detach(|| inspect::stat(&address))
        .map_err(|error| errors::of_setup(py, &error))?;
    Stat::of_ring(py, &stat)
}

/// The addresses of all rings and queues of ringway's on this machine that have a name which can be listed, and that this user may read.
///
/// >>> import ringway
/// >>> all(isinstance(address, ringway.Address) for address in ringway.list_rings())
/// True
#[pyfunction]
pub(crate) fn list_rings(py: Python<'_>) -> Vec<Address> {
    let mut all = py.detach(inspect::list);
    all.extend(py.detach(mq::list));
    all.into_iter().map(Address).collect()
}

/// Removes the ring or queue at `address`. Processes that have it open go on; nobody else will find it. Unless `force` is set, that is
/// refused (`ringway.InUse`) while a live process is attached.
///
/// >>> import os, ringway
/// >>> ring = ringway.create(f"shm:ringway-doc-remove-{os.getpid()}")
/// >>> ringway.remove(ring.address)
/// >>> ring.is_removed()
/// True
#[pyfunction]
#[pyo3(signature = (address, *, force=false))]
pub(crate) fn remove(py: Python<'_>, address: &Bound<'_, PyAny>, force: bool) -> PyResult<()> {
    let address = Address::of(address)?;
    let removed = py.detach(|| Channel::remove(&address, force));
    removed.map_err(|error| errors::of_setup(py, &error))
}

/// What dead processes left, and what became of it.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct GcReport {
    /// In the order in which it was found.
    found: Vec<Py<Found>>,
    /// What could not be looked at or removed, in words.
    failures: Vec<String>,
    /// Whether all places could be looked at.
    complete: bool,
}

/// Something that dead processes left, or may have.
#[pyclass(frozen, get_all, module = "ringway")]
pub(crate) struct Found {
    /// What it is, in words.
    what: String,
    /// Its address, if it is a ring or a queue.
    address: Option<Address>,
    /// Bytes of memory or disk, 0 where it is of no account.
    bytes: u64,
    /// "removed", "removable" (a dry run), or "kept".
    fate: &'static str,
    /// Why it is kept, in words; None of the others.
    why: Option<String>,
}

#[pymethods]
impl Found {
    fn __repr__(&self) -> String {
        format!("<ringway.Found {}: {}>", self.what, self.fate)
    }
}

fn found(py: Python<'_>, found: &ringway::gc::Found) -> PyResult<Py<Found>> {
    let address = match &found.what {
        Leftover::Ring(address) | Leftover::HalfMade(address) => Some(Address(address.clone())),
        _ => None,
    };
    let (fate, why) = fate_of(&found.fate);
    Py::new(
        py,
        Found {
            what: found.what.to_string(),
            address,
            bytes: found.bytes,
            fate,
            why,
        },
    )
}

fn fate_of(fate: &Fate) -> (&'static str, Option<String>) {
    match fate {
        Fate::Removed => ("removed", None),
        Fate::Removable => ("removable", None),
        Fate::Kept(why) => ("kept", Some(why.to_string())),
        _ => ("kept", None),
    }
}

/// Collects what dead processes left behind: rings and queues that only the dead held, and what lies about without a ring. It hurts nobody
/// who lives, and keeps messages that nobody has received, unless `undelivered` is set. By default it changes nothing and says what it
/// would remove.
///
/// `addresses` are looked at, and nothing else; `prefix` is how a ring's name begins; `older_than` leaves alone what was made or used in
/// the last so many seconds.
///
/// >>> import ringway
/// >>> report = ringway.gc(prefix="ringway-no-such-name-")
/// >>> report.found
/// []
#[pyfunction]
#[pyo3(name = "gc", signature = (addresses=None, *, dry_run=true, undelivered=false, older_than=None, prefix=None))]
pub(crate) fn collect(
    py: Python<'_>,
    addresses: Option<Vec<Bound<'_, PyAny>>>,
    dry_run: bool,
    undelivered: bool,
    older_than: Option<f64>,
    prefix: Option<String>,
) -> PyResult<GcReport> {
    let is_all = addresses.is_none();
    let mut rings = Gc::new().dry_run(dry_run).undelivered(undelivered);
    let queue_gc = mq::Gc::new().dry_run(dry_run).undelivered(undelivered);
    let age: Option<Duration> = duration(older_than)?;
    if let Some(age) = age {
        rings = rings.older_than(age);
    }
    if let Some(prefix) = prefix {
        rings = rings.prefix(prefix);
    }
    let mut queues = Vec::new();
    let mut any_ring = is_all;
    for address in addresses.into_iter().flatten() {
        let address = Address::of(&address)?;
        match address.scheme() {
            "mq" | "sysvmq" => queues.push(address),
            _ => {
                any_ring = true;
                rings = rings.address(address);
            }
        }
    }
    // Of a queue nothing tells its age.
    if is_all && age.is_none() {
        let named = |address: &ringway::Address| rings.allows_name(address);
        queues.extend(py.detach(mq::list).into_iter().filter(named));
    }
    let report = match any_ring {
        true => py.detach(|| rings.run()),
        false => GcOutcome::default(),
    };
    let mut all = GcReport {
        found: report
            .found
            .iter()
            .map(|one| found(py, one))
            .collect::<Result<_, _>>()?,
        failures: report.failures.iter().map(ToString::to_string).collect(),
        complete: report.blind_spots.is_empty(),
    };
    for queue in queues {
        match py.detach(|| queue_gc.collect(&queue)) {
            Ok(None) => {}
            // Of all there is, only what the dead left is told of.
            Ok(Some(Fate::Kept(
                ringway::gc::Why::InOrder | ringway::gc::Why::InUse { dead: 0, .. },
            ))) if is_all => {}
            Ok(Some(fate)) => {
                let (fate, why) = fate_of(&fate);
                let found = Found {
                    what: queue.to_string(),
                    address: Some(Address(queue)),
                    bytes: 0,
                    fate,
                    why,
                };
                all.found.push(Py::new(py, found)?);
            }
            Err(error) => all.failures.push(error.to_string()),
        }
    }
    Ok(all)
}
