//! Who lives: open-file-description locks on the queue's inode.
//!
//! Each participant has two descriptors of the queue that are used for nothing else, and each of them holds a
//! write lock on one byte: the receiver's on bytes 0 and 1, those of the sender with number n on bytes 2n and 2n + 1. The
//! bytes need not exist. A participant lives if both of its bytes are locked. Numbers never come again, so a lock is
//! nobody else's. The first descriptor of a sender holds another lock, on byte 2 + p, which keeps its place p its own.
//!
//! # Why two
//!
//! The kernel drops the locks of a process that dies when it closes its descriptors. Who sleeps learns of it by
//! inotify, which reports a descriptor's closing *before* its lock is dropped. So with one descriptor a look right
//! after the report could find the lock still there, and nothing would follow. Of two, whichever is closed
//! second is reported after the first one's lock is gone: a look from then on finds one byte free.
//!
//! Each sender has two bytes of its own. If all senders shared two bytes, one that dies in one order and another one in
//! the other order could each leave one byte locked at the last report.
//!
//! Who leaves in order unlocks both bytes before it closes the descriptors, so that the first report finds it gone.
//!
//! # Removal
//!
//! Who removes a queue unless it is in use locks all bytes at once, and one more, the *gate*: it gets them only if nobody
//! lives, and until it drops them, or dies, nobody attaches. Who attaches waits while the gate is locked, and then looks whether
//! the queue has its name still.
//!
//! # Limits
//!
//! Others may lock what they like. A lock of more than one byte is no sender's; if there are more locks than all senders
//! together have, nobody can say who lives.
//!
//! The locks belong to the open file, which a child of `fork` shares: until it calls exec or ends, its parent
//! seems to live.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use ringway_core::os::fork::Origin;

use crate::frame::{PLACES, SenderNumber, since_start};

/// How long one who dies may keep one of its bytes.
const PATIENCE: Duration = Duration::from_secs(2);

const RECEIVER: i64 = 0;
/// Their places.
const FIRST_PLACE: i64 = 2;
/// What lies between is the senders': their numbers have more bits than their places.
const FIRST_SENDER: i64 = 2 * PLACES as i64;
const END: i64 = 1 << 62;
/// Locked, with all others, by who removes a queue that nobody holds.
const GATE: i64 = END;
const _: () = assert!(FIRST_PLACE + (PLACES as i64) < FIRST_SENDER);

/// How many locks are looked at.
const MOST_LOCKS: usize = 4 * PLACES as usize;

/// A participant's place, until dropped.
#[derive(Debug)]
pub(super) struct Life {
    files: [OwnedFd; 2],
    origin: Origin,
}

