//! POSIX message queues (mq_overview(7)), under a name.
//!
//! Sending and receiving are one system call each, `mq_send` and `mq_receive` on a descriptor that does not block. An
//! inotify watch reports every closing of a descriptor of the queue, so deaths too ([`watch`]). A sender that has to
//! wait polls the queue together with its watch. A receiver that has to wait does so in `mq_receive`, on a second
//! descriptor, which blocks; the watch is its watcher's ([`watcher`](crate::watcher)), which wakes it by a *notice*, a
//! message without text above all priorities ([`bell`]). Who lives is told by locks ([`life`]).
//!
//! # Waiting, and why no end of the peer is missed
//!
//! Sender: try to send (full) - look whether the receiver lives - poll for room or a report. Receiver: try to receive
//! (empty) - look which senders live - wait for a message or a notice. The watch is there before the first look.
//! Room and messages are conditions, not events, so the wait ends at once if they came before it. An end that a look
//! did not see is reported after that look. For a sender the report stays readable until it reads its watch, which
//! leads to another look. The receiver's watcher notes it, and then gives notice if the receiver sleeps; a receiver
//! that falls asleep says so, and then looks for a note. A notice that finds no room is not needed, as there are
//! messages. One that is left over, because a message came as well or the receiver died, is skipped by the next
//! receive; until then it takes the room of a message. A newcomer opens and closes a descriptor once it has its locks,
//! so that who waits for it looks too.
//!
//! # Deaths
//!
//! | who dies | when | it leaves | who sees to it |
//! |---|---|---|---|
//! | anybody | attaching | nothing: locks and descriptors go with it; bits of the mode that say "a receiver attached" | the next receiver |
//! | a creator | after `mq_open` | a whole queue, perhaps with the mode that the umask left | whoever opens it; it is removed by name |
//! | a sender | before `mq_send` | nothing | |
//! | | after it | the message | |
//! | | closing, before its farewell | as if it had not closed | |
//! | | closing, after it | as if it had closed; its place goes free with the process | |
//! | the receiver | before `mq_receive` | nothing, or a notice | the next receiver skips it |
//! | | in or after it | the message is gone: queues know no acknowledgement | nobody |
//! | | closing, before its mark | as if it had not closed | |
//! | | closing, after it | as if it had closed | |

mod bell;
mod collect;
mod life;
mod local;
mod lookout;
mod mark;
mod receiver;
mod sender;
pub(crate) mod senders;
mod watch;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use ringway_core::os::{self, mq_overview as mq};
use ringway_core::{Address, Error, ErrorKind};

use crate::attempt::{Attempt, is_out_of_descriptors};
use crate::frame::{HEADER_LEN, Header, Kind, PLACES};
use crate::limits;
use crate::options::{Options, permissions};
use crate::side::{Inlet, Outlet};
use crate::status::QueueStat;
use crate::watcher::Watcher;
use bell::Bell;
pub(crate) use collect::collect;
use life::{Everybody, Life};
use watch::{Unwatched, Watch};

/// The most the kernel lets anybody have.
const HARD_MESSAGES: u64 = 65_536;
const HARD_MESSAGE_LEN: u64 = 16 << 20;

/// A place is a descriptor of its own, and a lock by it.
const LOCKING: &str = "open or fcntl";
/// What everybody who attaches does.
const AGAIN: &str = "cannot open it once more, through /proc";

/// A queue that is open.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    queue: Arc<OwnedFd>,
    pub(crate) messages: u64,
    pub(crate) has_priorities: bool,
    /// Permission bits, as they were when it was opened.
    pub(crate) mode: u32,
    /// Bytes of the longest, frame and all.
    pub(crate) frame_len: usize,
}

pub(crate) fn create(attempt: Attempt<'_>, name: &str, options: &Options) -> Result<Queue, Error> {
    let (messages, len) = shape(attempt, options)?;
    let path = path(attempt, name)?;
    // Before anything is made that nobody could use.
    attempt.check_proc()?;
    let mode = mark::new(options);
    let queue = mq::create(&path, mode, messages as i64, len as i64).map_err(|errno| {
        if errno != Errno::EEXIST {
            return explain(attempt, errno, messages, len);
        }
        match open(attempt, name, options) {
            Err(error) if error.kind() == ErrorKind::NotARing => error,
            _ => attempt.already_exists(errno),
        }
    })?;
    let made = mark::permit(queue.as_fd(), mode)
        .map_err(|errno| attempt.os("fchmod", "cannot set its mode", errno))
        .and_then(|()| Queue::new(attempt, queue, options.priorities));
    if made.is_err() {
        // It was made here, and just now.
        let _ = mq::unlink(&path);
    }
    made
}

