//! The receiving handle.

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

use ringway::message::DetachedMessage;
use ringway::mq::{QueueMessage, QueueReceiver};
use ringway::transport::ReceivedMessage;
use ringway::{Message, RecvError};

use crate::handle::{Handle, Side, SideMut};
use crate::outcome::{NULL, OF_RINGS, SHORT, at_once, guard, guard_free, guard_unit};
use crate::ring::{borrow, borrow_mut, hand_out};
use crate::waiting::{Wait, number_of};

/// From a ring or from a queue.
pub(crate) type Receiving = Side<ringway::Receiver, QueueReceiver>;

/// The same, in use.
pub(crate) type ReceivingMut<'a> = SideMut<'a, ringway::Receiver, QueueReceiver>;

/// A message in place.
pub(crate) enum Held {
    InRing(Message<'static>),
    FromQueue(QueueMessage<'static>),
}

/// The side that messages come out of. For one thread at a time; threads that receive side by side have one each.
///
/// A message is the receiver's until it is acknowledged, which ringway_recv does when it has copied it, and ringway_release for who has it in
/// place. If the process dies before, it comes again, here or to another receiver.
pub struct ringway_receiver_t(pub(crate) Handle<ringway::Receiver, QueueReceiver, Held>);

impl ringway_receiver_t {
    pub(crate) fn new(side: Receiving) -> Self {
        Self(Handle::new(side))
    }
}

/// A message in place.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_view_t {
    /// Its first byte; never null.
    pub data: *const c_void,
    /// Its bytes.
    pub len: usize,
    /// What tells it from all others of its ring; it has it again when it comes again. 0 of a queue.
    pub number: u64,
    /// How often it was delivered, with this time: 1 the first time. It counts up to 15.
    pub deliveries: u32,
}

/// Copies the next message to `buffer`, acknowledges it, and gives its length in `*len`. Waits for it for at most `timeout_ns` nanoseconds;
/// RINGWAY_NOW tries once, RINGWAY_FOREVER waits.
///
/// Fails with RINGWAY_EMPTY, RINGWAY_TIMED_OUT, RINGWAY_CLOSED, RINGWAY_PEER_DIED, RINGWAY_REMOVED, RINGWAY_BUFFER_TOO_SMALL (`*len` is its length, and
/// it stays the next one), RINGWAY_INTERRUPTED, RINGWAY_BUSY, RINGWAY_FORKED, RINGWAY_CORRUPT, RINGWAY_UNUSABLE.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone; `buffer` has `size` bytes, and `len` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_recv(
    receiver: *mut ringway_receiver_t,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    // Short, and from a ring with one sender and one receiver: nothing is called, and so hardly a register has to be saved.
    let (recv, short) = (
        ringway::Receiver::recv_into_at_once_from_stream,
        size.min(SHORT),
    );
    // SAFETY: passed on, of no more bytes.
    match unsafe { recv_usual(receiver, buffer, short, len, recv) } {
        Some(result) => result,
        // SAFETY: passed on.
        None => unsafe { recv_any(receiver, buffer, size, len, timeout_ns) },
    }
}

/// In the usual case of any ring, and of any length.
///
/// # Safety
/// As of ringway_recv.
#[cold]
#[inline(never)]
unsafe extern "C" fn recv_any(
    receiver: *mut ringway_receiver_t,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    let recv = ringway::Receiver::recv_into_at_once;
    // SAFETY: passed on.
    match unsafe { recv_usual(receiver, buffer, size, len, recv) } {
        Some(result) => result,
        // SAFETY: passed on.
        None => unsafe { recv_otherwise(receiver, buffer, size, len, timeout_ns) },
    }
}

/// Receives in the usual case, and returns what the call returns then. `None`: nothing was done.
///
/// # Safety
/// As of ringway_recv.
#[inline(always)]
unsafe fn recv_usual(
    receiver: *mut ringway_receiver_t,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    recv: impl FnOnce(&mut ringway::Receiver, &mut [u8]) -> Option<usize>,
) -> Option<c_int> {
    // SAFETY: the caller's promise.
    let usual = unsafe { receiver.as_mut() }?.0.usual()?;
    if buffer.is_null() || len.is_null() {
        return None;
    }
    // SAFETY: the same: so many bytes are there, the caller's, and only written here.
    let room = unsafe { std::slice::from_raw_parts_mut(buffer.cast(), size) };
    // SAFETY: the same: it may be written.
    let tell = |received| unsafe { len.write(received) };
    at_once(|| recv(usual, room).map(tell).is_some())
}

