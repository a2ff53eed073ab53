//! Garbage: what only the dead held.
//!
//! | what | is garbage when | is removed by | who comes in the same moment |
//! |---|---|---|---|
//! | a ring | one at least died holding it, nobody alive has it open, and no message waits in it | retiring it ([`crate::presence::retire`]), then what lies beside, then its name | has opened it before, and it stays; or finds nothing there |
//! | a half-made `sysv:` segment | nobody alive has its creation lock | that lock | a creator that had not come to the lock makes another segment |
//! | a file under a temporary name | nobody alive has it open | its name | nobody does |
//! | a semaphore set without a ring | nobody alive uses it, and its ring has no name ([`crate::waiting::sync::semaphore_set`]) | its gate | the same |
//! | slabs without a ring ([`crate::store::slabs`]) | `shm:`, `file:`: nobody alive has any of them open; `sysv:`: nobody has any attached | their names or ids; one that is not finished is condemned first | a creator has slab 0 open, or makes another; else there is no name by which to come |
//! | message queues without a ring | nobody alive has any of them | the gate's lock ([`crate::waiting::sync::mqueue`]) | waits for that, and makes new ones |
//!
//! In each row the proof is the kernel's (robust futexes, leases, file locks, `SEM_UNDO`: none of them outlives a process,
//! and none depends on pids, namespaces or time), and between proof and removal nobody can begin to use
//! the object unseen. A collector takes no part: it holds no slot, and what the dead left *in* a ring
//! that others use is repaired by those.
//!
//! A collector that dies leaves one of three things, whatever instruction it dies at: a doubt, which keeps nobody out; a lock
//! or a gate, which the kernel takes back; or something that is removed in part, of which the rest is garbage as before.
//! Where two collectors meet, both may keep an object that one alone would have removed; the next collection removes it.

mod halves;
mod queues;
mod rings;
mod semaphores;
mod slabs;
#[cfg(test)]
mod tests;

pub use queues::names as message_queues;

use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::escape::Name;
use crate::events::tell;
use crate::store::{self, drafts};

/// A collector of what dead processes left behind: rings that only they held, half-made segments, and
/// semaphore sets and message queues without a ring. What anybody alive uses, what was left in order,
/// what others made, and what this process's user may not remove stays.
///
/// ```no_run
/// # use ringway_core as ringway;
/// use ringway::gc::{Fate, Gc};
///
/// let report = Gc::new().dry_run(true).run();
/// for found in &report.found {
///     println!("{}: {:?}", found.what, found.fate);
/// }
/// assert!(report.found.iter().all(|found| found.fate != Fate::Removed));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gc {
    addresses: Vec<Address>,
    dry_run: bool,
    undelivered: bool,
    older_than: Option<Duration>,
    prefix: Option<String>,
}

/// What a collection found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// In the order in which it was found.
    pub found: Vec<Found>,
    /// What could not be looked at or removed.
    pub failures: Vec<Error>,
    /// Where this process could not look.
    pub blind_spots: Vec<BlindSpot>,
}

/// Something that dead processes left, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What it is.
    pub what: Leftover,
    /// Bytes of memory or disk, 0 where it is of no account.
    pub bytes: u64,
    /// What becomes of it.
    pub fate: Fate,
}

/// An object that a dead process can leave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leftover {
    /// A ring, with what lies beside it.
    Ring(Address),
    /// A System V segment that its creator did not finish, by its id.
    HalfMade(Address),
    /// A file under a temporary name that its creator did not finish.
    Draft(PathBuf),
    /// A System V semaphore set without a ring.
    Semaphores {
        /// As `ipcs -s` shows it.
        id: i32,
    },
    /// Slabs of one ring that are segments of their own, without the ring.
    Slabs {
        /// Their paths, or their addresses by their ids.
        segments: Vec<String>,
    },
    /// The POSIX message queues of one ring, without the ring.
    Queues {
        /// Their names; the first is removed last.
        names: Vec<String>,
    },
}

