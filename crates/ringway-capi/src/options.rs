//! What a ring is to be like.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use ringway::broadcast::{EvictAfter, Policy};
use ringway::mq::QueueBuilder;
use ringway::{Address, Builder, Kind, SyncKind, WaitStrategy};

use crate::outcome::{Fault, NULL, OF_RINGS, RINGWAY_INVALID};
use crate::sized::Sized;

/// One sender, one receiver: the fastest. (kind)
pub const RINGWAY_SPSC: u32 = 1;
/// Many senders, one receiver. (kind)
pub const RINGWAY_MPSC: u32 = 2;
/// One sender, many receivers. (kind)
pub const RINGWAY_SPMC: u32 = 3;
/// Many senders, many receivers. (kind)
pub const RINGWAY_MPMC: u32 = 4;
/// One sender, many receivers, of which each gets every message: ringway_ring_subscribe says how. (kind)
pub const RINGWAY_BROADCAST: u32 = 5;

/// No ring but a board: what ringway_stat says of one. (kind)
pub const RINGWAY_BOARD: u32 = 6;

/// The sender waits for the slowest of these receivers that lives. (policy)
pub const RINGWAY_BLOCK: u32 = 1;
/// The sender waits for none of these; one that was overtaken is told how many messages it missed: RINGWAY_LAGGED. (policy)
pub const RINGWAY_LOSSY: u32 = 2;
/// The sender waits up to a limit for these; then they are told RINGWAY_EVICTED, and get nothing more. (policy)
pub const RINGWAY_EVICT: u32 = 4;

/// Which kind each number is: what is new comes last.
pub(crate) const KINDS: [Kind; 6] = [
    Kind::Spsc,
    Kind::Mpsc,
    Kind::Spmc,
    Kind::Mpmc,
    Kind::Broadcast,
    Kind::Board,
];

/// Excluded by atomic operations, woken by futexes: the default, and the fastest. (sync)
pub const RINGWAY_FUTEX: u32 = 1;
/// Excluded by a robust mutex; for peers that trust each other. (sync)
pub const RINGWAY_PTHREAD: u32 = 2;
/// Excluded and woken by POSIX semaphores; for peers that trust each other. (sync)
pub const RINGWAY_POSIX_SEM: u32 = 3;
/// Excluded and woken by System V semaphores. (sync)
pub const RINGWAY_SYSV_SEM: u32 = 4;
/// Woken by POSIX message queues. (sync)
pub const RINGWAY_MQUEUE: u32 = 5;

/// For what is yes or no: it was asked for. 0 is not asked for, the default.
pub const RINGWAY_YES: i32 = 1;
/// It was asked that it is not so.
pub const RINGWAY_NO: i32 = -1;

/// Slabs of one length.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_slabs_t {
    /// Bytes of each.
    pub len: u64,
    /// How many.
    pub count: u32,
}

/// What a ring or queue is to be like. All zero but the size is the default of everything: RINGWAY_OPTIONS_INIT.
///
/// A ring that is found must be as those options say that were set; else RINGWAY_INCOMPATIBLE. A queue (mq:, sysvmq:) takes mode, any_owner,
/// wait_ns, messages, message_len and priorities.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_options_t {
    /// sizeof(ringway_options_t)
    pub size: usize,
    /// RINGWAY_SPSC, ...; RINGWAY_SPSC if it is 0.
    pub kind: u32,
    /// RINGWAY_FUTEX, ...; RINGWAY_FUTEX if it is 0.
    pub sync: u32,
    /// Bytes for messages, rounded up to a power of two; 4 MiB if it is 0.
    pub capacity: u64,
    /// How many may be attached in a role that there are many of, from 1 to 60; 32 if it is 0.
    pub participants: u32,
    /// Bytes of a cell, in rings that have cells; 128 if it is 0.
    pub cell_len: u32,
    /// Slabs for long messages, of up to four lengths; null if there are none.
    pub slabs: *const ringway_slabs_t,
    /// How many lengths that is.
    pub slab_lengths: usize,
    /// Whether each slab is a segment of its own.
    pub slab_segments: i32,
    /// Whether a full ring loses its oldest message instead of having senders wait.
    pub overwrite_oldest: i32,
    /// Whether collectors leave it alone, whoever dies holding it.
    pub persistent: i32,
    /// Permission bits, 0600 if it is 0.
    pub mode: u32,
    /// Whether to touch every page at once. Here the default is yes.
    pub prefault: i32,
    /// Whether to lock it into memory.
    pub lock_memory: i32,
    /// Whether a new one lies in reserved huge pages.
    pub huge_pages: i32,
    /// Whether to open what belongs to another user.
    pub any_owner: i32,
    /// Whether all who can write there are trusted.
    pub trust_peers: i32,
    /// Of a new queue, the most messages; 0 is the system's default.
    pub messages: u32,
    /// For how long opening waits for it to be made, in nanoseconds; negative is for ever.
    pub wait_ns: i64,
    /// Of a new queue, bytes of its longest message; 0 is the system's default.
    pub message_len: usize,
    /// Of a new queue, whether it has priorities. Here the default is yes.
    pub priorities: i32,
    /// Which policies the receivers of a new broadcast ring may choose: RINGWAY_BLOCK | RINGWAY_LOSSY, say; all if it is 0.
    pub policies: u32,
}

