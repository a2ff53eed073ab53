//! Is a block of a file written where it lies? Reserved space is of use only then. A file system that writes each
//! block elsewhere (copy-on-write) needs another one for every page that is written back, and where there is none, an
//! access is a signal; and the kernel cannot mark a dead process's words.
//!
//! Btrfs does so, but for files that were marked (`chattr +C`) while they were empty. So every new file is marked, which is
//! also how one finds out, since it works through an overlay too: who does not know the mark refuses it. What is left
//! are file systems that are known to write elsewhere and refused the mark, and files that were made by others: a copy by
//! `cp` has no mark of its own.
//!
//! A snapshot, or a copy that shares blocks (`cp --reflink`), has each shared block written elsewhere once, also in a marked
//! file; no call tells a process that its file was copied so. A copy gets blocks of its own when it is opened
//! ([`space::unshare`](super::space)).

use std::os::fd::BorrowedFd;

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, FsType, NILFS_SUPER_MAGIC, fstatfs};

use crate::error::{Error, ErrorKind};
use crate::sys::ioctl_iflags::{self as iflags, NO_COW};

use crate::error::Attempt;

/// Those without a name in the nix crate.
const BCACHEFS: FsType = FsType(0xca45_1a4e);
const ZFS: FsType = FsType(0x2fc1_2fc1);

/// File systems that write each block elsewhere, unless a file is marked.
const ELSEWHERE: [FsType; 4] = [BTRFS_SUPER_MAGIC, NILFS_SUPER_MAGIC, BCACHEFS, ZFS];

/// Sees to it that the blocks of a new, empty file will be written in place, or refuses.
pub(super) fn mark(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<(), Error> {
    if let Ok(flags) = iflags::flags(file)
        && flags & NO_COW == 0
    {
        // Whether it was of use, `check` finds out.
        let _ = iflags::set_flags(file, flags | NO_COW);
    }
    check(attempt, file)
}

/// Refuses a file whose blocks are written elsewhere.
pub(super) fn check(attempt: Attempt<'_>, file: BorrowedFd<'_>) -> Result<(), Error> {
    let system = fstatfs(file).map(|system| system.filesystem_type());
    let is_marked = iflags::flags(file).is_ok_and(|flags| flags & NO_COW != 0);
    match system.is_ok_and(|system| is_elsewhere(system, is_marked)) {
        true => Err(refusal(attempt)),
        false => Ok(()),
    }
}

fn is_elsewhere(system: FsType, is_marked: bool) -> bool {
    ELSEWHERE.contains(&system) && !is_marked
}

fn refusal(attempt: Attempt<'_>) -> Error {
    let problem = "its file system writes every block elsewhere (copy-on-write), so that no space can be reserved for it: \
                   on a full disk every process that uses it would be killed";
    attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy(
            "use another file system or shm:; on btrfs ringway's own files are written in place, and so is a copy \
             that is made into a marked one (touch COPY; chattr +C COPY; cp RING COPY)",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_refused_by_what_it_is_and_not_by_where_it_lies_alone() {
        use nix::sys::statfs::{EXT4_SUPER_MAGIC, TMPFS_MAGIC};
        // Which nix does not have where the C library is musl.
        const XFS: FsType = FsType(0x5846_5342);
        for system in ELSEWHERE {
            assert!(is_elsewhere(system, false));
            assert!(!is_elsewhere(system, true));
        }
        for system in [EXT4_SUPER_MAGIC, TMPFS_MAGIC, XFS] {
            assert!(!is_elsewhere(system, false));
        }
    }
}
