//! mqueue: each participant sleeps on a POSIX message queue of its own, of one message of one byte.
//!
//! A queue that is full is a bell that is rung. Whoever holds the slot waits for it by `poll`; its watcher rings it for deaths too.
//!
//! The queue `/ringway.NONCE.SLOT` is made by the first holder of the slot, used by all that follow, and
//! removed with the ring. It is not removed when a holder leaves or dies: those that ring keep its
//! descriptor, and one who rang a queue that has lost its name would ring for nobody. What the last
//! holder left in it is a needless wake-up for the next.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | making its queue | a queue, perhaps with too narrow a mode | the next holder of the slot |
//! | ringing | the byte, or not: the kernel does it in one step | |
//! | having published, before ringing | a sleeper who does not know of it | that sleeper's watcher |
//!
//! # Queues without a ring
//!
//! Somebody removed the segment by other means, or attached to a ring whose name was gone. Who leaves such a ring as
//! the last one removes its queues, as a collector does; if it dies, they stay for that. Queue 0 is the *gate*: every participant holds its file lock (flock) together with all others, from before it makes or
//! opens its own queue until it has left; the kernel takes the lock from the dead. A collector that
//! gets the lock alone knows that nobody living has any of the ring's queues or remembers one, removes
//! them all, the gate last, and lets go. Who gets the lock of a gate that has lost its name
//! meanwhile opens it anew. If the ring exists after all where the collector could not see it, nothing is
//! lost: the next participant makes the queues again.
//!
//! Who cannot open a queue to ring it, because it has no descriptor left or somebody removed the
//! name, rouses the watchers instead: every one then rings its own. So does who finds another queue under the
//! name than the one that the slot's holder wrote down in its slot (device and inode): the holders of one slot may have
//! had different ones, if the name was removed in between.
//!
//! Queues belong to an IPC namespace. A ring whose queues lie in another one is refused when it is opened
//! ([`renewal`](crate::store)), and, where /proc does not tell namespaces apart, here: queues of two namespaces
//! are of different devices.

use std::ffi::CString;
use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, fchown};

use super::parts::{Bell, Broken};
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::header::Header;
use crate::memory::layout::participant::{LIVENESS, PID, QUEUE, slot_offset};
use crate::memory::map::Map;
use crate::memory::region::RingName;
use crate::presence::{Liveness, watcher};
use crate::sys::deadline::Deadline;
use crate::sys::flock;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::sys::mq_overview as mq;
use crate::sys::owner::Access;

/// The queues of all participants, as one of them has them.
#[derive(Debug)]
pub(super) struct Queues {
    map: Arc<Map>,
    nonce: [u8; 16],
    slot: u32,
    own: OwnedFd,
    /// Locked while this lives; `None` if it is `own`.
    gate: Option<OwnedFd>,
    /// Tells whether the ring has its name.
    name: Option<Arc<dyn RingName>>,
    /// Those that were rung from here, by slot.
    others: Box<[OnceLock<(u64, OwnedFd)>]>,
}

impl Queues {
    pub(super) fn open(
        attempt: Attempt<'_>,
        map: &Arc<Map>,
        header: &Header,
        slot: u32,
        access: Access,
        ring: Option<Arc<dyn RingName>>,
    ) -> Result<Self, Error> {
        let failed = |errno| explain(attempt, errno);
        let gate = pass_gate(attempt, header.companions, access.mode)?;
        let (own, gate) = match slot {
            GATE => (gate, None),
            _ => {
                let name = name(header.companions, slot).ok_or_else(|| failed(Errno::EINVAL))?;
                let own = mq::open_or_create(&name, access.mode).map_err(failed)?;
                admit(&gate, access);
                (own, Some(gate))
            }
        };
        if mq::capacity(own.as_fd()).map_err(failed)? != (1, 1) {
            return Err(attempt
                .error(
                    ErrorKind::Corrupt,
                    "its message queue is not as ringway makes them",
                )
                .remedy(attempt.anew()));
        }
        admit(&own, access);
        let id = id(&own).map_err(failed)?;
        let word = map.word64(slot_offset(slot) + QUEUE);
        // Release pairs with the acquire in `queue_of`. Who is rung has said that it sleeps after this.
        word.ok_or_else(|| failed(Errno::EFAULT))?
            .store(id, Ordering::Release);
        if let Some(pid) = stranger(map, header.geometry.participants(), id) {
            return Err(attempt
                .error(
                    ErrorKind::Unsupported,
                    format!(
                        "process {pid} is attached, and its message queue lies in another IPC namespace, where this \
                         process cannot wake it"
                    ),
                )
                .remedy("let the processes share an IPC namespace, or choose sync futex"));
        }
        Ok(Self {
            map: Arc::clone(map),
            nonce: header.companions,
            slot,
            own,
            gate,
            name: ring,
            others: (0..header.geometry.participants())
                .map(|_| OnceLock::new())
                .collect(),
        })
    }

