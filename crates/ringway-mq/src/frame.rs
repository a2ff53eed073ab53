//! What a message in a queue looks like: sixteen bytes that say whose it is, then the payload.
//!
//! | offset | width | field |
//! |---|---|---|
//! | 0 | 4 | magic and version: `RWQ` and 1 |
//! | 4 | 1 | kind: 1 data, 2 the sender has closed, 3 the sender has detached |
//! | 5 | 1 | 0 |
//! | 6 | 2 | the sender's slot, below 1024; System V: 0 |
//! | 8 | 8 | the sender's number, random, never 0 |
//! | 16 | | payload; only of kind 1 |
//!
//! All numbers are little-endian. In a System V queue the message's type is 2 + 31 - priority, so that the lowest
//! type is the most urgent. A message of type 1, or in a POSIX queue of priority 33, without any text, not even this
//! header, is a *notice*: it tells the receiver to look around. In a queue without priorities all have
//! priority 0.
//!
//! Whoever may write to a queue may put anything into it. What does not decode is skipped and counted.

/// Bytes in front of the payload.
pub const HEADER_LEN: usize = 16;

/// Slots that senders of one POSIX queue may have.
pub const SLOTS: u16 = 1024;

const MAGIC: [u8; 4] = *b"RWQ\x01";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Data,
    /// The sender has closed; nothing of it follows.
    Closed,
    /// The sender has gone, and leaves the queue open for another one.
    Detached,
}

/// The bytes in front of the payload, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Which of the senders' places it came from.
    pub slot: u16,
    /// Which sender it came from: a random number that is not 0.
    pub sender: u64,
}

/// Not a frame of ringway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl Header {
    /// As it is sent.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = match self.kind {
            Kind::Data => 1,
            Kind::Closed => 2,
            Kind::Detached => 3,
        };
        bytes[6..8].copy_from_slice(&self.slot.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sender.to_le_bytes());
        bytes
    }

    /// Header and payload of what was received.
    ///
    /// # Errors
    /// [`Foreign`]: no peer of ringway's sends that.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), Foreign> {
        let (bytes, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(Foreign)?;
        let [m0, m1, m2, m3, kind, zero, s0, s1, sender @ ..] = *bytes;
        let kind = match kind {
            1 => Kind::Data,
            2 => Kind::Closed,
            3 => Kind::Detached,
            _ => return Err(Foreign),
        };
        let header = Self {
            kind,
            slot: u16::from_le_bytes([s0, s1]),
            sender: u64::from_le_bytes(sender),
        };
        let is_ours = [m0, m1, m2, m3] == MAGIC && zero == 0;
        let is_sound = header.slot < SLOTS && header.sender != 0;
        let is_whole = kind == Kind::Data || payload.is_empty();
        match is_ours && is_sound && is_whole {
            true => Ok((header, payload)),
            false => Err(Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        kind: Kind::Data,
        slot: 0x0102,
        sender: 0x1122_3344_5566_7788,
    };

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        assert_eq!(
            HEADER.encode(),
            [
                b'R', b'W', b'Q', 1, 1, 0, 2, 1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11
            ]
        );
    }

    #[test]
    fn what_is_encoded_decodes() {
        for kind in [Kind::Data, Kind::Closed, Kind::Detached] {
            let header = Header { kind, ..HEADER };
            assert_eq!(Header::decode(&header.encode()), Ok((header, &[][..])));
        }
        let frame = [&HEADER.encode()[..], b"payload"].concat();
        assert_eq!(Header::decode(&frame), Ok((HEADER, &b"payload"[..])));
    }

    #[test]
    fn what_no_peer_sends_is_foreign() {
        let whole = HEADER.encode();
        for len in 0..HEADER_LEN {
            assert_eq!(Header::decode(&whole[..len]), Err(Foreign));
        }
        for (at, byte) in [(0, b'X'), (3, 2), (4, 0), (4, 4), (5, 1), (7, 4)] {
            let mut bytes = whole;
            bytes[at] = byte;
            assert_eq!(Header::decode(&bytes), Err(Foreign), "{at}");
        }
        let nobody = Header {
            sender: 0,
            ..HEADER
        };
        assert_eq!(Header::decode(&nobody.encode()), Err(Foreign));
        let closed = Header {
            kind: Kind::Closed,
            ..HEADER
        };
        let with_payload = [&closed.encode()[..], b"x"].concat();
        assert_eq!(Header::decode(&with_payload), Err(Foreign));
    }
}
