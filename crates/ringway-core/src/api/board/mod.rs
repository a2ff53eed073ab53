//! A board that this process has open.

pub(crate) mod builder;
pub(crate) mod desk;
mod polling;
pub(crate) mod reader;
pub(crate) mod watch;
pub(crate) mod writer;

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::address::Address;
use crate::admin::stat::Stat;
use crate::api::ring::Ring;
use crate::error::{Attempt, Error, ErrorKind};
use crate::events::tell;
use crate::memory::layout::board::MAX_KEY;
use crate::memory::layout::participant::Role;
use crate::memory::region::memory::Memory;
use crate::presence::participant::{self, Participant, slot_of};
use crate::rings::board::writer::{self as role, Refused};
use crate::rings::board::{Entry, Slate, directory};
use crate::store::PeerCredentials;

use builder::Builder;
use reader::Reader;
use watch::Watcher;
use writer::Writer;

/// Entries with names, of each the latest value: one process writes an entry, any number read it.
///
/// A [`Writer`] overwrites its entry's value and waits for nobody. A [`Reader`] reads the latest one, whole, as often as it likes, or
/// sleeps until there is a newer one. Readers are in no table: there may be any number, they store nothing that a writer looks at
/// but when they sleep, and none keeps a writer or another reader up.
///
/// | a process | then |
/// |---|---|
/// | writes and is killed, at whatever instruction | the last whole value is still there; another process may take the entry over at once |
/// | is stopped | it keeps its entries, and their values can be read |
/// | reads and is killed | nobody notices |
///
/// It stays mapped while this, a clone of it, or a handle made from it lives. Dropping it removes nothing; see
/// [`remove`](crate::remove). Threads can share it (`Send` and `Sync`); the handles it gives are for one thread at a time.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Board;
///
/// let board = Board::at("memfd:")?.create()?;
/// let mut speed = board.writer("speed")?;
/// let mut gauge = board.reader("speed")?;
/// assert_eq!(gauge.get()?, None);
/// speed.set(b"50")?;
/// speed.set(b"60")?;
/// assert_eq!(gauge.get()?.unwrap(), *b"60");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Board {
    ring: Ring,
    slate: Slate,
    /// What all writers of this process that come from here share: one slot.
    membership: Arc<Mutex<Weak<Participant>>>,
}

