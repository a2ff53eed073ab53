//! What the bytes of a segment mean. No behaviour: encoding, and parsing of what may be anything.
//!
//! A segment file is a header of one page and records one behind the other. All numbers are little-endian.
//!
//! | header: offset | width | field |
//! |---|---|---|
//! | 0 | 8 | magic: `RWLOGSEG` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | seed: what the checksums of this segment's records are combined with |
//! | 16 | 16 | the log's nonce |
//! | 32 | 8 | base: the number of the first record |
//! | 40 | 8 | no record in here is older: nanoseconds since 1970 |
//! | 48 | 8 | 0 |
//! | 56 | 4 | 0 |
//! | 60 | 4 | CRC32C of the 60 bytes before |
//!
//! | record: offset | width | field |
//! |---|---|---|
//! | 0 | 4 | CRC32C of everything behind it up to the payload's end, xor the segment's seed |
//! | 4 | 4 | bytes of the payload |
//! | 8 | 7 | number |
//! | 15 | 1 | kind: 1 message, 2 gap, 3 mark, 4 seal |
//! | 16 | 8 | time, nanoseconds since 1970 |
//! | 24 | | the payload, and zeros up to the next multiple of eight |
//!
//! Only messages and gaps have numbers of their own: a mark and a seal have that of the next message. A *gap* says that the
//! messages from its number up to the one in its payload were never written here. A *mark* says how far the log was
//! known to be synced when it was written: all before the number in its payload. A *seal* is the last record of a segment, and the
//! next segment's base is its number. Behind the last record are zeros.
//!
//! The seed differs from segment to segment, so that what was left on the disk by another file is no record.

use crate::crc;
pub use crate::crc::crc32c;

/// Bytes before the first record.
pub const HEADER_LEN: u64 = 4096;
/// Bytes of a segment's header that mean something.
pub const HEADER_USED: usize = 64;
/// Bytes of a record before its payload.
pub const RECORD_HEADER: usize = 24;
/// Bytes of the longest payload.
pub const MAX_PAYLOAD: usize = 1 << 30;
/// The largest number, which no message has.
pub const MAX_NUMBER: u64 = (1 << 56) - 1;

const MAGIC: [u8; 8] = *b"RWLOGSEG";
const VERSION: u32 = 1;

/// Bytes that a record with such a payload takes.
pub const fn record_len(payload: usize) -> usize {
    RECORD_HEADER + payload.next_multiple_of(8)
}

/// Bytes of the seal that must always find room.
pub const SEAL_LEN: usize = record_len(0);

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Of the log that it belongs to.
    pub nonce: u128,
    /// The number of its first record.
    pub base: u64,
    /// No record in it is older.
    pub time: u64,
    /// What its records' checksums are combined with.
    pub seed: u32,
}

/// Why bytes are no segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// They are something else.
    Foreign,
    /// Another version made it.
    Version(u32),
    /// The checksum is wrong.
    Damaged,
}

impl SegmentHeader {
    /// The bytes that mean something; zeros follow up to [`HEADER_LEN`].
    pub fn encode(&self) -> [u8; HEADER_USED] {
        let mut bytes = [0; HEADER_USED];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.time.to_le_bytes());
        let crc = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// Why they say nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_USED>() else {
            return Err(NoHeader::Foreign);
        };
        if bytes[..8] != MAGIC {
            return Err(NoHeader::Foreign);
        }
        if u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err(NoHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            other => return Err(NoHeader::Version(other)),
        }
        let base = u64_at(bytes, 32);
        if base > MAX_NUMBER {
            return Err(NoHeader::Damaged);
        }
        Ok(Self {
            nonce: u128::from(u64_at(bytes, 24)) << 64 | u128::from(u64_at(bytes, 16)),
            base,
            time: u64_at(bytes, 40),
            seed: u32_at(bytes, 12),
        })
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A message.
    Message,
    /// Messages that were never written here: up to the number in the payload.
    Gap,
    /// How far the log is synced.
    Mark,
    /// The end of the segment.
    Seal,
}

impl RecordKind {
    fn code(self) -> u64 {
        match self {
            Self::Message => 1,
            Self::Gap => 2,
            Self::Mark => 3,
            Self::Seal => 4,
        }
    }

    fn of(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Message,
            2 => Self::Gap,
            3 => Self::Mark,
            4 => Self::Seal,
            _ => return None,
        })
    }
}

/// A record's header that is plausible, or a whole record if [`parse`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Its number, or the next message's.
    pub number: u64,
    /// When it was written: nanoseconds since 1970.
    pub time: u64,
    /// Bytes of the payload, which begins [`RECORD_HEADER`] bytes behind the record's beginning.
    pub len: usize,
    /// For a gap and a mark, the number in the payload.
    pub other: u64,
}

impl Record {
    /// Bytes from its beginning to the next record's.
    pub fn total(&self) -> usize {
        record_len(self.len)
    }

    /// The number that the message behind it has.
    pub fn next(&self) -> u64 {
        match self.kind {
            RecordKind::Message => self.number + 1,
            RecordKind::Gap => self.other,
            RecordKind::Mark | RecordKind::Seal => self.number,
        }
    }
}

