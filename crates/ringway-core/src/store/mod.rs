//! Segments: the shared memory that a ring lies in, whatever it is backed by.
//!
//! | address | how it is made | a creator that dies leaves |
//! |---|---|---|
//! | `shm:`, `file:` | as a file without a name, which gets its name when it is finished ([`named`]) | nothing |
//! | `memfd:` | sealed when it is finished, then handed over ([`memfd`], [`handover`]) | nothing |
//! | `sysv:` | in the open, under the creation lock ([`sysv`]) | a half-made segment, which the next creator takes over |
//!
//! A ring's slabs may be segments too ([`slabs`]).
//!
//! In all of them the magic is published last, with release. What is not finished is never used.

pub(crate) mod anchor;
mod boot_id;
mod catalog;
mod descriptor;
pub(crate) mod drafts;
mod handover;
mod in_place;
mod lock;
mod memfd;
mod memory;
mod named;
mod namespace;
mod peek;
mod removal;
mod renewal;
pub(crate) mod slabs;
mod space;
pub(crate) mod suspect;
mod sysv;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod trust;
mod view;
mod watch;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;

use crate::address::{Address, SysvKey};
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::memory::layout::header::{
    CREATION_LOCK_OFFSET, FenceMode, FileId, HEADER_LEN, Header, MAGIC, MAGIC_OFFSET,
    SEMAPHORES_OFFSET, SLABS,
};
use crate::memory::layout::{self, Geometry, Kind, Shape, SyncKind};
use crate::presence::memory::Memories;
use crate::sys::owner::{self, Access};
use crate::sys::{getrandom, now_ns};

use crate::memory::map::Map;
use anchor::Anchor;
use slabs::SlabSegments;

#[cfg(test)]
pub(crate) use catalog::present;
pub(crate) use catalog::{Half, Names, half_made, half_made_at, list, list_in, names};
pub use handover::PeerCredentials;
pub(crate) use handover::hand_over;
pub(crate) use removal::{remove, remove_half_made};
pub(crate) use view::View;

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
    pub(crate) geometry: Geometry,
    pub(crate) fence: FenceMode,
}

/// A finished segment in this process.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) map: Arc<Map>,
    /// A private copy.
    pub(crate) header: Header,
    /// What opens it: `sysv:private` has become `sysv:id=N`.
    pub(crate) address: Address,
    /// The slabs, if they are segments of their own.
    pub(crate) slabs: Option<Arc<SlabSegments>>,
    /// A memfd's descriptor, to hand it over.
    pub(crate) file: Option<OwnedFd>,
    /// Who could use it when it was opened.
    pub(crate) access: Access,
    /// By what to ask for its name, which was opened with entry; a memfd has none.
    pub(crate) anchor: Option<Arc<Anchor>>,
    /// By what to ask for the memory of participants, in a ring with slabs.
    pub(crate) memories: Option<Arc<Memories>>,
}

/// Who may use the segment of `header` now, which was opened at `attempt.address`; `then` if that does not lead there any
/// more.
pub(crate) fn access_now(attempt: Attempt<'_>, header: &Header, then: Access) -> Access {
    let now = match attempt.address {
        Address::Shm(_) | Address::File(_) => named::access(attempt)
            .ok()
            .filter(|(_, file)| *file == header.file)
            .map(|(access, _)| access),
        Address::Sysv(key) => sysv::access(attempt, key).ok(),
        _ => None,
    };
    now.unwrap_or(then)
}

/// How often an address may vanish and come back between a look and a try.
const ROUNDS: usize = 1000;

impl Segment {
    /// Makes a new segment.
    pub(crate) fn create(request: &Request<'_>, plan: &Plan) -> Result<Self, Error> {
        let attempt = Attempt::to("create", request.address);
        trust::check_new(attempt, request, plan.sync)?;
        match request.address {
            Address::Shm(_) | Address::File(_) => named::create(request, plan),
            Address::Sysv(key) => sysv::create(request, key, plan),
            Address::Memfd => memfd::create(request, plan),
            _ => Err(unsupported_by_name("create", request.address)),
        }
    }

    /// Opens a finished segment.
    pub(crate) fn open(request: &Request<'_>) -> Result<Self, Error> {
        match request.address {
            Address::Shm(_) | Address::File(_) => named::open(request),
            Address::Sysv(key) => sysv::open(request, key),
            _ => Err(unsupported_by_name("open", request.address)),
        }
    }

