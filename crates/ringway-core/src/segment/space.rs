//! Is there room for a ring? Asked before it is made, so that the answer is an error with numbers and
//! not a signal or the kernel's out-of-memory killer.

use std::fmt;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate, posix_fallocate};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};

use crate::error::{Error, ErrorKind};

use super::attempt::Attempt;

/// Bytes as a person reads them.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        let Some(power) = (self.0.max(1).ilog2() / 10).min(5).checked_sub(1) else {
            return write!(f, "{} bytes", self.0);
        };
        let unit = 1_u64 << (10 * (power + 1));
        let name = UNITS[power as usize];
        if self.0.is_multiple_of(unit) {
            write!(f, "{} {name}", self.0 / unit)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
        }
    }
}

/// What /proc/meminfo says, in bytes and pages. Absent lines count as unlimited.
struct Memory {
    total: u64,
    available: u64,
    huge_page: Option<u64>,
    huge_total: u64,
    huge_free: u64,
}

impl Memory {
    fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let number = |name: &str| {
            let rest = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        let kib = |name| number(name).map(|kib| kib.saturating_mul(1024));
        Some(Self {
            total: kib("MemTotal")?.saturating_add(kib("SwapTotal").unwrap_or(0)),
            available: kib("MemAvailable")?.saturating_add(kib("SwapFree").unwrap_or(0)),
            huge_page: kib("Hugepagesize"),
            huge_total: number("HugePages_Total").unwrap_or(0),
            huge_free: number("HugePages_Free").unwrap_or(0),
        })
    }
}

/// Bytes of a huge page of the default size, where the kernel has them.
pub(super) fn huge_page_size() -> Option<u64> {
    Memory::read()?
        .huge_page
        .filter(|size| size.is_power_of_two())
}

/// Whether memory for `needed` bytes is to be had.
pub(super) fn check_memory(attempt: Attempt<'_>, needed: u64) -> Result<(), Error> {
    match Memory::read() {
        Some(memory) => compare(
            attempt,
            needed,
            "this machine's memory",
            memory.total,
            memory.available,
        ),
        None => Ok(()),
    }
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
        let total = system.blocks().saturating_mul(block);
        let free = system.blocks_free().saturating_mul(block);
        compare(attempt, needed, "its file system", total, free)?;
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

fn compare(
    attempt: Attempt<'_>,
    needed: u64,
    place: &str,
    total: u64,
    free: u64,
) -> Result<(), Error> {
    let needed_text = Bytes(needed);
    if needed > total {
        let problem = format!(
            "the ring needs {needed_text}, and {place} has {} in all",
            Bytes(total)
        );
        return Err(attempt
            .error(ErrorKind::InvalidCapacity, problem)
            .remedy("choose a smaller capacity"));
    }
    if needed > free {
        let problem = format!(
            "{place} has {} left, the ring needs {needed_text}",
            Bytes(free)
        );
        return Err(attempt
            .error(ErrorKind::NoSpace, problem)
            .remedy("free space or choose a smaller capacity")
            .because(Errno::ENOSPC));
    }
    Ok(())
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