/// # Safety
/// As of ringway_recv.
#[cold]
#[inline(never)]
unsafe extern "C" fn recv_otherwise(
    receiver: *mut ringway_receiver_t,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if len.is_null() || (size > 0 && buffer.is_null()) {
            return Err(NULL);
        }
        let room: &mut [u8] = match size {
            0 => &mut [],
            // SAFETY: so many bytes are there, the caller's, and only written here.
            _ => unsafe { std::slice::from_raw_parts_mut(buffer.cast(), size) },
        };
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow_mut(receiver) }?.0.side()?;
        let received = match (handle, Wait::of(timeout_ns)) {
            (ReceivingMut::Ring(receiver), Wait::Not) => receiver.try_recv_into(room),
            (ReceivingMut::Ring(receiver), wait) => {
                receiver.recv_into_deadline(room, wait.deadline())
            }
            (ReceivingMut::Queue(receiver), Wait::Not) => receiver.try_recv_into(room),
            (ReceivingMut::Queue(receiver), wait) => {
                receiver.recv_into_deadline(room, wait.deadline())
            }
        };
        let told = match received {
            Ok(len) | Err(RecvError::BufferTooSmall { len }) => len,
            Err(_) => 0,
        };
        // SAFETY: it may be written.
        unsafe { len.write(told) };
        received?;
        Ok(())
    })
}

/// Receives the next message where it lies, and tells in `*view` where that is. Nothing is copied. It stays there until ringway_release,
/// ringway_give_back or ringway_detach; meanwhile the receiver does nothing else (RINGWAY_BUSY). Waits and fails as ringway_recv.
///
/// A hostile peer could change it meanwhile; ringway_recv copies.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone; `view` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_recv_view(
    receiver: *mut ringway_receiver_t,
    view: *mut ringway_view_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if view.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(receiver) }?;
        // SAFETY: the message is held, below.
        let side = unsafe { this.0.side_for_held() }?;
        let held = match (side, Wait::of(timeout_ns)) {
            (ReceivingMut::Ring(receiver), Wait::Not) => {
                Held::InRing(receiver.try_recv_in_place()?)
            }
            (ReceivingMut::Ring(receiver), Wait::ForEver) => {
                Held::InRing(receiver.recv_in_place()?)
            }
            (ReceivingMut::Ring(receiver), Wait::Until(deadline)) => {
                Held::InRing(receiver.recv_in_place_deadline(deadline)?)
            }
            (ReceivingMut::Queue(receiver), Wait::Not) => {
                Held::FromQueue(receiver.try_recv_in_place()?)
            }
            (ReceivingMut::Queue(receiver), wait) => {
                Held::FromQueue(receiver.recv_in_place_deadline(wait.deadline())?)
            }
        };
        let told = match &held {
            Held::InRing(message) => ringway_view_t {
                // SAFETY: the slice is made for its address only; who reads there is no Rust.
                data: unsafe { message.as_slice() }.as_ptr().cast(),
                len: message.len(),
                number: message.number(),
                deliveries: message.deliveries(),
            },
            Held::FromQueue(message) => ringway_view_t {
                data: message.bytes().as_ptr().cast(),
                len: message.len(),
                number: 0,
                deliveries: message.deliveries(),
            },
        };
        this.0.hold(held);
        // SAFETY: it may be written.
        unsafe { view.write(told) };
        Ok(())
    })
}

/// Acknowledges the message in place, so that it does not come again. Its memory is no longer the caller's.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_release(receiver: *mut ringway_receiver_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        match unsafe { borrow_mut(receiver) }?.0.take_held()? {
            Held::InRing(message) => message.release(),
            Held::FromQueue(message) => message.release(),
        }
        Ok(())
    })
}

/// Gives the message in place back: whoever receives next gets it again, this receiver or another one.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_give_back(receiver: *mut ringway_receiver_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        match unsafe { borrow_mut(receiver) }?.0.take_held()? {
            Held::InRing(message) => message.give_back(),
            // What has no destructor is given back to its handle so.
            Held::FromQueue(_) => {}
        }
        Ok(())
    })
}

/// A message that was acknowledged and kept. It outlives its receiver; other threads may free it.
pub struct ringway_message_t {
    message: DetachedMessage,
}

