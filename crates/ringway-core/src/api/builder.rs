//! How a ring is made or found.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::address::Address;
use crate::api::ring::Ring;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::cell::{MAX_CELL_LEN, MIN_CELL_LEN, MIN_CELLS};
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::pool::{
    Class, MAX_CLASSES, MAX_SLAB_LEN, MAX_SLABS, MIN_SLAB_LEN, Slabs,
};
use crate::memory::layout::{Geometry, Kind, MAX_CAPACITY, MAX_PARTICIPANTS, Shape, SyncKind};
use crate::presence::keeper::{self, Refusal};
use crate::store::{PeerCredentials, Plan, Request, Segment};

/// Bytes of the data region unless told otherwise. Larger than the private caches of two cores, so
/// that a consumer which falls behind reads lines that the producer has long finished.
const DEFAULT_CAPACITY: u64 = 4 << 20;

/// The least capacity, in bytes: a page.
const LEAST_CAPACITY: u64 = 4096;

/// How many producers, and how many consumers, may be attached at once unless told otherwise.
const DEFAULT_PARTICIPANTS: u32 = 32;

/// Bytes of a cell unless told otherwise: two lines, which the processor fetches together.
const DEFAULT_CELL_LEN: u32 = 128;

/// What a [`Builder`] says that is not about rings alone; for transports beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommonOptions {
    /// Who takes part.
    pub kind: Kind,
    /// Bytes for messages.
    pub capacity: u64,
    /// Permission bits.
    pub mode: u32,
    /// Whether to open what belongs to another user.
    pub any_owner: bool,
    /// How long opening waits for the other side to make it.
    pub wait: Option<Duration>,
    /// Whether collectors leave it alone.
    pub persistent: bool,
}

/// Says where a ring lives and what it is like, then makes or opens it.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Builder;
///
/// let ring = Builder::new("memfd:")?.capacity(1 << 20).create()?;
/// assert_eq!(ring.capacity(), 1 << 20);
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    address: Address,
    capacity: u64,
    kind: Kind,
    /// Whether kind and synchronisation were asked for.
    chosen: (bool, bool),
    sync: SyncKind,
    participants: u32,
    cell_len: u32,
    overwrite: bool,
    persistent: bool,
    slabs: Vec<(u64, u32)>,
    slab_segments: bool,
    mode: u32,
    prefault: bool,
    lock_memory: bool,
    huge_pages: bool,
    any_owner: bool,
    trust_peers: bool,
    wait: Option<Duration>,
}

