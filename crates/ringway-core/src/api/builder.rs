//! How a ring is made or found.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::address::Address;
use crate::api::fit;
use crate::api::ring::Ring;
use crate::api::shape::ShapeOptions;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Attempt, Error};
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::message_type::MessageType;
use crate::memory::layout::{Kind, SyncKind};
use crate::presence::keeper::{self, Refusal};
use crate::rings::broadcast::Policy;
use crate::store::{PeerCredentials, Plan, Request, Segment};

/// What a [`Builder`] says that is not about rings alone; for transports beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommonOptions {
    /// Bytes for messages, if they were asked for.
    pub capacity: Option<u64>,
    /// Permission bits, if they were asked for.
    pub mode: Option<u32>,
    /// Whether to open what belongs to another user.
    pub any_owner: bool,
    /// How long opening waits for the other side to make it.
    pub wait: Option<Duration>,
}

/// Says where a ring lives and what it is like, then makes or opens it.
///
/// Options that shape a new ring say what it is to be like. When a ring is opened that is there already, those that were set must be
/// true of it, as far as they make a difference in such a ring: otherwise [`ErrorKind::Incompatible`] names what it has and what was
/// asked for. What was not set is not compared.
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
    shape: ShapeOptions,
    prefault: bool,
    lock_memory: bool,
    huge_pages: Option<bool>,
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
            shape: ShapeOptions::default(),
            prefault: true,
            lock_memory: false,
            huge_pages: None,
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

    /// The options that concern whatever carries messages, be it a ring or not. For ringway's other crates.
    #[doc(hidden)]
    pub fn common(&self) -> CommonOptions {
        CommonOptions {
            capacity: self.shape.capacity,
            mode: self.shape.mode,
            any_owner: self.any_owner,
            wait: self.wait,
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
        self.shape.only_of_rings()
    }

    /// Bytes for messages in a new ring: a power of two of at least 4096. Any other number is rounded up to the next, so
    /// 33 MiB makes a ring of 64 MiB, which takes so much memory; [`Ring::capacity`] tells what was made. Each message
    /// takes its length, rounded up to eight, and eight bytes; none may take more than half of the
    /// ring. The default is 4 MiB.
    ///
    /// A message never goes on at the beginning of the ring: where it does not fit before the end, what is left there stays
    /// unused until it is passed. A ring of kind spsc and sync futex holds 8 bytes less than its capacity; in others a
    /// message takes cells ([`cell_len`](Self::cell_len)).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.capacity(100_000).create()?;
    /// assert_eq!(ring.capacity(), 128 << 10);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.shape.capacity = Some(bytes);
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
        self.shape.kind = Some(kind);
        self
    }

    /// How the participants of a new ring exclude and wake each other. The default is
    /// [`SyncKind::Futex`]. With [`SyncKind::Pthread`] and [`SyncKind::PosixSem`] they must
    /// [trust](Self::trust_peers) each other.
    #[must_use]
    pub fn sync(mut self, sync: SyncKind) -> Self {
        self.shape.sync = Some(sync);
        self
    }

    /// How many producers and how many consumers may be attached to a new ring at once, in each role
    /// that its kind has many of: from 1 to 60. The default is 32.
    #[must_use]
    pub fn participants(mut self, each: u32) -> Self {
        self.shape.participants = Some(each);
        self
    }

    /// Bytes of a cell in a new ring that has cells (all but [`Kind::Spsc`] with [`SyncKind::Futex`]),
    /// rounded up to a power of two from 64 to 1 MiB. Sixteen bytes of a message's first cell are not
    /// payload; longer messages take several cells. The default is 128.
    #[must_use]
    pub fn cell_len(mut self, bytes: u32) -> Self {
        self.shape.cell_len = Some(bytes);
        self
    }

    /// Whether sending to a full ring overwrites the oldest message that nobody is reading, instead of
    /// waiting. [`Sender::overwritten`](crate::Sender::overwritten) and
    /// [`Stat::overwritten`](crate::inspect::Stat::overwritten) count what was lost. The default is no.
    ///
    /// A message that a receiver is reading, and a claim that is not committed, are passed, whether their process works,
    /// is stopped, or died. Sending is refused, or waits, only where these leave no room for the message: it needs
    /// adjacent cells. (Where the ring has a lock, who is stopped with it makes others wait.) A claim that the others
    /// have passed is committed behind their messages. A message that they have passed, and that its receiver leaves
    /// or dies with instead of releasing it, is not received again but counts as overwritten. A receiver takes at most a
    /// quarter of the cells at once.
    #[must_use]
    pub fn overwrite_oldest(mut self, yes: bool) -> Self {
        self.shape.overwrite = Some(yes);
        self
    }

    /// Whether collectors ([`Gc`](crate::gc::Gc), `ringway gc`) leave a new ring alone, whoever dies holding it: what a
    /// supervisor starts anew finds it as it was left. It is removed by its address only. The default is no.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.persistent(true).create()?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn persistent(mut self, yes: bool) -> Self {
        self.shape.persistent = Some(yes);
        self
    }

    /// Which policies receivers of a new ring of kind [`Broadcast`](Kind::Broadcast) may choose; what
    /// [`EvictAfter`](crate::broadcast::EvictAfter) says does not matter here. The default is all. Without
    /// [`Block`](Policy::Block) and [`Evict`](Policy::Evict) nobody can make the producer wait.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::broadcast::{Policy, Subscription};
    /// use ringway::{Builder, ErrorKind, Kind};
    ///
    /// let builder = Builder::new("memfd:")?.kind(Kind::Broadcast).policies(&[Policy::Lossy]);
    /// let ring = builder.create()?;
    /// assert_eq!(ring.receiver().unwrap_err().kind(), ErrorKind::Unsupported);
    /// let receiver = ring.subscribe(&Subscription::new().policy(Policy::Lossy))?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn policies(mut self, allowed: &[Policy]) -> Self {
        let bits = allowed.iter().fold(0, |bits, policy| bits | policy.bit());
        self.shape.policies = Some(bits);
        self
    }

    /// Gives a new ring `count` slabs for messages of up to `len` bytes, rounded up to a power of two from 4096
    /// to 2^40. May be called for four lengths; a ring has at most 65536 slabs. The default is none.
    ///
    /// A message longer than the [copy limit](crate::Sender::with_copy_limit) is written into a slab once,
    /// and only a ticket travels through the ring. The receiver reads it there, and may
    /// [keep](crate::Message::detach) it. Not with [`overwrite_oldest`](Self::overwrite_oldest).
    ///
    /// In a [broadcast](crate::Kind::Broadcast) ring all consumers read it there. A slab is used again when no consumer needs the
    /// message any more that the producer waits for, or may not pass: as many as there are slabs is the most that one may be behind.
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
        self.shape.slabs.push((len, count));
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
        self.shape.slab_segments = Some(yes);
        self
    }

    /// What the ring's messages are. A new ring stores it, for all who open it. In a ring that is there it must be the same, if its creator
    /// has stored one; then its [typed](Ring::typed) handles are for who says it. Who sends and receives bytes need not say it. The default is
    /// to say and store none.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::message::MessageType;
    ///
    /// const DEGREES: MessageType = MessageType::of::<f32>("degrees");
    /// let ring = ringway::Builder::new("memfd:")?.message_type(DEGREES).create()?.typed::<f32>();
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(&20.5)?;
    /// assert_eq!(receiver.recv()?, 20.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn message_type(mut self, message_type: MessageType) -> Self {
        self.shape.message_type = Some(message_type);
        self
    }

    /// Permission bits of a new segment, whatever the umask. The default is `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.shape.mode = Some(mode);
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
        self.huge_pages = Some(yes);
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
        let segment = Segment::create(&self.request(), &plan)
            .map_err(|error| self.shape.explain_rounding(error))?;
        self.ring(segment)
            .map(|ring| ring.made_here(true).announced())
    }

    /// Opens an existing ring, which must be as options that were set say.
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
        let ring = self.ring(segment)?;
        fit::check(&self.shape, self.huge_pages, "open", &ring)?;
        Ok(ring.announced())
    }

    /// Opens the ring, or makes it if nothing is there. As with [`open`](Self::open), a ring that is there must be as options
    /// that were set say.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, ErrorKind};
    ///
    /// # let name = format!("shm:ringway-doc-open-or-create-{}", std::process::id());
    /// let ring = Builder::new(&name)?.open_or_create()?;
    /// let again = Builder::new(&name)?.open_or_create()?;
    /// let other = Builder::new(&name)?.capacity(1 << 20).open_or_create().unwrap_err();
    /// assert_eq!(other.kind(), ErrorKind::Incompatible);
    /// assert!(other.to_string().contains("with a capacity of 4 MiB and not 1 MiB"));
    /// # ringway::remove(ring.address(), true)?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn open_or_create(self) -> Result<Ring, Error> {
        let plan = self.plan()?;
        let (segment, is_new) = Segment::open_or_create(&self.request(), &plan)
            .map_err(|error| self.shape.explain_rounding(error))?;
        let ring = self.ring(segment)?.made_here(is_new);
        if !is_new {
            fit::check(&self.shape, self.huge_pages, "open", &ring)?;
        }
        Ok(ring.announced())
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
        let ring = self.ring(segment)?;
        fit::check(&self.shape, self.huge_pages, "take over", &ring)?;
        Ok((ring.announced(), peer))
    }

    fn ring(&self, segment: Segment) -> Result<Ring, Error> {
        let ring = Ring::new(segment, self.trust_peers)?;
        Ok(ring.meaning(self.shape.message_type.clone()))
    }

    fn request(&self) -> Request<'_> {
        Request {
            address: &self.address,
            mode: self.shape.mode(),
            prefault: self.prefault,
            lock_memory: self.lock_memory,
            huge_pages: self.huge_pages.unwrap_or(false),
            any_owner: self.any_owner,
            trust_peers: self.trust_peers,
            wait: self.wait,
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let geometry = self.shape.geometry(&self.address)?;
        let attempt = Attempt::to("create", &self.address);
        let abilities = keeper::abilities().map_err(|errno| Refusal::Os(errno).explain(attempt))?;
        Ok(Plan {
            kind: self.shape.kind(),
            sync: self.shape.sync(),
            overwrite: self.shape.overwrites(),
            persistent: self.shape.persistent.unwrap_or(false),
            policies: self.shape.policies(),
            geometry,
            fence: FenceMode::of(self.shape.sync(), abilities.membarrier),
            message_type: self.shape.new_message_type(&self.address)?,
        })
    }
}

