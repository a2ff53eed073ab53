//! Is there room for a ring? Asked before it is made, so that the answer is an error with numbers and
//! not a signal or the kernel's out-of-memory killer.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate, posix_fallocate};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};

use crate::address::Address;
use crate::error::{Bytes, Error, ErrorKind};
use crate::escape::Name;

use super::memory::{self, Memory, Room};
use crate::error::Attempt;
use crate::sys::shm_overview::SHM_DIRECTORY;

/// Bytes of a huge page of the default size, where the kernel has them.
pub(super) fn huge_page_size() -> Option<u64> {
    Memory::read()?.huge_page
}

/// Whether memory for `needed` bytes is to be had, on the machine and in every control group that
/// this process is in. Beyond a group's limit the kernel kills.
pub(super) fn check_memory(attempt: Attempt<'_>, needed: u64) -> Result<(), Error> {
    if let Some(memory) = Memory::read() {
        compare(attempt, needed, "this machine's memory", memory.room)?;
    }
    for group in memory::groups() {
        compare(attempt, needed, "this process's memory cgroup", group)?;
    }
    Ok(())
}

/// There are not enough huge pages for `needed` bytes.
pub(super) fn no_huge_pages(attempt: Attempt<'_>, needed: u64, errno: Option<Errno>) -> Error {
    let memory = Memory::read();
    let size = memory
        .as_ref()
        .and_then(|memory| memory.huge_page)
        .unwrap_or(2 << 20);
    let (total, free) = memory.map_or((0, 0), |memory| (memory.huge_total, memory.huge_free));
    let pages = needed.div_ceil(size);
    let problem = format!(
        "it needs {pages} huge pages of {}, and {free} of {total} are free",
        Bytes(size)
    );
    let reserve = total
        .saturating_sub(free)
        .saturating_add(pages)
        .max(total + 1);
    let error = attempt.error(ErrorKind::NoSpace, problem).remedy(format!(
        "reserve them (sysctl vm.nr_hugepages={reserve}) or do without huge pages"
    ));
    match errno {
        Some(errno) => error.because(errno),
        None => error,
    }
}

/// Whether `needed` bytes fit where `file` lives, and into the limits of this process.
pub(super) fn check_file(
    attempt: Attempt<'_>,
    file: BorrowedFd<'_>,
    needed: u64,
) -> Result<(), Error> {
    check_file_size_limit(attempt, needed)?;
    let Ok(system) = fstatfs(file) else {
        return Ok(());
    };
    if system.filesystem_type() == HUGETLBFS_MAGIC {
        return match Memory::read() {
            Some(memory) if memory.huge_page == u64::try_from(system.block_size()).ok() => {
                match needed.div_ceil(memory.huge_page.unwrap_or(needed)) <= memory.huge_free {
                    true => Ok(()),
                    false => Err(no_huge_pages(attempt, needed, None)),
                }
            }
            _ => Ok(()),
        };
    }
    let block = u64::try_from(system.block_size()).unwrap_or(1);
    // A file system without a size of its own (the kernel's internal tmpfs under a memfd) says 0.
    if system.blocks() != 0 {
        // Free blocks and not those for everybody: the latter are a guess that fallocate corrects.
        let room = Room {
            total: system.blocks().saturating_mul(block),
            free: system.blocks_free().saturating_mul(block),
        };
        let place = match attempt.address {
            Address::Shm(_) => SHM_DIRECTORY.to_owned(),
            Address::File(path) => format!("the file system of {}", Name::of(path)),
            _ => "its file system".to_owned(),
        };
        compare(attempt, needed, &place, room)?;
    }
    if system.filesystem_type() == TMPFS_MAGIC {
        check_memory(attempt, needed)?;
    }
    Ok(())
}

/// Past RLIMIT_FSIZE the kernel would send SIGXFSZ, which kills.
fn check_file_size_limit(attempt: Attempt<'_>, needed: u64) -> Result<(), Error> {
    match getrlimit(Resource::RLIMIT_FSIZE) {
        Ok((limit, _)) if limit != RLIM_INFINITY && needed > limit => Err(attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "this process may make files of {} at most, and the ring needs {}",
                    Bytes(limit),
                    Bytes(needed)
                ),
            )
            .remedy("raise the limit (ulimit -f) or choose a smaller capacity")
            .because(Errno::EFBIG)),
        _ => Ok(()),
    }
}

fn compare(attempt: Attempt<'_>, needed: u64, place: &str, room: Room) -> Result<(), Error> {
    let error = if needed > room.total {
        let total = Bytes(room.total);
        let problem = format!(
            "the ring needs {}, and {place} has {total} in all",
            Bytes(needed)
        );
        attempt
            .error(ErrorKind::InvalidCapacity, problem)
            .remedy("choose a smaller capacity")
    } else if needed > room.free {
        let free = Bytes(room.free);
        let problem = format!("{place} has {free} left, the ring needs {}", Bytes(needed));
        attempt
            .error(ErrorKind::NoSpace, problem)
            .remedy("free space or choose a smaller capacity")
    } else {
        return Ok(());
    };
    Err(error.because(Errno::ENOSPC))
}

/// How much is allocated by one call. A call that a signal interrupts starts again; were it one for
/// the whole ring, a program with a fast timer would never get to its end.
const STEP: u64 = 16 << 20;

/// Makes `file` at least `len` bytes long, all of them backed by storage. `page` is the file
/// system's page, of which `len` is a multiple where that matters.
pub(super) fn allocate(
    attempt: Attempt<'_>,
    file: BorrowedFd<'_>,
    len: u64,
    page: u64,
) -> Result<(), Error> {
    let too_long = || attempt.os("the file would be too long", Errno::EFBIG);
    let step = STEP.max(page);
    let mut at = 0;
    while at < len {
        let part = step.min(len - at);
        let (Ok(from), Ok(bytes)) = (i64::try_from(at), i64::try_from(part)) else {
            return Err(too_long());
        };
        let mut result = fallocate(file, FallocateFlags::empty(), from, bytes);
        if result == Err(Errno::EOPNOTSUPP) {
            // The C library then writes to every block.
            result = posix_fallocate(file, from, bytes);
        }
        match result {
            Ok(()) => at += part,
            Err(Errno::EINTR) => {}
            Err(Errno::ENOSPC) => {
                // Ask again: somebody may have taken the space in between.
                check_file(attempt, file, len - at)?;
                let needed = format!("there is no room for its {}", Bytes(len));
                return Err(attempt.os(&needed, Errno::ENOSPC));
            }
            Err(errno) => {
                let needed = format!("its {} cannot be allocated", Bytes(len));
                return Err(attempt.os(&needed, errno));
            }
        }
    }
    Ok(())
}

/// Has a copy that shares its blocks with its original (`cp --reflink`) get blocks of its own: the next write to a
/// shared one needs a new block, and a full disk would be a signal then.
pub(super) fn unshare(attempt: Attempt<'_>, file: BorrowedFd<'_>, len: u64) -> Result<(), Error> {
    let len = i64::try_from(len).map_err(|_| attempt.os("the file is too long", Errno::EFBIG))?;
    loop {
        return match fallocate(file, FallocateFlags::FALLOC_FL_UNSHARE_RANGE, 0, len) {
            Err(Errno::EINTR) => continue,
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
                Err(attempt.os("fallocate finds no room for blocks of its own", errno))
            }
            // A file system that shares no blocks, or cannot say so.
            Ok(()) | Err(_) => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (12 << 20, "12 MiB"),
            ((64 << 20) + 4096, "64.0 MiB"),
            (1 << 46, "64 TiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
