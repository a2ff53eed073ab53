//! Slabs of `sysv:` rings: segments without keys, whose ids stand in a table in the ring's segment, plus 1.
//!
//! Peers can write that table, so an id is believed only if the segment says itself that it is that slab of
//! that ring. Until then nothing is written to it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::mapping::{Condemned, Mapping};
use super::{MapOptions, not_the_slab};
use crate::address::{Address, SysvKey};
use crate::error::Attempt;
use crate::error::Error;
use crate::memory::layout::header::{self, Header};
use crate::memory::layout::slab_segment::{IDENTITY_WORDS, Identity, TRAILER_LEN, segment_len};
use crate::memory::map::Map;
use crate::store::header::header_bytes;
use crate::store::ids::{self, Row};
use crate::store::pages::populate;
use crate::store::peek::Peek;
use crate::store::request::Request;
use crate::store::space;
use crate::sys::owner;
use crate::sys::shmget;

/// The execute bit of others alone, which the kernel gives no meaning: a slab that is not finished. (One of the
/// group alone marks a ring.)
const UNFINISHED: u32 = 0o001;
const EXECUTE_BITS: u32 = 0o111;

/// How often a collector may take one for a dead creator's.
const ATTEMPTS: usize = 100;

/// Where the table starts, in bytes from the start of the ring's segment.
pub(super) fn table(header: &Header) -> usize {
    header.geometry.slab_offsets().1 as usize
}

/// What others call the segment.
pub(super) fn address(id: i32) -> Address {
    Address::Sysv(SysvKey::Id(id))
}

/// The slabs of the ring in segment `id`.
fn identities(header: &Header, id: i32) -> impl Iterator<Item = Identity> + '_ {
    header
        .geometry
        .slabs()
        .ranges()
        .flat_map(move |(range, class)| {
            range.map(move |index| Identity {
                nonce: header.nonce,
                index,
                len: class.len,
                ring: Some(id),
            })
        })
}

/// Makes all slabs of a new ring in segment `id`; none if it has none apart. Called under the creation lock, behind
/// the header and before the magic; after a failure, [`discard`] removes what was made.
pub(in crate::store) fn make(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    ring: &Map,
    id: i32,
    header: &Header,
) -> Result<(), Error> {
    if !header.geometry.has_slab_segments() {
        return Ok(());
    }
    if !request.huge_pages {
        let ring_len = header.geometry.total_len();
        space::check_memory(attempt, header.geometry.memory_len() - ring_len)?;
    }
    for identity in identities(header, id) {
        make_one(attempt, request, ring, table(header), &identity)?;
    }
    Ok(())
}

fn make_one(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    ring: &Map,
    table: usize,
    identity: &Identity,
) -> Result<(), Error> {
    let failed = |errno| attempt.os("a slab cannot be made", errno);
    let entry = ring.word64(table + 8 * identity.index as usize);
    let entry = entry.ok_or_else(|| failed(Errno::EFAULT))?;
    for _ in 0..ATTEMPTS {
        let id = ids::new_id(
            attempt,
            request,
            libc::IPC_PRIVATE,
            identity.segment_len(),
            UNFINISHED,
        )?;
        // From here on it goes with the ring, once its trailer says that it is the ring's.
        entry.store(id as u32 as u64 + 1, Ordering::Relaxed);
        match finish(attempt, request, id, identity) {
            Ok(()) => return Ok(()),
            // A collector was faster.
            Err(_) if ids::is_gone(id) => {}
            Err(error) => {
                let _ = shmget::remove(id);
                return Err(error);
            }
        }
    }
    Err(failed(Errno::EIDRM))
}

fn finish(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    id: i32,
    identity: &Identity,
) -> Result<(), Error> {
    let failed = |errno| attempt.os("a slab cannot be made", errno);
    let (mapping, _) = Mapping::of_sysv(id).map_err(failed)?;
    // The kernel has promised the pages by its accounts only; a lack of them must show here.
    let len = identity.segment_len();
    populate(attempt, len, || mapping.populate(len))?;
    mapping.identify(identity).map_err(|Condemned| {
        // Whoever condemned it may not have come to this.
        let _ = shmget::remove(id);
        failed(Errno::EIDRM)
    })?;
    shmget::set_mode(id, request.mode & 0o666).map_err(failed)
}

