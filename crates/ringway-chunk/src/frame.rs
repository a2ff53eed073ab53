//! Frames: a fragment of a message, in one message of the transport: a header, and the payload. `LAYOUT.md` ("Frames of
//! large messages") has the table, and what a header must not say.

use std::fmt;

use bytemuck::{Pod, Zeroable};
use crc_fast::{CrcAlgorithm, Digest};
use ringway_core::transport::MessageRoom;

/// Bytes of a header.
pub const HEADER_LEN: usize = 48;

/// The header as it is sent. (Little-endian, as every machine is that `ringway_core` is built for.)
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Raw {
    magic: [u8; 3],
    version: u8,
    flags: u32,
    sender: u64,
    message: u64,
    offset: u64,
    total: u64,
    len: u32,
    crc: u32,
}

const MAGIC: [u8; 3] = *b"RWC";
const VERSION: u8 = 1;
const FIRST: u32 = 1;
const LAST: u32 = 2;
const ABORT: u32 = 4;
const UNKNOWN: u64 = u64::MAX;
/// The CRC covers what is before it.
const CRC: usize = std::mem::offset_of!(Raw, crc);

/// So much of a payload is copied at a time, and then checked, while the nearest cache still has it. Less, and the
/// copies cost more than that saves. (Measured through a ring of 1 MiB, as a part of the rate without fragments: 1 KiB
/// 0.8, 8 to 32 KiB 0.92 to 0.96, and 0.8 with the checksum of each fragment before its copy.)
const BLOCK: usize = 16 << 10;

/// What a fragment is in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A part of the message; the first if its offset is 0, the last if so said.
    Part {
        /// Whether it ends the message.
        last: bool,
    },
    /// The sender gives the message up.
    Abort,
}

/// A header, decoded: it does not contradict itself.
///
/// ```
/// # mod ringway { pub use ringway_chunk as chunk; }
/// use ringway::chunk::{Header, Place};
///
/// let header = Header {
///     sender: 7,
///     message: 1,
///     offset: 0,
///     total: Some(5),
///     len: 5,
///     place: Place::Part { last: true },
/// };
/// let bytes = header.encode(b"hello");
/// assert_eq!(Header::decode(&bytes, bytes.len() + 5), Ok(header));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Whose message it is.
    pub sender: u64,
    /// Which of the sender's messages.
    pub message: u64,
    /// Where in the message the payload lies.
    pub offset: u64,
    /// Bytes of the whole message, if the sender knows.
    pub total: Option<u64>,
    /// Bytes of the payload.
    pub len: u32,
    /// What the fragment is in its message.
    pub place: Place,
}

