//! How long calls wait, waiting for several rings, and ending a call that waits.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use ringway::wait::{Interrupter, Key, WaitSet};

use crate::outcome::{Fault, NULL, OF_RINGS, guard, guard_free, guard_unit};
use crate::receiver::{ReceivingMut, ringway_receiver_t};
use crate::ring::{borrow, borrow_mut, hand_out};
use crate::sender::{SendingMut, ringway_sender_t};

/// To wait for ever. Any negative time is. (timeout_ns)
pub const RINGWAY_FOREVER: i64 = -1;
/// To try once. (timeout_ns)
pub const RINGWAY_NOW: i64 = 0;

/// How long a call waits.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Not,
    ForEver,
    Until(Instant),
}

impl Wait {
    #[inline]
    pub(crate) fn of(timeout_ns: i64) -> Self {
        match timeout_ns {
            0 => Self::Not,
            ..0 => Self::ForEver,
            ns => {
                let time = Duration::from_nanos(ns.unsigned_abs());
                Instant::now()
                    .checked_add(time)
                    .map_or(Self::ForEver, Self::Until)
            }
        }
    }

    /// Of calls that have no form that tries once.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Not => Some(Instant::now()),
            Self::ForEver => None,
            Self::Until(deadline) => Some(deadline),
        }
    }
}

/// Waits until at least one of `count` receivers has something to receive, or has come to its end; sets `ready[i]` of those for which that is so, and
/// clears the others. Returns how many. Where another receiver may be faster, there may be nothing left when it is asked.
///
/// Of rings of any kinds together. Fails with RINGWAY_TIMED_OUT, RINGWAY_REMOVED, RINGWAY_UNSUPPORTED, RINGWAY_INVALID.
///
/// # Safety
/// Both have `count` elements; each receiver is from this library, there once, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_wait_any(
    receivers: *const *mut ringway_receiver_t,
    count: usize,
    ready: *mut bool,
    timeout_ns: i64,
) -> i64 {
    guard(|| {
        if count > 0 && (receivers.is_null() || ready.is_null()) {
            return Err(NULL);
        }
        let mut set = WaitSet::new();
        let mut keys: Vec<Key> = Vec::with_capacity(count);
        for at in 0..count {
            // SAFETY: the caller's promise: so many receivers, of which each is there once.
            let receiver = unsafe { borrow_mut(*receivers.add(at)) }?;
            match receiver.0.side()? {
                ReceivingMut::Ring(receiver) => keys.push(set.add(receiver)),
                ReceivingMut::Queue(_) => return Err(OF_RINGS),
            }
        }
        let first = set.wait_deadline(Wait::of(timeout_ns).deadline())?;
        let due = set.due();
        let mut found = 0;
        for (at, key) in keys.iter().enumerate() {
            let is_due = *key == first || due.contains(key);
            found += i64::from(is_due);
            // SAFETY: so many may be written.
            unsafe { ready.add(at).write(is_due) };
        }
        Ok(found)
    })
}

/// What ends a call of a handle that waits, with RINGWAY_INTERRUPTED. It outlives its handle, and then does nothing. Threads may share it.
pub struct ringway_interrupter_t {
    pub(crate) interrupter: Interrupter,
}

/// Gives in `*interrupter` what ends calls of this sender that wait, to be freed by ringway_interrupter_free; of a ring.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_interrupter(
    sender: *mut ringway_sender_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let SendingMut::Ring(sender) = unsafe { borrow_mut(sender) }?.0.side()? else {
            return Err(OF_RINGS);
        };
        let made = ringway_interrupter_t {
            interrupter: sender.interrupter(),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(interrupter, made) }
    })
}

/// The same of a receiver.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_interrupter(
    receiver: *mut ringway_receiver_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let ReceivingMut::Ring(receiver) = unsafe { borrow_mut(receiver) }?.0.side()? else {
            return Err(OF_RINGS);
        };
        let made = ringway_interrupter_t {
            interrupter: receiver.interrupter(),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(interrupter, made) }
    })
}

/// Ends the call that waits or, if none does, the next one that would. May be called in another thread and in a handler of a signal.
///
/// # Safety
/// The interrupter is from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_interrupt(interrupter: *const ringway_interrupter_t) {
    // Nothing here allocates or panics; a handler of a signal has no use for an error.
    // SAFETY: the caller's promise.
    if let Ok(interrupter) = unsafe { borrow(interrupter) } {
        interrupter.interrupter.interrupt();
    }
}

/// Frees an interrupter. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_interrupter_free(interrupter: *mut ringway_interrupter_t) {
    if !interrupter.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(interrupter) }));
    }
}

/// What is known of the other side.
pub(crate) fn number_of(peer: ringway::peer::Peer) -> Result<i64, Fault> {
    use ringway::peer::Peer;
    Ok(i64::from(match peer {
        Peer::Absent => RINGWAY_PEER_ABSENT,
        Peer::Alive => RINGWAY_PEER_ALIVE,
        Peer::Died => RINGWAY_PEER_HAS_DIED,
        Peer::Closed => RINGWAY_PEER_HAS_CLOSED,
    }))
}

/// Nobody is attached on the other side.
pub const RINGWAY_PEER_ABSENT: i32 = 0;
/// A live process is.
pub const RINGWAY_PEER_ALIVE: i32 = 1;
/// It died, and nobody has taken its place.
pub const RINGWAY_PEER_HAS_DIED: i32 = 2;
/// It closed, and nobody has come since.
pub const RINGWAY_PEER_HAS_CLOSED: i32 = 3;
