//! shmget(2), shmat(2), shmctl(2): System V shared memory.

use std::ffi::c_void;
use std::ptr::NonNull;

use nix::errno::Errno;

/// The bit among the permissions that says a segment goes with its last attachment: the kernel's
/// SHM_DEST, which libc does not name.
pub(crate) const REMOVED: u32 = 0o1000;

/// What the kernel tells about a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    /// Bytes.
    pub(crate) len: usize,
    /// Effective user id of the creator.
    pub(crate) creator_uid: libc::uid_t,
    /// Effective user id of the owner.
    pub(crate) owner_uid: libc::uid_t,
    /// Group id of the owner.
    pub(crate) owner_gid: libc::gid_t,
    /// Process id of the creator.
    pub(crate) creator_pid: libc::pid_t,
    /// How many times it is attached now.
    pub(crate) attached: libc::shmatt_t,
    /// The nine permission bits.
    pub(crate) mode: u32,
    /// Removed already; it goes with its last attachment.
    pub(crate) removed: bool,
}

/// The segment with `key`; created if `flags` say so. Returns its id.
pub(crate) fn get(key: libc::key_t, len: usize, flags: libc::c_int) -> Result<i32, Errno> {
    // SAFETY: shmget takes numbers only.
    Errno::result(unsafe { libc::shmget(key, len, flags) })
}

/// Maps the whole segment in place of what is reserved at `address`.
///
/// # Safety
/// The segment's length, rounded up to pages, must lie in a range from
/// [`reserve`](super::mmap::reserve) that nothing else uses.
pub(crate) unsafe fn attach_at(id: i32, address: NonNull<c_void>) -> Result<(), Errno> {
    // SAFETY: the caller owns the range that SHM_REMAP replaces.
    let result = unsafe { libc::shmat(id, address.as_ptr(), libc::SHM_REMAP) };
    attached(result).map(drop)
}

/// Maps the whole segment, where the kernel likes.
pub(crate) fn attach(id: i32) -> Result<NonNull<c_void>, Errno> {
    // SAFETY: without an address the kernel picks a free range; nothing of ours is replaced.
    attached(unsafe { libc::shmat(id, std::ptr::null(), 0) })
}

/// Maps the whole segment to look at only.
pub(crate) fn attach_to_read(id: i32) -> Result<NonNull<c_void>, Errno> {
    // SAFETY: without an address the kernel picks a free range; nothing of ours is replaced.
    attached(unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) })
}

fn attached(result: *mut c_void) -> Result<NonNull<c_void>, Errno> {
    // shmat says -1 for an error.
    if result.addr() == usize::MAX {
        return Err(Errno::last());
    }
    NonNull::new(result).ok_or(Errno::EINVAL)
}

/// IPC_STAT.
pub(crate) fn status(id: i32) -> Result<Status, Errno> {
    let ds = stat(id)?;
    Ok(Status {
        len: ds.shm_segsz,
        creator_uid: ds.shm_perm.cuid,
        owner_uid: ds.shm_perm.uid,
        owner_gid: ds.shm_perm.gid,
        creator_pid: ds.shm_cpid,
        attached: ds.shm_nattch,
        mode: u32::from(ds.shm_perm.mode) & 0o777,
        removed: u32::from(ds.shm_perm.mode) & REMOVED != 0,
    })
}

fn stat(id: i32) -> Result<libc::shmid_ds, Errno> {
    // SAFETY: shmid_ds is plain integers, for which zero is a value.
    let mut ds: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `ds` is a shmid_ds that the kernel may fill.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_STAT, &mut ds) })?;
    Ok(ds)
}

/// IPC_SET: replaces the nine permission bits.
pub(crate) fn set_mode(id: i32, mode: u32) -> Result<(), Errno> {
    let mut ds = stat(id)?;
    // Nine bits fit every architecture's mode_t.
    ds.shm_perm.mode = (mode & 0o777) as _;
    // SAFETY: `ds` is a whole shmid_ds; the kernel reads it.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_SET, &mut ds) }).map(drop)
}

/// shmdt: undoes [`attach`] and [`attach_to_read`].
///
/// # Safety
/// `address` must come from one of these, and nothing may use the mapping afterwards.
pub(crate) unsafe fn detach(address: NonNull<c_void>) {
    // SAFETY: the caller gives up the mapping. The only failure is an address where none begins.
    unsafe { libc::shmdt(address.as_ptr()) };
}

/// IPC_RMID: the segment goes with its last attachment.
pub(crate) fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID takes no buffer.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}