/// Acknowledges the message in place and keeps it, in `*message`, to be freed by ringway_message_free; the receiver can go on. Nothing is copied of one that lies
/// in a slab, which its sender can use again then. Of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone; `message` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_detach(
    receiver: *mut ringway_receiver_t,
    message: *mut *mut ringway_message_t,
) -> c_int {
    guard_unit(|| {
        if message.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(receiver) }?;
        match this.0.take_held()? {
            Held::InRing(held) => {
                let kept = ringway_message_t {
                    message: held.detach()?,
                };
                // SAFETY: it may be written.
                unsafe { hand_out(message, kept) }
            }
            queue @ Held::FromQueue(_) => {
                this.0.hold(queue);
                Err(OF_RINGS)
            }
        }
    })
}

/// Tells in `*view` where a kept message lies.
///
/// # Safety
/// The message is from this library; `view` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_message_view(
    message: *const ringway_message_t,
    view: *mut ringway_view_t,
) -> c_int {
    guard_unit(|| {
        if view.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let message = &unsafe { borrow(message) }?.message;
        let told = ringway_view_t {
            // SAFETY: the slice is made for its address only; who reads there is no Rust.
            data: unsafe { message.as_slice() }.as_ptr().cast(),
            len: message.len(),
            number: message.number(),
            deliveries: message.deliveries(),
        };
        // SAFETY: it may be written.
        unsafe { view.write(told) };
        Ok(())
    })
}

/// Frees a kept message. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_message_free(message: *mut ringway_message_t) {
    if !message.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(message) }));
    }
}

/// What ringway_drain shows messages to: returns 0 to go on. Anything else ends it, and that message is not acknowledged.
pub type ringway_each_t =
    Option<unsafe extern "C" fn(context: *mut c_void, data: *const c_void, len: usize) -> c_int>;

/// Shows up to `most` messages that are there now to `each`, in order, and acknowledges them together at the end. Returns how many were acknowledged; 0 if
/// there was none. Of a ring. `each` must not use the receiver, nor leave by longjmp or an exception.
///
/// Fails as ringway_recv, if the first message cannot be received; what lies behind one that was shown, the next call tells.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_drain(
    receiver: *mut ringway_receiver_t,
    most: usize,
    each: ringway_each_t,
    context: *mut c_void,
) -> i64 {
    guard(|| {
        let each = each.ok_or(NULL)?;
        // SAFETY: the caller's promise.
        let receiver = unsafe { borrow_mut(receiver) }?.0.ring()?;
        let mut backlog = receiver.backlog();
        let mut shown = 0;
        while shown < most as u64 {
            let message = match backlog.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) if shown == 0 => return Err(error.into()),
                Err(_) => break,
            };
            let len = message.len();
            // SAFETY: the slice is made for its address only; who reads there is no Rust.
            let data = unsafe { message.into_slice() }.as_ptr();
            // SAFETY: the caller's function, called as it is declared.
            if unsafe { each(context, data.cast(), len) } != 0 {
                backlog.release_first(shown);
                return Ok(shown as i64);
            }
            shown += 1;
        }
        match (shown, backlog.release()) {
            (0, _) => Ok(0),
            (_, 0) => Err(RecvError::Corrupt.into()),
            (_, count) => Ok(count as i64),
        }
    })
}

/// Waits until there is a message, or fails as ringway_recv does; of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_wait(
    receiver: *mut ringway_receiver_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        let deadline = Wait::of(timeout_ns).deadline();
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(receiver) }?
            .0
            .ring()?
            .wait_deadline(deadline)?;
        Ok(())
    })
}

/// Returns a descriptor for epoll, poll and the loops that are made of them. It is the receiver's, and closed with it: it must not be read, written or closed.
/// It becomes readable after ringway_receiver_arm; of a POSIX queue, while there are messages.
///
/// Take what is there until RINGWAY_EMPTY, then arm; if that returns 0, something came meanwhile: take it. If it returns 1, wait for the descriptor.
///
/// Fails with RINGWAY_NO_SPACE, RINGWAY_FORKED, RINGWAY_UNSUPPORTED (of System V queues).
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_descriptor(receiver: *mut ringway_receiver_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let descriptor = match unsafe { borrow_mut(receiver) }?.0.side()? {
            ReceivingMut::Ring(receiver) => receiver.descriptor()?.as_raw_fd(),
            ReceivingMut::Queue(receiver) => receiver.descriptor().ok_or(OF_RINGS)?.as_raw_fd(),
        };
        Ok(descriptor.into())
    }) as c_int
}

