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

/// Returns when no thread of a process that is marked dead can execute another
/// instruction.
///
/// `false`: a sandbox has begun to deny that, and one may. What the dead hold in a ring whose participants rely on it
/// is then left alone, as that of one who is stopped, and the call that needs it fails with an error of its own.
#[must_use]
pub(crate) fn settle() -> bool {
    // Miri knows no such call, and neither it nor loom another process.
    cfg!(any(miri, loom)) || barrier()
}

fn call(command: libc::c_long) -> bool {
    // SAFETY: membarrier takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    result == 0
}