/// Maps the slab that is `wanted`.
pub(super) fn map(
    attempt: Attempt<'_>,
    ring: &Map,
    table: usize,
    wanted: &Identity,
    options: MapOptions,
) -> Result<Mapping, Error> {
    // Fetched once: a peer may write it.
    let entry = ring
        .word64(table + 8 * wanted.index as usize)
        .map_or(0, |entry| entry.load(Ordering::Relaxed));
    let id = id_in(entry).ok_or_else(|| not_the_slab(attempt, "the ring does not list a slab"))?;
    let not_mapped = |errno| attempt.os("shmat cannot attach a slab", errno);
    // Before it is attached, which what is not ours should not be.
    let status = shmget::status(id).map_err(not_mapped)?;
    let is_possible = status.len as u64 == wanted.segment_len();
    if !is_possible {
        return Err(not_the_slab(attempt, "a slab is not what its creator made"));
    }
    options.check_owner(attempt, status.owner_uid)?;
    let (mapping, status) = Mapping::of_sysv(id).map_err(not_mapped)?;
    let is_whole = status.len as u64 == wanted.segment_len();
    if !is_whole || mapping.identity(wanted.len) != Some(*wanted) {
        return Err(not_the_slab(attempt, "a slab is not what its creator made"));
    }
    options.check_owner(attempt, status.owner_uid)?;
    Ok(mapping)
}

fn id_in(entry: u64) -> Option<i32> {
    entry.checked_sub(1).and_then(|id| i32::try_from(id).ok())
}

/// Removes the slabs of the half-made ring in segment `id`, and clears their table. Called under the creation
/// lock.
pub(in crate::store) fn discard(ring: &Map, id: i32) {
    let Some(bytes) = header_bytes(ring) else {
        return;
    };
    // Its creator died before it came to the magic, but not to the slabs.
    let Ok(header) = Header::decode(&header::finished(bytes), ring.len() as u64) else {
        return;
    };
    let word = |at| ring.word64(at);
    remove_listed(&header, id, |at| {
        word(at).map(|entry| entry.swap(0, Ordering::Relaxed))
    });
}

/// Removes the slabs of the finished ring in segment `id`.
pub(in crate::store) fn remove(ring: &Peek, header: &Header, id: i32) {
    remove_listed(header, id, |at| ring.load64(at));
}

fn remove_listed(header: &Header, id: i32, fetch: impl Fn(usize) -> Option<u64>) {
    if !header.geometry.has_slab_segments() {
        return;
    }
    for identity in identities(header, id) {
        let entry = fetch(table(header) + 8 * identity.index as usize);
        let slab = entry.and_then(id_in).and_then(Found::of);
        if let Some(slab) = slab.filter(|slab| slab.identity == Some(identity)) {
            // What cannot be removed stays.
            let _ = shmget::remove(slab.id);
        }
    }
}

/// A segment that is a slab, or on its way to one.
#[derive(Clone, Copy, Debug)]
struct Found {
    id: i32,
    len: u64,
    /// `None`: it is not finished.
    identity: Option<Identity>,
}

impl Found {
    /// `None` if the segment is something else, or may not be read.
    fn of(id: i32) -> Option<Self> {
        let status = shmget::status(id).ok().filter(|status| !status.removed)?;
        let len = (status.len as u64).checked_sub(TRAILER_LEN)?;
        if !len.is_power_of_two() {
            return None;
        }
        let memory = Peek::of_sysv(id).ok()?;
        let words = trailer(&memory, len)?;
        let identity = Identity::decode(words).filter(|identity| identity.len == len);
        // As its creator left it: marked, empty, and with a part of the trailer at most.
        let is_unfinished = status.mode & EXECUTE_BITS == UNFINISHED
            && memory.load64(0) == Some(0)
            && Identity::may_become(words, len);
        (identity.is_some() || is_unfinished).then_some(Self { id, len, identity })
    }
}

