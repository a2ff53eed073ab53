//! What is at an address, open.

use std::ffi::{c_char, c_int};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use ringway::peer::{PeerCredentials, Role};
use ringway::{Address, Channel, Kind, SyncKind, channel, mq};

use crate::options::{KINDS, address, ringway_handle_options_t, ringway_options_t};
use crate::outcome::{Fault, NULL, OF_RINGS, guard, guard_free, guard_unit};
use crate::receiver::{Receiving, ringway_receiver_t};
use crate::sender::{Sending, ringway_sender_t};
use crate::sized::{self, Sized, read};

/// A ring that this process has open, or, where the address says so, a message queue of the kernel. Threads may share it. It gives senders and
/// receivers, which live on when it is freed. Freeing it removes nothing.
pub struct ringway_ring_t {
    carrier: Carrier,
    address: Address,
}

#[derive(Clone)]
enum Carrier {
    Ring(ringway::Ring),
    Queue(mq::Queue),
}

/// What a ring is like. Set `size`, and give it to ringway_ring_info.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_ring_info_t {
    /// sizeof(ringway_ring_info_t)
    pub size: usize,
    /// RINGWAY_SPSC, ...
    pub kind: u32,
    /// RINGWAY_FUTEX, ...; 0 of a queue.
    pub sync: u32,
    /// Bytes for messages; 0 of a queue.
    pub capacity: u64,
    /// The longest message, in bytes.
    pub max_message_len: u64,
    /// How many senders may be attached at once; 0 of a queue, which does not limit them.
    pub max_senders: u32,
    /// How many receivers may be attached at once.
    pub max_receivers: u32,
    /// Bytes of a cell; 0 if there are none.
    pub cell_len: u32,
    /// Whether it is a message queue of the kernel.
    pub is_queue: bool,
    /// Whether this call made it, and did not find it.
    pub is_new: bool,
    /// What tells it from any other that had its address; zero of a queue.
    pub nonce: [u8; 16],
}

// SAFETY: repr(C), begins with its size. It is written by the library and never read from the caller.
unsafe impl Sized for ringway_ring_info_t {}

/// Who is at the other end of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_peer_t {
    /// Process id; 0 if it has none here.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

impl From<PeerCredentials> for ringway_peer_t {
    fn from(peer: PeerCredentials) -> Self {
        Self {
            pid: peer.pid,
            uid: peer.uid,
            gid: peer.gid,
        }
    }
}

/// Gives `value` to the caller.
///
/// # Safety
/// `target` is null, or may be written.
pub(crate) unsafe fn hand_out<T>(target: *mut *mut T, value: T) -> Result<(), Fault> {
    if target.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    unsafe { target.write(Box::into_raw(Box::new(value))) };
    Ok(())
}

#[derive(Clone, Copy)]
enum How {
    Create,
    Open,
    OpenOrCreate,
}

/// # Safety
/// As of the functions that call it.
unsafe fn connect(
    how: How,
    text: *const c_char,
    options: *const ringway_options_t,
    ring: *mut *mut ringway_ring_t,
) -> c_int {
    guard_unit(|| {
        if ring.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promises about strings, structures and slabs.
        let asked = unsafe { read(options)?.connection(address(text)?)? };
        let carrier = match asked.queue {
            Some(queue) => Carrier::Queue(match how {
                How::Create => queue.create(),
                How::Open => queue.open(),
                How::OpenOrCreate => queue.open_or_create(),
            }?),
            None => {
                let channel = match how {
                    How::Create => Channel::create(asked.ring),
                    How::Open => Channel::open(asked.ring),
                    How::OpenOrCreate => Channel::open_or_create(asked.ring),
                }?;
                match channel.carrier() {
                    channel::Carrier::Ring(ring) => Carrier::Ring(ring.clone()),
                    channel::Carrier::Queue(queue) => Carrier::Queue(queue.clone()),
                    _ => return Err(OF_RINGS),
                }
            }
        };
        // SAFETY: it may be written.
        unsafe { hand_out(ring, ringway_ring_t::new(carrier)) }
    })
}

impl ringway_ring_t {
    fn new(carrier: Carrier) -> Self {
        let address = match &carrier {
            Carrier::Ring(ring) => ring.address(),
            Carrier::Queue(queue) => queue.address(),
        };
        Self {
            address: address.clone(),
            carrier,
        }
    }

    pub(crate) fn ring(&self) -> Result<&ringway::Ring, Fault> {
        match &self.carrier {
            Carrier::Ring(ring) => Ok(ring),
            Carrier::Queue(_) => Err(OF_RINGS),
        }
    }
}

