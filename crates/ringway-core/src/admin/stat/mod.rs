//! Looking at rings from outside, without taking part.

mod board;
mod broadcast;
mod cells;
mod slabs;
mod stream;

use std::path::Path;

use nix::errno::Errno;

use crate::address::Address;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::control::{DATA_EVENT, SPACE_EVENT};
use crate::memory::layout::message_type::{self, MessageType};
use crate::memory::layout::participant::{
    ASLEEP, ATTACHED_NS, EPOCH, FOR_MESSAGE, FOR_ROOM, LIVENESS, MESSAGES, PID, PID_NAMESPACE,
    REPAIRED, ROLE, Role, slot_offset,
};
use crate::memory::layout::{Kind, Shape, SyncKind};
use crate::presence::Liveness;
use crate::presence::participant::{PATIENCE, holder_pid, name_holder};
use crate::store::{self, View};
use crate::sys::pid_namespaces::seen_from_here;
use crate::waiting::eventcount;

pub use board::EntryStat;
pub use slabs::{SlabHolder, SlabStat};

/// A ring as an observer sees it at one moment. The numbers are fetched one after the other while the
/// ring may be in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Where the ring lives.
    pub address: Address,
    /// User id of the owner of the segment; `None` of a ring that this process has open.
    pub owner: Option<u32>,
    /// Its permission bits, likewise.
    pub mode: Option<u32>,
    /// Who may take part.
    pub kind: Kind,
    /// How its sides exclude and wake each other.
    pub sync: SyncKind,
    /// Whether producers overwrite the oldest message when the ring is full.
    pub overwrites_oldest: bool,
    /// Bytes for messages.
    pub capacity_bytes: u64,
    /// Bytes that committed messages take now, their words and padding included.
    pub used_bytes: u64,
    /// Messages ever sent.
    pub sent: u64,
    /// Messages ever received and released.
    pub received: u64,
    /// Records of the dead that others put in order: claims that were given up, messages that were taken
    /// and are delivered again, or half freed. Of a stream ring, messages that the dead had not counted right.
    pub repaired: u64,
    /// Messages that producers overwrote, in a ring made for that, and those that consumers held too long and did not
    /// release.
    pub overwritten: u64,
    /// Whether the last producer to leave closed, and none has come since.
    pub producer_closed: bool,
    /// Whether the last consumer to leave closed, and none has come since.
    pub consumer_closed: bool,
    /// How many producers ever attached.
    pub producers_ever: u64,
    /// When the ring was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// Who is attached, or was and died.
    pub participants: Vec<ParticipantStat>,
    /// The slabs for long messages, the shortest first.
    pub slabs: Vec<SlabStat>,
    /// Whether each of them is a segment of its own.
    pub slab_segments: bool,
    /// What its creator has said that its messages are.
    pub message_type: Option<MessageType>,
    /// Of a [`Board`](crate::Board), its entries, in the order in which they were added. [`sent`](Self::sent) is then how many values
    /// they ever had, and [`used_bytes`](Self::used_bytes) the bytes of those that they have.
    pub entries: Vec<EntryStat>,
}

/// A slot of the participants table that somebody holds, or died holding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParticipantStat {
    /// What it does.
    pub role: Role,
    /// Its process id, as its own pid namespace counts it.
    pub pid: u32,
    /// The inode of that namespace, as `readlink /proc/PID/ns/pid` shows it; 0 if the participant could not tell.
    pub pid_namespace: u64,
    /// Whether it lives, by the kernel's word.
    pub alive: bool,
    /// How often this slot was taken.
    pub epoch: u64,
    /// When it attached, nanoseconds since 1970.
    pub attached_ns: u64,
    /// Messages that holders of this slot ever sent or released.
    pub messages: u64,
    /// What it sleeps for, if it sleeps (or is about to, or has armed its descriptor); not known of the consumers of a broadcast ring.
    pub waits_for: Option<WaitsFor>,
    /// How it takes part in a broadcast ring, if it is a consumer of one.
    pub subscription: Option<SubscriptionStat>,
}

/// How a consumer takes part in a broadcast ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStat {
    /// The name of its [policy](crate::broadcast::Policy).
    pub policy: &'static str,
    /// Whether the producer has passed it.
    pub evicted: bool,
    /// The number of the message that it receives next.
    pub next_number: u64,
    /// How many messages it is behind.
    pub behind: u64,
}