/// Whether the segment is a slab.
pub(in crate::store) fn is_slab(memory: &Peek, segment_len: usize) -> bool {
    let Some(len) = (segment_len as u64).checked_sub(TRAILER_LEN) else {
        return false;
    };
    let identity = trailer(memory, len).and_then(Identity::decode);
    identity.is_some_and(|identity| identity.len == len)
}

/// The first words behind `len` bytes.
fn trailer(memory: &Peek, len: u64) -> Option<[u64; IDENTITY_WORDS]> {
    memory.copy(len as usize)
}

/// Slabs of one ring whose segment is gone, or one that is not finished.
#[derive(Debug)]
pub(crate) struct Orphans {
    slabs: Vec<Found>,
    /// Bytes of memory.
    pub(crate) bytes: u64,
}

/// Those of this machine that this process's user may remove.
pub(crate) fn orphans() -> Vec<Orphans> {
    let mut found = BTreeMap::new();
    for Row { id, .. } in ids::rows().filter(|row| row.key == libc::IPC_PRIVATE) {
        if !may_remove(id) {
            continue;
        }
        let Some(slab) = Found::of(id) else { continue };
        let of = match slab
            .identity
            .and_then(|identity| Some((identity.ring?, identity)))
        {
            Some((ring, identity)) if !is_there(ring, identity.nonce) => (ring, identity.nonce),
            Some(_) => continue,
            // Each by itself.
            None => (id, [0; 16]),
        };
        let orphans = found.entry(of).or_insert_with(|| Orphans {
            slabs: Vec::new(),
            bytes: 0,
        });
        orphans.slabs.push(slab);
        orphans.bytes += segment_len(slab.len);
    }
    found.into_values().collect()
}

fn may_remove(id: i32) -> bool {
    shmget::status(id)
        .is_ok_and(|status| owner::may_remove(&[status.owner_uid, status.creator_uid]))
}

/// Whether segment `id` is, or may be, the ring with this nonce. Its creator writes that before it makes a slab.
fn is_there(id: i32, nonce: [u8; 16]) -> bool {
    match shmget::status(id) {
        Err(Errno::EINVAL | Errno::EIDRM) => false,
        Ok(status) if status.removed => false,
        Ok(_) => Peek::of_sysv(id)
            .ok()
            .and_then(|memory| memory.header_bytes())
            .is_none_or(|bytes| Header::nonce_in(&bytes) == nonce),
        Err(_) => true,
    }
}

impl Orphans {
    /// Their addresses.
    pub(crate) fn names(&self) -> Vec<String> {
        let slabs = self.slabs.iter();
        slabs.map(|slab| address(slab.id).to_string()).collect()
    }

    /// Whether somebody alive has one of them attached. Who is making one does no harm: it makes another.
    pub(crate) fn are_in_use(&self) -> bool {
        let whole = self.slabs.iter().filter(|slab| slab.identity.is_some());
        let mut statuses = whole.filter_map(|slab| shmget::status(slab.id).ok());
        statuses.any(|status| status.attached > 0)
    }

    /// Removes them, but for what its creator has finished meanwhile. Whether there was something to remove.
    pub(crate) fn remove(&self) -> Result<bool, Errno> {
        let mut removed = false;
        for slab in &self.slabs {
            let result = match slab.identity {
                Some(_) => shmget::remove(slab.id),
                None => Mapping::of_sysv(slab.id).and_then(|(mapping, _)| {
                    match mapping.condemn(slab.len) {
                        true => shmget::remove(slab.id),
                        false => Err(Errno::EIDRM),
                    }
                }),
            };
            match result {
                Ok(()) => removed = true,
                Err(Errno::EIDRM | Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(removed)
    }
}
