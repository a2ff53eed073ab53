//! A ring in a file survives a reboot, and so do the liveness words in it, which no kernel marks any
//! more. The header says under which boot they were written.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::error::Error;
use crate::layout::header::{BOOT_ID_OFFSET, CREATION_LOCK_OFFSET, Header};
use crate::layout::participant::{LIVENESS, slot_offset};
use crate::sync;

use super::Access;
use super::attempt::Attempt;
use super::lock::Sole;
use super::map::Map;

/// What rings have that cannot outlive a boot.
pub(super) const NONE: [u8; 16] = [0; 16];

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
    let _lock = Sole::take(attempt, file)?;
    renew_locked(attempt, map, header, current, Access::of_file(&stat))
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
