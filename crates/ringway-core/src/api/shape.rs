//! What a ring is asked to be like.

use crate::address::Address;
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::memory::layout::broadcast::allowed;
use crate::memory::layout::cell::{MAX_CELL_LEN, MIN_CELL_LEN, MIN_CELLS};
use crate::memory::layout::message_type::{MOST_TYPE_NAME, MessageType, NO_TYPE, TypeWords};
use crate::memory::layout::pool::{
    Class, MAX_CLASSES, MAX_SLAB_LEN, MAX_SLABS, MIN_SLAB_LEN, Slabs,
};
use crate::memory::layout::{Geometry, Kind, MAX_CAPACITY, MAX_PARTICIPANTS, Shape, SyncKind};

/// Bytes of the data region unless told otherwise. Larger than the private caches of two cores, so
/// that a consumer which falls behind reads lines that the producer has long finished.
const DEFAULT_CAPACITY: u64 = 4 << 20;

/// The least capacity, in bytes: a page.
const LEAST_CAPACITY: u64 = 4096;

/// How many producers, and how many consumers, may be attached at once unless told otherwise.
const DEFAULT_PARTICIPANTS: u32 = 32;

/// Bytes of a cell unless told otherwise: two lines, which the processor fetches together.
const DEFAULT_CELL_LEN: u32 = 128;

/// Permission bits unless told otherwise.
pub(super) const DEFAULT_MODE: u32 = 0o600;

/// The permission bits that count.
pub(super) const MODE_BITS: u32 = 0o666;

/// The options that shape a new ring, as they were set; `None` was not, and is the default of a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShapeOptions {
    pub(crate) capacity: Option<u64>,
    pub(crate) kind: Option<Kind>,
    pub(crate) sync: Option<SyncKind>,
    pub(crate) participants: Option<u32>,
    pub(crate) cell_len: Option<u32>,
    pub(crate) overwrite: Option<bool>,
    pub(crate) persistent: Option<bool>,
    pub(crate) policies: Option<u8>,
    pub(crate) slabs: Vec<(u64, u32)>,
    pub(crate) slab_segments: Option<bool>,
    pub(crate) mode: Option<u32>,
    pub(crate) message_type: Option<MessageType>,
}

/// What is wrong with an option, and what to do.
type Fault = (String, String);

