//! The pages of mappings.

use nix::errno::Errno;

use super::request::Request;
use super::space;
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::memory::map::Map;

/// What the request wants of the pages of a mapping.
pub(super) fn settle_pages(
    attempt: Attempt<'_>,
    request: &Request<'_>,
    map: &Map,
) -> Result<(), Error> {
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
pub(super) fn populate(
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

pub(super) fn locking_failed(attempt: Attempt<'_>, len: u64, errno: Errno) -> Error {
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
