//! The control lines: indices, counters and wake words. `LAYOUT.md` has their tables, and who writes what.
//!
//! In a stream ring each line has one writer, but for the wake words, which the sleeper sets and the waker clears. Each
//! "closed" word lies beside the event that the *other* side looks at after every operation: one line, hardly ever
//! written, serves both questions.

use super::LINE;

/// Offset of the first control line.
pub(crate) const CONTROL_OFFSET: usize = 256;
/// Bytes of all control lines.
pub(crate) const CONTROL_LEN: usize = 6 * LINE;

/// The producer's line. Observers believe it; the next producer does not, and finds the tail by walking over the records.
pub(crate) const TAIL: usize = CONTROL_OFFSET;
/// Messages ever committed.
pub(crate) const SENT: usize = TAIL + 8;

/// The consumer's line: everything before `HEAD` may be overwritten.
pub(crate) const HEAD: usize = CONTROL_OFFSET + LINE;
/// Messages ever released. Stored before `HEAD`.
pub(crate) const RECEIVED: usize = HEAD + 8;

/// The consumer's wake word.
pub(crate) const DATA_EVENT: usize = CONTROL_OFFSET + 2 * LINE;
/// Set by a consumer that closes, before it leaves its slot; cleared by one that has come. Says nothing while the slot is
/// held.
pub(crate) const CONSUMER_CLOSED: usize = DATA_EVENT + 4;

/// The producer's wake word.
pub(crate) const SPACE_EVENT: usize = CONTROL_OFFSET + 3 * LINE;
/// The same of the producer.
pub(crate) const PRODUCER_CLOSED: usize = SPACE_EVENT + 4;

/// Stream ring: the numbers of the messages before which all were shown once, twice and so on, [`MOST_DELIVERIES`]
/// words; a line of their own, which the producer does not look at.
pub(crate) const SHOWN: usize = CONTROL_OFFSET + 4 * LINE;
/// How often a message is shown before its deliveries are not counted further, in rings of both shapes.
pub(crate) const MOST_DELIVERIES: usize = 15;

/// Cell ring: where claiming may go on, a cell's position.
pub(crate) const CLAIM_HINT: usize = TAIL;
/// Cell ring: raised when a consumer comes or goes.
pub(crate) const CONSUMERS_CHANGED: usize = CONSUMER_CLOSED;
/// Cell ring: raised when a producer comes or goes.
pub(crate) const PRODUCERS_CHANGED: usize = PRODUCER_CLOSED;
/// Cell ring: where taking may go on, a cell's position.
pub(crate) const TAKE_HINT: usize = CONTROL_OFFSET + 4 * LINE;
/// Cell ring: the lock of lock-based kinds, [`LOCK_LEN`] bytes.
pub(crate) const LOCK: usize = CONTROL_OFFSET + 5 * LINE;
/// Bytes kept for the lock.
pub(crate) const LOCK_LEN: usize = 64;
/// Cell ring: a 64-bit word for who holds the lock.
pub(crate) const LOCK_HOLDER: usize = LOCK + LOCK_LEN;

/// What turns watchers away that are about to sleep, see [`crate::presence::watcher`].
pub(crate) const MOVEMENTS: usize = CONTROL_OFFSET + CONTROL_LEN - 8;

const _: () = assert!(LOCK_HOLDER + 8 <= MOVEMENTS);
const _: () = assert!(SHOWN + 8 * MOST_DELIVERIES <= MOVEMENTS);
const _: () = assert!(SPACE_EVENT + LINE <= CONTROL_OFFSET + CONTROL_LEN);
