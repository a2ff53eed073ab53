//! What callers ask for.

use std::time::Duration;

use crate::address::Address;
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::message_type::TypeWords;
use crate::memory::layout::{Geometry, Kind, SyncKind};
use crate::sys::owner;

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) address: &'a Address,
    /// Permission bits of a new segment, exactly: the umask does not apply. Only the read and write
    /// bits count.
    pub(crate) mode: u32,
    /// Touch every page when mapping.
    pub(crate) prefault: bool,
    /// Keep the segment in memory (mlock).
    pub(crate) lock_memory: bool,
    /// Take reserved huge pages: `memfd:`, `sysv:`, or `file:` on a hugetlbfs.
    pub(crate) huge_pages: bool,
    /// Otherwise a segment that is opened must belong to this process's user or to root.
    pub(crate) any_owner: bool,
    /// Otherwise a lock of the C library's is used only where this process's user and root alone can write
    /// ([`trust`]).
    pub(crate) trust_peers: bool,
    /// When opening, how long to wait for the address to appear and be finished.
    pub(crate) wait: Option<Duration>,
}

impl<'a> Request<'a> {
    /// The defaults.
    pub(crate) fn new(address: &'a Address) -> Self {
        Self {
            address,
            mode: 0o600,
            prefault: false,
            lock_memory: false,
            huge_pages: false,
            any_owner: false,
            trust_peers: false,
            wait: None,
        }
    }
}

/// The ring to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) sync: SyncKind,
    pub(crate) overwrite: bool,
    pub(crate) persistent: bool,
    pub(crate) policies: u8,
    pub(crate) geometry: Geometry,
    pub(crate) fence: FenceMode,
    /// What its messages are, if somebody says it.
    pub(crate) message_type: TypeWords,
}

/// How often an address may vanish and come back between a look and a try.
pub(super) const ROUNDS: usize = 1000;

/// Refuses what belongs to neither this process's user nor root, unless the request allows it.
pub(super) fn check_owner(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    owner: u32,
) -> Result<(), Error> {
    match request.any_owner || owner::is_trusted(owner) {
        true => Ok(()),
        false => Err(attempt.foreign_owner(owner)),
    }
}

/// What has no name cannot be found by one; a queue is no segment.
pub(super) fn unsupported_by_name(action: &'static str, address: &Address) -> Error {
    let attempt = Attempt { action, address };
    let (problem, remedy) = match address {
        Address::Memfd => (
            "it has no name to be found by",
            "take it over from its creator through a Unix socket",
        ),
        Address::Sysv(_) => (
            "it has no name to be found by",
            "use the address that its creator shows: sysv:id=N",
        ),
        Address::Log(_) => (
            "a log is neither a ring nor a queue",
            "use what handles logs (ringway::log), or an address of shared memory",
        ),
        _ => (
            "this is no address of shared memory",
            "use what handles queues too (ringway::Channel), or an address of shared memory",
        ),
    };
    attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy(remedy)
}
