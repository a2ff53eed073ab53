//! How a board is made or found.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Board;
use crate::address::Address;
use crate::api::fit::Differences;
use crate::api::ring::Ring;
use crate::api::shape::{DEFAULT_MODE, MODE_BITS};
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::memory::layout::board::{MAX_ENTRIES, MIN_BUFFER_LEN, buffer_len};
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::message_type::NO_TYPE;
use crate::memory::layout::{Geometry, Kind, MAX_CAPACITY, MAX_PARTICIPANTS, Shape, SyncKind};
use crate::presence::keeper::{self, Refusal};
use crate::store::{PeerCredentials, Plan, Request, Segment};

/// Entries unless told otherwise.
const DEFAULT_ENTRIES: u32 = 64;
/// Bytes of the longest value unless told otherwise.
const DEFAULT_VALUE_LEN: u64 = 4096;
/// Writers unless told otherwise.
const DEFAULT_WRITERS: u32 = 32;
/// The data region has a page at least.
const LEAST_CAPACITY: u64 = 4096;

/// Says where a board lives and what it is like, then makes or opens it.
///
/// Options that shape a new board must be true of one that is there already, as those of a ring's [`Builder`](crate::Builder).
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Board;
///
/// let board = Board::at("memfd:")?.entries(100).value_len(1000).create()?;
/// assert_eq!((board.entries(), board.max_value_len()), (100, 1024));
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    address: Address,
    entries: Option<u32>,
    value_len: Option<u64>,
    writers: Option<u32>,
    keys: Vec<String>,
    mode: Option<u32>,
    persistent: Option<bool>,
    prefault: bool,
    lock_memory: bool,
    any_owner: bool,
    wait: Option<Duration>,
}

impl Builder {
    /// A board at `address`, with every option at its default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if the address does not parse.
    pub fn new(address: &str) -> Result<Self, Error> {
        address.parse().map(Self::at)
    }

    /// A board at a parsed address.
    pub fn at(address: Address) -> Self {
        Self {
            address,
            entries: None,
            value_len: None,
            writers: None,
            keys: Vec::new(),
            mode: None,
            persistent: None,
            prefault: true,
            lock_memory: false,
            any_owner: false,
            wait: None,
        }
    }

    /// Where the board is, or will be.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many entries a new board can have: up to 4096. The default is 64, or as many as there are [keys](Self::keys). Entries
    /// are added by who first writes to them, and are never removed.
    #[must_use]
    pub fn entries(mut self, count: u32) -> Self {
        self.entries = Some(count);
        self
    }

    /// Bytes of the longest value of a new board, rounded up to a power of two of at least 64. Each entry takes twice as much. The
    /// default is 4096.
    #[must_use]
    pub fn value_len(mut self, bytes: u64) -> Self {
        self.value_len = Some(bytes);
        self
    }

    /// How many processes may write to a new board at once: from 2 to 120. The default is 32. A process that writes many entries
    /// by one [`Board`] is one; readers do not count.
    #[must_use]
    pub fn writers(mut self, count: u32) -> Self {
        self.writers = Some(count);
        self
    }

    /// Entries to add to the board at once. Unless [`entries`](Self::entries) is called, a new board has these and no others.
    #[must_use]
    pub fn keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keys.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Permission bits of a new board, whatever the umask. The default is `0o600`. Who shall read needs the right to write, too: it
    /// says in the board that it sleeps.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether collectors leave a new board alone, whoever dies, as [`Builder::persistent`](crate::Builder::persistent) says of rings.
    #[must_use]
    pub fn persistent(mut self, yes: bool) -> Self {
        self.persistent = Some(yes);
        self
    }

    /// Whether to touch every page at once, so that no value pays for a page fault. The default is yes.
    #[must_use]
    pub fn prefault(mut self, yes: bool) -> Self {
        self.prefault = yes;
        self
    }

    /// Whether to lock the board into memory (`mlock`). The default is no.
    #[must_use]
    pub fn lock_memory(mut self, yes: bool) -> Self {
        self.lock_memory = yes;
        self
    }