impl ParticipantStat {
    /// Its process id as this process can use it; `None` if it is in a pid namespace that is not seen from here, or if
    /// it has gone.
    pub fn pid_here(&self) -> Option<u32> {
        seen_from_here(self.pid, self.pid_namespace)
    }
}

/// What a participant sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A consumer: for a message.
    Message,
    /// A producer: for room.
    Room,
}

impl WaitsFor {
    /// As the CLI says it.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::inspect::WaitsFor::Message.name(), "a message");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "a message",
            Self::Room => "room",
        }
    }
}

/// How many records and cells of a ring an observer looks at, whatever its header says: of a ring with more, it knows
/// what its participants have counted, and not more.
const MOST_LOOKS: u64 = 1 << 24;

/// Looks at the ring at `address`, without taking part. Nothing of it is mapped, and nothing is written: what its owner
/// does to it meanwhile harms nobody who looks, and what is not there (of a file, its holes) is not made by looking.
///
/// [`used_bytes`](Stat::used_bytes) of a ring with more than 2^24 cells or records is of the first of them.
///
/// # Errors
/// Those of [`Builder::open`](crate::Builder::open).
///
/// ```no_run
/// # use ringway_core as ringway;
/// let stat = ringway::inspect::stat(&"shm:orders".parse()?)?;
/// println!("{} of {} bytes used", stat.used_bytes, stat.capacity_bytes);
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn stat(address: &Address) -> Result<Stat, Error> {
    let view = View::open(address)?;
    if view.is_retired() {
        // Who opens it finds nothing either.
        return Err(Attempt::to("inspect", address).not_found(Errno::ENOENT));
    }
    Ok(look(&view))
}

/// The addresses of all rings on this machine that have a name which can be listed (`shm:`, `sysv:`)
/// and that this user may read, in order.
///
/// ```
/// # use ringway_core as ringway;
/// for address in ringway::inspect::list() {
///     println!("{address}");
/// }
/// ```
pub fn list() -> Vec<Address> {
    store::list()
}

/// The addresses (`file:`) of all rings among the files of a directory that this user may read, in order. A slab
/// that is a file of its own is none, whatever is written in it.
///
/// # Errors
/// If the directory cannot be listed.
///
/// ```
/// # use ringway_core as ringway;
/// for address in ringway::inspect::list_in("/dev/shm".as_ref())? {
///     println!("{address}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn list_in(directory: &Path) -> std::io::Result<Vec<Address>> {
    store::list_in(directory)
}

/// Removes the ring at `address`. Processes that have it open can go on, with those of its slabs that they have
/// mapped if these are [segments](crate::Builder::slab_segments); nobody else will find it.
/// Unless `force` is set, a ring to which a live process is attached is left alone.
///
/// # Errors
/// [`ErrorKind::InUse`] if a live process is attached, [`ErrorKind::NotFound`],
/// [`ErrorKind::NotARing`] (foreign objects are never removed), [`ErrorKind::PermissionDenied`].
///
/// ```no_run
/// # use ringway_core as ringway;
/// ringway::remove(&"shm:orders".parse()?, false)?;
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn remove(address: &Address, force: bool) -> Result<(), Error> {
    if !force {
        // Whether what cannot be looked at may be removed, the segment decides.
        if let Ok(stat) = stat(address) {
            refuse_if_in_use(&stat)?;
        }
    }
    store::remove(address)
}

fn refuse_if_in_use(stat: &Stat) -> Result<(), Error> {
    let Some(holder) = stat
        .participants
        .iter()
        .find(|participant| participant.alive)
    else {
        return Ok(());
    };
    let (pid, process) = name_holder(holder.pid, holder.pid_namespace);
    let problem = format!("{process} is attached as its {}", holder.role.name());
    let remedy = match pid {
        0 => "end that process, or remove with force".to_owned(),
        pid => format!("end process {pid}, or remove with force"),
    };
    let kind = ErrorKind::InUse { pid };
    Err(Error::new(kind, "remove", &stat.address, problem).remedy(remedy))
}

