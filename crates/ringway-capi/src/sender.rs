//! The sending handle.

use std::ffi::{c_int, c_void};
use std::io::IoSlice;
use std::os::fd::AsRawFd;

use libc::iovec;
use ringway::SendError;
use ringway::message::Claim;
use ringway::mq::QueueSender;

use crate::handle::{Handle, Side, SideMut};
use crate::outcome::{Fault, NULL, OF_RINGS, SHORT, at_once, guard, guard_unit};
use crate::ring::borrow_mut;
use crate::waiting::{Wait, number_of};

/// The message is written by this program's own instructions and by no system call. Then also one that lies in the ring is written where it lies.
/// (ringway_claim)
pub const RINGWAY_IN_PLACE: u32 = 1;

/// To a ring or to a queue.
pub(crate) type Sending = Side<ringway::Sender, QueueSender>;

/// The same, in use.
pub(crate) type SendingMut<'a> = SideMut<'a, ringway::Sender, QueueSender>;

/// The side that messages go in by. For one thread at a time; threads that send side by side have one each.
///
/// A process that is killed leaves each message whole or not at all. The last sender to close ends the stream.
pub struct ringway_sender_t(pub(crate) Handle<ringway::Sender, QueueSender, Claim<'static>>);

impl ringway_sender_t {
    pub(crate) fn new(side: Sending) -> Self {
        Self(Handle::new(side))
    }
}

/// The bytes that the caller has.
///
/// # Safety
/// `len` bytes are there, and nobody writes them meanwhile.
#[inline]
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Fault> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The parts that the caller has.
///
/// # Safety
/// `count` of them are there, each with the bytes that it says.
unsafe fn parts<'a>(parts: *const iovec, count: usize) -> Result<Vec<IoSlice<'a>>, Fault> {
    if count > 0 && parts.is_null() {
        return Err(NULL);
    }
    let part = |at| {
        // SAFETY: the caller's promise.
        let part = unsafe { &*parts.add(at) };
        // SAFETY: the same.
        unsafe { bytes(part.iov_base, part.iov_len) }.map(IoSlice::new)
    };
    (0..count).map(part).collect()
}

/// Sends a copy of `len` bytes, waiting for room for at most `timeout_ns` nanoseconds; RINGWAY_NOW tries once, RINGWAY_FOREVER waits.
///
/// Fails with RINGWAY_FULL, RINGWAY_TIMED_OUT, RINGWAY_CLOSED, RINGWAY_PEER_DIED, RINGWAY_REMOVED, RINGWAY_TOO_LARGE, RINGWAY_INTERRUPTED,
/// RINGWAY_BUSY, RINGWAY_FORKED, RINGWAY_CORRUPT, RINGWAY_UNUSABLE; then nothing is sent.
///
/// # Safety
/// The sender is from this library, and used by this thread alone; `len` bytes are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_send(
    sender: *mut ringway_sender_t,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    // Short, and in a ring with one sender and one receiver: nothing is called, and so hardly a register has to be saved.
    if len <= SHORT {
        let send = ringway::Sender::send_at_once_in_stream;
        // SAFETY: passed on.
        if let Some(result) = unsafe { send_usual(sender, data, len, send) } {
            return result;
        }
    }
    // SAFETY: passed on.
    unsafe { send_any(sender, data, len, timeout_ns) }
}

/// In the usual case of any ring, and of any length.
///
/// # Safety
/// As of ringway_send.
#[cold]
#[inline(never)]
unsafe extern "C" fn send_any(
    sender: *mut ringway_sender_t,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: passed on.
    match unsafe { send_usual(sender, data, len, ringway::Sender::send_at_once) } {
        Some(result) => result,
        // SAFETY: passed on.
        None => unsafe { send_otherwise(sender, data, len, timeout_ns) },
    }
}

/// Sends in the usual case, and returns what the call returns then. `None`: nothing was done.
///
/// # Safety
/// As of ringway_send.
#[inline(always)]
unsafe fn send_usual(
    sender: *mut ringway_sender_t,
    data: *const c_void,
    len: usize,
    send: impl FnOnce(&mut ringway::Sender, &[u8]) -> bool,
) -> Option<c_int> {
    // SAFETY: the caller's promise.
    let usual = unsafe { sender.as_mut() }?.0.usual()?;
    if data.is_null() {
        return None;
    }
    // SAFETY: the same: so many bytes are there.
    let message = unsafe { std::slice::from_raw_parts(data.cast(), len) };
    at_once(|| send(usual, message))
}

