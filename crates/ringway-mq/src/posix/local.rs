//! Farewells within a process.
//!
//! A sender that closes waits for room for its farewell as long as there is a receiver. If that is a handle of the
//! same process, perhaps of the same thread, it might wait for ever; so it leaves the farewell here. The receiver
//! looks here when the queue is empty, where farewells come anyway.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frame::Header;

/// Device and inode of a queue.
pub(super) type Identity = (u64, u64);

/// Farewells that a receiver has not seen yet; at most one for each slot in use.
#[derive(Debug, Default)]
pub(super) struct Farewells(Mutex<Vec<Header>>);

static RECEIVERS: Mutex<Vec<(Identity, Arc<Farewells>)>> = Mutex::new(Vec::new());

fn receivers() -> MutexGuard<'static, Vec<(Identity, Arc<Farewells>)>> {
    RECEIVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A receiver is attached.
pub(super) fn enter(queue: Identity) -> Arc<Farewells> {
    let farewells = Arc::default();
    receivers().push((queue, Arc::clone(&farewells)));
    farewells
}

/// It has left.
pub(super) fn leave(farewells: &Arc<Farewells>) {
    receivers().retain(|(_, other)| !Arc::ptr_eq(other, farewells));
}

/// Leaves a farewell to the receiver of this process, if it has one.
pub(super) fn tell(queue: Identity, farewell: Header) -> bool {
    let receivers = receivers();
    let receiver = receivers.iter().find(|(other, _)| *other == queue);
    receiver.is_some_and(|(_, receiver)| {
        receiver.lock().push(farewell);
        true
    })
}

impl Farewells {
    pub(super) fn take(&self) -> Vec<Header> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Header>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