/// Has the descriptor become readable when there may be a message, or none will come, and returns 1; or returns 0, as there is a message now. It may
/// become readable for nothing; what was readable before is not any more. A call that waits takes it back. Of a ring. Fails as ringway_receiver_wait does.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_arm(receiver: *mut ringway_receiver_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(receiver) }?.0.ring()?.arm()?.into())) as c_int
}

/// Takes ringway_receiver_arm back: the descriptor is not readable, and does not become so. Of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_disarm(receiver: *mut ringway_receiver_t) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(receiver) }?.0.ring()?.disarm();
        Ok(())
    })
}

/// Waits until a sender is attached, or has been and left a message: to go on after RINGWAY_CLOSED or RINGWAY_PEER_DIED.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_wait_for_peer(
    receiver: *mut ringway_receiver_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        let deadline = Wait::of(timeout_ns).deadline();
        // SAFETY: the caller's promise.
        match unsafe { borrow_mut(receiver) }?.0.side()? {
            ReceivingMut::Ring(receiver) => receiver.wait_for_peer_deadline(deadline)?,
            ReceivingMut::Queue(receiver) => receiver.wait_for_peer_deadline(deadline)?,
        }
        Ok(())
    })
}

/// What is known of the senders: RINGWAY_PEER_ALIVE, ...
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_peer(receiver: *mut ringway_receiver_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        number_of(match unsafe { borrow_mut(receiver) }?.0.side()? {
            ReceivingMut::Ring(receiver) => receiver.peer(),
            ReceivingMut::Queue(receiver) => receiver.peer(),
        })
    }) as c_int
}

/// 1 if the sender's attachment with that ringway_sender_id still lives, 0 if not; of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_is_attached(
    receiver: *mut ringway_receiver_t,
    id: u64,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        Ok(unsafe { borrow_mut(receiver) }?
            .0
            .ring()?
            .is_attached(id)
            .into())
    }) as c_int
}

/// 1 if all that was committed before this call is received, 0 if not; of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_is_drained(receiver: *mut ringway_receiver_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let receiver = unsafe { borrow_mut(receiver) }?.0.ring()?;
        Ok(receiver.is_drained().into())
    }) as c_int
}

/// Messages that the ring's receivers have ever received and released; of a queue, that this one has.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_received(receiver: *mut ringway_receiver_t) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        Ok(match unsafe { borrow_mut(receiver) }?.0.side()? {
            ReceivingMut::Ring(receiver) => receiver.received(),
            ReceivingMut::Queue(receiver) => receiver.received(),
        } as i64)
    })
}

/// Messages that were ever lost because senders overwrite the oldest; of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_lost(receiver: *mut ringway_receiver_t) -> i64 {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(receiver) }?.0.ring()?.lost() as i64))
}

/// Acknowledges the next message unread if it lies in a slab that this process cannot map (RINGWAY_UNUSABLE), and returns 1 if that was so, else 0;
/// of a ring.
///
/// # Safety
/// The receiver is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_skip_unreadable(receiver: *mut ringway_receiver_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        Ok(unsafe { borrow_mut(receiver) }?
            .0
            .ring()?
            .skip_unreadable()?
            .into())
    }) as c_int
}

/// Leaves and frees the receiver: the next one goes on with the next message, and senders wait for it. A message in place comes again. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_leave(receiver: *mut ringway_receiver_t) -> c_int {
    guard_unit(|| {
        if !receiver.is_null() {
            // SAFETY: it was made by `hand_out`, and the caller gives it up.
            drop(unsafe { Box::from_raw(receiver) });
        }
        Ok(())
    })
}

/// Leaves and frees the receiver, and refuses further messages if it is the last one: senders get RINGWAY_CLOSED until another one comes. Null is let pass.
///
/// # Safety
/// As of ringway_receiver_leave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_receiver_close(receiver: *mut ringway_receiver_t) -> c_int {
    guard_unit(|| {
        if !receiver.is_null() {
            // SAFETY: it was made by `hand_out`, and the caller gives it up.
            match unsafe { Box::from_raw(receiver) }.0.into_side() {
                Receiving::Ring(receiver) => receiver.close(),
                Receiving::Queue(receiver) => receiver.close(),
            }
        }
        Ok(())
    })
}
