//! membarrier(2): a memory barrier on every processor that runs a registered process.

const GLOBAL_EXPEDITED: libc::c_long = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_long = 1 << 2;

/// Registers this process, so that the barriers of other registered processes reach it. Returns
/// whether the kernel can do that.
pub(crate) fn register() -> bool {
    call(REGISTER_GLOBAL_EXPEDITED)
}

/// Makes every thread of every registered process that is running right now pass a full memory
/// barrier, and returns afterwards. Threads that are not running pass one when they are scheduled.
///
/// `false`: the kernel does not do that, or does it no longer, because a sandbox began to deny it. Then there was no
/// barrier.
#[must_use]
pub(crate) fn barrier() -> bool {
    call(GLOBAL_EXPEDITED)
}

fn call(command: libc::c_long) -> bool {
    // SAFETY: membarrier takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    result == 0
}
