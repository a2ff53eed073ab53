//! What the segments behind a file descriptor have in common: files, POSIX objects and memfds.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::sys::uio::pread;

use crate::address::Address;
use crate::error::Error;
use crate::memory::layout::header::{FileId, HEADER_LEN, Header, MAGIC};
use crate::waiting::sync;
use crate::waiting::sync::semaphore_set::Home;

use super::header::new_header;
use super::header::{publish_magic, write_header};
use super::pages::settle_pages;
use super::request::Plan;
use super::request::Request;
use super::request::check_owner;
use super::{in_place, space, trust};
use crate::error::Attempt;
use crate::memory::map::{Map, Source};
use crate::sys::owner::Access;

/// Builds a whole ring in the empty file `fd`, which nobody else can open yet.
pub(super) fn build(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    plan: &Plan,
    fd: BorrowedFd<'_>,
    boot_id: [u8; 16],
) -> Result<(Arc<Map>, Header, Access), Error> {
    let os = |what| move |errno| attempt.os(what, errno);
    fchmod(fd, Mode::from_bits_truncate(request.mode & 0o666))
        .map_err(os("its mode cannot be set"))?;
    let stat = fstat(fd).map_err(os("fstat cannot inspect it"))?;
    let page = page_of(&stat);
    let is_huge = is_huge(fd);
    let len = plan.geometry.total_len();
    let file_len = match is_huge {
        true => len
            .checked_next_multiple_of(page as u64)
            .ok_or_else(|| attempt.os("it is too long", Errno::EFBIG))?,
        false => len,
    };
    let no_huge_pages = |errno| space::no_huge_pages(attempt, len, Some(errno));
    in_place::mark(attempt, fd)?;
    space::check_file(attempt, fd, file_len)?;
    space::allocate(attempt, fd, file_len, page as u64).map_err(|error| {
        match error.errno().map(Errno::from_raw) {
            Some(errno @ (Errno::ENOMEM | Errno::ENOSPC)) if is_huge => no_huge_pages(errno),
            _ => error,
        }
    })?;
    let map = map(fd, len, page).map_err(|error| match error {
        Errno::ENOMEM if is_huge => no_huge_pages(error),
        errno => attempt.os("mmap cannot map it", errno),
    })?;
    let header = Header {
        // A memfd has no name, and is no copy.
        file: match attempt.address {
            Address::Memfd => FileId::default(),
            _ => FileId::of(&stat),
        },
        ..new_header(attempt, plan, boot_id)?
    };
    write_header(&map, &header, plan).map_err(os("its header is not mapped"))?;
    settle_pages(attempt, request, &map)?;
    let home = Home::of_file(attempt.address);
    let access = Access::of_file(&stat);
    sync::create(attempt, &map, &header, access, home)?;
    publish_magic(&map).map_err(os("its header is not mapped"))?;
    Ok((Arc::new(map), header, access))
}

/// Whether the file consists of huge pages.
pub(super) fn is_huge(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|system| system.filesystem_type() == HUGETLBFS_MAGIC)
}

/// Maps the finished ring in `fd`.
///
/// The header is read with pread(2) and not through a mapping: it may be anything at all, and a hole
/// for which there is no memory, or a disk that fails, are errors of a call but signals of an access.
/// The memory orders of the magic are not needed here: that its file could be opened by name, or was
/// handed over, already says that it is finished.
pub(super) fn open(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    fd: BorrowedFd<'_>,
) -> Result<(Map, Header), Error> {
    let (stat, header) = inspect(attempt, fd, |stat| {
        check_owner(attempt, request, stat.st_uid)
    })?;
    trust::check(attempt, request, header.sync, &[stat.st_uid], stat.st_mode)?;
    in_place::check(attempt, fd)?;
    let len = header.geometry.total_len();
    fill_holes(attempt, fd, &stat, len)?;
    let map =
        map(fd, len, page_of(&stat)).map_err(|errno| attempt.os("mmap cannot map it", errno))?;
    settle_pages(attempt, request, &map)?;
    Ok((map, header))
}

