//! Which IPC namespace this process is in: message queues and semaphore sets of another one cannot be had.

/// The inode of this thread's IPC namespace, 0 where /proc does not tell. It is asked for anew each time, since
/// unshare(2) and setns(2) change it.
pub(super) fn ipc() -> u64 {
    nix::sys::stat::stat("/proc/thread-self/ns/ipc").map_or(0, |stat| stat.st_ino)
}
