//! The control lines of a stream ring. Each line has one writer, but for the wake words, which the
//! sleeper sets and the waker clears.
//!
//! | offset | width | field | written by |
//! |---|---|---|---|
//! | 256 | 8 | tail: bytes ever committed, a position | producer |
//! | 264 | 8 | sent: messages ever committed | producer |
//! | 384 | 8 | head: bytes ever released, a position | consumer |
//! | 392 | 8 | received: messages ever released | consumer |
//! | 512 | 4 | data event: 1 while the consumer sleeps for a message | both |
//! | 516 | 4 | 1 when the consumer has closed | consumer |
//! | 640 | 4 | space event: 1 while the producer sleeps for room | both |
//! | 644 | 4 | 1 when the producer has closed | producer |
//!
//! Each "closed" word lies beside the event that the *other* side looks at after every operation: one
//! line, hardly ever written, serves both questions.

use super::LINE;

/// Offset of the first control line.
pub(crate) const CONTROL_OFFSET: usize = 256;
/// Bytes of all control lines, with room for those of other kinds.
pub(crate) const CONTROL_LEN: usize = 6 * LINE;

/// The producer's line. It is the truth for observers and a hint for nobody: the producer's place is
/// found again from the records themselves.
pub(crate) const TAIL: usize = CONTROL_OFFSET;
/// Messages ever committed.
pub(crate) const SENT: usize = TAIL + 8;

/// The consumer's line: everything before `HEAD` may be overwritten.
pub(crate) const HEAD: usize = CONTROL_OFFSET + LINE;
/// Messages ever released. Stored before `HEAD`.
pub(crate) const RECEIVED: usize = HEAD + 8;

/// The consumer's wake word.
pub(crate) const DATA_EVENT: usize = CONTROL_OFFSET + 2 * LINE;
/// Set once, when the consumer wants no more.
pub(crate) const CONSUMER_CLOSED: usize = DATA_EVENT + 4;

/// The producer's wake word.
pub(crate) const SPACE_EVENT: usize = CONTROL_OFFSET + 3 * LINE;
/// Set once, when the producer ends the stream.
pub(crate) const PRODUCER_CLOSED: usize = SPACE_EVENT + 4;

const _: () = assert!(SPACE_EVENT + LINE <= CONTROL_OFFSET + CONTROL_LEN);