/// What bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole record that is right.
    Record(Record),
    /// Perhaps a record, of which so many bytes are needed.
    Needs(usize),
    /// No record.
    Nothing,
}

/// What `bytes` begin with, in a segment with that seed, of which `room` bytes follow from here on. `expected` is the only number that will
/// do; `None` if any will.
#[inline]
pub fn parse(bytes: &[u8], seed: u32, expected: Option<u64>, room: u64) -> Parsed {
    if room < RECORD_HEADER as u64 {
        return Parsed::Nothing;
    }
    let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else {
        return Parsed::Needs(RECORD_HEADER);
    };
    let word = u64_at(header, 8);
    let number = word & MAX_NUMBER;
    let Some(kind) = RecordKind::of(word >> 56) else {
        return Parsed::Nothing;
    };
    let len = u32_at(header, 4) as usize;
    let len_is_right = match kind {
        RecordKind::Message => len <= MAX_PAYLOAD,
        RecordKind::Gap | RecordKind::Mark => len == 8,
        RecordKind::Seal => len == 0,
    };
    if !len_is_right
        || record_len(len) as u64 > room
        || expected.is_some_and(|expected| expected != number)
        || number == MAX_NUMBER
    {
        return Parsed::Nothing;
    }
    let end = RECORD_HEADER + len;
    if bytes.len() < record_len(len) {
        return Parsed::Needs(record_len(len));
    }
    let time = u64_at(header, 16);
    let crc = crc::of_record(len as u32, [word, time], &bytes[RECORD_HEADER..end]);
    if crc ^ seed != u32_at(header, 0) {
        return Parsed::Nothing;
    }
    let other = match kind {
        RecordKind::Gap | RecordKind::Mark => u64_at(bytes, RECORD_HEADER),
        RecordKind::Message | RecordKind::Seal => 0,
    };
    let other_is_right = match kind {
        RecordKind::Gap => number < other && other < MAX_NUMBER,
        RecordKind::Mark => other <= number,
        RecordKind::Message | RecordKind::Seal => true,
    };
    if !other_is_right {
        return Parsed::Nothing;
    }
    Parsed::Record(Record {
        kind,
        number,
        time,
        len,
        other,
    })
}

/// Appends a record to `bytes`.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD`].
#[inline]
pub fn encode(
    bytes: &mut Vec<u8>,
    seed: u32,
    kind: RecordKind,
    number: u64,
    time: u64,
    payload: &[u8],
) {
    assert!(payload.len() <= MAX_PAYLOAD, "a payload within the limit");
    let (len, word) = (payload.len() as u32, kind.code() << 56 | number);
    let crc = crc::of_record(len, [word, time], payload) ^ seed;
    let end = bytes.len() + record_len(payload.len());
    bytes.reserve(record_len(payload.len()));
    let first = u64::from(len) << 32 | u64::from(crc);
    bytes.extend_from_slice(bytemuck::bytes_of(&[first, word, time].map(u64::to_le)));
    bytes.extend_from_slice(payload);
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            nonce: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            base: 77,
            time: 1_000,
            seed: 0xdead_beef,
        }
    }

    #[test]
    fn a_header_is_read_back_and_every_flipped_bit_is_noticed() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..HEADER_USED * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&[]), Err(NoHeader::Foreign));
    }

    #[test]
    fn a_record_is_read_back_and_every_flipped_bit_is_noticed() {
        let cases: [(RecordKind, &[u8]); 5] = [
            (RecordKind::Message, b"hello"),
            (RecordKind::Message, b""),
            (RecordKind::Gap, &90_u64.to_le_bytes()),
            (RecordKind::Mark, &70_u64.to_le_bytes()),
            (RecordKind::Seal, b""),
        ];
        for (kind, payload) in cases {
            let mut bytes = Vec::new();
            encode(&mut bytes, 7, kind, 77, 5, payload);
            assert_eq!(bytes.len(), record_len(payload.len()));
            let parse_of = |bytes: &[u8]| parse(bytes, 7, Some(77), 1 << 20);
            let Parsed::Record(record) = parse_of(&bytes) else {
                panic!("{kind:?} is not read back");
            };
            assert_eq!((record.kind, record.number, record.time), (kind, 77, 5));
            assert_eq!(record.len, payload.len());
            assert_eq!(parse(&bytes, 8, Some(77), 1 << 20), Parsed::Nothing);
            assert_eq!(parse(&bytes, 7, Some(78), 1 << 20), Parsed::Nothing);
            assert_eq!(parse(&bytes, 7, None, 23), Parsed::Nothing);
            for bit in 0..(RECORD_HEADER + payload.len()) * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let parsed = parse_of(&bytes);
                assert!(!matches!(parsed, Parsed::Record(_)), "{kind:?}: bit {bit}");
            }
            for len in 0..bytes.len() {
                let parsed = parse_of(&bytes[..len]);
                assert!(matches!(parsed, Parsed::Needs(more) if more > len));
            }
        }
    }

    #[test]
    fn zeros_are_no_record() {
        for seed in [0, 1, u32::MAX] {
            assert_eq!(parse(&[0; 64], seed, Some(0), 64), Parsed::Nothing);
        }
    }
}