    fn try_to_ring(&self, slot: u32) -> Result<(), Errno> {
        if slot == self.slot {
            return mq::send(self.own.as_fd());
        }
        let cell = self.others.get(slot as usize).ok_or(Errno::EINVAL)?;
        let wanted = queue_of(&self.map, slot);
        if let Some((id, queue)) = cell.get()
            && *id == wanted
        {
            return mq::send(queue.as_fd());
        }
        let name = name(self.nonce, slot).ok_or(Errno::EINVAL)?;
        let queue = mq::open_to_send(&name)?;
        // A name is no identity: somebody may have removed it, and a later holder of another slot or in another
        // namespace have made a queue of that name.
        if id(&queue)? != wanted {
            return Err(Errno::ENOENT);
        }
        mq::send(queue.as_fd())?;
        // Taken already if the slot's queue was another one before: then it is opened each time.
        let _ = cell.set((wanted, queue));
        Ok(())
    }
}

impl Drop for Queues {
    /// The queues of a ring that has no name go with the last participant: nobody else comes by to remove them.
    fn drop(&mut self) {
        let is_removed = |name: &Arc<dyn RingName>| name.is_removed().is_ok_and(|removed| removed);
        // A child of fork shares the lock with its parent, and is no participant.
        if self.map.is_forked() || !self.name.as_ref().is_some_and(is_removed) {
            return;
        }
        let gate = self.gate.as_ref().unwrap_or(&self.own);
        // Under the lock the gate must have its name: the queues of the others are of that gate, then.
        if flock::try_exclusive(gate.as_fd()).is_ok()
            && fstat(gate.as_fd()).is_ok_and(|stat| stat.st_nlink > 0)
        {
            unlink_all(self.nonce, self.others.len() as u32);
        }
    }
}

/// What the kernel tells the queue from all others by.
fn id(queue: &OwnedFd) -> Result<u64, Errno> {
    let stat = fstat(queue.as_fd())?;
    Ok(stat.st_dev << 32 | stat.st_ino & 0xffff_ffff)
}

/// The queue that the holder of `slot` sleeps on, 0 if it has none yet.
fn queue_of(map: &Map, slot: u32) -> u64 {
    map.word64(slot_offset(slot) + QUEUE)
        .map_or(0, |word| word.load(Ordering::Acquire))
}

/// A live participant whose queue lies in another file system of queues than the queue `own`, by its process id.
fn stranger(map: &Map, participants: u32, own: u64) -> Option<u32> {
    // Everybody writes down its queue, passes this fence, and then looks at the others. Of two that come at
    // once, at least one sees the other.
    fence(Ordering::SeqCst);
    let is_strange = |slot: &u32| {
        let word = map.word32(slot_offset(*slot) + LIVENESS);
        let life = word.map_or(0, |word| word.load(Ordering::Acquire));
        let queue = queue_of(map, *slot);
        Liveness::of(life) == Liveness::Alive && queue != 0 && queue >> 32 != own >> 32
    };
    let slot = (0..participants).find(is_strange)?;
    map.word32(slot_offset(slot) + PID)
        .map(|pid| pid.load(Ordering::Relaxed))
}

