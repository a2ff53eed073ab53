//! What keeps a handle to one thread at a time.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::api::receiving::Receiving;
use crate::api::sending::Sending;
use crate::presence::participant::Participant;

/// Names the rule in the compiler's message when a handle is shared between threads.
#[derive(Debug)]
pub struct OneThreadAtATime;

/// In every handle: it can be sent to another thread, and not be shared with one.
///
/// The handle's other parts are `Sync`, so that the compiler's message names this and nothing private.
pub type Unshared = PhantomData<Cell<OneThreadAtATime>>;

/// A cell or a raw pointer in there would make the compiler name that instead.
const _: () = {
    const fn is_sync<T: Sync>() {}
    is_sync::<(Sending, Receiving, Participant)>();
};
