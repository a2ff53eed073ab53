//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2): System V message queues.

use nix::errno::Errno;

/// Bytes of a message's type, which stands in front of its text in memory.
pub const TYPE_LEN: usize = size_of::<libc::c_long>();

/// The queue under a key. ENOENT when there is none.
pub fn of_key(key: u32) -> Result<i32, Errno> {
    // SAFETY: msgget takes numbers only.
    Errno::result(unsafe { libc::msgget(key as libc::key_t, 0) })
}

/// Makes the queue of a key. EEXIST when there is one.
pub fn create(key: u32, mode: u32) -> Result<i32, Errno> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
    // SAFETY: msgget takes numbers only.
    Errno::result(unsafe { libc::msgget(key as libc::key_t, flags) })
}

/// Sends what stands in `message`: its type, a native `long` above 0, and its text. Does not wait: EAGAIN
/// when the queue is full.
///
/// The system call itself: glibc's function is a point of cancellation of threads, which costs up to a tenth of it, on some machines nothing, and for
/// which Rust has no use.
pub fn send(id: i32, message: &[u8]) -> Result<(), Errno> {
    let len = message.len().checked_sub(TYPE_LEN).ok_or(Errno::EINVAL)?;
    // SAFETY: a type and `len` bytes behind it to read, which outlive the call. The kernel asks for no
    // alignment.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_msgsnd,
            id,
            message.as_ptr(),
            len,
            libc::IPC_NOWAIT,
        )
    };
    Errno::result(sent).map(drop)
}

/// Whether to wait for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until there is one, the queue is removed or a signal comes.
    Yes,
    /// ENOMSG when there is none.
    No,
}

/// Which message to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The oldest.
    Oldest,
    /// Of those of the lowest type the oldest. To find it, the kernel looks at all messages in the queue.
    LowestType,
}

/// Receives a message into `message` in the form of [`send`]; returns the bytes of its text. E2BIG, and the message
/// stays, when it has no room. As [`send`], no point of cancellation.
pub fn receive(id: i32, message: &mut [u8], next: Next, wait: Wait) -> Result<usize, Errno> {
    let room = message.len().checked_sub(TYPE_LEN).ok_or(Errno::EINVAL)?;
    let flags = match wait {
        Wait::Yes => 0,
        Wait::No => libc::IPC_NOWAIT,
    };
    let wanted = match next {
        Next::Oldest => 0,
        Next::LowestType => -libc::c_long::MAX,
    };
    let to = message.as_mut_ptr();
    // SAFETY: the kernel writes a type and at most `room` bytes behind it, without asking for alignment.
    let result = unsafe { libc::syscall(libc::SYS_msgrcv, id, to, room, wanted, flags) };
    usize::try_from(Errno::result(result)?).map_err(|_| Errno::EIO)
}

/// What the kernel tells about a queue.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Messages in it.
    pub messages: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Most bytes of texts.
    pub max_bytes: u64,
    /// The nine permission bits.
    pub mode: u32,
    /// Effective user id of the creator.
    pub creator_uid: libc::uid_t,
    /// Effective user id of the owner.
    pub owner_uid: libc::uid_t,
    /// The process that sent last, in the caller's pid namespace; 0 for none.
    pub last_sender: libc::pid_t,
    /// The process that received last, likewise.
    pub last_receiver: libc::pid_t,
}

/// IPC_STAT.
pub fn status(id: i32) -> Result<Status, Errno> {
    let ds = stat(id)?;
    Ok(Status {
        messages: ds.msg_qnum as _,
        bytes: ds.__msg_cbytes as _,
        max_bytes: ds.msg_qbytes as _,
        mode: u32::from(ds.msg_perm.mode) & 0o777,
        creator_uid: ds.msg_perm.cuid,
        owner_uid: ds.msg_perm.uid,
        last_sender: ds.msg_lspid,
        last_receiver: ds.msg_lrpid,
    })
}

/// IPC_SET: most bytes of texts. EPERM above kernel.msgmnb without CAP_SYS_RESOURCE.
pub fn set_max_bytes(id: i32, bytes: u64) -> Result<(), Errno> {
    let mut ds = stat(id)?;
    ds.msg_qbytes = bytes as _;
    // SAFETY: `ds` is a whole msqid_ds.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_SET, &mut ds) }).map(drop)
}

fn stat(id: i32) -> Result<libc::msqid_ds, Errno> {
    // SAFETY: msqid_ds is plain integers, for which zero is a value.
    let mut ds: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `ds` is a msqid_ds that the kernel may fill.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_STAT, &mut ds) })?;
    Ok(ds)
}

/// IPC_RMID: whoever waits is woken with EIDRM.
pub fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID takes no memory of ours.
    Errno::result(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}