/// # Safety
/// As of ringway_send.
#[cold]
#[inline(never)]
unsafe extern "C" fn send_otherwise(
    sender: *mut ringway_sender_t,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let (handle, message) = unsafe { (borrow_mut(sender)?.0.side()?, bytes(data, len)?) };
        match (handle, Wait::of(timeout_ns)) {
            (SendingMut::Ring(sender), Wait::Not) => sender.try_send(message)?,
            (SendingMut::Ring(sender), wait) => sender.send_deadline(message, wait.deadline())?,
            (SendingMut::Queue(sender), Wait::Not) => sender.try_send(message)?,
            (SendingMut::Queue(sender), wait) => sender.send_deadline(message, wait.deadline())?,
        }
        Ok(())
    })
}

/// The same with a priority: a queue receives messages of a higher one first. Of a queue that was made with priorities, else RINGWAY_UNSUPPORTED.
///
/// # Safety
/// As of ringway_send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_send_priority(
    sender: *mut ringway_sender_t,
    data: *const c_void,
    len: usize,
    priority: u32,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let (handle, message) = unsafe { (borrow_mut(sender)?.0.side()?, bytes(data, len)?) };
        let SendingMut::Queue(sender) = handle else {
            return Err(SendError::NoPriorities.into());
        };
        match Wait::of(timeout_ns) {
            Wait::Not => sender.try_send_with_priority(message, priority)?,
            wait => sender.send_with_priority_deadline(message, priority, wait.deadline())?,
        }
        Ok(())
    })
}

/// Sends the concatenation of `count` parts as one message; as ringway_send.
///
/// # Safety
/// As of ringway_send; `count` parts are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sendv(
    sender: *mut ringway_sender_t,
    parts: *const iovec,
    count: usize,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let (handle, parts) =
            unsafe { (borrow_mut(sender)?.0.side()?, self::parts(parts, count)?) };
        match handle {
            SendingMut::Ring(sender) => match Wait::of(timeout_ns) {
                Wait::Not => sender.try_send_vectored(&parts)?,
                wait => sender.send_vectored_deadline(&parts, wait.deadline())?,
            },
            SendingMut::Queue(sender) => {
                let message: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                match Wait::of(timeout_ns) {
                    Wait::Not => sender.try_send(&message)?,
                    wait => sender.send_deadline(&message, wait.deadline())?,
                }
            }
        }
        Ok(())
    })
}

/// Sends `count` messages together, if there is room for all of them now: they become visible at once, with one wake-up. Else none is sent
/// (RINGWAY_FULL). Of a ring; each must fit the ring, slabs or not.
///
/// # Safety
/// As of ringway_sendv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_send_batch(
    sender: *mut ringway_sender_t,
    messages: *const iovec,
    count: usize,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let (handle, messages) =
            unsafe { (borrow_mut(sender)?.0.side()?, parts(messages, count)?) };
        let SendingMut::Ring(sender) = handle else {
            return Err(OF_RINGS);
        };
        let mut batch = sender.batch();
        for message in &messages {
            batch.push(message)?;
        }
        batch.commit();
        Ok(())
    })
}

/// Claims room for a message of `len` bytes, waiting for it as ringway_send does, and gives its memory in `*data`: a slab if the ring has slabs and the message is
/// longer than the copy limit. It is the caller's to write until ringway_commit or ringway_abort; meanwhile the sender does nothing else
/// (RINGWAY_BUSY). The memory is not cleared. Of a ring.
///
/// `flags` is 0 or RINGWAY_IN_PLACE. With 0, system calls may write there, too (read, recv, io_uring): what such a call still writes when this process was killed
/// lands in nobody else's message. A message in the ring is then written to private memory first.
///
/// # Safety
/// The sender is from this library, and used by this thread alone; `data` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_claim(
    sender: *mut ringway_sender_t,
    len: usize,
    flags: u32,
    timeout_ns: i64,
    data: *mut *mut c_void,
) -> c_int {
    guard_unit(|| {
        if data.is_null() {
            return Err(NULL);
        }
        if flags & !RINGWAY_IN_PLACE != 0 {
            return Err(Fault::Own(
                crate::outcome::RINGWAY_INVALID,
                "there is no such flag: give 0 or RINGWAY_IN_PLACE",
            ));
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(sender) }?;
        // SAFETY: the claim is held, below.
        let SendingMut::Ring(handle) = unsafe { this.0.side_for_held() }? else {
            return Err(OF_RINGS);
        };
        let mut claim = match Wait::of(timeout_ns) {
            Wait::Not => handle.try_claim(len)?,
            Wait::ForEver => handle.claim(len)?,
            Wait::Until(deadline) => handle.claim_deadline(len, deadline)?,
        };
        let memory = match flags {
            RINGWAY_IN_PLACE => claim.as_mut_ptr(),
            // SAFETY: the slice is made for its address only; who writes there is no Rust.
            _ => unsafe { claim.as_mut_slice() }.as_mut_ptr(),
        };
        this.0.hold(claim);
        // SAFETY: it may be written.
        unsafe { data.write(memory.cast()) };
        Ok(())
    })
}

