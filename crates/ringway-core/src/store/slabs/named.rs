//! Slabs of `shm:` and `file:` rings: files beside the ring's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_file};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, lstat};
use nix::unistd::unlink;

use super::mapping::{Condemned, Mapping};
use super::{MapOptions, not_the_slab};
use crate::address::Address;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::escape::Name;
use crate::memory::layout::Geometry;
use crate::memory::layout::header::Header;
use crate::memory::layout::slab_segment::{IDENTITY_WORDS, Identity, TRAILER_LEN};
use crate::store::place::{self, Place};
use crate::store::request::Request;
use crate::store::unnamed::Draft;
use crate::store::{descriptor, in_place, space};
use crate::sys::lease;
use crate::sys::owner;

const MARK: &[u8] = b".slab.";
const DIGITS: usize = 32;
/// What the name of a ring may have at most, so that those of its slabs are names.
const LONGEST_NAME: usize = 200;

/// The name of a slab of the ring with this name.
fn name(ring: &OsStr, nonce: [u8; 16], index: u32) -> OsString {
    let mut ending = String::new();
    for byte in nonce {
        // Writing to a string does not fail.
        let _ = write!(ending, "{byte:02x}");
    }
    let _ = write!(ending, ".{index}");
    let mut name = ring.to_owned();
    name.push(OsStr::from_bytes(MARK));
    name.push(ending);
    name
}

/// The ring's name, its nonce and the number in the name of a slab.
fn parse(name: &OsStr) -> Option<(OsString, [u8; 16], u32)> {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.')?;
    let index = std::str::from_utf8(&bytes[dot + 1..]).ok()?.parse().ok()?;
    let (front, digits) = bytes[..dot].split_at_checked(dot.checked_sub(DIGITS)?)?;
    let mut nonce = [0; 16];
    for (byte, pair) in nonce.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let ring = OsString::from_vec(front.strip_suffix(MARK)?.to_vec());
    // No other way to write the same: signs, leading zeroes, capitals.
    (self::name(&ring, nonce, index) == name).then_some((ring, nonce, index))
}

/// Refuses a name to which no names of slabs can be made, and what there is no room for. `ring` is the ring's
/// file.
pub(in crate::store) fn check(
    attempt: Attempt<'_>,
    place: &Place,
    geometry: &Geometry,
    ring: BorrowedFd<'_>,
) -> Result<(), Error> {
    if place.name().len() > LONGEST_NAME {
        let problem =
            format!("its name has more than {LONGEST_NAME} bytes, and those of slabs are longer");
        return Err(attempt
            .error(ErrorKind::InvalidAddress, problem)
            .remedy("choose a shorter name, or slabs inside of the ring"));
    }
    space::check_file(attempt, ring, geometry.memory_len())
}

/// The slabs of a ring that is not finished, removed when dropped unless they are kept.
#[derive(Debug)]
pub(in crate::store) struct Unfinished<'a> {
    ring: &'a Place,
    nonce: [u8; 16],
    /// How many have names.
    count: u32,
    /// Slab 0, open, which tells collectors that its creator lives.
    first: Option<Draft>,
}

impl<'a> Unfinished<'a> {
    /// Makes all slabs of a new ring; none if it has none apart.
    pub(in crate::store) fn make(
        attempt: Attempt<'_>,
        request: &Request<'_>,
        header: &Header,
        ring: &'a Place,
    ) -> Result<Self, Error> {
        let mut made = Self {
            ring,
            nonce: header.nonce,
            count: 0,
            first: None,
        };
        if !header.geometry.has_slab_segments() {
            return Ok(made);
        }
        for (range, class) in header.geometry.slabs().ranges() {
            for index in range {
                let identity = Identity {
                    nonce: header.nonce,
                    index,
                    len: class.len,
                    ring: None,
                };
                made.add(attempt, request, &identity)?;
            }
        }
        Ok(made)
    }

    fn add(
        &mut self,
        attempt: Attempt<'_>,
        request: &Request<'_>,
        identity: &Identity,
    ) -> Result<(), Error> {
        let place = self
            .ring
            .beside(name(self.ring.name(), self.nonce, identity.index));
        let draft = Draft::new(attempt, &place)?;
        build(attempt, request, identity, draft.file())?;
        draft
            .publish(&place)
            .map_err(|errno| attempt.os("a slab's name cannot be made", errno))?;
        self.count += 1;
        if self.first.is_none() {
            self.first = Some(draft);
        }
        Ok(())
    }

