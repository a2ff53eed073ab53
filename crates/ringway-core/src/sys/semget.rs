//! semget(2), semop(2), semctl(2): System V semaphore sets.

use std::time::Duration;

use nix::errno::Errno;

unsafe extern "C" {
    // Not in the libc crate.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

/// A set of the process's own making.
pub(crate) fn create(count: u16, mode: u32) -> Result<i32, Errno> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
    // SAFETY: semget takes numbers only.
    Errno::result(unsafe { libc::semget(libc::IPC_PRIVATE, count.into(), flags) })
}

/// IPC_SET: whose set it is, and the nine permission bits.
pub(crate) fn set_access(id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    // SAFETY: semid_ds is plain integers, for which zero is a value.
    let mut ds: libc::semid_ds = unsafe { std::mem::zeroed() };
    ds.sem_perm.uid = uid;
    ds.sem_perm.gid = gid;
    // Nine bits fit every architecture's mode_t.
    ds.sem_perm.mode = (mode & 0o777) as _;
    // SAFETY: `ds` is a whole semid_ds; of it the kernel reads these three fields.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_SET, &mut ds) }).map(drop)
}

/// SETALL. `values` must be as many as the set has semaphores.
///
/// # Safety
/// The kernel reads a value for each semaphore of the set.
pub(crate) unsafe fn set_all(id: i32, values: &[u16]) -> Result<(), Errno> {
    // SAFETY: the caller has made a value for each.
    Errno::result(unsafe { libc::semctl(id, 0, libc::SETALL, values.as_ptr()) }).map(drop)
}

/// GETVAL.
pub(crate) fn value(id: i32, index: u16) -> Result<u16, Errno> {
    // SAFETY: GETVAL takes no argument.
    let value = Errno::result(unsafe { libc::semctl(id, index.into(), libc::GETVAL) })?;
    u16::try_from(value).map_err(|_| Errno::ERANGE)
}

/// SETVAL: wakes whoever waits for the value.
pub(crate) fn set_value(id: i32, index: u16, value: u16) -> Result<(), Errno> {
    let value = libc::c_int::from(value);
    // SAFETY: SETVAL takes a number.
    Errno::result(unsafe { libc::semctl(id, index.into(), libc::SETVAL, value) }).map(drop)
}

/// IPC_RMID: whoever waits is woken with EIDRM.
pub(crate) fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID takes no argument.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// What becomes of an operation when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtExit {
    Keep,
    /// The kernel takes it back, however the process ends (SEM_UNDO).
    Undo,
}

/// Lowers a semaphore by one, waiting until that can be. EAGAIN when it could not for so long, EINTR
/// by a signal, EIDRM when the set is removed meanwhile, EINVAL when it was before.
pub(crate) fn lower(
    id: i32,
    index: u16,
    at_exit: AtExit,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let mut operation = operation(index, -1, at_exit);
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |t| t);
    // SAFETY: one operation, and a timespec or null; both outlive the call.
    Errno::result(unsafe { semtimedop(id, &mut operation, 1, timeout) }).map(drop)
}

/// Raises a semaphore by one, which never waits.
pub(crate) fn raise(id: i32, index: u16, at_exit: AtExit) -> Result<(), Errno> {
    let mut operation = operation(index, 1, at_exit);
    // SAFETY: one operation, which outlives the call.
    Errno::result(unsafe { libc::semop(id, &mut operation, 1) }).map(drop)
}

fn operation(index: u16, by: i16, at_exit: AtExit) -> libc::sembuf {
    libc::sembuf {
        sem_num: index,
        sem_op: by,
        sem_flg: match at_exit {
            AtExit::Keep => 0,
            AtExit::Undo => libc::SEM_UNDO as libc::c_short,
        },
    }
}
