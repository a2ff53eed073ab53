//! System V message queues (sysvipc(7)), under a key.
//!
//! They have no descriptor. Who lives, and where a sender waits, is in a semaphore set beside the queue ([`set`]); a
//! receiver waits in `msgrcv`, from which messages wake it and *notices* ([`watcher`](crate::watcher)). A notice is a message of
//! type 1 with no text. It takes none of the bytes by which queues are limited.
//!
//! # Order
//!
//! A queue has priorities or has not. Its maker chose, and the queue's mode has said so from its first moment, so no death
//! can leave that open.
//!
//! | | with priorities | without |
//! |---|---|---|
//! | types | notices 1, messages 2 (the most urgent) to 33 | the same, messages 33 |
//! | `msgrcv` asks for | the lowest type | the oldest message |
//! | to find it, the kernel looks at | every message: two hundred short ones when the queue is full | one |
//! | a notice is received | before all else | in its turn |
//!
//! # Waiting, and why no wake-up is lost
//!
//! *A receiver.* It sleeps in `msgrcv`, so while it sleeps the queue is empty: whatever is put in wakes it, and a notice is
//! then the oldest as well as the lowest. In a queue that has messages there is nobody to wake. A notice that is left
//! over, because a message came as well or its receiver died, is skipped when its turn comes. It is received before the
//! next sleep, since that needs an empty queue; so there are never two of one receiver's.
//!
//! *A sender* that finds no room counts itself in `WAITING` (taken back by its death), rings `NEWS` if a receiver lives, and then,
//! until there is room: notes the count of `ROOM`, tries, looks whether the receiver lives, sleeps while the count is what
//! it was. The receiver's watcher answers each bell: it *presses* the receiver, and then rings `ROOM` if anybody waits. A receiver
//! that is pressed rings `ROOM` after each message, until nobody waits: it ceases to be pressed, *then* looks at `WAITING`,
//! and is pressed again unless that is 0. Let a sender's try fail, and a message be received after it.
//!
//! - If the receiver sees itself pressed, and somebody waits, it rings; after the message is out, and so after the sender
//!   noted the count. The sender does not fall asleep, or wakes up. All who wait do, so it matters to nobody if
//!   one of them dies. The sender is counted: that was before its try.
//! - If it does not, the sender's own bell is still to be answered: an answer before that would have pressed the receiver,
//!   which does not cease to be while the sender is counted. The answer's ring comes after the message is out.
//! - A receiver that attached after the sender looked for one begins pressed. (One that died took its bells along.)
//! - If the receiver dies or leaves between the message and the bell, that rings too.
//!
//! So a message costs one system call, unless a sender waits, and the first message taken out lets it go on.
//!
//! # Deaths
//!
//! | who dies | when | it leaves | who sees to it |
//! |---|---|---|---|
//! | a creator | between queue and set, or before it has bound the set | a queue without, or with a set of zeroes; whether it has priorities is in its mode | the next to open makes or binds it |
//! | a remover | between queue and set | a set bound to a queue that is gone | the next under that key removes it |
//! | a sender | before `msgsnd` | nothing | |
//! | | after it | the message | |
//! | | waiting | a bell, for which nobody waits | the watcher and the receiver ring nobody |
//! | | anywhere | `UNCLEAN` above `PRODUCERS`, and `NEWS` is rung | the watcher wakes the receiver, the next sender takes its place |
//! | the receiver | before `msgrcv` | nothing | |
//! | | in or after it | the message is gone: queues know no acknowledgement | nobody |
//! | | anywhere | `RECEIVER` 1 without a `CONSUMER`, and `ROOM` is rung | senders that wait, the next receiver |
//! | | having noted a death, before it was told | nothing: the next receiver looks for itself | |
//! | | in its sleep | perhaps a notice | the next receiver skips it |
//! | | having heard a waiting sender's bell, before the answer | nothing: it dies, and that rings `ROOM`; the next receiver begins pressed | |