    /// The ring has its name.
    pub(in crate::store) fn keep(mut self) {
        self.count = 0;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        remove_first(self.ring, self.nonce, self.count);
    }
}

/// Makes the slab in the empty file `fd`, which has no name yet.
fn build(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    identity: &Identity,
    fd: BorrowedFd<'_>,
) -> Result<(), Error> {
    let os = |what| move |errno| attempt.os(what, errno);
    fchmod(fd, Mode::from_bits_truncate(request.mode & 0o666))
        .map_err(os("the mode of a slab cannot be set"))?;
    let stat = fstat(fd).map_err(os("a slab cannot be inspected"))?;
    let page = descriptor::page_of(&stat);
    let len = identity.segment_len();
    let file_len = match descriptor::is_huge(fd) {
        true => len.next_multiple_of(page as u64),
        false => len,
    };
    in_place::mark(attempt, fd)?;
    space::allocate(attempt, fd, file_len, page as u64)?;
    let mapping = Mapping::of_file(fd, len, page).map_err(os("a slab cannot be mapped"))?;
    mapping
        .identify(identity)
        .map_err(|Condemned| attempt.os("a slab is not its creator's alone", Errno::EBUSY))
}

/// Maps the slab that is `wanted`.
pub(super) fn map(
    attempt: Attempt<'_>,
    ring: &Place,
    directory: Option<BorrowedFd<'_>>,
    wanted: &Identity,
    options: MapOptions,
) -> Result<Mapping, Error> {
    let os = |what| move |errno| attempt.os(what, errno);
    let place = ring.beside(name(ring.name(), wanted.nonce, wanted.index));
    let file = match directory {
        Some(directory) => place::open_in(attempt, directory, place.name(), OFlag::O_RDWR),
        None => place::open_path(attempt, &place, OFlag::O_RDWR),
    }?;
    let stat = fstat(file.as_fd()).map_err(os("a slab cannot be inspected"))?;
    if !is_regular(&stat) {
        return Err(not_the_slab(attempt, "a slab is no regular file"));
    }
    options.check_owner(attempt, stat.st_uid)?;
    let page = descriptor::page_of(&stat);
    let len = wanted.segment_len();
    // Beyond the end of a file, accesses are signals.
    let is_whole = [len, len.next_multiple_of(page as u64)].contains(&(stat.st_size as u64));
    if !is_whole || identity_in(file.as_fd(), wanted.len) != Some(*wanted) {
        return Err(not_the_slab(attempt, "a slab is not what its creator made"));
    }
    // As of the ring's file: a copy may have holes, and be written elsewhere.
    in_place::check(attempt, file.as_fd())?;
    descriptor::fill_holes(attempt, file.as_fd(), &stat, len)?;
    Mapping::of_file(file.as_fd(), len, page).map_err(os("a slab cannot be mapped"))
}

fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
}

/// Who a file says to be behind `len` bytes.
fn identity_in(file: BorrowedFd<'_>, len: u64) -> Option<Identity> {
    let mut words = [0_u64; IDENTITY_WORDS];
    descriptor::read_at(file, bytemuck::bytes_of_mut(&mut words), len).ok()?;
    Identity::decode(words)
}

/// Removes the slabs of a ring, whatever its file has become; of a copy only those that were copied with it.
pub(in crate::store) fn remove(ring: &Place, header: &Header, is_copy: bool) {
    if header.geometry.has_slab_segments() {
        let place = match is_copy {
            true => ring.clone(),
            false => place_of(ring, header.nonce),
        };
        remove_first(&place, header.nonce, header.geometry.slabs().count());
    }
}

/// Refuses a copy of a ring without its slabs: where those of the original are, another ring uses them.
pub(in crate::store) fn check_copy(
    attempt: Attempt<'_>,
    ring: &Place,
    header: &Header,
) -> Result<(), Error> {
    if !header.geometry.has_slab_segments() {
        return Ok(());
    }
    let path = |index| ring.beside(name(ring.name(), header.nonce, index)).path;
    let absent = (0..header.geometry.slabs().count()).find(|index| lstat(&path(*index)).is_err());
    match absent {
        None => Ok(()),
        Some(index) => Err(attempt
            .error(
                ErrorKind::Unsupported,
                format!(
                    "it is a copy of a ring whose slabs are files of their own, and slab {index} was not copied with it"
                ),
            )
            .remedy(format!("copy it to {}, or remove this copy", path(index).display()))),
    }
}