/// Makes a new ring or queue, and gives it in `*ring`, to be freed by ringway_ring_free. `options` may be null.
///
/// Fails with RINGWAY_EXISTS, RINGWAY_INVALID, RINGWAY_OUT_OF_RANGE, RINGWAY_NO_SPACE, RINGWAY_DENIED, RINGWAY_UNSUPPORTED, RINGWAY_UNTRUSTED.
///
/// # Safety
/// `address` ends with a zero byte; `options` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_create(
    address: *const c_char,
    options: *const ringway_options_t,
    ring: *mut *mut ringway_ring_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(How::Create, address, options, ring) }
}

/// Opens what is there, and gives it in `*ring`, to be freed by ringway_ring_free. `options` may be null; with wait_ns it waits for the ring to
/// be made.
///
/// Fails with RINGWAY_NOT_FOUND, RINGWAY_TIMED_OUT, and one for each way in which it is nothing that can be used: RINGWAY_NOT_A_RING,
/// RINGWAY_INCOMPATIBLE, RINGWAY_CORRUPT, RINGWAY_HALF_MADE, RINGWAY_DENIED, RINGWAY_UNTRUSTED.
///
/// # Safety
/// As of ringway_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_open(
    address: *const c_char,
    options: *const ringway_options_t,
    ring: *mut *mut ringway_ring_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(How::Open, address, options, ring) }
}

/// Opens what is there, or makes it. Fails as ringway_create and ringway_open do.
///
/// # Safety
/// As of ringway_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_open_or_create(
    address: *const c_char,
    options: *const ringway_options_t,
    ring: *mut *mut ringway_ring_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(How::OpenOrCreate, address, options, ring) }
}

/// Gives up a ring. Its senders and receivers live on. Null is let pass.
///
/// # Safety
/// It comes from this library, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_free(ring: *mut ringway_ring_t) {
    if !ring.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(ring) }));
    }
}

/// A reference to what the caller has.
///
/// # Safety
/// Null, or from this library and not freed, and not written meanwhile.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T) -> Result<&'a T, Fault> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or(NULL)
}

/// The same, to be changed.
///
/// # Safety
/// Null, or from this library and not freed, and used by this thread alone.
#[inline]
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T, Fault> {
    // SAFETY: the caller's promise.
    let Some(target) = (unsafe { pointer.as_mut() }) else {
        // Made here alone: a fault that is not needed would have to be dropped.
        return Err(NULL);
    };
    Ok(target)
}

/// Copies where the ring is, with a zero byte at the end, to `buffer`, as much as fits, and returns how long it is without that byte: if that is not
/// less than `size`, it did not fit. Never auto:, but what that stands for.
///
/// # Safety
/// `buffer` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_address(
    ring: *const ringway_ring_t,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { borrow(ring) }?.address.to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&text, buffer, size) }
    })
}

/// As much of `text` as fits, with a zero byte at the end; its length.
///
/// # Safety
/// `buffer` has `size` bytes.
pub(crate) unsafe fn copy_text(text: &str, buffer: *mut c_char, size: usize) -> Result<i64, Fault> {
    if size > 0 {
        if buffer.is_null() {
            return Err(NULL);
        }
        let len = text.len().min(size - 1);
        // SAFETY: `len` bytes and one more are in the buffer.
        unsafe {
            text.as_ptr().copy_to_nonoverlapping(buffer.cast(), len);
            buffer.add(len).write(0);
        }
    }
    Ok(text.len() as i64)
}

/// What the ring is like. `info->size` says how much of it there is.
///
/// # Safety
/// `info` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_info(
    ring: *const ringway_ring_t,
    info: *mut ringway_ring_info_t,
) -> c_int {
    guard_unit(|| {
        let mut filled: ringway_ring_info_t = sized::zero();
        // SAFETY: the caller's promise.
        match &unsafe { borrow(ring) }?.carrier {
            Carrier::Ring(ring) => {
                filled.kind = number(ring.kind(), &KINDS);
                filled.sync = number(ring.sync(), &SyncKind::ALL);
                filled.capacity = ring.capacity();
                filled.max_message_len = ring.max_message_len();
                filled.max_senders = ring.participants(Role::Producer);
                filled.max_receivers = ring.participants(Role::Consumer);
                filled.cell_len = ring.cell_len().unwrap_or(0);
                filled.is_new = ring.is_new();
                filled.nonce = ring.nonce().to_le_bytes();
            }
            Carrier::Queue(queue) => {
                filled.kind = number(Kind::Mpsc, &KINDS);
                filled.max_message_len = queue.max_message_len() as u64;
                filled.max_receivers = 1;
                filled.is_queue = true;
                filled.is_new = queue.is_new();
            }
        }
        // SAFETY: the caller's promise.
        unsafe { sized::write(info, &filled) }
    })
}

