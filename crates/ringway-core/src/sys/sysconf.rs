//! sysconf(3): constants of the system.

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system; it takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