/// What becomes of something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is removed.
    Removed,
    /// It is garbage, and the next collection that is no dry run removes it.
    Removable,
    /// It stays, for now.
    Kept(Why),
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Only the dead held the ring, but messages wait in it that nobody has received.
    Undelivered {
        /// How many.
        messages: u64,
    },
    /// Only the dead held the board, but entries have values, which others can still read.
    Values {
        /// How many.
        entries: u64,
    },
    /// Only the dead held the ring, but its contents contradict themselves, and whether messages wait
    /// in it cannot be told.
    Damaged,
    /// Live processes are attached. What the dead left in it is repaired by the next one that attaches,
    /// or that it blocks.
    InUse {
        /// How many live participants.
        alive: u32,
        /// How many slots the dead hold.
        dead: u32,
    },
    /// Only the dead held the ring, but a live process has it open, and may attach.
    Open,
    /// Nobody died holding it.
    InOrder,
    /// It was made to be kept ([`Builder::persistent`](crate::Builder::persistent)), whoever dies.
    Persistent,
    /// Somebody has made or used it since the age that was asked for.
    Recent,
    /// A live process is making it.
    BeingMade {
        /// The creator's process id, 0 if it is of another pid namespace.
        pid: u32,
    },
    /// The ring that it lies beside may be where this process does not see it.
    Unknown {
        /// Where that is.
        home: &'static str,
    },
    /// Nobody alive is attached, and nothing tells whether somebody died: of a POSIX message queue that only senders
    /// held, and of a System V message queue that was never finished.
    Unproven,
    /// Somebody died there, and this process cannot make sure that the dead are done, because a sandbox denies it the
    /// system call `membarrier`.
    Unsettled,
    /// It is another user's, or this process may not do that.
    NotPermitted,
}

/// Where a collection could not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlindSpot {
    /// The kernel does not list its message queues to this process.
    MessageQueues,
}

impl Gc {
    /// A collector of all garbage on this machine that this process sees: `shm:` and `sysv:` rings, and what
    /// lies without a ring. `file:` rings only by their [`address`](Self::address).
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the ring at this address, and only at those that are given so.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Whether to change nothing and only say what would be removed. The default is no.
    #[must_use]
    pub fn dry_run(mut self, yes: bool) -> Self {
        self.dry_run = yes;
        self
    }

    /// Whether to remove rings in which messages wait, and boards that have values, too. The default is no: what was sent is lost by
    /// nobody's death, and by no collection.
    #[must_use]
    pub fn undelivered(mut self, yes: bool) -> Self {
        self.undelivered = yes;
        self
    }

    /// Leaves alone rings that were made, or attached to by one who died there, less than so long ago: what a
    /// supervisor is about to use again. Of what lies without a ring nothing tells its age, so it is left alone too.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Looks only at rings whose name (of `shm:`; of `file:`, that of the file) begins so. What has no name is left
    /// alone.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Whether the prefix, if there is one, allows for what is at `address`.
    pub fn allows_name(&self, address: &Address) -> bool {
        let Some(prefix) = &self.prefix else {
            return true;
        };
        match address {
            Address::Shm(name) | Address::Mq(name) => {
                name.as_bytes().starts_with(prefix.as_bytes())
            }
            Address::File(path) => path.file_name().is_some_and(|name| {
                use std::os::unix::ffi::OsStrExt;
                name.as_bytes().starts_with(prefix.as_bytes())
            }),
            _ => false,
        }
    }

    /// Collects.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Builder;
    /// use ringway::gc::{Fate, Gc, Leftover, Why};
    ///
    /// # let name = format!("shm:ringway-doc-gc-{}", std::process::id());
    /// let ring = Builder::new(&name)?.create()?;
    /// let sender = ring.sender()?;
    /// let report = Gc::new().address(ring.address().clone()).run();
    /// let in_use = Why::InUse { alive: 1, dead: 0 };
    /// assert_eq!(report.found[0].what, Leftover::Ring(ring.address().clone()));
    /// assert_eq!(report.found[0].fate, Fate::Kept(in_use));
    /// # drop(sender);
    /// # ringway::remove(ring.address(), true)?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn run(&self) -> GcReport {
        let report = self.sweep();
        report.tell();
        report
    }

    fn sweep(&self) -> GcReport {
        let mut report = GcReport::default();
        if !self.addresses.is_empty() {
            for address in &self.addresses {
                let slabs = self.slabs_at(address);
                match self.at(address) {
                    // Then those slabs are what was asked for.
                    Err(error) if error.kind() == ErrorKind::NotFound && slabs.is_something() => {}
                    found => report.add(found),
                }
                report.merge(slabs);
            }
            return report;
        }
        for address in store::list() {
            if self.allows_name(&address) {
                report.add_of_all(self.ring(&address));
            }
        }
        if self.older_than.is_some() || self.prefix.is_some() {
            // What lies without a ring has neither age nor name.
            return report;
        }
        for half in store::half_made() {
            report.add_of_all(self.half(&half));
        }
        for draft in drafts::all() {
            report.add_of_all(self.draft(draft));
        }
        report.merge(self.slabs());
        // Last: what lay beside the rings that were removed went with them.
        report.merge(self.semaphores());
        report.merge(self.queues());
        report
    }

    fn draft(&self, draft: drafts::Draft) -> Result<Option<Found>, Error> {
        let (path, bytes) = (draft.path.clone(), draft.bytes());
        let fate = match self.dry_run {
            true => Fate::Removable,
            false => match draft.remove() {
                Ok(true) => Fate::Removed,
                Ok(false) => return Ok(None),
                Err(errno) => return Err(not_removed(Name::of(&path), errno)),
            },
        };
        let what = Leftover::Draft(path);
        Ok(Some(Found { what, bytes, fate }))
    }
}

