//! What becomes of messages.

use std::fmt;

/// What a [`Reassembler`](crate::Reassembler) has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message has arrived whole.
    Message(Gathered),
    /// A message will not.
    Lost(Lost),
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// Who sent it: the sender's attachment to the transport.
    pub sender: u64,
    /// Which of the sender's messages it is.
    pub message: u64,
    /// The message.
    pub bytes: Vec<u8>,
}

/// A message that will not arrive whole. Others are not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lost {
    /// Who sent it.
    pub sender: u64,
    /// Which of the sender's messages it was.
    pub message: u64,
    /// Bytes of it that had arrived.
    pub received: u64,
    /// Why.
    pub why: Why,
}

/// Why a message is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The sender died or left in its midst.
    SenderGone,
    /// The sender gave it up.
    Aborted,
    /// The sender has begun another without ending or aborting it.
    Superseded,
    /// Fragments are missing.
    Gap,
    /// Its fragments contradict each other.
    Contradiction,
    /// A fragment's checksum is wrong. Sender and message are what the fragment says.
    Corrupt,
    /// Its beginning did not come here; another receiver had it, before this one.
    Orphan,
    /// It is longer than `max_message`.
    TooLong {
        /// Its length, or how much of it has come, in bytes.
        len: u64,
    },
    /// With it, more would be in flight than the limits allow.
    NoRoom,
    /// For long nothing came of it, while others had no room.
    Stalled,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sender,
            message,
            received,
            why,
        } = self;
        write!(
            f,
            "message {message} of sender {sender:#x} is lost after {received} bytes: {why}"
        )
    }
}

impl std::error::Error for Lost {}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SenderGone => "its sender died or left; send it again from there",
            Self::Aborted => "its sender gave it up",
            Self::Superseded => "its sender began another before it was sent",
            Self::Gap => "fragments are missing; use a transport that loses nothing",
            Self::Contradiction => {
                "its fragments contradict each other; its sender is broken or hostile"
            }
            Self::Corrupt => "a checksum is wrong; its sender or the memory is broken",
            Self::Orphan => {
                "its beginning went to an earlier receiver; have it sent again if it is needed"
            }
            Self::TooLong { len } => {
                return write!(
                    f,
                    "it has {len} bytes or more; raise max_message, or receive it with recv_to",
                );
            }
            Self::NoRoom => {
                "too much is in flight; raise max_in_flight or max_messages, or receive faster"
            }
            Self::Stalled => "nothing came of it for long while others had no room",
        })
    }
}
