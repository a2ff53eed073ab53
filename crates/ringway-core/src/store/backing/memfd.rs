//! `memfd:`: anonymous memory, sealed against a change of its length. The backing for peers that are
//! not trusted: none of them can truncate it.
//!
//! They can punch holes into it, though. Of the seals, only those against writing keep from that (`F_SEAL_WRITE`, and
//! `F_SEAL_FUTURE_WRITE`, which leaves the mappings that exist): with either, who takes the memfd over cannot map it for
//! writing. (The test `no_seal_keeps_from_punching_holes_but_those_that_keep_from_writing` asks the kernel.) A hole
//! reads as zeroes, and whoever touches it first pays for the page. So a peer can move the ring's memory from its creator's account
//! to its victim's, once, and no more than the ring has; for that it is refused if it has holes when it comes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, ErrorKind};
use crate::waiting::sync;

use crate::error::Attempt;
use crate::store::request::Plan;
use crate::store::request::Request;
use crate::store::segment::Segment;
use crate::store::segment::memories;
use crate::store::{boot_id, descriptor, space};

/// Its length is fixed, and so are its seals.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

pub(in crate::store) fn create(request: &Request<'_>, plan: &Plan) -> Result<Segment, Error> {
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    sync::check(attempt, plan.sync)?;
    if plan.geometry.has_slab_segments() {
        let problem = "slabs in segments of their own are found by name, and a memfd has none";
        return Err(attempt
            .error(ErrorKind::Unsupported, problem)
            .remedy("leave them in the ring, or use shm:, file: or sysv:"));
    }
    let file = new_file(request.huge_pages).map_err(|errno| match errno {
        Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENODEV if request.huge_pages => {
            space::no_huge_pages(attempt, plan.geometry.total_len(), Some(errno))
        }
        errno => attempt.os("memfd_create makes no memfd", errno),
    })?;
    let (map, header, access) =
        descriptor::build(attempt, request, plan, file.as_fd(), boot_id::NONE)?;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(SEALS))
        .map_err(|errno| attempt.os("fcntl cannot seal the memfd", errno))?;
    Ok(Segment {
        map,
        address: request.address.clone(),
        slabs: None,
        memories: memories(&header, file.as_fd()),
        file: Some(file),
        anchor: None,
        access,
        header,
    })
}

fn new_file(huge_pages: bool) -> Result<OwnedFd, Errno> {
    let mut flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    if huge_pages {
        flags |= MFdFlags::MFD_HUGETLB;
    }
    // Never to be executed. Linux 6.3 and later know the flag, and may be set to insist on it.
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create("ringway", flags | no_exec) {
        Err(Errno::EINVAL) => memfd_create("ringway", flags),
        result => result,
    }
}

/// Whether `file` is a memfd whose length nobody can change.
pub(in crate::store) fn is_sealed(file: BorrowedFd<'_>) -> bool {
    match fcntl(file, FcntlArg::F_GET_SEALS) {
        Ok(seals) => SealFlag::from_bits_retain(seals).contains(SEALS),
        // Not a memfd.
        Err(_) => false,
    }
}