/// Why a message of the transport is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// It is shorter than a header.
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// It does not begin as frames do.
    NotAFrame,
    /// A version that this code does not know.
    Version(u8),
    /// Flags that this code does not know, or that exclude each other.
    Flags(u32),
    /// It is not as long as its header says.
    Length {
        /// Bytes of header and payload, as the header says.
        said: u64,
        /// Bytes of the transport's message.
        found: usize,
    },
    /// Its offset, lengths and flags contradict each other.
    Contradiction,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len } => write!(
                f,
                "a message of {len} bytes is too short for a fragment: who sends here must send in \
                 chunks",
            ),
            Self::NotAFrame => f.write_str(
                "a message is no fragment: who sends here must send in chunks, or receive without",
            ),
            Self::Version(version) => write!(
                f,
                "a fragment has version {version}, and this program knows version {VERSION}: update \
                 it",
            ),
            Self::Flags(flags) => write!(
                f,
                "a fragment has flags {flags:#x}, which this program does not know: update it",
            ),
            Self::Length { said, found } => write!(
                f,
                "a fragment of {found} bytes says that it has {said}: its sender is broken or hostile",
            ),
            Self::Contradiction => {
                f.write_str("a fragment contradicts itself: its sender is broken or hostile")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl Header {
    /// Whether the fragment begins its message.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether the fragment ends its message.
    pub fn is_last(&self) -> bool {
        self.place == Place::Part { last: true }
    }

    /// Where the payload ends in the message.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.into())
    }

    /// The header's bytes, with the CRC of it and `payload`. `len` must be the payload's.
    pub fn encode(&self, payload: &[u8]) -> [u8; HEADER_LEN] {
        let mut bytes = self.encode_without_crc();
        let mut crc = Crc::of_header(&bytes);
        crc.update(payload);
        crc.write_to(&mut bytes);
        bytes
    }

    /// Writes the whole frame. The header comes last: what it says of the payload is known when that is copied.
    pub(crate) fn write_frame(&self, payload: &[u8], room: &mut dyn MessageRoom) {
        let mut bytes = self.encode_without_crc();
        let mut crc = Crc::of_header(&bytes);
        let mut offset = HEADER_LEN;
        for block in payload.chunks(BLOCK) {
            // In this order: a copy fetches ahead what the checksum then finds, better than the other way round.
            offset += room.write_at(offset, block);
            crc.update(block);
        }
        crc.write_to(&mut bytes);
        room.write_at(0, &bytes);
    }

    /// Copies the payload of the frame with this header into `room`, where nothing is to be believed before it is
    /// known whether it is [intact](Self::is_intact): that is returned. `copy` copies from that offset of the payload
    /// and says how much that was.
    pub(crate) fn copy_payload(
        bytes: &[u8; HEADER_LEN],
        room: &mut [u8],
        mut copy: impl FnMut(usize, &mut [u8]) -> usize,
    ) -> bool {
        let mut crc = Crc::of_header(bytes);
        for (number, block) in room.chunks_mut(BLOCK).enumerate() {
            if copy(number * BLOCK, block) != block.len() {
                return false;
            }
            crc.update(block);
        }
        crc.is_said_by(bytes)
    }

    fn encode_without_crc(&self) -> [u8; HEADER_LEN] {
        let first = if self.is_first() { FIRST } else { 0 };
        let flags = match self.place {
            Place::Part { last: true } => first | LAST,
            Place::Part { last: false } => first,
            Place::Abort => ABORT,
        };
        bytemuck::must_cast(Raw {
            magic: MAGIC,
            version: VERSION,
            flags,
            sender: self.sender,
            message: self.message,
            offset: self.offset,
            total: self.total.unwrap_or(UNKNOWN),
            len: self.len,
            crc: 0,
        })
    }

    /// Reads the header of a frame that has `frame_len` bytes in all. The CRC is not looked at; see
    /// [`is_intact`](Self::is_intact).
    ///
    /// # Errors
    /// [`FrameError`]. `bytes` may be longer than a header.
    pub fn decode(bytes: &[u8], frame_len: usize) -> Result<Self, FrameError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(FrameError::TooShort { len: frame_len });
        };
        if frame_len < HEADER_LEN {
            return Err(FrameError::TooShort { len: frame_len });
        }
        let raw: Raw = bytemuck::must_cast(*bytes);
        if raw.magic != MAGIC {
            return Err(FrameError::NotAFrame);
        }
        if raw.version != VERSION {
            return Err(FrameError::Version(raw.version));
        }
        let flags = raw.flags;
        let place = match flags & !FIRST {
            0 => Place::Part { last: false },
            LAST => Place::Part { last: true },
            ABORT if flags == ABORT => Place::Abort,
            _ => return Err(FrameError::Flags(flags)),
        };
        let header = Self {
            sender: raw.sender,
            message: raw.message,
            offset: raw.offset,
            total: Some(raw.total).filter(|total| *total != UNKNOWN),
            len: raw.len,
            place,
        };
        let said = HEADER_LEN as u64 + u64::from(header.len);
        if said != frame_len as u64 {
            return Err(FrameError::Length {
                said,
                found: frame_len,
            });
        }
        let consistent = header.is_consistent() && (flags & FIRST != 0) == header.is_first();
        consistent
            .then_some(header)
            .ok_or(FrameError::Contradiction)
    }

    fn is_consistent(&self) -> bool {
        // 2^64 - 1 bytes would be an unknown length.
        let Some(end) = self.offset.checked_add(self.len.into()) else {
            return false;
        };
        match (self.place, self.total) {
            (Place::Abort, total) => {
                self.offset > 0 && self.len == 0 && total.is_none_or(|total| self.offset <= total)
            }
            (Place::Part { last }, Some(total)) => {
                (self.len > 0 || last) && end <= total && last == (end == total)
            }
            (Place::Part { last }, None) => (self.len > 0 || last) && end != UNKNOWN,
        }
    }

    /// Whether this header's bytes and the payload are those of which the sender took the CRC. Give it
    /// private copies: what lies in shared memory may change behind it.
    pub fn is_intact(bytes: &[u8; HEADER_LEN], payload: &[u8]) -> bool {
        let mut crc = Crc::of_header(bytes);
        crc.update(payload);
        crc.is_said_by(bytes)
    }
}

/// The CRC of a frame.
struct Crc(Digest);