fn not_removed(what: impl std::fmt::Display, errno: nix::errno::Errno) -> Error {
    let kind = match errno {
        nix::errno::Errno::EACCES | nix::errno::Errno::EPERM => ErrorKind::PermissionDenied,
        _ => ErrorKind::Os,
    };
    Error::new(kind, "remove", what, "the kernel does not remove it")
        .remedy("run as the user who owns it, or as root")
        .because(errno)
}

impl GcReport {
    fn add(&mut self, found: Result<Option<Found>, Error>) {
        match found {
            Ok(found) => self.found.extend(found),
            Err(error) => self.failures.push(error),
        }
    }

    /// Of all there is, only what the dead left is told of.
    fn add_of_all(&mut self, found: Result<Option<Found>, Error>) {
        let is_told = |found: &Found| {
            !matches!(
                found.fate,
                Fate::Kept(
                    Why::InOrder | Why::Recent | Why::BeingMade { .. } | Why::InUse { dead: 0, .. }
                )
            )
        };
        self.add(found.map(|found| found.filter(is_told)));
    }

    /// Tells whoever listens.
    fn tell(&self) {
        for found in &self.found {
            match &found.fate {
                Fate::Removed => {
                    tell!("ringway::gc", INFO, "collected", what = %found.what, bytes = found.bytes);
                }
                Fate::Removable => {
                    tell!("ringway::gc", DEBUG, "collectable", what = %found.what, bytes = found.bytes);
                }
                Fate::Kept(why) => {
                    tell!("ringway::gc", DEBUG, "kept", what = %found.what, why = %why);
                }
            }
        }
        for error in &self.failures {
            tell!("ringway::gc", WARN, "not collected", error = %error);
        }
    }

    fn is_something(&self) -> bool {
        !self.found.is_empty() || !self.failures.is_empty()
    }

    fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        self.failures.extend(other.failures);
        self.blind_spots.extend(other.blind_spots);
    }
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ring(address) | Self::HalfMade(address) => address.fmt(f),
            Self::Draft(path) => Name::of(path).fmt(f),
            Self::Semaphores { id } => write!(f, "semaphore set {id}"),
            Self::Slabs { segments } => several(f, "slab", segments),
            Self::Queues { names } => several(f, "message queue", names),
        }
    }
}

fn several(f: &mut std::fmt::Formatter<'_>, what: &str, names: &[String]) -> std::fmt::Result {
    match names {
        [name] => write!(f, "{what} {name}"),
        [first, rest @ ..] => write!(f, "{what} {first} and {} more", rest.len()),
        [] => write!(f, "no {what}"),
    }
}

fn living(count: u32) -> String {
    match count {
        1 => "1 live participant".to_owned(),
        many => format!("{many} live participants"),
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Values { entries: 1 } => f.write_str("1 entry has a value"),
            Self::Values { entries } => write!(f, "{entries} entries have values"),
            Self::Undelivered { messages: 1 } => f.write_str("1 undelivered message"),
            Self::Undelivered { messages } => write!(f, "{messages} undelivered messages"),
            Self::Damaged => f.write_str("its contents contradict themselves"),
            Self::InUse { alive, dead: 0 } => write!(f, "in use by {}", living(*alive)),
            Self::InUse { alive, dead } => write!(
                f,
                "in use by {}; the next that attaches or is blocked repairs what {dead} dead left there",
                living(*alive)
            ),
            Self::Open => f.write_str("a live process has it open"),
            Self::InOrder => f.write_str("nobody died holding it"),
            Self::Persistent => f.write_str("it was made to be kept"),
            Self::Recent => f.write_str("it is not so old"),
            Self::BeingMade { pid: 0 } => f.write_str("a process is making it"),
            Self::BeingMade { pid } => write!(f, "process {pid} is making it"),
            Self::Unknown { home } => write!(f, "its ring may lie in {home}"),
            Self::Unproven => {
                f.write_str("nobody is attached, and whether anybody died cannot be told")
            }
            Self::Unsettled => f.write_str(
                "somebody died there, and this process may not make sure that the dead are done, because a sandbox \
                 denies it the system call membarrier",
            ),
            Self::NotPermitted => f.write_str("it is not this user's"),
        }
    }
}
