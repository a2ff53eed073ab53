//! What keeps a handle to one thread at a time.

use std::cell::Cell;
use std::marker::PhantomData;

/// Names the rule in the compiler's message when a handle is shared between threads.
#[derive(Debug)]
pub struct OneThreadAtATime;

/// In every handle: it can be sent to another thread, and not be shared with one.
///
/// The handle's other parts are `Sync`, so that the compiler's message names this and nothing private.
pub type Unshared = PhantomData<Cell<OneThreadAtATime>>;