impl Builder {
    /// A ring at `address`, with every option at its default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if the address does not parse.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let builder = ringway::Builder::new("shm:orders")?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn new(address: &str) -> Result<Self, Error> {
        address.parse().map(Self::at)
    }

    /// A ring at a parsed address.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Address, Builder};
    ///
    /// let builder = Builder::at(Address::Memfd);
    /// ```
    pub fn at(address: Address) -> Self {
        Self {
            address,
            capacity: DEFAULT_CAPACITY,
            kind: Kind::Spsc,
            chosen: (false, false),
            sync: SyncKind::Futex,
            participants: DEFAULT_PARTICIPANTS,
            cell_len: DEFAULT_CELL_LEN,
            overwrite: false,
            persistent: false,
            slabs: Vec::new(),
            slab_segments: false,
            mode: 0o600,
            prefault: true,
            lock_memory: false,
            huge_pages: false,
            any_owner: false,
            trust_peers: false,
            wait: None,
        }
    }

    /// Where the ring is, or will be.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let builder = ringway::Builder::new("memfd:")?;
    /// assert_eq!(builder.address().scheme(), "memfd");
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The same options at another address.
    #[must_use]
    pub fn with_address(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// The options that concern whatever carries messages, be it a ring or not.
    pub fn common(&self) -> CommonOptions {
        CommonOptions {
            kind: self.kind,
            capacity: self.capacity,
            mode: self.mode,
            any_owner: self.any_owner,
            wait: self.wait,
            persistent: self.persistent,
        }
    }

    /// What was asked for that a message queue does not have, and only a ring can: for who would otherwise make a
    /// queue instead.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, Kind};
    ///
    /// assert_eq!(Builder::new("auto:orders")?.only_of_rings(), None);
    /// let builder = Builder::new("auto:orders")?.kind(Kind::Spsc);
    /// assert_eq!(builder.only_of_rings(), Some("a single sender (Kind::Spsc)"));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn only_of_rings(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Spmc | Kind::Mpmc => Some("several receivers"),
            Kind::Spsc if self.chosen.0 => Some("a single sender (Kind::Spsc)"),
            _ if self.persistent => Some("being kept, whoever dies"),
            _ if self.overwrite => Some("overwriting the oldest message"),
            _ if !self.slabs.is_empty() => Some("slabs"),
            _ if self.chosen.1 => Some("a kind of synchronisation of one's choice"),
            _ => None,
        }
    }

    /// Bytes for messages in a new ring, rounded up to a power of two of at least 4096. Each message
    /// takes its length, rounded up to eight, and eight bytes; none may take more than half of the
    /// ring. The default is 4 MiB.
    ///
    /// A message never goes on at the beginning of the ring: where it does not fit before the end, what is left there stays
    /// unused until it is passed. A ring of kind spsc and sync futex holds 8 bytes less than its capacity; in others a
    /// message takes cells ([`cell_len`](Self::cell_len)).
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Who may take part in a new ring. The default is [`Kind::Spsc`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, Kind};
    ///
    /// let ring = Builder::new("memfd:")?.kind(Kind::Mpmc).create()?;
    /// let (mut one, mut other) = (ring.sender()?, ring.sender()?);
    /// one.send(b"from one")?;
    /// other.send(b"from the other")?;
    /// assert_eq!(ring.receiver()?.recv()?, b"from one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.chosen.0 = true;
        self
    }

    /// How the participants of a new ring exclude and wake each other. The default is
    /// [`SyncKind::Futex`]. With [`SyncKind::Pthread`] and [`SyncKind::PosixSem`] they must
    /// [trust](Self::trust_peers) each other.
    #[must_use]
    pub fn sync(mut self, sync: SyncKind) -> Self {
        self.sync = sync;
        self.chosen.1 = true;
        self
    }

    /// How many producers and how many consumers may be attached to a new ring at once, in each role
    /// that its kind has many of: from 1 to 60. The default is 32.
    #[must_use]
    pub fn participants(mut self, each: u32) -> Self {
        self.participants = each;
        self
    }

    /// Bytes of a cell in a new ring that has cells (all but [`Kind::Spsc`] with [`SyncKind::Futex`]),
    /// rounded up to a power of two from 64 to 1 MiB. Sixteen bytes of a message's first cell are not
    /// payload; longer messages take several cells. The default is 128.
    #[must_use]
    pub fn cell_len(mut self, bytes: u32) -> Self {
        self.cell_len = bytes;
        self
    }

    /// Whether sending to a full ring overwrites the oldest message that nobody is reading, instead of
    /// waiting. [`Sender::overwritten`](crate::Sender::overwritten) and
    /// [`Stat::overwritten`](crate::Stat::overwritten) count what was lost. The default is no.
    ///
    /// A message that a receiver is reading, and a claim that is not committed, are passed, whether their process works,
    /// is stopped, or died. Sending is refused, or waits, only where these leave no room for the message: it needs
    /// adjacent cells. (Where the ring has a lock, who is stopped with it makes others wait.) A claim that the others
    /// have passed is committed behind their messages. A message that they have passed, and that its receiver leaves
    /// or dies with instead of releasing it, is not received again but counts as overwritten. A receiver takes at most a
    /// quarter of the cells at once.
    #[must_use]
    pub fn overwrite_oldest(mut self, yes: bool) -> Self {
        self.overwrite = yes;
        self
    }

    /// Whether collectors ([`Gc`](crate::Gc), `ringway gc`) leave a new ring alone, whoever dies holding it: what a
    /// supervisor starts anew finds it as it was left. It is removed by its address only. The default is no.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.persistent(true).create()?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }

    /// Gives a new ring `count` slabs for messages of up to `len` bytes, rounded up to a power of two from 4096
    /// to 2^40. May be called for four lengths; a ring has at most 65536 slabs. The default is none.
    ///
    /// A message longer than the [copy limit](crate::Sender::with_copy_limit) is written into a slab once,
    /// and only a ticket travels through the ring. The receiver reads it there, and may
    /// [keep](crate::Message::detach) it. Not with [`overwrite_oldest`](Self::overwrite_oldest).
    ///
    /// In a ring with one producer and one consumer, a sender that blocks and is far ahead may wait some 0.1 ms before it
    /// takes one more slab of 512 KiB to 2 MiB, though it is free: few such slabs stay in the processors' caches, and then
    /// the two together are faster. One that only tries never waits.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).slabs(1 << 20, 8).create()?;
    /// assert_eq!(ring.max_message_len(), 1 << 20);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn slabs(mut self, len: u64, count: u32) -> Self {
        self.slabs.push((len, count));
        self
    }

    /// Whether each [slab](Self::slabs) of a new ring is a segment of its own: `shm:`, `file:` and `sysv:`. The
    /// default is no: they lie in the ring's.
    ///
    /// All are made with the ring, but a process maps only those that it uses, each when it first is lent it or
    /// receives a message in it. None needs to be as long as all together; each is an object that `ls /dev/shm` or
    /// `ipcs -m` shows, and takes a page beyond the slab. They are removed with the ring, and must not be renamed; the
    /// ring may be, within its directory. The ring's name may have 200 bytes.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// # let name = format!("shm:ringway-doc-slabs-{}", std::process::id());
    /// let builder = ringway::Builder::new(&name)?.slabs(1 << 20, 4).slab_segments(true);
    /// let ring = builder.create()?;
    /// ring.sender()?.send(&[7; 1 << 20])?;
    /// assert_eq!(ring.receiver()?.recv()?.len(), 1 << 20);
    /// # ringway::remove(ring.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slab_segments(mut self, yes: bool) -> Self {
        self.slab_segments = yes;
        self
    }

    /// Permission bits of a new segment, whatever the umask. The default is `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Whether to touch every page of the segment at once, so that no message pays for a page fault.
    /// The default is yes.
    #[must_use]
    pub fn prefault(mut self, yes: bool) -> Self {
        self.prefault = yes;
        self
    }

    /// Whether to lock the segment into memory (`mlock`). The default is no.
    #[must_use]
    pub fn lock_memory(mut self, yes: bool) -> Self {
        self.lock_memory = yes;
        self
    }

    /// Whether a new segment lies in reserved huge pages: `memfd:`, `sysv:`, and `file:` on a
    /// hugetlbfs mount. The default is no.
    #[must_use]
    pub fn huge_pages(mut self, yes: bool) -> Self {
        self.huge_pages = yes;
        self
    }

    /// Whether to open a segment that belongs to another user. The default is no: only one's own
    /// segments and root's are opened, because the owner of a segment can truncate it.
    ///
    /// In a user namespace that gives not everybody a number, whoever has none there seems to be user 65534 (the
    /// overflow uid), as this process seems to be if it has none. There nothing of that user's is one's own.
    #[must_use]
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.any_owner = yes;
        self
    }

    /// Says that all who can write in the segment are trusted, as sync `pthread` and `posix-sem`
    /// [need it](SyncKind::needs_trust). The default is no: a ring of such a kind is opened only if this process's user and
    /// root alone can write in it, made only with a [`mode`](Self::mode) that lets nobody else, and neither
    /// [handed](Ring::hand_over) nor [taken](Self::take_over) over. Other kinds need no trust, and then this says
    /// nothing.
    ///
    /// Whoever can write in the memory of such a ring can crash this process, or make it write where they like in its
    /// own memory. [`any_owner`](Self::any_owner) alone does not trust an owner so far.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, ErrorKind, SyncKind};
    ///
    /// # let name = format!("shm:ringway-doc-trust-{}", std::process::id());
    /// let builder = Builder::new(&name)?.sync(SyncKind::Pthread).mode(0o660);
    /// let refused = builder.clone().create().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Untrusted);
    /// let ring = builder.trust_peers(true).create()?;
    /// # ringway::remove(ring.address(), true)?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn trust_peers(mut self, yes: bool) -> Self {
        self.trust_peers = yes;
        self
    }

    /// How long [`open`](Self::open) waits for the ring to appear, and for the directory of its file. The default is not at
    /// all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Takes [`wait`](Self::wait) back.
    #[must_use]
    pub fn no_wait(mut self) -> Self {
        self.wait = None;
        self
    }

    /// Makes a new ring; of several processes that try at once, one succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the address is taken, [`ErrorKind::InvalidCapacity`],
    /// [`ErrorKind::NoSpace`], [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`],
    /// [`ErrorKind::Untrusted`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn create(self) -> Result<Ring, Error> {
        let plan = self.plan()?;
        let segment = Segment::create(&self.request(), &plan)?;
        Ring::new(segment, self.trust_peers).map(|ring| ring.made_here(true))
    }

    /// Opens an existing ring; options that shape a new one are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] ([`ErrorKind::TimedOut`] after [`wait`](Self::wait)), and one for each
    /// way in which something at the address is not a ring that this process can use:
    /// [`ErrorKind::NotARing`], [`ErrorKind::Incompatible`], [`ErrorKind::Truncated`],
    /// [`ErrorKind::Corrupt`], [`ErrorKind::HalfMade`], [`ErrorKind::ForeignOwner`],
    /// [`ErrorKind::Untrusted`], [`ErrorKind::PermissionDenied`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, ErrorKind};
    ///
    /// let error = Builder::new("shm:ringway-not-there")?.open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn open(self) -> Result<Ring, Error> {
        let segment = Segment::open(&self.request())?;
        Ring::new(segment, self.trust_peers)
    }

    /// Opens the ring, or makes it if nothing is there. As with [`open`](Self::open), a ring that is there is taken as
    /// it is: look at its [`kind`](Ring::kind) and [`capacity`](Ring::capacity) if they matter.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    ///
    /// ```no_run
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("shm:orders")?.open_or_create()?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn open_or_create(self) -> Result<Ring, Error> {
        let plan = self.plan()?;
        let (segment, is_new) = Segment::open_or_create(&self.request(), &plan)?;
        Ring::new(segment, self.trust_peers).map(|ring| ring.made_here(is_new))
    }

    /// Receives a `memfd:` ring that the process at the other end of `socket`
    /// [hands over](Ring::hand_over), and tells who that is, as [`Ring::take_over`] does, with the options for opening:
    /// [`trust_peers`](Self::trust_peers), [`prefault`](Self::prefault), [`lock_memory`](Self::lock_memory).
    ///
    /// # Errors
    /// Those of [`Ring::take_over`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, ErrorKind, SyncKind};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let trusting = Builder::new("memfd:")?.trust_peers(true);
    /// let ring = trusting.clone().sync(SyncKind::PosixSem).create()?;
    /// let (here, there) = UnixStream::pair()?;
    /// ring.hand_over(&here)?;
    /// assert_eq!(ringway::Ring::take_over(&there).unwrap_err().kind(), ErrorKind::Untrusted);
    /// ring.hand_over(&here)?;
    /// let (again, _peer) = trusting.take_over(&there)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_over(self, socket: &UnixStream) -> Result<(Ring, PeerCredentials), Error> {
        let (segment, peer) = Segment::take_over(&self.request(), socket)?;
        Ok((Ring::new(segment, self.trust_peers)?, peer))
    }

    fn request(&self) -> Request<'_> {
        Request {
            address: &self.address,
            mode: self.mode,
            prefault: self.prefault,
            lock_memory: self.lock_memory,
            huge_pages: self.huge_pages,
            any_owner: self.any_owner,
            trust_peers: self.trust_peers,
            wait: self.wait,
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let geometry = self.geometry()?;
        let attempt = Attempt {
            action: "create",
            address: &self.address,
        };
        let abilities = keeper::abilities().map_err(|errno| Refusal::Os(errno).explain(attempt))?;
        Ok(Plan {
            kind: self.kind,
            sync: self.sync,
            overwrite: self.overwrite,
            persistent: self.persistent,
            geometry,
            fence: FenceMode::of(self.sync, abilities.membarrier),
        })
    }

    fn geometry(&self) -> Result<Geometry, Error> {
        let invalid = |problem: String, remedy: String| {
            Error::new(ErrorKind::InvalidCapacity, "create", &self.address, problem).remedy(remedy)
        };
        let of_capacity = format!("choose from {LEAST_CAPACITY} to {MAX_CAPACITY} bytes");
        if self.capacity == 0 {
            let problem = "a ring cannot have a capacity of 0 bytes".to_owned();
            return Err(invalid(problem, of_capacity));
        }
        let participants = self
            .kind
            .participants(self.participants)
            .filter(|&all| self.participants > 0 && all <= MAX_PARTICIPANTS)
            .ok_or_else(|| {
                let each = self.participants;
                let problem = format!("a ring cannot have {each} producers or consumers");
                invalid(
                    problem,
                    format!("choose from 1 to {}", MAX_PARTICIPANTS / 2),
                )
            })?;
        let cell_len = self
            .cell_len
            .max(MIN_CELL_LEN)
            .checked_next_power_of_two()
            .filter(|&len| len <= MAX_CELL_LEN)
            .ok_or_else(|| {
                let problem = format!("a cell cannot have {} bytes", self.cell_len);
                let remedy = format!("choose from {MIN_CELL_LEN} to {MAX_CELL_LEN} bytes");
                invalid(problem, remedy)
            })?;
        let slabs = self
            .slab_classes()
            .map_err(|(problem, remedy)| invalid(problem, remedy))?;
        let shape = Shape::of(self.kind, self.sync, self.overwrite, cell_len);
        let least = match shape {
            Shape::Stream => LEAST_CAPACITY,
            Shape::Cells(len) => LEAST_CAPACITY.max(MIN_CELLS * u64::from(len)),
        };
        self.capacity
            .max(least)
            .checked_next_power_of_two()
            .and_then(|capacity| Geometry::new(self.kind, shape, participants, capacity))
            .map(|geometry| geometry.with_slabs(slabs))
            .map(|geometry| geometry.with_slab_segments(self.slab_segments))
            .ok_or_else(|| {
                let problem = format!("a ring cannot have a capacity of {} bytes", self.capacity);
                invalid(problem, of_capacity)
            })
    }

    /// The classes of slabs, or what is wrong with them and what to do.
    fn slab_classes(&self) -> Result<Slabs, (String, String)> {
        if self.slabs.is_empty() {
            return Ok(Slabs::NONE);
        }
        if self.overwrite {
            let problem = "a ring that overwrites the oldest message cannot have slabs";
            return Err((
                problem.into(),
                "leave out the slabs, or overwrite_oldest".into(),
            ));
        }
        let mut classes: Vec<Class> = Vec::new();
        for &(asked, count) in &self.slabs {
            let rounded = asked.max(MIN_SLAB_LEN).checked_next_power_of_two();
            let Some(len) = rounded.filter(|&len| len <= MAX_SLAB_LEN && count > 0) else {
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
}