/// The number by which the header has it.
pub(crate) fn number<T: PartialEq>(one: T, all: &[T]) -> u32 {
    let at = all.iter().position(|other| *other == one);
    at.map_or(0, |at| at as u32 + 1)
}

/// 1 if the ring has lost its name, 0 if not: it works on for all who have it open, and nobody else finds it. Asks the kernel.
///
/// # Safety
/// The ring is from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_is_removed(ring: *const ringway_ring_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow(ring) }?.ring()?.is_removed()?.into())) as c_int
}

/// A stream of our own over the caller's descriptor.
pub(crate) fn stream(socket: c_int) -> Result<UnixStream, Fault> {
    if socket < 0 {
        return Err(Fault::Own(
            crate::outcome::RINGWAY_INVALID,
            "the socket is no descriptor: give a connected Unix socket",
        ));
    }
    // SAFETY: the caller keeps it open during the call; if it is closed, the kernel says so.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
    let own = borrowed.try_clone_to_owned();
    own.map(Into::into).map_err(|_| {
        Fault::Own(
            crate::outcome::RINGWAY_INVALID,
            "the descriptor cannot be duplicated: give a connected Unix socket, and make room for one more",
        )
    })
}

/// Hands a memfd: ring to the process at the other end of a connected Unix socket, which calls ringway_take_over. `peer` (may be null) is told who that is. The
/// socket stays the caller's.
///
/// # Safety
/// The ring is from this library; `peer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_hand_over(
    ring: *const ringway_ring_t,
    socket: c_int,
    peer: *mut ringway_peer_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let told = unsafe { borrow(ring) }?
            .ring()?
            .hand_over(&stream(socket)?)?;
        if !peer.is_null() {
            // SAFETY: it may be written.
            unsafe { peer.write(told.into()) };
        }
        Ok(())
    })
}

/// Receives a memfd: ring that the process at the other end of a connected Unix socket hands over, and gives it in `*ring`, to be freed by ringway_ring_free.
/// `options` and `peer` may be null. The socket stays the caller's.
///
/// # Safety
/// As of ringway_create; `peer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_take_over(
    socket: c_int,
    options: *const ringway_options_t,
    ring: *mut *mut ringway_ring_t,
    peer: *mut ringway_peer_t,
) -> c_int {
    guard_unit(|| {
        if ring.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let asked = unsafe { read(options)?.ring(ringway::Builder::at(Address::Memfd))? };
        let (taken, told) = asked.take_over(&stream(socket)?)?;
        if !peer.is_null() {
            // SAFETY: it may be written.
            unsafe { peer.write(told.into()) };
        }
        // SAFETY: it may be written.
        unsafe { hand_out(ring, ringway_ring_t::new(Carrier::Ring(taken))) }
    })
}

/// Attaches this process as a sender, given in `*sender`, to be ended by ringway_sender_close or ringway_sender_leave. `options` may be null.
///
/// Fails with RINGWAY_BUSY if live processes have all places for senders, RINGWAY_NOT_FOUND, RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The ring is from this library; `options` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_sender(
    ring: *const ringway_ring_t,
    options: *const ringway_handle_options_t,
    sender: *mut *mut ringway_sender_t,
) -> c_int {
    guard_unit(|| {
        if sender.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (ring, options) = unsafe { (borrow(ring)?, read(options)?) };
        let sending = match &ring.carrier {
            Carrier::Ring(ring) => {
                let sender = ring.sender()?.with_wait(options.strategy()?);
                Sending::Ring(match options.copy_limit {
                    0 => sender,
                    bytes => sender.with_copy_limit(bytes),
                })
            }
            Carrier::Queue(queue) => Sending::Queue(queue.sender()?),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(sender, ringway_sender_t::new(sending)) }
    })
}

/// Attaches this process as a receiver, given in `*receiver`, to be ended by ringway_receiver_leave or ringway_receiver_close. `options` may be
/// null.
///
/// Fails as ringway_ring_sender does.
///
/// # Safety
/// As of ringway_ring_sender.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_receiver(
    ring: *const ringway_ring_t,
    options: *const ringway_handle_options_t,
    receiver: *mut *mut ringway_receiver_t,
) -> c_int {
    guard_unit(|| {
        if receiver.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (ring, options) = unsafe { (borrow(ring)?, read(options)?) };
        let receiving = match &ring.carrier {
            Carrier::Ring(ring) => Receiving::Ring(ring.receiver()?.with_wait(options.strategy()?)),
            Carrier::Queue(queue) => Receiving::Queue(queue.receiver()?),
        };
        // SAFETY: it may be written.
        unsafe { hand_out(receiver, ringway_receiver_t::new(receiving)) }
    })
}