impl Crc {
    /// Begins with the header, which has to be the rest of it.
    fn of_header(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&bytes[..CRC]);
        Self(digest)
    }

    /// Goes on with the payload.
    fn update(&mut self, payload: &[u8]) {
        self.0.update(payload);
    }

    fn write_to(&self, bytes: &mut [u8; HEADER_LEN]) {
        *bytes = bytemuck::must_cast(Raw {
            crc: self.0.finalize() as u32,
            ..bytemuck::must_cast(*bytes)
        });
    }

    fn is_said_by(&self, bytes: &[u8; HEADER_LEN]) -> bool {
        let raw: Raw = bytemuck::must_cast(*bytes);
        self.0.finalize() as u32 == raw.crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            sender: 0x0102_0304_0506_0708,
            message: 0x1112_1314_1516_1718,
            offset: 16,
            total: Some(19),
            len: 3,
            place: Place::Part { last: true },
        }
    }

    fn crc32c(bytes: &[u8]) -> u32 {
        crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
    }

    #[test]
    fn a_frame_is_laid_out_as_the_table_says() {
        let bytes = header().encode(b"abc");
        assert_eq!(bytes[..4], *b"RWC\x01");
        assert_eq!(bytes[4..8], [2, 0, 0, 0]);
        assert_eq!(bytes[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(bytes[16..24], [24, 23, 22, 21, 20, 19, 18, 17]);
        assert_eq!(bytes[24..32], [16, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[32..40], [19, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[40..44], [3, 0, 0, 0]);
        let mut covered = bytes[..44].to_vec();
        covered.extend(b"abc");
        assert_eq!(bytes[44..], crc32c(&covered).to_le_bytes());
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Across the ends of blocks too, a frame that is written in blocks is the one that is encoded at once, and arrives.
    #[test]
    fn in_blocks_or_at_once_a_frame_is_the_same() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let payload: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let header = Header {
                offset: 0,
                total: Some(len as u64),
                len: len as u32,
                ..header()
            };
            let mut frame = vec![0xee; HEADER_LEN + len];
            header.write_frame(&payload, &mut frame.as_mut_slice());
            assert_eq!(frame, [&header.encode(&payload)[..], &payload].concat());

            let bytes = frame.first_chunk().unwrap();
            let mut arrived = vec![0; len];
            let copied = |most: usize| {
                let frame = &frame;
                move |offset: usize, mut room: &mut [u8]| {
                    room.write_at(0, &frame[HEADER_LEN..][..most.min(len)][offset.min(most)..])
                }
            };
            assert!(Header::copy_payload(bytes, &mut arrived, copied(len)));
            assert_eq!(arrived, payload);
            if let Some(short) = len.checked_sub(1) {
                assert!(!Header::copy_payload(bytes, &mut arrived, copied(short)));
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_any_block_is_noticed() {
        let payload = vec![7; 2 * BLOCK + 8];
        let header = Header {
            offset: 0,
            total: Some(payload.len() as u64),
            len: payload.len() as u32,
            ..header()
        };
        let bytes = header.encode(&payload);
        for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK, payload.len() - 1] {
            let mut room = vec![0; payload.len()];
            let is_intact = Header::copy_payload(&bytes, &mut room, |offset, mut room| {
                let mut damaged = payload.clone();
                damaged[at] ^= 1;
                room.write_at(0, &damaged[offset..])
            });
            assert!(!is_intact, "byte {at}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = header().encode(b"abc");
        let mut frame = [&good[..], b"abc"].concat();
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            let bytes = frame[..HEADER_LEN].try_into().unwrap();
            let decoded = Header::decode(&frame, frame.len());
            let intact = Header::is_intact(bytes, &frame[HEADER_LEN..]);
            assert!(decoded.is_err() || !intact, "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            let bytes = header.encode_without_crc();
            let len = HEADER_LEN + header.len as usize;
            assert_eq!(
                Header::decode(&bytes, len),
                Err(FrameError::Contradiction),
                "{header:?}",
            );
        };
        refused(|header| header.total = Some(18));
        refused(|header| header.total = Some(20));
        refused(|header| header.place = Place::Part { last: false });
        refused(|header| header.place = Place::Abort);
        refused(|header| (header.offset, header.total) = (u64::MAX - 1, None));
        refused(|header| (header.offset, header.total) = (u64::MAX - 3, None));
        refused(|header| (header.len, header.place) = (0, Place::Part { last: false }));
        refused(|header| {
            (header.offset, header.len, header.place) = (0, 0, Place::Abort);
        });
    }

    #[test]
    fn what_is_unknown_is_named() {
        let mut bytes = header().encode(b"abc");
        let decode = |bytes: &[u8; HEADER_LEN]| Header::decode(bytes, HEADER_LEN + 3);
        assert_eq!(
            Header::decode(&bytes, HEADER_LEN + 4),
            Err(FrameError::Length {
                said: 51,
                found: 52
            }),
        );
        assert_eq!(
            Header::decode(&bytes[..47], 47),
            Err(FrameError::TooShort { len: 47 }),
        );
        bytes[4] = 8;
        assert_eq!(decode(&bytes), Err(FrameError::Flags(8)));
        bytes[4] = 6;
        assert_eq!(decode(&bytes), Err(FrameError::Flags(6)));
        // The first fragment of nothing.
        bytes[4] = 5;
        assert_eq!(decode(&bytes), Err(FrameError::Flags(5)));
        bytes[3] = 2;
        assert_eq!(decode(&bytes), Err(FrameError::Version(2)));
        bytes[0] = b'r';
        assert_eq!(decode(&bytes), Err(FrameError::NotAFrame));
    }
}