/// Sends the first `len` bytes of what was claimed, or all if that is shorter. The memory is no longer the caller's.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_commit(sender: *mut ringway_sender_t, len: usize) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(sender) }?
            .0
            .take_held()?
            .commit_len(len);
        Ok(())
    })
}

/// Gives what was claimed back; nothing is sent.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_abort(sender: *mut ringway_sender_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(sender) }?.0.take_held()?.abort();
        Ok(())
    })
}

/// Returns a descriptor as ringway_receiver_descriptor does: it becomes readable after ringway_sender_arm. Of a ring.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_descriptor(sender: *mut ringway_sender_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        Ok(unsafe { borrow_mut(sender) }?
            .0
            .ring()?
            .descriptor()?
            .as_raw_fd()
            .into())
    }) as c_int
}

/// Has the descriptor become readable when there may be room for a message of `len` bytes, or there will be none, and returns 1; or returns 0, as there
/// is room now. Of a ring. Fails as ringway_claim does.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_arm(sender: *mut ringway_sender_t, len: usize) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(sender) }?.0.ring()?.arm(len)?.into())) as c_int
}

/// Takes ringway_sender_arm back. Of a ring.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_disarm(sender: *mut ringway_sender_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(sender) }?.0.ring()?.disarm();
        Ok(())
    })
}

/// Waits until a receiver is attached: to go on after RINGWAY_PEER_DIED or RINGWAY_CLOSED.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_wait_for_peer(
    sender: *mut ringway_sender_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        let deadline = Wait::of(timeout_ns).deadline();
        // SAFETY: the caller's promise.
        match unsafe { borrow_mut(sender) }?.0.side()? {
            SendingMut::Ring(sender) => sender.wait_for_peer_deadline(deadline)?,
            SendingMut::Queue(sender) => sender.wait_for_peer_deadline(deadline)?,
        }
        Ok(())
    })
}

/// Waits until receivers have released all that was sent; of a ring.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_wait_until_drained(
    sender: *mut ringway_sender_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        let deadline = Wait::of(timeout_ns).deadline();
        // SAFETY: the caller's promise.
        match unsafe { borrow_mut(sender) }?.0.side()? {
            SendingMut::Ring(sender) => sender.wait_until_drained_deadline(deadline)?,
            SendingMut::Queue(_) => return Err(OF_RINGS),
        }
        Ok(())
    })
}

/// What is known of the receivers: RINGWAY_PEER_ALIVE, ...
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_peer(sender: *mut ringway_sender_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        number_of(match unsafe { borrow_mut(sender) }?.0.side()? {
            SendingMut::Ring(sender) => sender.peer(),
            SendingMut::Queue(sender) => sender.peer(),
        })
    }) as c_int
}

/// A number that tells this attachment from all others of its ring: by it a receiver asks whether it lives. In `*id`.
///
/// # Safety
/// The sender is from this library, and used by this thread alone; `id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_id(sender: *mut ringway_sender_t, id: *mut u64) -> c_int {
    guard_unit(|| {
        if id.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let found = match unsafe { borrow_mut(sender) }?.0.side()? {
            SendingMut::Ring(sender) => sender.id(),
            SendingMut::Queue(sender) => sender.id(),
        };
        // SAFETY: it may be written.
        unsafe { id.write(found) };
        Ok(())
    })
}

/// Messages that the ring's senders have ever sent; of a queue, that this one has.
///
/// # Safety
/// The sender is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_sent(sender: *mut ringway_sender_t) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        Ok(match unsafe { borrow_mut(sender) }?.0.side()? {
            SendingMut::Ring(sender) => sender.sent(),
            SendingMut::Queue(sender) => sender.sent(),
        } as i64)
    })
}

/// Leaves and frees the sender, and ends the stream if it is the last one: receivers get what was sent, then RINGWAY_CLOSED, until another one
/// comes. What was claimed is aborted. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_close(sender: *mut ringway_sender_t) -> c_int {
    guard_unit(|| {
        if !sender.is_null() {
            // SAFETY: it was made by `hand_out`, and the caller gives it up.
            drop(unsafe { Box::from_raw(sender) });
        }
        Ok(())
    })
}

/// Leaves and frees the sender without ending the stream: receivers wait for the next one. Null is let pass.
///
/// # Safety
/// As of ringway_sender_close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_sender_leave(sender: *mut ringway_sender_t) -> c_int {
    guard_unit(|| {
        if !sender.is_null() {
            // SAFETY: it was made by `hand_out`, and the caller gives it up.
            match unsafe { Box::from_raw(sender) }.0.into_side() {
                Sending::Ring(sender) => sender.leave(),
                Sending::Queue(sender) => sender.leave(),
            }
        }
        Ok(())
    })
}
