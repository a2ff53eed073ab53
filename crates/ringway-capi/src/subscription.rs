//! How a receiver of a broadcast ring takes part.

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};

use crate::options::{
    RINGWAY_BLOCK, RINGWAY_EVICT, RINGWAY_LOSSY, UNKNOWN, ringway_handle_options_t,
};
use crate::outcome::{Fault, NULL, RINGWAY_INVALID, guard_unit};
use crate::receiver::{Receiving, ringway_receiver_t};
use crate::ring::{borrow, hand_out, ringway_ring_t};
use crate::sized::{Sized, read};

/// Begin with the oldest message that the ring holds. (start)
pub const RINGWAY_OLDEST: u32 = 0;
/// Begin with the next one that is sent. (start)
pub const RINGWAY_LATEST: u32 = 1;
/// Begin `start_at` messages before the next one. (start)
pub const RINGWAY_LAST: u32 = 2;
/// Begin with the message of number `start_at`. (start)
pub const RINGWAY_NUMBER: u32 = 3;

/// How a receiver of a broadcast ring takes part. All zero but the size: with the oldest message, blocking the sender, without a name:
/// RINGWAY_SUBSCRIPTION_INIT. What it begins with and is gone already is told first, as RINGWAY_LAGGED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_subscription_t {
    /// sizeof(ringway_subscription_t)
    pub size: usize,
    /// RINGWAY_OLDEST, ...
    pub start: u32,
    /// What becomes of the sender when this receiver does not keep up: RINGWAY_BLOCK, ...; RINGWAY_BLOCK if it is 0.
    pub policy: u32,
    /// Of RINGWAY_LAST how many messages, of RINGWAY_NUMBER which one.
    pub start_at: u64,
    /// Of RINGWAY_EVICT, when it is more than so many bytes of the ring behind; 0 if `evict_ns` is the limit.
    pub evict_bytes: u64,
    /// Of RINGWAY_EVICT, when the sender has waited for so many nanoseconds; 0 if `evict_bytes` is the limit.
    pub evict_ns: u64,
    /// A name of up to 64 bytes, under which the ring keeps the receiver's place: who subscribes with it again goes on with the first message that was
    /// not released, whatever `start` says. Null: none.
    pub name: *const c_char,
}

// SAFETY: repr(C), begins with its size, and has integers and a pointer.
unsafe impl Sized for ringway_subscription_t {}

const LIMIT: Fault = Fault::Own(
    RINGWAY_INVALID,
    "evict_bytes and evict_ns are limits of RINGWAY_EVICT, which has one of them: set that one, and leave the other 0",
);
const NAME: Fault = Fault::Own(RINGWAY_INVALID, "the name is no UTF-8: choose another one");

impl ringway_subscription_t {
    /// # Safety
    /// `name` is null, or ends with a zero byte.
    unsafe fn subscription(&self) -> Result<Subscription, Fault> {
        let start = match self.start {
            RINGWAY_OLDEST => Start::Oldest,
            RINGWAY_LATEST => Start::Latest,
            RINGWAY_LAST => Start::Last(self.start_at),
            RINGWAY_NUMBER => Start::Number(self.start_at),
            _ => return Err(UNKNOWN),
        };
        let policy = match (self.policy, self.evict_bytes, self.evict_ns) {
            (0 | RINGWAY_BLOCK, 0, 0) => Policy::Block,
            (RINGWAY_LOSSY, 0, 0) => Policy::Lossy,
            (RINGWAY_EVICT, 1.., 0) => Policy::Evict(EvictAfter::Bytes(self.evict_bytes)),
            (RINGWAY_EVICT, 0, 1..) => {
                Policy::Evict(EvictAfter::Waiting(Duration::from_nanos(self.evict_ns)))
            }
            (0 | RINGWAY_BLOCK | RINGWAY_LOSSY | RINGWAY_EVICT, ..) => return Err(LIMIT),
            _ => return Err(UNKNOWN),
        };
        let subscription = Subscription::new().start(start).policy(policy);
        if self.name.is_null() {
            return Ok(subscription);
        }
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(self.name) }.to_str();
        Ok(subscription.name(name.map_err(|_| NAME)?))
    }
}

/// Attaches this process as a receiver of a broadcast ring, given in `*receiver`, to be ended by ringway_receiver_leave or ringway_receiver_close.
/// `options` and `subscription` may be null. (ringway_ring_receiver is the same without a subscription.)
///
/// Fails as ringway_ring_receiver does, with RINGWAY_BUSY also if somebody alive has the name, RINGWAY_NO_SPACE if the ring has all the names that it can have,
/// RINGWAY_UNSUPPORTED if it does not allow the policy, or is of another kind.
///
/// # Safety
/// The ring is from this library; both structures have the sizes that they say; the name ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_ring_subscribe(
    ring: *const ringway_ring_t,
    options: *const ringway_handle_options_t,
    subscription: *const ringway_subscription_t,
    receiver: *mut *mut ringway_receiver_t,
) -> c_int {
    guard_unit(|| {
        if receiver.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (ring, options) = unsafe { (borrow(ring)?, read(options)?) };
        // SAFETY: the caller's promise.
        let subscription = unsafe { read(subscription)?.subscription() }?;
        let attached = ring.ring()?.subscribe(&subscription)?;
        let receiving = Receiving::Ring(attached.with_wait(options.strategy()?));
        // SAFETY: it may be written.
        unsafe { hand_out(receiver, ringway_receiver_t::new(receiving)) }
    })
}