// SAFETY: repr(C), begins with its size, and has integers and a pointer.
unsafe impl Sized for ringway_options_t {}

/// How a handle works. All zero but the size is the default: RINGWAY_HANDLE_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_handle_options_t {
    /// sizeof(ringway_handle_options_t)
    pub size: usize,
    /// For how long calls that wait spin before they sleep, in nanoseconds. 0: 50 microseconds. RINGWAY_SPIN, RINGWAY_PARK.
    pub spin_ns: i64,
    /// Of a sender: from how many bytes on a message goes in a slab, if there are slabs; 0 is 64 KiB.
    pub copy_limit: usize,
}

/// Never sleep. (spin_ns)
pub const RINGWAY_SPIN: i64 = -1;
/// Sleep at once. (spin_ns)
pub const RINGWAY_PARK: i64 = -2;

// SAFETY: repr(C), begins with its size, and has integers.
unsafe impl Sized for ringway_handle_options_t {}

impl ringway_handle_options_t {
    pub(crate) fn strategy(&self) -> Result<WaitStrategy, Fault> {
        strategy(self.spin_ns)
    }
}

/// For how long calls that wait spin before they sleep.
pub(crate) fn strategy(spin_ns: i64) -> Result<WaitStrategy, Fault> {
    match spin_ns {
        0 => Ok(WaitStrategy::default()),
        RINGWAY_SPIN => Ok(WaitStrategy::Spin),
        RINGWAY_PARK => Ok(WaitStrategy::Park),
        ns => match u64::try_from(ns) {
            Ok(ns) => Ok(WaitStrategy::Adaptive(Duration::from_nanos(ns))),
            Err(_) => Err(UNKNOWN),
        },
    }
}

pub(crate) const UNKNOWN: Fault = Fault::Own(
    RINGWAY_INVALID,
    "an option has a value that there is not: use the names in ringway.h",
);

/// An address as the caller writes it.
///
/// # Safety
/// Null, or a string that ends with a zero byte.
pub(crate) unsafe fn address(text: *const c_char) -> Result<Address, Fault> {
    if text.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    let text = text.map_err(|_| {
        Fault::Own(
            RINGWAY_INVALID,
            "the address is no UTF-8: write such bytes as % and two hexadecimal digits",
        )
    })?;
    Ok(text.parse()?)
}

/// For how long opening waits; a negative number is for ever.
pub(crate) fn opening_wait(ns: i64) -> Option<Duration> {
    match ns {
        0 => None,
        ns => Some(u64::try_from(ns).map_or(Duration::MAX, Duration::from_nanos)),
    }
}

/// How a ring or a queue is made or found.
pub(crate) struct Connection {
    pub(crate) ring: Builder,
    /// At an address of a queue.
    pub(crate) queue: Option<QueueBuilder>,
}

pub(crate) fn answer(choice: i32) -> Result<Option<bool>, Fault> {
    match choice {
        0 => Ok(None),
        RINGWAY_YES => Ok(Some(true)),
        RINGWAY_NO => Ok(Some(false)),
        _ => Err(UNKNOWN),
    }
}

/// Those whose bits are set.
fn policies(bits: u32) -> Result<Vec<Policy>, Fault> {
    // What the limit is does not matter here.
    let evict = Policy::Evict(EvictAfter::Waiting(Duration::ZERO));
    let all = [
        (RINGWAY_BLOCK, Policy::Block),
        (RINGWAY_LOSSY, Policy::Lossy),
        (RINGWAY_EVICT, evict),
    ];
    if bits & !(RINGWAY_BLOCK | RINGWAY_LOSSY | RINGWAY_EVICT) != 0 {
        return Err(UNKNOWN);
    }
    let allowed = all.into_iter().filter(|(bit, _)| bits & bit != 0);
    Ok(allowed.map(|(_, policy)| policy).collect())
}