/// Checks that `fd` is a regular file with a ring in it that this process can work with.
pub(super) fn inspect(
    attempt: Attempt<'_>,
    fd: BorrowedFd<'_>,
    check: impl FnOnce(&FileStat) -> Result<(), Error>,
) -> Result<(FileStat, Header), Error> {
    let stat = fstat(fd).map_err(|errno| attempt.os("fstat cannot inspect it", errno))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFREG {
        return Err(attempt.not_a_ring(format!("it is {}", name_of(kind))));
    }
    check(&stat)?;
    let len = stat.st_size as u64;
    let mut bytes = [0; HEADER_LEN];
    let read = read_start(fd, &mut bytes)
        .map_err(|errno| attempt.os("pread cannot read its header", errno))?;
    let header = match read {
        HEADER_LEN => Header::decode(&bytes, len).map_err(|error| error.explain(attempt, len))?,
        8.. if bytes[..8] == MAGIC.to_le_bytes() => {
            let needed = HEADER_LEN as u64;
            let error = crate::memory::layout::header::HeaderError::Truncated { needed };
            return Err(error.explain(attempt, len));
        }
        0 => return Err(attempt.not_a_ring("it is empty")),
        _ => return Err(attempt.not_a_ring("it is too short for a ring")),
    };
    Ok((stat, header))
}

/// Whether `fd` begins as every ring does, whatever else is wrong with it.
pub(super) fn has_magic(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut bytes = [0; 8];
    Ok(read_start(fd, &mut bytes)? == 8 && bytes == MAGIC.to_le_bytes())
}

/// The header's bytes; zeroes where the file has ended.
pub(super) fn header_bytes(fd: BorrowedFd<'_>) -> Result<[u8; HEADER_LEN], Errno> {
    let mut bytes = [0; HEADER_LEN];
    read_start(fd, &mut bytes)?;
    Ok(bytes)
}

fn read_start(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    read_at(fd, bytes, 0)
}

/// Reads from `offset` on, and returns how many bytes there were.
pub(super) fn read_at(fd: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut read = 0;
    while read < bytes.len() {
        let at = offset
            .checked_add(read as u64)
            .and_then(|at| i64::try_from(at).ok());
        match pread(fd, &mut bytes[read..], at.ok_or(Errno::EOVERFLOW)?) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(read)
}

/// A copy that skipped runs of zeroes has holes. With its holes filled, a full disk is an error here, and not a
/// signal when a message is written.
pub(super) fn fill_holes(
    attempt: Attempt<'_>,
    fd: BorrowedFd<'_>,
    stat: &FileStat,
    len: u64,
) -> Result<(), Error> {
    let missing = len - allocated(stat).min(len);
    if missing == 0 {
        return Ok(());
    }
    space::check_file(attempt, fd, missing)?;
    match space::allocate(attempt, fd, len, page_of(stat) as u64) {
        // A file system that compresses has fewer blocks as well, and may promise nothing.
        Err(error) if error.errno() == Some(Errno::EOPNOTSUPP as i32) => Ok(()),
        result => result,
    }
}

/// Bytes of storage behind a file.
pub(super) fn allocated(stat: &FileStat) -> u64 {
    (stat.st_blocks as u64).saturating_mul(512)
}

fn map(fd: BorrowedFd<'_>, len: u64, page: usize) -> Result<Map, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EOVERFLOW)?;
    Map::new(Source::Fd(fd), len, page)
}

/// The page that a mapping of the file is best aligned to. A hugetlbfs says the size of its pages,
/// and a tmpfs with transparent huge pages theirs; elsewhere it is some block size, which does no
/// harm.
pub(super) fn page_of(stat: &FileStat) -> usize {
    const LARGEST: usize = 1 << 30;
    let page = crate::sys::page_size();
    match usize::try_from(stat.st_blksize) {
        Ok(size) if size.is_power_of_two() && (page..=LARGEST).contains(&size) => size,
        _ => page,
    }
}

fn name_of(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFBLK | SFlag::S_IFCHR => "a device",
        SFlag::S_IFLNK => "a symbolic link",
        _ => "no regular file",
    }
}