impl Bell for Queues {
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let left = deadline.map(|deadline| deadline.remaining().unwrap_or_default());
        let mut queue = [PollFd::new(self.own.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut queue, left.map(TimeSpec::from), None) {
            Ok(0) => return Ok(Wake::TimedOut),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Wake::Check),
            Err(errno) => return Err(Broken::Beside(errno)),
        }
        match mq::receive(self.own.as_fd()) {
            Ok(()) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(Wake::Check),
            Err(errno) => Err(Broken::Beside(errno)),
        }
    }

    fn ring(&self, slot: u32) {
        match self.try_to_ring(slot) {
            // Full: it is rung already.
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(_) => watcher::rouse(&self.map),
        }
    }
}

/// Lets all who may use the ring use the queue. The umask has cut the mode, and the group is this process's;
/// a queue that another user made has been seen to already.
fn admit(queue: &OwnedFd, access: Access) {
    let access = access.beside();
    let mode = Mode::from_bits_truncate(access.mode);
    let _ = fchown(queue.as_fd(), None, Some(Gid::from_raw(access.gid)));
    let _ = fchmod(queue.as_fd(), mode);
}

/// The slot whose queue is the gate.
pub(crate) const GATE: u32 = 0;

/// How long a collector may take to remove a ring's queues.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens the gate, and locks it together with the other participants.
fn pass_gate(attempt: Attempt<'_>, nonce: [u8; 16], mode: u32) -> Result<OwnedFd, Error> {
    let failed = |errno| explain(attempt, errno);
    let name = name(nonce, GATE).ok_or_else(|| failed(Errno::EINVAL))?;
    let deadline = Deadline::after(PATIENCE);
    while deadline.remaining().is_some() {
        let gate = mq::open_or_create(&name, mode).map_err(failed)?;
        match flock::try_shared(gate.as_fd()) {
            // It still has its name.
            Ok(()) if fstat(gate.as_fd()).map_err(failed)?.st_nlink > 0 => return Ok(gate),
            Ok(()) => {}
            Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(attempt.timed_out("another process holds a lock on its first message queue"))
}

/// The ring and the slot of a queue's name, if it is one of ringway's.
pub(crate) fn parse(name: &str) -> Option<([u8; 16], u32)> {
    let (digits, slot) = name.strip_prefix("ringway.")?.split_once('.')?;
    let parse = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let mut nonce = [0; 16];
    for (index, byte) in nonce.iter_mut().enumerate() {
        *byte = parse(2 * index)?;
    }
    let slot = slot.parse().ok().filter(|&slot| slot < MAX_PARTICIPANTS)?;
    // No other way to write the same: signs, leading zeroes, capitals, more digits.
    let again = self::name(nonce, slot)?;
    (again.to_bytes().strip_prefix(b"/") == Some(name.as_bytes())).then_some((nonce, slot))
}

pub(crate) fn name(nonce: [u8; 16], slot: u32) -> Option<CString> {
    let mut name = "/ringway.".to_owned();
    for byte in nonce {
        write!(name, "{byte:02x}").ok()?;
    }
    write!(name, ".{slot}").ok()?;
    CString::new(name).ok()
}

fn explain(attempt: Attempt<'_>, errno: Errno) -> Error {
    let limit = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}"));
        text.unwrap_or_default().trim().to_owned()
    };
    match errno {
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!("the machine has its {} message queues", limit("queues_max")),
            )
            .remedy(
                "remove rings (ringway gc), raise fs.mqueue.queues_max (sysctl), or remove queues (mount -t mqueue \
                 none /dev/mqueue shows them)",
            )
            .because(errno),
        // The kernel says the same for both.
        Errno::EMFILE => attempt
            .error(
                ErrorKind::NoSpace,
                "this process has no descriptor left, or this user no memory for message queues",
            )
            .remedy("raise the limits (ulimit -n, ulimit -q)")
            .because(errno),
        Errno::ENOSYS => attempt
            .error(ErrorKind::Unsupported, "the kernel has no POSIX message queues")
            .remedy("choose another kind of sync")
            .because(errno),
        errno => attempt.os("mq_open cannot make its message queue", errno),
    }
}

/// Removes the queues of a ring, the gate last. Those that another user made may stay.
pub(super) fn remove(header: &Header) {
    unlink_all(header.companions, header.geometry.participants());
}

fn unlink_all(nonce: [u8; 16], participants: u32) {
    for slot in (0..participants).rev() {
        if let Some(name) = name(nonce, slot) {
            let _ = mq::unlink(&name);
        }
    }
}