pub(crate) fn look(view: &View) -> Stat {
    let header = view.header();
    // For all slots together: what a header says of many newcomers must not add up.
    let mut patience = PATIENCE;
    let mut slots: Vec<_> = (0..header.geometry.participants())
        .map(|index| look_at_slot(view, slot_offset(index), &mut patience))
        .collect();
    let entries = board::look(view, &slots);
    let traffic = match header.geometry.shape() {
        Shape::Stream => {
            let traffic = stream::traffic(view, &slots);
            // Each role has one slot, which need not count what the ring counts.
            for participant in slots.iter_mut().flatten() {
                participant.messages = match participant.role {
                    Role::Producer => traffic.sent,
                    Role::Consumer => traffic.received,
                };
                participant.waits_for = sleeps_on_its_word(view, participant);
            }
            traffic
        }
        Shape::Cells(cell_len) => cells::traffic(view, cell_len, &slots),
        Shape::Board(_) => board::traffic(&entries),
        Shape::Broadcast => {
            let traffic = broadcast::traffic(view, &mut slots);
            if let Some(producer) = slots.first_mut().and_then(Option::as_mut) {
                producer.waits_for = sleeps_on_its_word(view, producer);
            }
            traffic
        }
    };
    let epoch = |slot| view.load64(slot_offset(slot) + EPOCH).unwrap_or(0);
    Stat {
        address: view.address().clone(),
        owner: view.access().map(|(owner, _)| owner),
        mode: view.access().map(|(_, mode)| mode),
        kind: header.kind,
        sync: header.sync,
        overwrites_oldest: header.overwrite,
        capacity_bytes: header.geometry.capacity(),
        used_bytes: traffic.used_bytes,
        sent: traffic.sent,
        received: traffic.received,
        repaired: (0..header.geometry.participants()).fold(0, |sum: u64, slot| {
            sum.saturating_add(view.load64(slot_offset(slot) + REPAIRED).unwrap_or(0))
        }),
        overwritten: traffic.overwritten,
        producer_closed: traffic.producer_closed,
        consumer_closed: traffic.consumer_closed,
        producers_ever: header
            .geometry
            .slots(Role::Producer)
            .fold(0, |sum, slot| sum.saturating_add(epoch(slot))),
        created_ns: header.created_ns,
        slabs: slabs::look(view, &slots),
        slab_segments: header.geometry.has_slab_segments(),
        message_type: MessageType::decode(&message_type::load(|at| view.load64(at))),
        entries,
        participants: slots.into_iter().flatten().collect(),
    }
}

/// How many messages are committed and not released in a ring that nobody changes any more; `None` if what
/// is in it contradicts itself.
pub(crate) fn undelivered(view: &View) -> Option<u64> {
    match view.header().geometry.shape() {
        Shape::Stream => stream::undelivered(view),
        Shape::Cells(cell_len) => cells::undelivered(view, cell_len),
        Shape::Board(_) => Some(board::values(view)),
        Shape::Broadcast => broadcast::undelivered(view),
    }
}

/// What went through a ring.
struct Traffic {
    used_bytes: u64,
    sent: u64,
    received: u64,
    overwritten: u64,
    producer_closed: bool,
    consumer_closed: bool,
}

/// Whether one that plays `role` is there, or died there and nobody has followed.
fn is_held(slots: &[Option<ParticipantStat>], role: Role) -> bool {
    let mut held = slots.iter().flatten();
    held.any(|participant| participant.role == role)
}

/// Whether a live process plays `role`.
fn is_there(slots: &[Option<ParticipantStat>], role: Role) -> bool {
    let mut held = slots.iter().flatten();
    held.any(|participant| participant.role == role && participant.alive)
}

/// What a participant sleeps for that alone sleeps on a wake word of its own, and says there when it is awake again.
fn sleeps_on_its_word(view: &View, participant: &ParticipantStat) -> Option<WaitsFor> {
    let (event, what) = match participant.role {
        Role::Producer => (SPACE_EVENT, WaitsFor::Room),
        Role::Consumer => (DATA_EVENT, WaitsFor::Message),
    };
    let sleeps = view.load32(event)? & eventcount::ASLEEP != 0;
    (participant.alive && sleeps).then_some(what)
}

fn look_at_slot(view: &View, slot: usize, patience: &mut u32) -> Option<ParticipantStat> {
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
            holder_pid(load32, patience)
        } else {
            load32(PID)?
        },
        pid_namespace: view.load64(slot + PID_NAMESPACE)?,
        alive,
        epoch: view.load64(slot + EPOCH)?,
        attached_ns: view.load64(slot + ATTACHED_NS)?,
        messages: view.load64(slot + MESSAGES)?,
        waits_for: match load32(ASLEEP)? {
            FOR_MESSAGE if alive => Some(WaitsFor::Message),
            FOR_ROOM if alive => Some(WaitsFor::Room),
            _ => None,
        },
        subscription: None,
    })
}