mod bell;
mod collect;
mod receiver;
mod sender;
pub(crate) mod set;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use ringway_core::address::QueueKey;
use ringway_core::os::ftok;
use ringway_core::os::msgget::{self, Next, TYPE_LEN};
use ringway_core::{Address, Error, ErrorKind};

use crate::attempt::Attempt;
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::limits;
use crate::options::{MAX_PRIORITY, Options, permissions};
use crate::side::{Broken, Inlet, Outlet};
use crate::status::QueueStat;
use crate::watcher::Watcher;
use bell::Bell;
pub(crate) use collect::collect;
use set::Set;

/// The permission bits that say that ringway made it.
const MARK: u32 = 0o110;

/// The permission bit that says that it has priorities. It stands there from the first moment: who opens a queue whose
/// creator died at once knows it as well.
const PRIORITIES: u32 = 0o001;

/// The type of a notice.
const NOTICE: libc::c_long = 1;

/// The type of the most urgent message.
const FIRST: libc::c_long = 2;

fn type_of(priority: u32) -> libc::c_long {
    FIRST + libc::c_long::from(MAX_PRIORITY.saturating_sub(priority) as u8)
}

/// 0 for what is foreign.
fn priority_of(kind: libc::c_long) -> u32 {
    let above = u32::try_from(kind.saturating_sub(FIRST));
    above.map_or(0, |above| MAX_PRIORITY.saturating_sub(above))
}

fn notice(queue: i32) {
    // EAGAIN: there are as many notices as the queue may have bytes, and one is as good as many. Else it was removed,
    // which whoever is to be told finds out.
    let _ = msgget::send(queue, &NOTICE.to_ne_bytes());
}

const _: () = assert!(size_of::<libc::c_long>() == TYPE_LEN);

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::EIDRM | Errno::EINVAL)
}

/// What an error of an operation on the set beside the queue, or on the queue, means. EINVAL has several causes, so the
/// kernel is asked whether the queue is there.
fn broken(queue: i32, errno: Errno) -> Broken {
    let is_removed = match errno {
        Errno::EIDRM => true,
        Errno::EINVAL => msgget::status(queue).err().is_some_and(is_gone),
        _ => false,
    };
    match is_removed {
        true => Broken::Removed,
        false => Broken::Refused,
    }
}

/// The queue of a key.
fn find(key: u32) -> Result<i32, Errno> {
    msgget::of_key(key)
}

/// A queue that is open.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    id: i32,
    set: Set,
    pub(crate) has_priorities: bool,
    /// Permission bits, as they were when it was opened.
    pub(crate) mode: u32,
    /// Bytes that it may hold, with the frames, as they were then.
    max_bytes: u64,
    /// Bytes of the longest message, if its maker had come to the end of making it. One that died before never does.
    message_len: Option<usize>,
}

pub(crate) fn create(
    attempt: Attempt<'_>,
    key: &QueueKey,
    options: &Options,
) -> Result<Queue, Error> {
    let bytes = shape(attempt, options)?;
    let number = number(attempt, key)?;
    let marks = match options.priorities {
        true => MARK | PRIORITIES,
        false => MARK,
    };
    let mode = options.new_mode() | marks;
    let id = msgget::create(number, mode).map_err(|errno| {
        if errno != Errno::EEXIST {
            return explain(attempt, errno);
        }
        match open(attempt, key, options) {
            Err(error) if error.kind() == ErrorKind::NotARing => error,
            _ => attempt.already_exists(errno),
        }
    })?;
    let result = bytes
        .map_or(Ok(()), |bytes| set_max_bytes(attempt, id, bytes))
        .and_then(|()| Set::of(attempt, number, id, mode, options.any_owner))
        .and_then(|set| {
            let failed = |errno| match is_gone(errno) {
                true => attempt.not_found(errno),
                false => attempt.os("semop", "cannot change its semaphores", errno),
            };
            let status = msgget::status(id).map_err(failed)?;
            let most = longest(&status).saturating_sub(HEADER_LEN);
            // Last: who sees this sees all that was asked for.
            let len = options.message_len.unwrap_or(most);
            set.limit(len).map_err(failed)?;
            Ok((set, status.max_bytes, len.min(most)))
        });
    match result {
        Ok((set, max_bytes, message_len)) => Ok(Queue {
            id,
            set,
            has_priorities: options.priorities,
            mode: options.new_mode(),
            max_bytes,
            message_len: Some(message_len),
        }),
        Err(error) => {
            let _ = msgget::remove(id);
            Err(error)
        }
    }
}