impl Board {
    /// Names an address; see [`Builder`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if the address does not parse.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let board = ringway::Board::at("memfd:")?.entries(10).create()?;
    /// assert_eq!(board.entries(), 10);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn at(address: &str) -> Result<Builder, Error> {
        Builder::new(address)
    }

    pub(crate) fn new(ring: Ring) -> Result<Self, Error> {
        let Some(slate) = Slate::of(ring.geometry()) else {
            let attempt = Attempt::to("open", ring.address());
            return Err(attempt
                .error(ErrorKind::Incompatible, "it is a ring, and no board")
                .remedy("choose another address, or use it as a ring (ringway::at)"));
        };
        Ok(Self {
            ring,
            slate,
            membership: Arc::default(),
        })
    }

    /// Takes the role of the entry with that key, which is added if it is not there yet.
    ///
    /// All writers that come from this board and its clones are one participant of it, and take one of its
    /// [places](Builder::writers) together.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if a live process, be it stopped, writes the entry, or live processes hold all places of
    /// writers; [`ErrorKind::NoSpace`] if all entries have other keys; [`ErrorKind::InvalidKey`];
    /// [`ErrorKind::Unsupported`] if the last writer died and this process may not call `membarrier`;
    /// [`ErrorKind::NotFound`] if a collector has removed the board; [`ErrorKind::Forked`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Board, ErrorKind};
    ///
    /// let board = Board::at("memfd:")?.create()?;
    /// let speed = board.writer("speed")?;
    /// let refused = board.writer("speed").unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::RoleTaken { pid: std::process::id() });
    /// drop(speed);
    /// let speed = board.writer("speed")?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn writer(&self, key: &str) -> Result<Writer, Error> {
        let attempt = self.writing();
        let (region, entry, participant) = self.to_write(attempt, key)?;
        let taken = role::Writer::take(region, entry, participant.id(), participant.outlook);
        match taken {
            Ok(writer) => {
                if writer.follows_death() {
                    tell!("ringway::board", INFO, "took over from a dead one", address = %self.address(), key);
                }
                Ok(Writer::new(writer, participant))
            }
            Err(Refused::Taken(by)) => Err(self.taken(attempt, by)),
            Err(Refused::Unsettled) => Err(participant::unsettled(attempt)),
            Err(Refused::Corrupt) => Err(self.ring.corrupt()),
        }
    }

    /// A reader of the entry with that key, which may be added later.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// let mut gauge = board.reader("speed")?;
    /// assert_eq!(gauge.get()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(&self, key: &str) -> Result<Reader, Error> {
        let key = self.checked(Attempt::to("read from", self.address()), key)?;
        Reader::new(&self.ring, self.slate, key)
    }

    /// A reader of whatever changes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn watch(&self) -> Result<Watcher, Error> {
        Watcher::new(&self.ring, self.slate)
    }

    /// Adds an entry with that key, if there is none.
    pub(crate) fn add(&self, key: &str) -> Result<(), Error> {
        let attempt = Attempt::to("make", self.address());
        let key = self.checked(attempt, key)?;
        directory::find_or_add(&self.ring.region()?, &self.slate, key)
            .map(drop)
            .ok_or_else(|| self.full(attempt))
    }

    /// The keys of all entries, in the order in which they were added.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let board = ringway::Board::at("memfd:")?.keys(["speed", "level"]).create()?;
    /// assert_eq!(board.keys()?, ["speed", "level"]);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let region = self.ring.region()?;
        let keys = (self.slate.all()).filter_map(|(_, entry)| directory::key(&region, entry));
        Ok(keys.map(directory::text).collect())
    }

    /// What a writer attempts.
    fn writing(&self) -> Attempt<'_> {
        Attempt::to("write to", self.address())
    }

    /// What a writer needs of the entry with that key, which is added if it is not there.
    fn to_write(
        &self,
        attempt: Attempt<'_>,
        key: &str,
    ) -> Result<(Memory, Entry, Arc<Participant>), Error> {
        let key = self.checked(attempt, key)?;
        let participant = self.member()?;
        let region = self.ring.region()?;
        let entry = directory::find_or_add(&region, &self.slate, key);
        let entry = entry.ok_or_else(|| self.full(attempt))?;
        Ok((region, entry, participant))
    }

    /// The attachment of this process, which is made if there is none.
    fn member(&self) -> Result<Arc<Participant>, Error> {
        let mut membership = (self.membership.lock()).unwrap_or_else(PoisonError::into_inner);
        // Whoever inherited it through fork has none.
        if let Some(member) = membership.upgrade().filter(|_| !self.ring.is_forked()) {
            return Ok(member);
        }
        let (_, participant) = self.ring.attach(Role::Producer)?;
        let member = Arc::new(participant);
        *membership = Arc::downgrade(&member);
        Ok(member)
    }

    fn checked<'a>(&self, attempt: Attempt<'_>, key: &'a str) -> Result<&'a [u8], Error> {
        match key.len() {
            1..=MAX_KEY => Ok(key.as_bytes()),
            len => {
                let problem = format!("a key cannot have {len} bytes");
                Err(attempt
                    .error(ErrorKind::InvalidKey, problem)
                    .remedy(format!("choose one of 1 to {MAX_KEY} bytes")))
            }
        }
    }

    fn full(&self, attempt: Attempt<'_>) -> Error {
        let problem = format!("all of its {} entries have other keys", self.slate.entries);
        attempt
            .error(ErrorKind::NoSpace, problem)
            .remedy("make the board for more (entries), or use another one")
    }

    fn taken(&self, attempt: Attempt<'_>, by: u64) -> Error {
        let (pid, process) = self.ring.holder(slot_of(by));
        attempt
            .error(
                ErrorKind::RoleTaken { pid },
                format!("{process} writes this entry, and one can"),
            )
            .remedy(format!("wait for {process} to end, or choose another key"))
    }

    /// Where the board lives. A `sysv:private` board shows the id under which others can open it.
    pub fn address(&self) -> &Address {
        self.ring.address()
    }

    /// How many entries it can have.
    pub fn entries(&self) -> u32 {
        self.slate.entries
    }

    /// Bytes of the longest value: what was asked for, rounded up to a power of two.
    pub fn max_value_len(&self) -> usize {
        self.slate.max_len() as usize
    }

    /// How many processes may write to it at once.
    pub fn writers(&self) -> u32 {
        self.ring.participants(Role::Producer)
    }

    /// Whether this handle made the board, and did not find it.
    pub fn is_new(&self) -> bool {
        self.ring.is_new()
    }

    /// Whether the board has lost its name, as [`Ring::is_removed`] says of rings.
    ///
    /// # Errors
    /// As [`Ring::is_removed`].
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.ring.is_removed()
    }

    /// The board as an observer sees it.
    pub fn stat(&self) -> Stat {
        self.ring.stat()
    }

    /// Hands a `memfd:` board to the process at the other end of `socket`, and tells who that is. The other process calls
    /// [`Builder::take_over`].
    ///
    /// # Errors
    /// As [`Ring::hand_over`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Board;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let board = Board::at("memfd:")?.create()?;
    /// board.writer("speed")?.set(b"50")?;
    /// let (here, there) = UnixStream::pair()?;
    /// board.hand_over(&here)?;
    /// let (again, _peer) = Board::at("memfd:")?.take_over(&there)?;
    /// assert_eq!(again.reader("speed")?.get()?.unwrap(), *b"50");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hand_over(&self, socket: &UnixStream) -> Result<PeerCredentials, Error> {
        self.ring.hand_over(socket)
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }
}

/// A value that was read.
///
/// It compares and prints as its bytes.
#[derive(Clone, Eq)]
pub struct Value {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Value {
    /// How many values the entry has had, with this one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Value {
    fn eq(&self, other: &B) -> bool {
        self.bytes == other.as_ref()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bytes.fmt(f)
    }
}