/// Under whose name the slabs of a ring lie: the name that the ring was made by, in the same directory. It may have been
/// renamed since, or have several names.
pub(super) fn place_of(ring: &Place, nonce: [u8; 16]) -> Place {
    let first = |name: &OsStr| self::name(name, nonce, 0);
    if lstat(&ring.beside(first(ring.name())).path).is_ok() {
        return ring.clone();
    }
    let own = lstat(&ring.path).ok();
    let entries = std::fs::read_dir(ring.directory()).into_iter().flatten();
    let former = entries.filter_map(|entry| match parse(&entry.ok()?.file_name())? {
        (name, found, 0) if found == nonce => Some(ring.beside(name)),
        _ => None,
    });
    let mut former = former.filter(|former| {
        // The ring of that name, if there is one, has these slabs, unless it is this very file.
        let named = lstat(&former.path).ok();
        let is_same = |one: &FileStat, other: &FileStat| {
            (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
        };
        match (&named, &own) {
            (None, _) => true,
            (Some(named), Some(own)) if is_same(named, own) => true,
            _ => nonce_of(former) != Some(nonce),
        }
    });
    match (former.next(), former.next()) {
        (Some(former), None) => former,
        // Several copies: nobody can tell which.
        _ => ring.clone(),
    }
}

/// The nonce of the ring with this name, if one can be read.
fn nonce_of(ring: &Place) -> Option<[u8; 16]> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = open_file(&ring.path, flags, Mode::empty()).ok()?;
    let bytes = descriptor::header_bytes(file.as_fd()).ok()?;
    Some(Header::nonce_in(&bytes))
}

/// Removes the first `count` slabs of a ring, slab 0 last.
fn remove_first(ring: &Place, nonce: [u8; 16], count: u32) {
    for index in (0..count).rev() {
        let place = ring.beside(name(ring.name(), nonce, index));
        // A name that says all this is a slab's, or was made to be taken for one.
        let _ = unlink(&place.path);
    }
}

/// Whether the file of this name is a slab.
pub(in crate::store) fn is_slab(name: &OsStr, file: BorrowedFd<'_>) -> bool {
    let Ok(stat) = fstat(file) else { return false };
    parse(name).is_some_and(|(_, nonce, index)| found_in(file, &stat, nonce, index).is_some())
}

/// The slab of this nonce and number that the file is.
fn found_in(
    file: BorrowedFd<'_>,
    stat: &FileStat,
    nonce: [u8; 16],
    index: u32,
) -> Option<Identity> {
    let size = u64::try_from(stat.st_size).ok()?;
    let len = size.checked_sub(TRAILER_LEN)?;
    // On huge pages the file is longer than the segment. Slabs are powers of two.
    let lens = [len, 1 << len.checked_ilog2()?];
    let identities = lens.into_iter().filter_map(|len| identity_in(file, len));
    let mut ours = identities.filter(|found| (found.nonce, found.index) == (nonce, index));
    ours.find(|found| found.segment_len() <= size)
}

/// Slabs of one ring, to which its name does not lead any more.
#[derive(Debug)]
pub(crate) struct Orphans {
    ring: Place,
    nonce: [u8; 16],
    /// Their numbers, the lowest first.
    indices: Vec<u32>,
    /// Bytes of memory or disk.
    pub(crate) bytes: u64,
}

/// Those of rings in `directory`, or only of one with this name, that this process's user may remove.
pub(crate) fn orphans(directory: &Path, only: Option<&OsStr>) -> Vec<Orphans> {
    let mut found = BTreeMap::new();
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    for entry in entries.filter_map(|entry| entry.ok()) {
        let Some((ring, nonce, index)) = parse(&entry.file_name()) else {
            continue;
        };
        if only.is_some_and(|only| only != ring) {
            continue;
        }
        let Some((file, stat)) = open(&entry.path(), OFlag::O_RDONLY).ok().flatten() else {
            continue;
        };
        if found_in(file.as_fd(), &stat, nonce, index).is_some() {
            let place = Place::new(directory, &ring);
            let orphans = found.entry((ring, nonce)).or_insert_with(|| Orphans {
                ring: place,
                nonce,
                indices: Vec::new(),
                bytes: 0,
            });
            orphans.indices.push(index);
            orphans.bytes += descriptor::allocated(&stat);
        }
    }
    let orphans = found.into_values().map(|mut orphans: Orphans| {
        orphans.indices.sort_unstable();
        orphans
    });
    // Behind the listing: a ring that is finished meanwhile has its name.
    orphans.filter(|orphans| !orphans.has_ring()).collect()
}