pub(crate) fn open(
    attempt: Attempt<'_>,
    key: &QueueKey,
    options: &Options,
) -> Result<Queue, Error> {
    let number = number(attempt, key)?;
    let (id, status) = look(attempt, number)?;
    attempt.check_owner(&[status.owner_uid, status.creator_uid], options.any_owner)?;
    let set = Set::of(attempt, number, id, status.mode, options.any_owner)?;
    let values = set.values().map_err(|errno| {
        if is_gone(errno) {
            // A collector was faster, or who removed it.
            return attempt.not_found(errno);
        }
        attempt.os("semctl", "cannot read its semaphores", errno)
    })?;
    // Again: its maker may have changed this since, before it wrote down what is in the set.
    let status = msgget::status(id).unwrap_or(status);
    let most = longest(&status).saturating_sub(HEADER_LEN);
    Ok(Queue {
        id,
        set,
        has_priorities: values.has_priorities(),
        mode: permissions(status.mode),
        max_bytes: status.max_bytes,
        message_len: values.message_len().map(|len| len.min(most)),
    })
}

/// What the mode of a queue says that nobody has changed since it was made.
fn has_priorities(mode: u32) -> bool {
    mode & PRIORITIES != 0
}

/// The queue of ringway's under a key.
fn look(attempt: Attempt<'_>, key: u32) -> Result<(i32, msgget::Status), Error> {
    let failed = |errno| match errno {
        Errno::ENOENT | Errno::EIDRM | Errno::EINVAL => attempt.not_found(errno),
        errno => attempt.os("msgget", "cannot open it", errno),
    };
    let id = find(key).map_err(failed)?;
    let status = msgget::status(id).map_err(failed)?;
    // Whoever changes the mode takes the mark from it; the set is bound to the queue all the same.
    let is_ours = status.mode & MARK == MARK || Set::find(attempt, key, Some(id)).is_some();
    match is_ours {
        true => Ok((id, status)),
        false => Err(attempt.foreign("what is there is a queue that ringway did not make")),
    }
}

pub(crate) fn remove(attempt: Attempt<'_>, key: &QueueKey, force: bool) -> Result<(), Error> {
    let key = number(attempt, key)?;
    let (id, status) = match look(attempt, key) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // One who died over its removal may have left the set.
            if let Some(set) = Set::find(attempt, key, None)
                && find(key) == Err(Errno::ENOENT)
            {
                set.remove();
            }
            return Err(error);
        }
        result => result?,
    };
    attempt.check_is_ours(&[status.owner_uid, status.creator_uid])?;
    let set = Set::find(attempt, key, Some(id));
    let failed = |errno| attempt.os("semop", "cannot use its semaphores", errno);
    // Whoever comes then finds nothing.
    let _gate = match set {
        Some(set) if !force => match set.close().map_err(failed)? {
            Some(gate) => Some(gate),
            None => return Err(attempt.in_use()),
        },
        _ => None,
    };
    // First the queue: a set without one is found again by the next under that key.
    msgget::remove(id).map_err(|errno| match is_gone(errno) {
        true => attempt.not_found(errno),
        false => attempt.os("msgctl", "cannot remove it", errno),
    })?;
    if let Some(set) = set {
        set.remove();
    }
    Ok(())
}

