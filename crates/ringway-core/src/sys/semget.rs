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

/// The set under a key; made, all zero, if there is none and `create` has mode bits for it. ENOENT when there is
/// none, EINVAL when it has fewer semaphores.
pub fn of_key(key: u32, count: u16, create: Option<u32>) -> Result<i32, Errno> {
    let flags = create.map_or(0, |mode| libc::IPC_CREAT | (mode & 0o777) as libc::c_int);
    // SAFETY: semget takes numbers only.
    Errno::result(unsafe { libc::semget(key as libc::key_t, count.into(), flags) })
}

#[cfg(not(target_env = "musl"))]
use libc::semid_ds as SemidDs;

/// As musl's `<bits/sem.h>` has it; not in the libc crate.
#[cfg(target_env = "musl")]
#[repr(C)]
struct SemidDs {
    sem_perm: libc::ipc_perm,
    sem_otime: libc::c_long,
    #[cfg(target_arch = "x86_64")]
    _reserved_1: libc::c_long,
    sem_ctime: libc::c_long,
    #[cfg(target_arch = "x86_64")]
    _reserved_2: libc::c_long,
    sem_nsems: libc::c_ushort,
    _padding: [libc::c_ushort; 3],
    _reserved: [libc::c_long; 2],
}

/// IPC_SET: whose set it is, and the nine permission bits.
pub(crate) fn set_access(id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    // SAFETY: semid_ds is plain integers, for which zero is a value.
    let mut ds: SemidDs = unsafe { std::mem::zeroed() };
    ds.sem_perm.uid = uid;
    ds.sem_perm.gid = gid;
    // Nine bits fit every architecture's mode_t.
    ds.sem_perm.mode = (mode & 0o777) as _;
    // SAFETY: `ds` is a whole semid_ds; of it the kernel reads these three fields.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_SET, &mut ds) }).map(drop)
}

/// GETVAL.
pub fn value(id: i32, index: u16) -> Result<u16, Errno> {
    // SAFETY: GETVAL takes no argument.
    let value = Errno::result(unsafe { libc::semctl(id, index.into(), libc::GETVAL) })?;
    u16::try_from(value).map_err(|_| Errno::ERANGE)
}

/// GETALL: the values of all semaphores at one moment.
pub fn values(id: i32) -> Result<Vec<u16>, Errno> {
    let mut values = vec![0_u16; status(id)?.count.into()];
    // SAFETY: as many numbers as the set has semaphores. The kernel gives its id to another set only after it has
    // made thousands of others, not between two calls.
    Errno::result(unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) })?;
    Ok(values)
}

/// SETVAL: wakes whoever waits for the value.
pub fn set_value(id: i32, index: u16, value: u16) -> Result<(), Errno> {
    let value = libc::c_int::from(value);
    // SAFETY: SETVAL takes a number.
    Errno::result(unsafe { libc::semctl(id, index.into(), libc::SETVAL, value) }).map(drop)
}

/// What the kernel tells about a set.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Semaphores.
    pub count: u16,
    /// The nine permission bits.
    pub mode: u32,
    /// Effective user id of the creator.
    pub creator_uid: libc::uid_t,
    /// Effective user id of the owner.
    pub owner_uid: libc::uid_t,
    /// Its owning group.
    pub owner_gid: libc::gid_t,
}

/// IPC_STAT.
pub fn status(id: i32) -> Result<Status, Errno> {
    // SAFETY: semid_ds is plain integers, for which zero is a value.
    let mut ds: SemidDs = unsafe { std::mem::zeroed() };
    // SAFETY: `ds` is a semid_ds that the kernel may fill.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_STAT, &mut ds) })?;
    Ok(Status {
        count: u16::try_from(ds.sem_nsems).map_err(|_| Errno::ERANGE)?,
        mode: u32::from(ds.sem_perm.mode) & 0o777,
        creator_uid: ds.sem_perm.cuid,
        owner_uid: ds.sem_perm.uid,
        owner_gid: ds.sem_perm.gid,
    })
}

/// IPC_RMID: whoever waits is woken with EIDRM.
pub fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID takes no argument.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// What becomes of an operation when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExit {
    /// Nothing.
    Keep,
    /// The kernel takes it back, however the process ends (SEM_UNDO).
    Undo,
}

/// One of several operations that the kernel makes together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Operation(libc::sembuf);

impl Operation {
    /// Waits until a semaphore is 0.
    pub fn is_zero(index: u16) -> Self {
        Self::new(index, 0, AtExit::Keep)
    }

    /// Raises a semaphore by so much, at most 32767.
    pub fn raise(index: u16, by: u16, at_exit: AtExit) -> Self {
        Self::new(index, i16::try_from(by).unwrap_or(i16::MAX), at_exit)
    }

    /// Lowers a semaphore by one, once that can be.
    pub fn lower(index: u16, at_exit: AtExit) -> Self {
        Self::new(index, -1, at_exit)
    }

    /// Lowers a semaphore by so much, at most 32767, once that can be.
    pub fn lower_by(index: u16, by: u16, at_exit: AtExit) -> Self {
        let by = i16::try_from(by).unwrap_or(i16::MAX);
        Self::new(index, -by, at_exit)
    }

    /// Instead of waiting, fails with EAGAIN.
    pub fn at_once(mut self) -> Self {
        self.0.sem_flg |= libc::IPC_NOWAIT as libc::c_short;
        self
    }

    fn new(index: u16, by: i16, at_exit: AtExit) -> Self {
        Self(libc::sembuf {
            sem_num: index,
            sem_op: by,
            sem_flg: match at_exit {
                AtExit::Keep => 0,
                AtExit::Undo => libc::SEM_UNDO as libc::c_short,
            },
        })
    }
}

/// Makes all operations at once, waiting until that can be. EAGAIN when it could not for so long, EINTR by
/// a signal, EIDRM when the set is removed meanwhile, EINVAL when it was before.
pub fn operate(id: i32, operations: &[Operation], timeout: Option<Duration>) -> Result<(), Errno> {
    let mut operations: Vec<libc::sembuf> = operations.iter().map(|one| one.0).collect();
    operate_on(id, &mut operations, timeout)
}

/// Lowers a semaphore by one, waiting until that can be. Fails as [`operate`].
pub fn lower(id: i32, index: u16, at_exit: AtExit, timeout: Option<Duration>) -> Result<(), Errno> {
    operate_on(id, &mut [Operation::lower(index, at_exit).0], timeout)
}

/// The same without waiting.
pub(crate) fn lower_at_once(id: i32, index: u16, at_exit: AtExit) -> Result<(), Errno> {
    operate_on(
        id,
        &mut [Operation::lower(index, at_exit).at_once().0],
        None,
    )
}

/// Raises a semaphore by one, which never waits.
pub(crate) fn raise(id: i32, index: u16, at_exit: AtExit) -> Result<(), Errno> {
    operate_on(id, &mut [Operation::raise(index, 1, at_exit).0], None)
}

fn operate_on(
    id: i32,
    operations: &mut [libc::sembuf],
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |t| t);
    let (first, count) = (operations.as_mut_ptr(), operations.len());
    // SAFETY: `count` operations, and a timespec or null; all outlive the call.
    Errno::result(unsafe { semtimedop(id, first, count, timeout) }).map(drop)
}