impl Life {
    /// Takes the receiver's place; `None` if somebody lives who has it.
    pub(super) fn receiver(queue: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let life = Self::nobody(queue)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match life.take(RECEIVER)? {
                true => return Ok(Some(life)),
                false if Instant::now() > deadline => return Ok(None),
                // One byte alone is of one who dies, or is just attaching.
                false if lives(queue, RECEIVER)? => return Ok(None),
                // fcntl has no lock with a time limit.
                false => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Takes the first free place of a sender; `None` if there is none.
    pub(super) fn sender(queue: BorrowedFd<'_>) -> Result<Option<(Self, SenderNumber)>, Errno> {
        let life = Self::nobody(queue)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut is_held_up = false;
            for place in 0..PLACES {
                if lock(&life.files[0], FIRST_PLACE + i64::from(place), 1)? {
                    // While it holds the place: so it is later than the one before.
                    let sender = SenderNumber::new(place, since_start()?);
                    if life.take(first_byte(sender))? {
                        return Ok(Some((life, sender)));
                    }
                    // Its byte is locked by somebody who is no sender. (The place is free again.)
                }
                is_held_up = is_gated(queue)?;
                if is_held_up {
                    break;
                }
            }
            if !is_held_up || Instant::now() > deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn nobody(queue: BorrowedFd<'_>) -> Result<Self, Errno> {
        let files = [reopen(queue)?, reopen(queue)?];
        let origin = Origin::here()?;
        Ok(Self { files, origin })
    }

    fn take(&self, byte: i64) -> Result<bool, Errno> {
        if !lock(&self.files[0], byte, 1)? {
            return Ok(false);
        }
        match lock(&self.files[1], byte + 1, 1)? {
            true => Ok(true),
            false => {
                // All that it has, the place too.
                unlock(&self.files[0]);
                Ok(false)
            }
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A child of fork would unlock its parent's.
        if !self.origin.is_forked() {
            self.files.iter().for_each(unlock);
        }
    }
}

/// The places of all: nobody lives, and nobody attaches until this is dropped.
#[derive(Debug)]
pub(super) struct Everybody {
    _file: OwnedFd,
}

impl Everybody {
    /// Takes all places; `None` if somebody lives.
    pub(super) fn take(queue: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let file = reopen(queue)?;
        let is_taken = lock(&file, RECEIVER, GATE + 1)?;
        Ok(is_taken.then_some(Self { _file: file }))
    }
}

/// Whether somebody removes the queue.
pub(super) fn is_gated(queue: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(locked_in(queue, GATE, GATE + 1)?.is_some())
}

/// Another open file of the same queue, also of one whose name is gone.
pub(super) fn reopen(queue: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    reopen_with(queue, OFlag::O_NONBLOCK)
}

/// The same, but sending and receiving there waits.
pub(super) fn reopen_to_wait(queue: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    reopen_with(queue, OFlag::empty())
}

fn reopen_with(queue: BorrowedFd<'_>, wait: OFlag) -> Result<OwnedFd, Errno> {
    let path = path(queue);
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | wait;
    loop {
        match open(path.as_str(), flags, Mode::empty()) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Where the queue is found without its name.
pub(super) fn path(queue: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", queue.as_raw_fd())
}

/// Whether there is a live receiver.
pub(super) fn has_receiver(queue: BorrowedFd<'_>) -> Result<bool, Errno> {
    is_alive(queue, RECEIVER)
}

/// Whether anybody is attached, by locks that nobody but ringway takes.
pub(super) fn is_used(queue: BorrowedFd<'_>) -> Result<bool, Errno> {
    if is_gated(queue)? {
        return Ok(true);
    }
    Ok(has_receiver(queue)? || !senders(queue)?.is_empty())
}

/// Whether that sender lives.
pub(super) fn is_attached(queue: BorrowedFd<'_>, sender: SenderNumber) -> Result<bool, Errno> {
    lives(queue, first_byte(sender))
}

/// The senders that live, in order.
///
/// # Errors
/// EOVERFLOW if there are more locks than senders have.
pub(super) fn senders(queue: BorrowedFd<'_>) -> Result<Vec<SenderNumber>, Errno> {
    let mut locked = Vec::new();
    let mut seen = 0;
    let mut ranges = vec![(FIRST_SENDER, END)];
    // The kernel names one lock in a range, any one.
    while let Some((from, to)) = ranges.pop() {
        if from < to
            && let Some((start, end)) = locked_in(queue, from, to)?
        {
            seen += 1;
            if seen > MOST_LOCKS {
                return Err(Errno::EOVERFLOW);
            }
            if end == start + 1 {
                locked.push(start);
            }
            ranges.extend([(from, start), (end, to)]);
        }
    }
    locked.sort_unstable();
    let pairs = locked.windows(2).filter_map(|pair| match *pair {
        [one, other] if one % 2 == 0 && other == one + 1 => Some(one / 2),
        _ => None,
    });
    Ok(pairs
        .filter_map(|number| SenderNumber::of(number as u64))
        .collect())
}

fn first_byte(sender: SenderNumber) -> i64 {
    // Below 2^61, so this is below END.
    2 * sender.get() as i64
}

/// As `is_alive`, also while somebody removes the queue.
fn lives(queue: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    // Alive by the gate's lock in the first look, it is not so in the second.
    Ok(is_alive(queue, byte)? && !is_gated(queue)? && is_alive(queue, byte)?)
}

fn is_alive(queue: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    let is_locked = |byte| Ok(locked_in(queue, byte, byte + 1)?.is_some());
    Ok(is_locked(byte)? && is_locked(byte + 1)?)
}

/// A range of locked bytes between `from` and `to`, if there is one.
fn locked_in(queue: BorrowedFd<'_>, from: i64, to: i64) -> Result<Option<(i64, i64)>, Errno> {
    let mut range = range(libc::F_WRLCK, from, to - from);
    fcntl(queue, FcntlArg::F_OFD_GETLK(&mut range))?;
    if range.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    // A foreign lock may reach further, and one of length 0 to the end of all files.
    let start = range.l_start.clamp(from, to - 1);
    let end = match range.l_len {
        0 => to,
        len => range.l_start.saturating_add(len).clamp(start + 1, to),
    };
    Ok(Some((start, end)))
}

fn lock(file: &OwnedFd, byte: i64, len: i64) -> Result<bool, Errno> {
    loop {
        match fcntl(
            file.as_fd(),
            FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, byte, len)),
        ) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn unlock(file: &OwnedFd) {
    let _ = fcntl(
        file.as_fd(),
        FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, 0, 0)),
    );
}

fn range(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}