pub(crate) fn open(attempt: Attempt<'_>, name: &str, options: &Options) -> Result<Queue, Error> {
    let queue = mq::open(&path(attempt, name)?).map_err(|errno| match errno {
        Errno::ENOENT => attempt.not_found(errno),
        errno => attempt.os("mq_open", "cannot open it", errno),
    })?;
    let stat = fstat(&queue).map_err(|errno| attempt.os("fstat", "cannot inspect it", errno))?;
    attempt.check_owner(&[stat.st_uid], options.any_owner)?;
    if !mark::is_ours(&stat) {
        let is_used = life::is_used(queue.as_fd())
            .map_err(|errno| attempt.os("fcntl", "cannot inspect its locks", errno))?;
        if !is_used {
            return Err(unmarked(attempt));
        }
    }
    Queue::new(attempt, queue, mark::has_priorities(&stat))
}

/// It has not the mode bit by which ringway knows its queues.
fn unmarked(attempt: Attempt<'_>) -> Error {
    let problem = "what is there is a queue that ringway did not make, or whose mode was set as a number \
                   (chmod 660), which takes ringway's mark from it";
    attempt.foreign(problem).remedy(
        "use another address; or, if it is ringway's, give its file in /dev/mqueue the mark back (chmod +t)",
    )
}

pub(crate) fn remove(attempt: Attempt<'_>, name: &str, force: bool) -> Result<(), Error> {
    let any = Options {
        any_owner: true,
        ..Options::default()
    };
    let queue = open(attempt, name, &any)?.queue;
    let stat = fstat(&queue).map_err(|errno| attempt.os("fstat", "cannot inspect it", errno))?;
    attempt.check_is_ours(&[stat.st_uid])?;
    if force {
        return unlink(attempt, name);
    }
    let everybody = Everybody::take(queue.as_fd())
        .map_err(|errno| attempt.os(LOCKING, "cannot take its locks", errno))?;
    match everybody {
        None => Err(attempt.in_use()),
        Some(_) if has_no_name(queue.as_fd()) => Err(attempt.not_found(Errno::ENOENT)),
        Some(_) => unlink(attempt, name),
    }
}

fn unlink(attempt: Attempt<'_>, name: &str) -> Result<(), Error> {
    mq::unlink(&path(attempt, name)?).map_err(|errno| match errno {
        Errno::ENOENT => attempt.not_found(errno),
        errno => attempt.os("mq_unlink", "cannot remove its name", errno),
    })
}

fn has_no_name(queue: BorrowedFd<'_>) -> bool {
    fstat(queue).is_ok_and(|stat| stat.st_nlink == 0)
}

pub(crate) fn stat(attempt: Attempt<'_>, name: &str) -> Result<QueueStat, Error> {
    let any = Options {
        any_owner: true,
        ..Options::default()
    };
    let queue = open(attempt, name, &any)?.queue;
    let failed = |call| move |errno| attempt.os(call, "cannot inspect it", errno);
    let queue = queue.as_fd();
    let attributes = mq::attributes(queue).map_err(failed("mq_getattr"))?;
    let stat = fstat(queue).map_err(failed("fstat"))?;
    // Who is about to remove it holds the places of all, and is none of them.
    let (senders, receivers) = match life::is_gated(queue).map_err(failed("fcntl"))? {
        true => (0, 0),
        false => (
            life::senders(queue).map_err(failed("fcntl"))?.len(),
            usize::from(life::has_receiver(queue).map_err(failed("fcntl"))?),
        ),
    };
    Ok(QueueStat {
        address: attempt.address.clone(),
        messages: attributes.messages.unsigned_abs(),
        bytes: queued_bytes(queue),
        max_messages: Some(attributes.max_messages.unsigned_abs()),
        max_bytes: None,
        max_message_len: (attributes.max_len.unsigned_abs() as usize).saturating_sub(HEADER_LEN),
        priorities: mark::has_priorities(&stat),
        senders,
        receivers,
        owner: stat.st_uid,
        mode: permissions(stat.st_mode),
    })
}

