//! How a ring is made or found.

use std::time::Duration;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::layout::header::FenceMode;
use crate::layout::{Geometry, Kind, MAX_CAPACITY, Sync};
use crate::liveness::keeper::{self, Refusal};
use crate::ring::Ring;
use crate::segment::attempt::Attempt;
use crate::segment::{Plan, Request, Segment};

/// Bytes of the data region unless told otherwise. Larger than the private caches of two cores, so
/// that a consumer which falls behind reads lines that the producer has long finished.
const DEFAULT_CAPACITY: u64 = 4 << 20;

/// The least capacity, in bytes: a page.
const LEAST_CAPACITY: u64 = 4096;

/// Says where a ring lives and what it is like, then makes or opens it.
///
/// ```
/// use ringway_core::Builder;
///
/// let ring = Builder::new("memfd:")?.capacity(1 << 20).create()?;
/// assert_eq!(ring.capacity(), 1 << 20);
/// # Ok::<(), ringway_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    address: Address,
    capacity: u64,
    kind: Kind,
    mode: u32,
    prefault: bool,
    lock_memory: bool,
    huge_pages: bool,
    any_owner: bool,
    wait: Option<Duration>,
}

impl Builder {
    /// A ring at `address`, with every option at its default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if the address does not parse.
    ///
    /// ```
    /// let builder = ringway_core::Builder::new("shm:orders")?;
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn new(address: &str) -> Result<Self, Error> {
        address.parse().map(Self::at)
    }

    /// A ring at a parsed address.
    ///
    /// ```
    /// use ringway_core::{Address, Builder};
    ///
    /// let builder = Builder::at(Address::Memfd);
    /// ```
    pub fn at(address: Address) -> Self {
        Self {
            address,
            capacity: DEFAULT_CAPACITY,
            kind: Kind::Spsc,
            mode: 0o600,
            prefault: true,
            lock_memory: false,
            huge_pages: false,
            any_owner: false,
            wait: None,
        }
    }

    /// Bytes for messages in a new ring, rounded up to a power of two of at least 4096. Each message
    /// takes its length, rounded up to eight, and eight bytes; none may take more than half of the
    /// ring. The default is 4 MiB.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// The shape of a new ring. The default is [`Kind::Spsc`].
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
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
    #[must_use]
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.any_owner = yes;
        self
    }

    /// How long [`open`](Self::open) waits for the ring to appear. The default is not at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Makes a new ring; of several processes that try at once, one succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the address is taken, [`ErrorKind::InvalidCapacity`],
    /// [`ErrorKind::NoSpace`], [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`].
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn create(self) -> Result<Ring, Error> {
        let plan = self.plan()?;
        Segment::create(&self.request(), &plan).and_then(Ring::new)
    }

    /// Opens an existing ring; options that shape a new one are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] ([`ErrorKind::TimedOut`] after [`wait`](Self::wait)), and one for each
    /// way in which something at the address is not a ring that this process can use:
    /// [`ErrorKind::NotARing`], [`ErrorKind::Incompatible`], [`ErrorKind::Truncated`],
    /// [`ErrorKind::Corrupt`], [`ErrorKind::HalfMade`], [`ErrorKind::ForeignOwner`],
    /// [`ErrorKind::PermissionDenied`].
    ///
    /// ```
    /// use ringway_core::{Builder, ErrorKind};
    ///
    /// let error = Builder::new("shm:ringway-not-there")?.open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn open(self) -> Result<Ring, Error> {
        Segment::open(&self.request()).and_then(Ring::new)
    }

    /// Opens the ring, or makes it if nothing is there.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    ///
    /// ```no_run
    /// let ring = ringway_core::Builder::new("shm:orders")?.open_or_create()?;
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn open_or_create(self) -> Result<Ring, Error> {
        let plan = self.plan()?;
        let (segment, _) = Segment::open_or_create(&self.request(), &plan)?;
        Ring::new(segment)
    }

    fn request(&self) -> Request<'_> {
        Request {
            address: &self.address,
            mode: self.mode,
            prefault: self.prefault,
            lock_memory: self.lock_memory,
            huge_pages: self.huge_pages,
            any_owner: self.any_owner,
            wait: self.wait,
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let invalid = |problem: String| {
            Error::new(ErrorKind::InvalidCapacity, "create", &self.address, problem).remedy(
                format!("choose from {LEAST_CAPACITY} to {MAX_CAPACITY} bytes"),
            )
        };
        if self.capacity == 0 {
            return Err(invalid(
                "a ring cannot have a capacity of 0 bytes".to_owned(),
            ));
        }
        let geometry = self
            .capacity
            .max(LEAST_CAPACITY)
            .checked_next_power_of_two()
            .and_then(|capacity| Geometry::new(capacity, self.kind.participants()))
            .ok_or_else(|| invalid(format!("{} bytes are not representable", self.capacity)))?;
        let attempt = Attempt {
            action: "create",
            address: &self.address,
        };
        let fence = if keeper::abilities()
            .map_err(|errno| attempt.keeper(Refusal::Os(errno)))?
            .membarrier
        {
            FenceMode::Asymmetric
        } else {
            FenceMode::Symmetric
        };
        Ok(Plan {
            kind: self.kind,
            sync: Sync::Futex,
            geometry,
            fence,
        })
    }
}
