//! The header of a segment, for fuzzing.

use std::ops::Range;

use crate::layout::header::{self, FenceMode, HEADER_LEN, HeaderError, MAGIC, MAGIC_OFFSET};
use crate::layout::{Geometry, Kind, Sync};

/// A decoded header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(header::Header);

/// Why bytes are no header of a segment that this process can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(HeaderError);

impl Header {
    /// Bytes of an encoded header.
    pub const LEN: usize = HEADER_LEN;

    /// The header of a new ring; `None` unless `capacity` is a power of two from 64 bytes on.
    pub fn new(capacity: u64) -> Option<Self> {
        Some(Self(header::Header {
            kind: Kind::Spsc,
            sync: Sync::Futex,
            overwrite: false,
            fence: FenceMode::Symmetric,
            nonce: [0; 16],
            created_ns: 0,
            geometry: Geometry::stream(capacity)?,
            boot_id: [0; 16],
        }))
    }

    /// Checks and decodes the header at the start of a segment of `segment_len` bytes.
    ///
    /// # Errors
    /// [`Refused`] if this is no finished segment, or one of another layout or machine, or its
    /// geometry contradicts itself or the segment's length.
    pub fn decode(bytes: &[u8; Self::LEN], segment_len: u64) -> Result<Self, Refused> {
        header::Header::decode(bytes, segment_len)
            .map(Self)
            .map_err(Refused)
    }

    /// The bytes of the header of a finished segment.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = self.0.encode();
        bytes[MAGIC_OFFSET..MAGIC_OFFSET + 8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes
    }

    /// The parts of the data region and of the whole segment that the geometry gives, in bytes from
    /// the start of the segment.
    pub fn extents(&self) -> (Range<u64>, u64) {
        let geometry = &self.0.geometry;
        let data = geometry.data_offset()..geometry.data_offset() + geometry.capacity();
        (data, geometry.total_len())
    }
}