impl Ring {
    /// Receives a ring that the process at the other end of `socket` hands over, and tells who that
    /// is. The memory must be sealed against shrinking, so that a peer that is not trusted cannot
    /// pull it away. Its creator chose its kind of synchronisation: one that [needs trust](SyncKind::needs_trust) is
    /// refused here, and taken over with [`Builder::take_over`](crate::Builder::take_over) by who trusts the creator
    /// and all who got it.
    ///
    /// All of the ring's memory must be there, and belongs to its creator's account. But no seal keeps who has the memfd
    /// from giving pages back (`FALLOC_FL_PUNCH_HOLE`): the only ones that would also keep everybody from mapping it for
    /// writing. What this process touches after that is empty, which is an error and no signal, and counts as its own: in
    /// the worst case as much as the ring has in all, its [`capacity`](Self::capacity) and its slabs. So who does not trust
    /// the peer uses a ring only if it can afford that much memory; attaching to it touches some pages of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotARing`] if what comes is no sealed ring or not all of its memory is there, [`ErrorKind::Untrusted`], and those of
    /// [`Builder::open`](crate::Builder::open).
    pub fn take_over(socket: &UnixStream) -> Result<(Self, PeerCredentials), Error> {
        Builder::at(Address::Memfd)
            .prefault(false)
            .take_over(socket)
    }
}
