//! A ring in a file survives a reboot, and so do the liveness words in it, which no kernel marks any
//! more. The header says under which boot they were written.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::fstat;

use crate::error::Error;
use crate::layout::header::{BOOT_ID_OFFSET, CREATION_LOCK_OFFSET, Header};
use crate::layout::participant::{LIVENESS, slot_offset};
use crate::sync;

use super::Access;
use super::attempt::Attempt;
use super::deadline::Deadline;
use super::map::Map;

/// What rings have that cannot outlive a boot.
pub(super) const NONE: [u8; 16] = [0; 16];

/// How long another process may take to renew a ring: it writes a few hundred words.
const PATIENCE: Duration = Duration::from_secs(2);

/// The id of this boot, read once per process.
pub(super) fn current(attempt: Attempt<'_>) -> Result<[u8; 16], Error> {
    static CURRENT: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    let read = || parse(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?);
    CURRENT.get_or_init(read).ok_or_else(|| {
        attempt
            .error(
                crate::error::ErrorKind::Unsupported,
                "/proc/sys/kernel/random/boot_id cannot be read, so that nobody could tell after a \
                 reboot that the ring's processes are gone",
            )
            .remedy("mount /proc, or use shm:")
    })
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32 && number != 0).then(|| number.to_be_bytes())
}

/// Declares everybody absent if the ring in `file` was last used under another boot.
///
/// A lock of the kernel's, which goes with its holder's open file, lets one opener do it; the boot id
/// is written last. An opener that dies half way leaves the old id, or halves of both, and the next
/// one does it all again. Nobody attaches to the ring before it has passed here, so the words that are
/// cleared are those of the dead.
pub(super) fn renew(
    attempt: Attempt<'_>,
    file: BorrowedFd<'_>,
    map: &Map,
    header: &mut Header,
) -> Result<(), Error> {
    // Made as shm:, and now opened by its path: such a ring has not survived a boot.
    if header.boot_id == NONE {
        return Ok(());
    }
    let current = current(attempt)?;
    if header.boot_id == current {
        return Ok(());
    }
    let stat = fstat(file).map_err(|errno| attempt.os("it cannot be inspected", errno))?;
    lock(attempt, file)?;
    let result = renew_locked(attempt, map, header, current, Access::of_file(&stat));
    unlock(file);
    result
}

fn renew_locked(
    attempt: Attempt<'_>,
    map: &Map,
    header: &mut Header,
    current: [u8; 16],
    access: Access,
) -> Result<(), Error> {
    let not_mapped = || attempt.os("its header is not mapped", Errno::EFAULT);
    let halves = [0, 8].map(|at| map.word64(BOOT_ID_OFFSET + at));
    let [Some(first), Some(second)] = halves else {
        return Err(not_mapped());
    };
    let [new_first, new_second] = [0, 8].map(|at| {
        let mut half = [0; 8];
        half.copy_from_slice(&current[at..at + 8]);
        u64::from_ne_bytes(half)
    });
    let done =
        first.load(Ordering::Relaxed) == new_first && second.load(Ordering::Relaxed) == new_second;
    if !done {
        let slots = 0..header.geometry.participants();
        let words = slots.map(|slot| slot_offset(slot) + LIVENESS);
        for offset in words.chain([CREATION_LOCK_OFFSET]) {
            let word = map.word32(offset).ok_or_else(not_mapped)?;
            word.store(0, Ordering::Relaxed);
        }
        sync::renew(attempt, map, header, access)?;
        // Within this boot the lock orders all this. Release only keeps the id behind the words, for
        // a death in between.
        first.store(new_first, Ordering::Release);
        second.store(new_second, Ordering::Release);
    }
    header.boot_id = current;
    Ok(())
}

/// Takes the lock, or gives up: whoever may write the file could hold it for ever.
fn lock(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<(), Error> {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) if deadline.remaining().is_some() => {
                // fcntl has no lock with a time limit. This happens once per file and boot.
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(attempt.timed_out("another process holds a lock on the file"));
            }
            Err(errno) => return Err(attempt.os("the file cannot be locked", errno)),
        }
    }
}

/// Here and not by closing: a child of `fork` may share the open file.
fn unlock(file: BorrowedFd<'_>) {
    let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_UNLCK)));
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