impl ShapeOptions {
    pub(crate) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Spsc)
    }

    pub(crate) fn sync(&self) -> SyncKind {
        self.sync.unwrap_or(SyncKind::Futex)
    }

    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite.unwrap_or(false)
    }

    pub(crate) fn mode(&self) -> u32 {
        self.mode.unwrap_or(DEFAULT_MODE)
    }

    /// What was asked for that a message queue does not have.
    pub(crate) fn only_of_rings(&self) -> Option<&'static str> {
        match self.kind {
            Some(Kind::Spmc | Kind::Mpmc | Kind::Broadcast) => Some("several receivers"),
            Some(Kind::Spsc) => Some("a single sender (Kind::Spsc)"),
            Some(Kind::Board) => Some("being a board"),
            _ if self.persistent == Some(true) => Some("being kept, whoever dies"),
            _ if self.overwrite == Some(true) => Some("overwriting the oldest message"),
            _ if !self.slabs.is_empty() => Some("slabs"),
            _ if self.message_type.is_some() => Some("a type of its messages"),
            _ if self.sync.is_some() => Some("a kind of synchronisation of one's choice"),
            _ => None,
        }
    }

    /// The geometry of a new ring.
    pub(crate) fn geometry(&self, address: &Address) -> Result<Geometry, Error> {
        let invalid = |(problem, remedy): Fault| {
            Attempt::to("create", address)
                .error(ErrorKind::InvalidCapacity, problem)
                .remedy(remedy)
        };
        self.new_geometry().map_err(invalid)
    }

    fn new_geometry(&self) -> Result<Geometry, Fault> {
        if self.kind() == Kind::Board {
            let problem = "a board is no ring";
            return Err((problem.into(), "make it as one (ringway::Board)".into()));
        }
        self.check_broadcast()?;
        let each = self.participants.unwrap_or(DEFAULT_PARTICIPANTS);
        let participants = self
            .kind()
            .participants(each)
            .filter(|&all| each > 0 && all <= MAX_PARTICIPANTS)
            .ok_or_else(|| {
                let problem = format!("a ring cannot have {each} producers or consumers");
                let remedy = format!("choose from 1 to {}", MAX_PARTICIPANTS / 2);
                (problem, remedy)
            })?;
        let cell_len = self.new_cell_len().ok_or_else(|| {
            let problem = format!("a cell cannot have {} bytes", self.cell_len.unwrap_or(0));
            let remedy = format!("choose from {MIN_CELL_LEN} to {MAX_CELL_LEN} bytes");
            (problem, remedy)
        })?;
        let slabs = self.new_slabs()?;
        let shape = Shape::of(self.kind(), self.sync(), self.overwrites(), cell_len);
        self.new_capacity(shape)
            .and_then(|capacity| Geometry::new(self.kind(), shape, participants, capacity))
            .map(|geometry| geometry.with_slabs(slabs))
            .map(|geometry| geometry.with_slab_segments(self.slab_segments.unwrap_or(false)))
            .ok_or_else(|| {
                let asked = self.capacity.unwrap_or(0);
                let problem = format!("a ring cannot have a capacity of {asked} bytes");
                let remedy = format!("choose from {LEAST_CAPACITY} to {MAX_CAPACITY} bytes");
                (problem, remedy)
            })
    }

    /// What a broadcast ring does not have, and what only a broadcast ring has.
    fn check_broadcast(&self) -> Result<(), Fault> {
        let is_broadcast = self.kind() == Kind::Broadcast;
        let refused = if is_broadcast && self.sync() != SyncKind::Futex {
            let problem = format!("a broadcast ring cannot have sync {}", self.sync().name());
            (problem, "leave out the sync, which is futex then".into())
        } else if is_broadcast && self.overwrites() {
            let problem = "a broadcast ring does not overwrite for all of its receivers".into();
            (problem, "let receivers choose the policy lossy".into())
        } else if !is_broadcast && self.policies.is_some() {
            let problem = "policies are for the receivers of a broadcast ring".into();
            (problem, "choose kind broadcast, or leave them out".into())
        } else if self.policies == Some(0) {
            let problem = "a broadcast ring has to allow a policy".into();
            (problem, "name at least one".into())
        } else {
            return Ok(());
        };
        Err(refused)
    }

    /// What the creator of a new ring says of its messages.
    pub(crate) fn new_message_type(&self, address: &Address) -> Result<TypeWords, Error> {
        let Some(message_type) = &self.message_type else {
            return Ok(NO_TYPE);
        };
        message_type.encode().ok_or_else(|| {
            Attempt::to("create", address)
                .error(
                    ErrorKind::Unsupported,
                    "that is no name for a type of messages",
                )
                .remedy(format!(
                    "choose one of 1 to {MOST_TYPE_NAME} bytes, without control characters"
                ))
        })
    }

    /// What consumers of a new ring may choose.
    pub(crate) fn policies(&self) -> u8 {
        match self.kind() {
            Kind::Broadcast => self.policies.unwrap_or(allowed::ALL),
            _ => 0,
        }
    }

    /// The capacity of a new ring of that shape: the next power of two. (A position in the ring is masked with it for each word
    /// that is read or written; with any other number it would have to be compared.)
    pub(super) fn new_capacity(&self, shape: Shape) -> Option<u64> {
        let least = match shape {
            Shape::Stream | Shape::Broadcast => LEAST_CAPACITY,
            Shape::Cells(len) => LEAST_CAPACITY.max(MIN_CELLS * u64::from(len)),
            // Which a ring is not.
            Shape::Board(_) => return None,
        };
        let asked = self.capacity.unwrap_or(DEFAULT_CAPACITY);
        let asked = (asked > 0).then_some(asked)?;
        asked.max(least).checked_next_power_of_two()
    }

    pub(super) fn new_cell_len(&self) -> Option<u32> {
        self.cell_len
            .unwrap_or(DEFAULT_CELL_LEN)
            .max(MIN_CELL_LEN)
            .checked_next_power_of_two()
            .filter(|&len| len <= MAX_CELL_LEN)
    }

    /// The classes of slabs.
    pub(super) fn new_slabs(&self) -> Result<Slabs, Fault> {
        if self.slabs.is_empty() {
            return Ok(Slabs::NONE);
        }
        if self.overwrites() {
            let problem = "a ring that overwrites the oldest message cannot have slabs";
            let remedy = "leave out the slabs, or overwrite_oldest";
            return Err((problem.into(), remedy.into()));
        }
        let mut classes: Vec<Class> = Vec::new();
        for &(asked, count) in &self.slabs {
            let Some(len) = new_slab_len(asked).filter(|_| count > 0) else {
                let problem = format!("a ring cannot have {count} slabs of {asked} bytes");
                let remedy = format!("choose at least one, of at most {MAX_SLAB_LEN} bytes");
                return Err((problem, remedy));
            };
            match classes.iter_mut().find(|class| class.len == len) {
                Some(class) => class.count = class.count.saturating_add(count),
                None => classes.push(Class { len, count }),
            }
        }
        classes.sort_by_key(|class| class.len);
        Slabs::new(&classes).ok_or_else(|| {
            let problem = "a ring cannot have so many slabs";
            let remedy = format!(
                "choose at most {MAX_SLABS}, of at most {MAX_CLASSES} lengths, with {MAX_CAPACITY} \
                 bytes together"
            );
            (problem.into(), remedy)
        })
    }

    /// Adds to an error that names what a new ring would need what was asked for, where it was rounded up.
    pub(crate) fn explain_rounding(&self, error: Error) -> Error {
        if !matches!(
            error.kind(),
            ErrorKind::NoSpace | ErrorKind::InvalidCapacity
        ) {
            return error;
        }
        let Ok(geometry) = self.new_geometry() else {
            return error;
        };
        let mut rounded = Vec::new();
        if let Some(asked) = self.capacity
            && asked != geometry.capacity()
        {
            let (asked, made) = (Bytes(asked), Bytes(geometry.capacity()));
            rounded.push(format!("the capacity of {asked} to {made}"));
        }
        for &(asked, _) in &self.slabs {
            if let Some(made) = new_slab_len(asked).filter(|made| *made != asked) {
                let (asked, made) = (Bytes(asked), Bytes(made));
                rounded.push(format!("slabs of {asked} to {made}"));
            }
        }
        match rounded.is_empty() {
            true => error,
            false => error.note(format!(
                "rounded up to powers of two: {}",
                rounded.join(", ")
            )),
        }
    }
}

/// Bytes of a slab for messages of up to `asked`.
fn new_slab_len(asked: u64) -> Option<u64> {
    let rounded = asked.max(MIN_SLAB_LEN).checked_next_power_of_two();
    rounded.filter(|&len| len <= MAX_SLAB_LEN)
}