    /// Opens the segment, or makes it; whether it was made here comes with it. Of many processes that
    /// race, exactly one makes it.
    pub(crate) fn open_or_create(
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<(Self, bool), Error> {
        if let Address::Memfd | Address::Sysv(SysvKey::Private) = request.address {
            return Self::create(request, plan).map(|segment| (segment, true));
        }
        // What is absent is made, not waited for.
        let request = &Request {
            wait: None,
            ..*request
        };
        let mut is_second_look = false;
        for _ in 0..ROUNDS {
            let absent = match Self::open(request) {
                Ok(segment) => return Ok((segment, false)),
                Err(error) => error,
            };
            let made = match (absent.kind(), request.address) {
                (ErrorKind::NotFound, _) => Self::create(request, plan),
                (ErrorKind::HalfMade, Address::Sysv(key)) => {
                    let attempt = Attempt::to("create", request.address);
                    trust::check_new(attempt, request, plan.sync)
                        .and_then(|()| sysv::complete(request, key, plan))
                }
                _ => return Err(absent),
            };
            match made {
                Ok(segment) => return Ok((segment, true)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => is_second_look = false,
                // A live creator, which the next look waits for a while. It may be stopped.
                Err(error) if error.kind() == ErrorKind::HalfMade && !is_second_look => {
                    is_second_look = true;
                }
                // Others that race for the same name may hold what is missing for the moment.
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    return match Self::open(request) {
                        Ok(segment) => Ok((segment, false)),
                        Err(_) => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        let attempt = Attempt {
            action: "open or create",
            address: request.address,
        };
        Err(attempt.timed_out("other processes keep making and removing it"))
    }

    /// Receives a memfd from the process at the other end of `socket`, and says who that is.
    pub(crate) fn take_over(
        request: &Request<'_>,
        socket: &UnixStream,
    ) -> Result<(Self, PeerCredentials), Error> {
        handover::take_over(request, socket)
    }
}

/// What has no name cannot be found by one; a queue is no segment.
fn unsupported_by_name(action: &'static str, address: &Address) -> Error {
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
        _ => (
            "this is no address of shared memory",
            "use what handles queues too (ringway::Channel), or an address of shared memory",
        ),
    };
    attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy(remedy)
}

/// The header of a new ring.
fn new_header(attempt: Attempt<'_>, plan: &Plan, boot_id: [u8; 16]) -> Result<Header, Error> {
    let nonce =
        getrandom::nonce().map_err(|errno| attempt.os("getrandom gives no randomness", errno))?;
    Ok(Header {
        kind: plan.kind,
        sync: plan.sync,
        overwrite: plan.overwrite,
        persistent: plan.persistent,
        fence: plan.fence,
        nonce,
        created_ns: now_ns(),
        geometry: plan.geometry,
        boot_id,
        file: FileId::default(),
        companions: nonce,
        ipc_namespace: namespace::ipc(),
    })
}

/// Writes the cells, and all of the header but the magic. The creation lock, which its holder may have taken, and
/// the words of others behind it are left alone. (The words of free slabs are zero, as new memory is.)
fn write_header(map: &Map, header: &Header) -> Result<(), Errno> {
    let bytes = header.encode();
    let fields = (MAGIC_OFFSET + 8..CREATION_LOCK_OFFSET).chain(SLABS.start..HEADER_LEN);
    for at in fields.step_by(8) {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        map.word64(at)
            .ok_or(Errno::EFAULT)?
            .store(u64::from_ne_bytes(word), Ordering::Relaxed);
    }
    write_cells(map, header)
}

/// Makes all cells of a cell ring free.
fn write_cells(map: &Map, header: &Header) -> Result<(), Errno> {
    let Shape::Cells(cell_len) = header.geometry.shape() else {
        return Ok(());
    };
    let word = layout::cell::new_word(layout::cell::key(header.nonce));
    let (start, end) = (header.geometry.data_offset(), header.geometry.data_end());
    for at in (start..end).step_by(cell_len as usize) {
        let at = usize::try_from(at).map_err(|_| Errno::EFAULT)?;
        map.word64(at)
            .ok_or(Errno::EFAULT)?
            .store(word, Ordering::Relaxed);
    }
    Ok(())
}

/// Removes what lies beside the ring in `map`, whose magic may be missing.
fn discard(map: &Map) {
    let Some(mut bytes) = header_bytes(map) else {
        return;
    };
    bytes[MAGIC_OFFSET..MAGIC_OFFSET + 8].copy_from_slice(&MAGIC.to_le_bytes());
    remove_beside(&bytes, map.len() as u64);
}

/// Removes what lies beside the ring whose header is `bytes`, in a segment of `len` bytes.
fn remove_beside(bytes: &[u8; HEADER_LEN], len: u64) {
    // What this version cannot read has nothing that it could find.
    if let Ok(header) = Header::decode(bytes, len) {
        let mut semaphores = [0; 4];
        semaphores.copy_from_slice(&bytes[SEMAPHORES_OFFSET..SEMAPHORES_OFFSET + 4]);
        crate::waiting::sync::remove(&header, u32::from_le_bytes(semaphores));
    }
}

/// Declares the segment finished.
fn publish_magic(map: &Map) -> Result<(), Errno> {
    // Release pairs with the Acquire in `magic`: who sees the magic sees the header.
    map.word64(MAGIC_OFFSET)
        .ok_or(Errno::EFAULT)?
        .store(MAGIC, Ordering::Release);
    Ok(())
}

/// The magic, or what is there instead.
fn magic(map: &Map) -> u64 {
    map.word64(MAGIC_OFFSET)
        .map_or(0, |word| word.load(Ordering::Acquire))
}

/// A private copy of the header's bytes.
fn header_bytes(map: &Map) -> Option<[u8; HEADER_LEN]> {
    let mut bytes = [0; HEADER_LEN];
    for (index, field) in bytes.chunks_exact_mut(8).enumerate() {
        // Acquire matters for the magic, which is read first.
        let word = map.word64(index * 8)?.load(Ordering::Acquire);
        field.copy_from_slice(&word.to_ne_bytes());
    }
    Some(bytes)
}

/// By what to ask for the memory of the participants of the ring in `file`, if it may be lent by pointer.
fn memories(header: &Header, file: BorrowedFd<'_>) -> Option<Arc<Memories>> {
    match header.geometry.slabs().is_empty() {
        true => None,
        // Without one more descriptor, pointers to private memory are lent.
        false => Memories::of(file.try_clone_to_owned().ok()?),
    }
}

/// What the request wants of the pages of a mapping.
fn settle_pages(attempt: Attempt<'_>, request: &Request<'_>, map: &Map) -> Result<(), Error> {
    if request.prefault {
        populate(attempt, map.len() as u64, || map.populate())?;
    }
    if request.lock_memory {
        map.lock()
            .map_err(|errno| locking_failed(attempt, map.len() as u64, errno))?;
    }
    Ok(())
}

/// Has `len` bytes touched.
fn populate(
    attempt: Attempt<'_>,
    len: u64,
    touch: impl Fn() -> Result<(), Errno>,
) -> Result<(), Error> {
    loop {
        match touch() {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The kernel's word for a fault that would have been SIGBUS.
            Err(errno @ (Errno::EFAULT | Errno::ENOMEM)) => {
                space::check_memory(attempt, len)?;
                return Err(attempt
                    .error(
                        ErrorKind::NoSpace,
                        "there is no memory for all of its pages",
                    )
                    .remedy("free memory, raise the memory limit, or choose a smaller capacity")
                    .because(errno));
            }
            Err(errno) => return Err(attempt.os("madvise cannot touch its pages", errno)),
        }
    }
}

fn locking_failed(attempt: Attempt<'_>, len: u64, errno: Errno) -> Error {
    use nix::sys::resource::{Resource, getrlimit};
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(limit, _)| limit);
    let problem = format!(
        "its {} cannot be locked in memory; this process may lock {}",
        Bytes(len),
        Bytes(limit)
    );
    let kind = match errno {
        Errno::EPERM => ErrorKind::PermissionDenied,
        _ => ErrorKind::NoSpace,
    };
    attempt
        .error(kind, problem)
        .remedy("raise the limit (ulimit -l) or do not lock it")
        .because(errno)
}

/// Refuses what belongs to neither this process's user nor root, unless the request allows it.
fn check_owner(attempt: Attempt<'_>, request: &Request<'_>, owner: u32) -> Result<(), Error> {
    match request.any_owner || owner::is_trusted(owner) {
        true => Ok(()),
        false => Err(attempt.foreign_owner(owner)),
    }
}