/// Opens a regular file that this process's user may remove; `None` if it is something else.
fn open(path: &Path, access: OFlag) -> Result<Option<(OwnedFd, FileStat)>, Errno> {
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = open_file(path, flags, Mode::empty())?;
    let stat = fstat(file.as_fd())?;
    let is_ours = is_regular(&stat) && owner::may_remove(&[stat.st_uid]);
    Ok(is_ours.then_some((file, stat)))
}

impl Orphans {
    /// Their paths.
    pub(crate) fn names(&self) -> Vec<String> {
        let path = |index: &u32| Name::of(&self.path(*index)).to_string();
        self.indices.iter().map(path).collect()
    }

    fn path(&self, index: u32) -> PathBuf {
        self.ring
            .beside(name(self.ring.name(), self.nonce, index))
            .path
    }

    /// Whether the name leads to their ring, or may; or any other name in the directory does, since the ring may
    /// have been renamed.
    fn has_ring(&self) -> bool {
        leads_to(&self.ring.path, self.nonce) || {
            let entries = std::fs::read_dir(self.ring.directory())
                .into_iter()
                .flatten();
            let names = entries.filter_map(|entry| entry.ok());
            // Slabs are no rings, whatever was sent in them.
            let mut others = names.filter(|entry| {
                entry.file_type().is_ok_and(|kind| kind.is_file())
                    && parse(&entry.file_name()).is_none()
            });
            others.any(|entry| nonce_of(&self.ring.beside(entry.file_name())) == Some(self.nonce))
        }
    }

    /// Whether anybody alive has one of them open, be it their creator or one who mapped it, as far as the
    /// kernel tells; or the ring has its name after all.
    pub(crate) fn are_in_use(&self) -> bool {
        // Slab 0 was made first and goes last, whether the listing had it or not.
        let all = [0].iter().chain(&self.indices);
        let is_used = |index: &u32| match open(&self.path(*index), OFlag::O_RDWR) {
            Ok(Some((file, _))) => lease::is_only_opener(file.as_fd()) != Ok(true),
            Err(Errno::ENOENT) => false,
            Ok(None) | Err(_) => true,
        };
        // In this order: a creator lets go of slab 0 when the ring has its name.
        all.into_iter().any(is_used) || self.has_ring()
    }

    /// Removes them.
    pub(crate) fn remove(&self) -> Result<(), Errno> {
        for index in self.indices.iter().rev() {
            match unlink(&self.path(*index)) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Whether a name leads to the ring with this nonce, or may.
fn leads_to(path: &Path, nonce: [u8; 16]) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match open_file(path, flags, Mode::empty()) {
        Ok(file) => descriptor::header_bytes(file.as_fd())
            .map_or(true, |bytes| Header::nonce_in(&bytes) == nonce),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => false,
        Err(_) => true,
    }
}

/// Where the slabs of the ring at `address` would lie, and the ring's name.
pub(crate) fn home_of(address: &Address) -> Option<(PathBuf, OsString)> {
    let attempt = Attempt {
        action: "collect",
        address,
    };
    match address {
        Address::Shm(_) | Address::File(_) => {
            let place = Place::of(attempt).ok()?;
            Some((place.directory().to_owned(), place.name().to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_slabs_are_told_from_others() {
        for ring in [
            "orders",
            "a.slab.b",
            "",
            "x.slab.00000000000000000000000000000000.1",
        ] {
            let nonce = [0xab; 16];
            let name = name(OsStr::new(ring), nonce, 65535);
            assert_eq!(parse(&name), Some((ring.into(), nonce, 65535)));
        }
        let digits = "0123456789abcdef0123456789abcdef";
        for other in [
            format!("a.slab.{digits}"),
            format!("a.slab.{digits}."),
            format!("a.slab.{digits}.01"),
            format!("a.slab.{digits}.+1"),
            format!("a.slab.{}.1", digits.to_uppercase()),
            format!("a.slab.0{digits}.1"),
            format!("a.slib.{digits}.1"),
            format!("{digits}.1"),
            String::new(),
        ] {
            assert_eq!(parse(OsStr::new(&other)), None, "{other}");
        }
    }
}
