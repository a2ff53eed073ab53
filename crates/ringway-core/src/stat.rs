//! Looking at rings from outside, without taking part.

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::layout::control::{CONSUMER_CLOSED, HEAD, PRODUCER_CLOSED, RECEIVED, SENT, TAIL};
use crate::layout::participant::{ATTACHED_NS, EPOCH, LIVENESS, PID, ROLE, Role, slot_offset};
use crate::layout::record::{Record, footprint};
use crate::layout::{Kind, Sync};
use crate::liveness::Liveness;
use crate::liveness::participant::holder_pid;
use crate::segment::{self, View};

/// A ring as an observer sees it at one moment. The numbers are fetched one after the other while the
/// ring may be in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Where the ring lives.
    pub address: Address,
    /// Its shape.
    pub kind: Kind,
    /// How its sides exclude and wake each other.
    pub sync: Sync,
    /// Bytes for messages.
    pub capacity_bytes: u64,
    /// Bytes that committed messages take now, their words and padding included.
    pub used_bytes: u64,
    /// Messages ever sent.
    pub sent: u64,
    /// Messages ever received and released.
    pub received: u64,
    /// Whether the producer has closed the ring.
    pub producer_closed: bool,
    /// Whether the consumer has closed the ring.
    pub consumer_closed: bool,
    /// When the ring was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// Who is attached, or was and died.
    pub participants: Vec<ParticipantStat>,
}

/// A slot of the participants table that somebody holds, or died holding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParticipantStat {
    /// What it does.
    pub role: Role,
    /// Its process id, as its own pid namespace counts it.
    pub pid: u32,
    /// Whether it lives, by the kernel's word.
    pub alive: bool,
    /// How often this slot was taken.
    pub epoch: u64,
    /// When it attached, nanoseconds since 1970.
    pub attached_ns: u64,
}

/// Looks at the ring at `address`, without taking part: its memory is mapped read-only.
///
/// # Errors
/// Those of [`Builder::open`](crate::Builder::open).
///
/// ```no_run
/// let stat = ringway_core::stat(&"shm:orders".parse()?)?;
/// println!("{} of {} bytes used", stat.used_bytes, stat.capacity_bytes);
/// # Ok::<(), ringway_core::Error>(())
/// ```
pub fn stat(address: &Address) -> Result<Stat, Error> {
    Ok(look(&View::open(address)?))
}

/// The addresses of all rings on this machine that have a name which can be listed (`shm:`, `sysv:`)
/// and that this user may read, in order.
///
/// ```
/// for address in ringway_core::list() {
///     println!("{address}");
/// }
/// ```
pub fn list() -> Vec<Address> {
    segment::list()
}

/// Removes the ring at `address`. Processes that have it open can go on; nobody else will find it.
/// Unless `force` is set, a ring to which a live process is attached is left alone.
///
/// # Errors
/// [`ErrorKind::InUse`] if a live process is attached, [`ErrorKind::NotFound`],
/// [`ErrorKind::NotARing`] (foreign objects are never removed), [`ErrorKind::PermissionDenied`].
///
/// ```no_run
/// ringway_core::remove(&"shm:orders".parse()?, false)?;
/// # Ok::<(), ringway_core::Error>(())
/// ```
pub fn remove(address: &Address, force: bool) -> Result<(), Error> {
    if !force {
        // Whether what cannot be looked at may be removed, the segment decides.
        if let Ok(stat) = stat(address) {
            refuse_if_in_use(&stat)?;
        }
    }
    segment::remove(address)
}

fn refuse_if_in_use(stat: &Stat) -> Result<(), Error> {
    let Some(holder) = stat
        .participants
        .iter()
        .find(|participant| participant.alive)
    else {
        return Ok(());
    };
    let pid = holder.pid;
    let problem = format!("process {pid} is attached as its {}", holder.role.name());
    Err(
        Error::new(ErrorKind::InUse { pid }, "remove", &stat.address, problem)
            .remedy(format!("end process {pid}, or remove with force")),
    )
}

fn look(view: &View) -> Stat {
    let header = view.header();
    let load64 = |offset| view.load64(offset).unwrap_or(0);
    let load32 = |offset| view.load32(offset).unwrap_or(0);
    let capacity_bytes = header.geometry.capacity();
    let participants: Vec<_> = (0..header.geometry.participants())
        .filter_map(|index| look_at_slot(view, slot_offset(index)))
        .collect();
    let is_there = |role| {
        participants
            .iter()
            .any(|participant: &ParticipantStat| participant.role == role && participant.alive)
    };
    let record = |position: u64| {
        let offset = header.geometry.data_offset() + (position & (capacity_bytes - 1));
        Record::decode(load64(offset as usize))
    };
    // Head before tail: the difference can then only be too large, and is cut.
    let head = load64(HEAD) & !7;
    let mut received = load64(RECEIVED);
    let (mut tail, mut sent) = (load64(TAIL) & !7, load64(SENT));
    // A side that died in an operation may have left its counters behind or ahead of the records, which
    // tell the truth once nobody changes them.
    if !is_there(Role::Consumer) {
        received = record(head).number(received).unwrap_or(received);
    }
    if !is_there(Role::Producer) {
        tail = tail.max(head);
        loop {
            let found = record(tail);
            match end_of(found, tail, capacity_bytes) {
                Some(next) if next - head <= capacity_bytes => tail = next,
                _ => break,
            }
            sent = sent.saturating_add(u64::from(matches!(found, Record::Message { .. })));
        }
    }
    let used_bytes = tail.saturating_sub(head).min(capacity_bytes);
    Stat {
        address: view.address().clone(),
        kind: header.kind,
        sync: header.sync,
        capacity_bytes,
        used_bytes,
        sent: sent.max(received),
        received,
        producer_closed: load32(PRODUCER_CLOSED) != 0,
        consumer_closed: load32(CONSUMER_CLOSED) != 0,
        created_ns: header.created_ns,
        participants,
    }
}

/// Where the record behind this one starts. Records never wrap, so their length is bounded by that.
fn end_of(record: Record, position: u64, capacity: u64) -> Option<u64> {
    let to_end = capacity - (position & (capacity - 1));
    match record {
        Record::Message { len, .. } | Record::Padding { len, .. }
            if footprint(len.into()) <= to_end =>
        {
            position.checked_add(footprint(len.into()))
        }
        _ => None,
    }
}

fn look_at_slot(view: &View, slot: usize) -> Option<ParticipantStat> {
    let load32 = |offset: usize| view.load32(slot + offset);
    let liveness = Liveness::of(load32(LIVENESS)?);
    if liveness == Liveness::Absent {
        return None;
    }
    let alive = liveness == Liveness::Alive && view.is_of_this_boot();
    Some(ParticipantStat {
        role: Role::from_code(load32(ROLE)?)?,
        // The kernel changed the word of the dead, so it no longer tells whether the fields are its.
        pid: if alive {
            holder_pid(load32)
        } else {
            load32(PID)?
        },
        alive,
        epoch: view.load64(slot + EPOCH)?,
        attached_ns: view.load64(slot + ATTACHED_NS)?,
    })
}