pub(crate) fn stat(attempt: Attempt<'_>, key: &QueueKey) -> Result<QueueStat, Error> {
    let key = number(attempt, key)?;
    let (id, status) = look(attempt, key)?;
    let set = Set::find(attempt, key, Some(id));
    let values = set.and_then(|set| set.values().ok());
    let frame_len = longest(&status);
    Ok(QueueStat {
        address: attempt.address.clone(),
        messages: status.messages,
        bytes: status.bytes,
        max_messages: None,
        max_bytes: Some(status.max_bytes),
        max_message_len: values
            .as_ref()
            .and_then(set::Values::message_len)
            .unwrap_or(usize::MAX)
            .min(frame_len.saturating_sub(HEADER_LEN)),
        priorities: values
            .as_ref()
            .map_or(has_priorities(status.mode), |values| {
                values.has_priorities()
            }),
        senders: values.as_ref().map_or(0, |values| values.senders().into()),
        receivers: values
            .as_ref()
            .map_or(0, |values| values.receivers().into()),
        owner: status.owner_uid,
        mode: permissions(status.mode),
    })
}

/// Those that ringway made, of those that this process may see.
pub(crate) fn list() -> Vec<Address> {
    let table = std::fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    let keys = table.lines().skip(1).filter_map(|line| {
        // key, msqid, perms, ...
        let key: i32 = line.split_whitespace().next()?.parse().ok()?;
        (key != libc::IPC_PRIVATE).then_some(key as u32)
    });
    let addresses = keys.map(|key| Address::Sysvmq(QueueKey::Key(key)));
    addresses
        .filter(|address| {
            let attempt = Attempt {
                action: "inspect",
                address,
            };
            matches!(address, Address::Sysvmq(key) if stat(attempt, key).is_ok())
        })
        .collect()
}

impl Queue {
    pub(crate) fn sender(&self, attempt: Attempt<'_>) -> Result<(Box<dyn Outlet>, Header), Error> {
        let sender = self
            .set
            .enter_sender()
            .map_err(|errno| self.not_entered(attempt, errno))?;
        let kind = Kind::Data;
        let outlet = sender::Sender::new(self.id, self.set, sender);
        Ok((Box::new(outlet), Header { kind, sender }))
    }

    pub(crate) fn receiver(&self, attempt: Attempt<'_>) -> Result<Box<dyn Inlet>, Error> {
        let entered = self.set.enter_receiver();
        match entered.map_err(|errno| self.not_entered(attempt, errno))? {
            true => {}
            false => return Err(attempt.role_taken()),
        }
        // Senders may have begun to wait before.
        let is_pressed = Arc::new(AtomicBool::new(true));
        let bell = Bell {
            queue: self.id,
            set: self.set,
            is_pressed: Arc::clone(&is_pressed),
        };
        let watcher = Watcher::start(bell).map_err(|error| {
            // As if it had never been.
            let _ = self.set.leave_receiver(crate::side::Departure::Leave);
            attempt.no_watcher(&error)
        })?;
        let next = match self.has_priorities {
            true => Next::LowestType,
            false => Next::Oldest,
        };
        let receiver = receiver::Receiver::new(self.id, next, self.set, watcher, is_pressed);
        Ok(Box::new(receiver))
    }

    fn not_entered(&self, attempt: Attempt<'_>, errno: Errno) -> Error {
        match errno {
            errno if is_gone(errno) => attempt.not_found(errno),
            Errno::ENOSPC | Errno::ERANGE => attempt
                .error(
                    ErrorKind::NoSpace,
                    "the kernel can keep no more semaphores for this process to take back (SEMMNU), or it \
                     has 32767 senders",
                )
                .remedy("close some")
                .with_errno(errno as i32),
            errno => attempt.os("semop", "cannot use its semaphores", errno),
        }
    }

    /// Bytes of the longest that senders send: what its maker said, within what the kernel takes.
    pub(crate) fn max_message_len(&self, attempt: Attempt<'_>) -> Result<usize, Error> {
        let of_kernel = self.frame_len(attempt)?.saturating_sub(HEADER_LEN);
        let values = self.set.values();
        let of_maker = values.ok().and_then(|values| values.message_len());
        Ok(of_maker.map_or(of_kernel, |len| len.min(of_kernel)))
    }