/// Reading a queue as a file gives a line that begins with QSIZE, the bytes in it.
fn queued_bytes(queue: BorrowedFd<'_>) -> u64 {
    let line = std::fs::read_to_string(life::path(queue)).unwrap_or_default();
    let size = line.split_whitespace().next();
    let size = size.and_then(|field| field.strip_prefix("QSIZE:"));
    size.and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// Those that ringway made, of those that this process may see.
pub(crate) fn list() -> Vec<Address> {
    let mut names = os::message_queues().unwrap_or_default();
    names.sort_unstable();
    let addresses = names.into_iter().map(Address::Mq);
    addresses
        .filter(|address| {
            let attempt = Attempt {
                action: "inspect",
                address,
            };
            let Address::Mq(name) = address else {
                return false;
            };
            stat(attempt, name).is_ok()
        })
        .collect()
}

impl Queue {
    fn new(attempt: Attempt<'_>, queue: OwnedFd, has_priorities: bool) -> Result<Self, Error> {
        let attributes = mq::attributes(queue.as_fd())
            .map_err(|errno| attempt.os("mq_getattr", "cannot inspect it", errno))?;
        let stat =
            fstat(&queue).map_err(|errno| attempt.os("fstat", "cannot inspect it", errno))?;
        let frame_len = usize::try_from(attributes.max_len).unwrap_or(0);
        if frame_len < HEADER_LEN {
            return Err(attempt.foreign("its messages are too short for ringway's"));
        }
        Ok(Self {
            queue: Arc::new(queue),
            messages: attributes.max_messages.unsigned_abs(),
            has_priorities,
            mode: permissions(stat.st_mode),
            frame_len,
        })
    }

    pub(crate) fn sender(&self, attempt: Attempt<'_>) -> Result<(Box<dyn Outlet>, Header), Error> {
        let (queue, watch) = self.join(attempt)?;
        let failed = |errno| attempt.os(LOCKING, "cannot take its locks", errno);
        let (life, sender) = Life::sender(queue.as_fd())
            .map_err(failed)?
            .ok_or_else(|| {
                attempt
                    .error(
                        ErrorKind::NoSpace,
                        format!("it has its {PLACES} senders, and more are not told apart"),
                    )
                    .remedy("close some")
            })?;
        self.refuse_removed(attempt)?;
        let kind = Kind::Data;
        let header = Header { kind, sender };
        self.announce(attempt)?;
        let sender = sender::Sender::new(queue, watch, life, header);
        Ok((Box::new(sender), header))
    }

    pub(crate) fn receiver(&self, attempt: Attempt<'_>) -> Result<Box<dyn Inlet>, Error> {
        let (queue, watch) = self.join(attempt)?;
        let life = Life::receiver(queue.as_fd())
            .map_err(|errno| attempt.os(LOCKING, "cannot take its locks", errno))?
            .ok_or_else(|| attempt.role_taken())?;
        self.refuse_removed(attempt)?;
        let stat =
            fstat(&queue).map_err(|errno| attempt.os("fstat", "cannot inspect it", errno))?;
        let again = |errno| attempt.os("open", AGAIN, errno);
        let blocking = life::reopen_to_wait(queue.as_fd()).map_err(again)?;
        let queue = Arc::new(queue);
        let bell = Bell::new(Arc::clone(&queue), watch).map_err(again)?;
        let watcher = Watcher::start(bell).map_err(|error| attempt.no_watcher(&error))?;
        let farewells = local::enter((stat.st_dev, stat.st_ino));
        // With priorities, what was put in first may come last.
        let capacity = self.messages.saturating_mul(self.frame_len as u64);
        let capacity = (!self.has_priorities).then_some(capacity);
        let receiver = receiver::Receiver::new(queue, blocking, watcher, life, farewells, capacity);
        self.announce(attempt)?;
        Ok(Box::new(receiver))
    }

    fn join(&self, attempt: Attempt<'_>) -> Result<(OwnedFd, Watch), Error> {
        attempt.check_proc()?;
        let queue =
            life::reopen(self.queue.as_fd()).map_err(|errno| attempt.os("open", AGAIN, errno))?;
        mark::restore(queue.as_fd());
        let watch = Watch::new(queue.as_fd()).map_err(|failed| match failed {
            Unwatched::Init(Errno::EMFILE) if !is_out_of_descriptors() => {
                attempt.limit_of_inotify("inotify_init1", "max_user_instances", Errno::EMFILE)
            }
            Unwatched::Init(errno) => attempt.os("inotify_init1", "cannot watch it", errno),
            Unwatched::Add(Errno::ENOSPC) => {
                attempt.limit_of_inotify("inotify_add_watch", "max_user_watches", Errno::ENOSPC)
            }
            Unwatched::Add(errno) => attempt.os("inotify_add_watch", "cannot watch it", errno),
        })?;
        Ok((queue, watch))
    }

    /// For one who holds a place, without which it could be removed: nobody else would find it.
    fn refuse_removed(&self, attempt: Attempt<'_>) -> Result<(), Error> {
        match has_no_name(self.queue.as_fd()) {
            true => Err(attempt.not_found(Errno::ENOENT)),
            false => Ok(()),
        }
    }

    /// Has the others look who lives.
    fn announce(&self, attempt: Attempt<'_>) -> Result<(), Error> {
        let bell = life::reopen(self.queue.as_fd());
        bell.map(drop)
            .map_err(|errno| attempt.os("open", AGAIN, errno))
    }
}

/// Messages, and bytes of the longest frame, of a new queue.
fn shape(attempt: Attempt<'_>, options: &Options) -> Result<(u64, u64), Error> {
    let limits = limits::Posix::now();
    let len = match options.message_len {
        Some(len) => (len as u64).saturating_add(HEADER_LEN as u64),
        None => limits
            .message_len
            .min(limits.bytes / 2)
            .max(HEADER_LEN as u64 + 1),
    };
    let messages = match options.messages {
        Some(messages) => messages,
        // As many as a user's bytes allow, whose queues they are all booked to.
        None => limits
            .messages
            .min(limits.bytes / limits::Posix::cost(1, len))
            .max(1),
    };
    let is_possible = (1..=HARD_MESSAGES).contains(&messages) && len <= HARD_MESSAGE_LEN;
    match is_possible {
        true => Ok((messages, len)),
        false => Err(explain(attempt, Errno::EINVAL, messages, len)),
    }
}

fn path(attempt: Attempt<'_>, name: &str) -> Result<CString, Error> {
    CString::new(format!("/{name}")).map_err(|_| {
        let problem = "a name cannot contain a NUL byte";
        attempt.error(ErrorKind::InvalidAddress, problem)
    })
}

/// Why a queue of `messages` of `len` bytes each was not made.
fn explain(attempt: Attempt<'_>, errno: Errno, messages: u64, len: u64) -> Error {
    let limits = limits::Posix::now();
    let error = match errno {
        Errno::EINVAL if messages == 0 => attempt
            .error(
                ErrorKind::InvalidCapacity,
                "a queue of no messages is none",
            )
            .remedy("choose at least one message"),
        Errno::EINVAL => attempt
            .error(
                ErrorKind::InvalidCapacity,
                format!(
                    "{messages} messages of {len} bytes ({HEADER_LEN} of them ringway's) are more than \
                     fs.mqueue.msg_max, {}, or fs.mqueue.msgsize_max, {}",
                    limits.messages, limits.message_len
                ),
            )
            .remedy(
                "choose fewer or shorter messages (chunking sends longer ones in pieces), or raise the \
                 limits (sysctl fs.mqueue.msg_max and fs.mqueue.msgsize_max)",
            ),
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "the machine has its fs.mqueue.queues_max, {} message queues",
                    limits.queues
                ),
            )
            .remedy("remove queues, or raise the limit (sysctl fs.mqueue.queues_max)"),
        Errno::EMFILE if is_out_of_descriptors() => {
            return attempt.os("mq_open", "made no message queue", errno);
        }
        Errno::EMFILE | Errno::ENOMEM => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "this user's message queues would have more than RLIMIT_MSGQUEUE, {} bytes, with these {} or so",
                    limits.bytes,
                    limits::Posix::cost(messages, len)
                ),
            )
            .remedy(
                "choose fewer or shorter messages, remove queues, or raise the limit (ulimit -q)",
            ),
        errno => return attempt.os("mq_open", "made no message queue", errno),
    };
    error.with_errno(errno as i32)
}