    /// Whether to open a board that belongs to another user, as [`Builder::any_owner`](crate::Builder::any_owner) says of rings.
    #[must_use]
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.any_owner = yes;
        self
    }

    /// How long [`open`](Self::open) waits for the board to appear. The default is not at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Makes a new board; of several processes that try at once, one succeeds.
    ///
    /// # Errors
    /// As [`Builder::create`](crate::Builder::create); [`ErrorKind::Unsupported`] also where the kernel has no `membarrier`;
    /// [`ErrorKind::InvalidKey`].
    pub fn create(self) -> Result<Board, Error> {
        let plan = self.plan()?;
        let segment = Segment::create(&self.request(), &plan)?;
        self.board(segment, true)
    }

    /// Opens an existing board, which must be as options that were set say.
    ///
    /// # Errors
    /// As [`Builder::open`](crate::Builder::open); [`ErrorKind::Incompatible`] also if what is there is a ring.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Board, ErrorKind};
    ///
    /// let error = Board::at("shm:ringway-not-there")?.open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn open(self) -> Result<Board, Error> {
        let segment = Segment::open(&self.request())?;
        self.board(segment, false)
    }

    /// Opens the board, or makes it if nothing is there.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Board, ErrorKind};
    ///
    /// # let name = format!("shm:ringway-doc-board-{}", std::process::id());
    /// let board = Board::at(&name)?.entries(10).open_or_create()?;
    /// let again = Board::at(&name)?.open_or_create()?;
    /// let other = Board::at(&name)?.entries(20).open_or_create().unwrap_err();
    /// assert_eq!(other.kind(), ErrorKind::Incompatible);
    /// # ringway::remove(board.address(), true)?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn open_or_create(self) -> Result<Board, Error> {
        let plan = self.plan()?;
        let (segment, is_new) = Segment::open_or_create(&self.request(), &plan)?;
        self.board(segment, is_new)
    }

    /// Receives a `memfd:` board that the process at the other end of `socket` [hands over](Board::hand_over), and tells who that
    /// is.
    ///
    /// # Errors
    /// As [`Ring::take_over`].
    pub fn take_over(self, socket: &UnixStream) -> Result<(Board, PeerCredentials), Error> {
        let (segment, peer) = Segment::take_over(&self.request(), socket)?;
        Ok((self.board(segment, false)?, peer))
    }

    fn board(self, segment: Segment, is_new: bool) -> Result<Board, Error> {
        let ring = Ring::of_any_kind(segment, false)?
            .made_here(is_new)
            .announced();
        let board = Board::new(ring)?;
        if !is_new {
            self.check(&board)?;
        }
        self.keys.iter().try_for_each(|key| board.add(key))?;
        Ok(board)
    }

    fn check(&self, board: &Board) -> Result<(), Error> {
        let mut there = Differences::default();
        let (writers, mode) = (board.writers(), board.ring().mode());
        there.compare("entries", self.entries, board.entries(), |count| count);
        there.compare("writers", self.writers, writers, |count| count);
        let value_len = self.value_len.map(|len| rounded(len).unwrap_or(len));
        // A small board has more than was asked for.
        let least = LEAST_CAPACITY / 2 / u64::from(board.entries().next_power_of_two());
        let value_len = value_len.map(|len| len.max(least));
        let has = board.max_value_len() as u64;
        there.compare("values of up to", value_len, has, Bytes);
        let keeping = |yes| match yes {
            true => "that keeps it whoever dies",
            false => "that lets a collector remove it",
        };
        there.compare(
            "a mark",
            self.persistent,
            board.ring().is_persistent(),
            keeping,
        );
        if *board.address() != Address::Memfd {
            let asked = self.mode.map(|mode| mode & MODE_BITS);
            there.compare("mode", asked, mode, |mode| format!("{mode:o}"));
        }
        there.report(Attempt::to("open", board.address()))
    }

    fn request(&self) -> Request<'_> {
        Request {
            mode: self.mode.unwrap_or(DEFAULT_MODE),
            prefault: self.prefault,
            lock_memory: self.lock_memory,
            any_owner: self.any_owner,
            wait: self.wait,
            ..Request::new(&self.address)
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let attempt = Attempt::to("create", &self.address);
        let abilities = keeper::abilities().map_err(|errno| Refusal::Os(errno).explain(attempt))?;
        if !abilities.membarrier {
            let problem = "a board needs membarrier, which this process may not use";
            return Err(attempt
                .error(ErrorKind::Unsupported, problem)
                .remedy("allow the system call membarrier"));
        }
        Ok(Plan {
            kind: Kind::Board,
            sync: SyncKind::Futex,
            overwrite: false,
            persistent: self.persistent.unwrap_or(false),
            policies: 0,
            geometry: self.geometry(attempt)?,
            fence: FenceMode::Asymmetric,
            // Each entry has its own.
            message_type: NO_TYPE,
        })
    }

    fn geometry(&self, attempt: Attempt<'_>) -> Result<Geometry, Error> {
        let invalid = |problem: String, remedy: String| {
            attempt
                .error(ErrorKind::InvalidCapacity, problem)
                .remedy(remedy)
        };
        let keys = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let entries = match (self.entries, keys) {
            (Some(entries), _) => entries,
            (None, 0) => DEFAULT_ENTRIES,
            (None, keys) => keys,
        };
        if !(keys.max(1)..=MAX_ENTRIES).contains(&entries) {
            return Err(invalid(
                format!("a board of {entries} entries cannot have {keys} keys"),
                format!("choose from 1 to {MAX_ENTRIES} entries, and no more keys"),
            ));
        }
        let writers = self.writers.unwrap_or(DEFAULT_WRITERS);
        if !(2..=MAX_PARTICIPANTS).contains(&writers) {
            return Err(invalid(
                format!("a board cannot have {writers} writers"),
                format!("choose from 2 to {MAX_PARTICIPANTS}"),
            ));
        }
        let asked = self.value_len.unwrap_or(DEFAULT_VALUE_LEN);
        let pairs = 2 * u64::from(entries.next_power_of_two());
        rounded(asked)
            .and_then(|len| len.checked_mul(pairs))
            .map(|capacity| capacity.max(LEAST_CAPACITY))
            .and_then(|capacity| {
                Geometry::new(Kind::Board, Shape::Board(entries), writers, capacity)
            })
            .ok_or_else(|| {
                let most = Bytes(buffer_len(MAX_CAPACITY, entries));
                invalid(
                    format!("a board of {entries} entries cannot have values of {asked} bytes"),
                    format!("choose up to {most}"),
                )
            })
    }
}

/// Bytes of a buffer for values of up to so many.
fn rounded(value_len: u64) -> Option<u64> {
    value_len.max(MIN_BUFFER_LEN).checked_next_power_of_two()
}
