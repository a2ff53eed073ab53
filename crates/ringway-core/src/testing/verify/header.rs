//! The header of a segment, for fuzzing.

use std::ops::Range;

use crate::memory::layout::header::{self, FenceMode, HEADER_LEN, HeaderError};
use crate::memory::layout::pool::{Class, Slabs};
use crate::memory::layout::{Geometry, Kind, Shape, SyncKind};

/// A decoded header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(pub(super) header::Header);

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
            sync: SyncKind::Futex,
            overwrite: false,
            persistent: false,
            policies: 0,
            fence: FenceMode::Symmetric,
            nonce: [0; 16],
            created_ns: 0,
            geometry: Geometry::stream(capacity)?,
            boot_id: [0; 16],
            file: header::FileId::default(),
            companions: [0; 16],
            ipc_namespace: 0,
        }))
    }

    /// The header of a new ring with cells of 64 bytes, for many producers and many consumers, two of each;
    /// `None` unless `capacity` is a power of two from 256 bytes on.
    pub fn with_cells(capacity: u64) -> Option<Self> {
        let geometry = Geometry::new(Kind::Mpmc, Shape::Cells(64), 4, capacity)?;
        let mut header = Self::new(capacity)?;
        (header.0.kind, header.0.geometry) = (Kind::Mpmc, geometry);
        Some(header)
    }

    /// The same with slabs, of two to the power of so many bytes, so many; `None` if there cannot be such.
    pub fn with_slabs(mut self, classes: &[(u8, u32)]) -> Option<Self> {
        let classes: Option<Vec<_>> = classes
            .iter()
            .map(|&(bits, count)| {
                let len = 1_u64.checked_shl(bits.into())?;
                Some(Class { len, count })
            })
            .collect();
        self.0.geometry = self.0.geometry.with_slabs(Slabs::new(&classes?)?);
        Some(self)
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
        header::finished(self.0.encode())
    }

    /// The same with each slab in a segment of its own.
    pub fn with_slab_segments(mut self) -> Self {
        self.0.geometry = self.0.geometry.with_slab_segments(true);
        self
    }

    /// Where the slabs' words are and where the slabs, or the ids of their segments, in bytes from the start of
    /// the segment; empty if there are none.
    pub fn slab_extents(&self) -> (Range<u64>, Range<u64>) {
        let geometry = &self.0.geometry;
        if geometry.slabs().is_empty() {
            return Default::default();
        }
        let (words, slabs) = geometry.slab_offsets();
        let words_end = words + 8 * u64::from(geometry.slabs().count());
        (words..words_end, slabs..geometry.total_len())
    }

    /// The parts of the data region and of the whole segment that the geometry gives, in bytes from
    /// the start of the segment.
    pub fn extents(&self) -> (Range<u64>, u64) {
        let geometry = &self.0.geometry;
        let data = geometry.data_offset()..geometry.data_end();
        (data, geometry.total_len())
    }
}
