//! What a message in a queue looks like: sixteen bytes that say whose it is, then the payload. `LAYOUT.md` ("Messages in
//! queues") has the table.
//!
//! In a System V queue the message's type is 2 + 31 - priority, so that the lowest type is the most urgent. A message of
//! type 1, or in a POSIX queue of priority 33, without any text, not even this header, is a *notice*: it tells the
//! receiver to look around. In a queue without priorities all have priority 0.
//!
//! Whoever may write to a queue may put anything into it. What does not decode is skipped and counted.

use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

/// Bytes in front of the payload.
pub const HEADER_LEN: usize = 16;

/// The header as it is sent. (Little-endian, as every machine is that `ringway_core` is built for.)
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Raw {
    magic: [u8; 4],
    kind: u8,
    zero: [u8; 3],
    sender: u64,
}

/// Places that senders of one queue may have.
pub const PLACES: u16 = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 10;

/// Senders have numbers below this.
const MOST_NUMBERS: u64 = 1 << 61;

const MAGIC: [u8; 4] = *b"RWQ\x02";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Data,
    /// The sender has closed; nothing of it follows.
    Closed,
    /// The sender has gone, and leaves the queue open for another one.
    Left,
}

/// The bytes in front of the payload, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Which sender it came from.
    pub sender: SenderNumber,
}

/// The number of a sender. No other sender of the queue ever has it, and of those that hold one place after the other,
/// the later ones have the higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SenderNumber(u64);

impl SenderNumber {
    /// Of one that attaches in `place`, which is below [`PLACES`], so long after the machine was started.
    pub fn new(place: u16, since_start: Duration) -> Self {
        let time = (since_start.as_nanos() >> 11) as u64;
        let number = time << PLACE_BITS | u64::from(place % PLACES);
        // It suffices for a century, and is never 0.
        Self((number % MOST_NUMBERS).max(1 << PLACE_BITS))
    }

    /// What [`get`](Self::get) gave; `None` of a number that no sender has.
    pub fn of(number: u64) -> Option<Self> {
        (1..MOST_NUMBERS).contains(&number).then_some(Self(number))
    }

    /// As it is sent: above 0, and below 2^61.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The place of the sender, below [`PLACES`].
    pub fn place(self) -> u16 {
        (self.0 % u64::from(PLACES)) as u16
    }

    /// The number without the place.
    pub(crate) fn time(self) -> u64 {
        self.0 >> PLACE_BITS
    }
}

/// How long ago the machine was started: nobody sets this clock, and no queue outlives it. (Processes of different time
/// namespaces may disagree; who is taken for an earlier holder of its place then is not missed when it dies.)
pub(crate) fn since_start() -> Result<Duration, Errno> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from)
}

/// Not a frame of ringway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl Header {
    /// As it is sent.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        bytemuck::must_cast(Raw {
            magic: MAGIC,
            kind: match self.kind {
                Kind::Data => 1,
                Kind::Closed => 2,
                Kind::Left => 3,
            },
            zero: [0; 3],
            sender: self.sender.get(),
        })
    }

    /// Header and payload of what was received.
    ///
    /// # Errors
    /// [`Foreign`]: no peer of ringway's sends that.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), Foreign> {
        let (bytes, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(Foreign)?;
        let raw: Raw = bytemuck::must_cast(*bytes);
        let kind = match raw.kind {
            1 => Kind::Data,
            2 => Kind::Closed,
            3 => Kind::Left,
            _ => return Err(Foreign),
        };
        let sender = SenderNumber::of(raw.sender).ok_or(Foreign)?;
        let is_ours = raw.magic == MAGIC && raw.zero == [0; 3];
        let is_whole = kind == Kind::Data || payload.is_empty();
        match is_ours && is_whole {
            true => Ok((Self { kind, sender }, payload)),
            false => Err(Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        kind: Kind::Data,
        sender: SenderNumber(0x1122_3344_5566_7788),
    };

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        assert_eq!(
            HEADER.encode(),
            [
                b'R', b'W', b'Q', 2, 1, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11
            ]
        );
    }

    #[test]
    fn what_is_encoded_decodes() {
        for kind in [Kind::Data, Kind::Closed, Kind::Left] {
            let header = Header { kind, ..HEADER };
            assert_eq!(Header::decode(&header.encode()), Ok((header, &[][..])));
        }
        let frame = [&HEADER.encode()[..], b"payload"].concat();
        assert_eq!(Header::decode(&frame), Ok((HEADER, &b"payload"[..])));
    }

    #[test]
    fn a_number_says_the_place_and_a_later_holder_of_it_has_a_higher_one() {
        let at = |micros| Duration::from_secs(86_400) + Duration::from_micros(micros);
        let numbers = [0, 3, 6].map(|micros| SenderNumber::new(1023, at(micros)));
        assert!(numbers.is_sorted() && numbers[0] < numbers[1] && numbers[1] < numbers[2]);
        for number in numbers {
            assert_eq!(number.place(), 1023);
            assert_eq!(SenderNumber::of(number.get()), Some(number));
        }
        let first = SenderNumber::new(0, Duration::ZERO);
        assert_eq!(SenderNumber::of(first.get()), Some(first));
        assert_eq!(SenderNumber::of(1 << 61), None);
    }

    #[test]
    fn what_no_peer_sends_is_foreign() {
        let whole = HEADER.encode();
        for len in 0..HEADER_LEN {
            assert_eq!(Header::decode(&whole[..len]), Err(Foreign));
        }
        for (at, byte) in [
            (0, b'X'),
            (3, 1),
            (4, 0),
            (4, 4),
            (5, 1),
            (7, 4),
            (15, 0x20),
        ] {
            let mut bytes = whole;
            bytes[at] = byte;
            assert_eq!(Header::decode(&bytes), Err(Foreign), "{at}");
        }
        let nobody = Header {
            sender: SenderNumber(0),
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