fn choose<T: Copy>(number: u32, all: &[T]) -> Result<Option<T>, Fault> {
    match number.checked_sub(1) {
        None => Ok(None),
        Some(at) => all.get(at as usize).copied().map(Some).ok_or(UNKNOWN),
    }
}

impl ringway_options_t {
    /// # Safety
    /// `slabs` is null, or points to `slab_lengths` of them.
    pub(crate) unsafe fn connection(&self, address: Address) -> Result<Connection, Fault> {
        match address.scheme() {
            "mq" | "sysvmq" => {
                let queue = Some(self.queue(address.clone())?);
                Ok(Connection {
                    ring: Builder::at(address),
                    queue,
                })
            }
            _ => Ok(Connection {
                // SAFETY: passed on.
                ring: unsafe { self.ring(Builder::at(address)) }?,
                queue: None,
            }),
        }
    }

    /// # Safety
    /// As `connection`.
    pub(crate) unsafe fn ring(&self, mut ring: Builder) -> Result<Builder, Fault> {
        if self.messages != 0 || self.message_len != 0 || self.priorities != 0 {
            return Err(Fault::Own(
                RINGWAY_INVALID,
                "messages, message_len and priorities are options of queues: use an address of a queue",
            ));
        }
        if let Some(kind) = choose(self.kind, &KINDS)? {
            ring = ring.kind(kind);
        }
        if self.policies != 0 {
            ring = ring.policies(&policies(self.policies)?);
        }
        if let Some(sync) = choose(self.sync, &SyncKind::ALL)? {
            ring = ring.sync(sync);
        }
        if self.capacity != 0 {
            ring = ring.capacity(self.capacity);
        }
        if self.participants != 0 {
            ring = ring.participants(self.participants);
        }
        if self.cell_len != 0 {
            ring = ring.cell_len(self.cell_len);
        }
        if self.slab_lengths > 0 {
            if self.slabs.is_null() {
                return Err(NULL);
            }
            // SAFETY: the caller's promise.
            let slabs = unsafe { std::slice::from_raw_parts(self.slabs, self.slab_lengths) };
            for slabs in slabs {
                ring = ring.slabs(slabs.len, slabs.count);
            }
        }
        if self.mode != 0 {
            ring = ring.mode(self.mode);
        }
        if let Some(wait) = opening_wait(self.wait_ns) {
            ring = ring.wait(wait);
        }
        type With = fn(Builder, bool) -> Builder;
        let answers: [(i32, With); 8] = [
            (self.slab_segments, Builder::slab_segments),
            (self.overwrite_oldest, Builder::overwrite_oldest),
            (self.persistent, Builder::persistent),
            (self.prefault, Builder::prefault),
            (self.lock_memory, Builder::lock_memory),
            (self.huge_pages, Builder::huge_pages),
            (self.any_owner, Builder::any_owner),
            (self.trust_peers, Builder::trust_peers),
        ];
        for (choice, with) in answers {
            if let Some(yes) = answer(choice)? {
                ring = with(ring, yes);
            }
        }
        Ok(ring)
    }

    fn queue(&self, address: Address) -> Result<QueueBuilder, Fault> {
        let of_rings = [
            self.kind as u64,
            self.sync.into(),
            self.capacity,
            self.participants.into(),
            self.cell_len.into(),
            self.slab_lengths as u64,
            self.policies.into(),
        ];
        let choices = [
            self.slab_segments,
            self.overwrite_oldest,
            self.persistent,
            self.prefault,
            self.lock_memory,
            self.huge_pages,
            self.trust_peers,
        ];
        if of_rings.iter().any(|number| *number != 0) || choices.iter().any(|choice| *choice != 0) {
            return Err(OF_RINGS);
        }
        let mut queue = QueueBuilder::at(address);
        if self.mode != 0 {
            queue = queue.mode(self.mode);
        }
        if self.messages != 0 {
            queue = queue.messages(self.messages);
        }
        if self.message_len != 0 {
            queue = queue.message_len(self.message_len);
        }
        if let Some(yes) = answer(self.priorities)? {
            queue = queue.priorities(yes);
        }
        if let Some(yes) = answer(self.any_owner)? {
            queue = queue.any_owner(yes);
        }
        if let Some(wait) = opening_wait(self.wait_ns) {
            queue = queue.wait(wait);
        }
        Ok(queue)
    }
}