    /// For how many messages, and of how many bytes, it was made, if that is known.
    pub(crate) fn made_for(&self) -> Option<(u64, usize)> {
        let len = self.message_len?;
        let frame_len = (len as u64).saturating_add(HEADER_LEN as u64);
        // Its limit is one of bytes.
        Some((self.max_bytes / frame_len, len))
    }

    /// Bytes of the longest that there can be, frame and all.
    pub(crate) fn frame_len(&self, attempt: Attempt<'_>) -> Result<usize, Error> {
        match msgget::status(self.id) {
            Ok(status) => Ok(longest(&status)),
            Err(errno) if is_gone(errno) => Err(attempt.not_found(errno)),
            Err(errno) => Err(attempt.os("msgctl", "cannot inspect it", errno)),
        }
    }
}

fn longest(status: &msgget::Status) -> usize {
    let bytes = limits::Sysv::now().message_len.min(status.max_bytes);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Most bytes of a new queue, unless they are the system's.
fn shape(attempt: Attempt<'_>, options: &Options) -> Result<Option<u64>, Error> {
    let limits = limits::Sysv::now();
    let len = match options.message_len {
        Some(len) => (len as u64).saturating_add(HEADER_LEN as u64),
        None => limits.message_len.min(limits.bytes),
    };
    if len > limits.message_len {
        return Err(attempt
            .error(
                ErrorKind::InvalidCapacity,
                format!(
                    "messages of {len} bytes ({HEADER_LEN} of them ringway's) are longer than \
                     kernel.msgmax, {}",
                    limits.message_len
                ),
            )
            .remedy(
                "choose shorter messages (chunking sends longer ones in pieces), or raise the limit \
                 (sysctl kernel.msgmax)",
            ));
    }
    match options.messages {
        Some(0) => Err(attempt
            .error(ErrorKind::InvalidCapacity, "a queue of no messages is none")
            .remedy("choose at least one message")),
        Some(messages) => Ok(Some(messages.saturating_mul(len))),
        None if len > limits.bytes => Ok(Some(len)),
        None => Ok(None),
    }
}

fn set_max_bytes(attempt: Attempt<'_>, id: i32, bytes: u64) -> Result<(), Error> {
    msgget::set_max_bytes(id, bytes).map_err(|errno| match errno {
        Errno::EPERM => attempt
            .error(
                ErrorKind::InvalidCapacity,
                format!(
                    "a queue of {bytes} bytes (messages times their length, {HEADER_LEN} of each \
                     ringway's) is larger than kernel.msgmnb, {}, and this user may not exceed it",
                    limits::Sysv::now().bytes
                ),
            )
            .remedy("choose fewer or shorter messages, or raise the limit (sysctl kernel.msgmnb)")
            .with_errno(errno as i32),
        errno => attempt.os("msgctl", "cannot set its size", errno),
    })
}

fn number(attempt: Attempt<'_>, key: &QueueKey) -> Result<u32, Error> {
    match key {
        QueueKey::Key(key) => Ok(*key),
        QueueKey::Ftok { path, id } => match ftok::key(path, *id) {
            Ok(0) => Err(attempt
                .error(
                    ErrorKind::InvalidAddress,
                    "ftok gives key 0 for it, which means private",
                )
                .remedy("choose another number after #")),
            Ok(key) => Ok(key),
            Err(errno) => {
                Err(attempt.os("stat", "cannot inspect the file that gives its key", errno))
            }
        },
        _ => Err(attempt.wrong_address()),
    }
}

/// Why the kernel made no queue.
fn explain(attempt: Attempt<'_>, errno: Errno) -> Error {
    match errno {
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "the machine has its kernel.msgmni, {} System V message queues",
                    limits::Sysv::now().queues
                ),
            )
            .remedy("remove queues (ipcs -q, ipcrm -q), or raise the limit (sysctl kernel.msgmni)")
            .with_errno(errno as i32),
        errno => attempt.os("msgget", "made no message queue", errno),
    }
}
