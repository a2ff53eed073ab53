//! The last page of a slab that is a segment of its own: whose it is. `LAYOUT.md` ("Slabs") has the table.
//!
//! At the end and not in front, so that a slab begins where a page of whatever size does, and looks like
//! what is sent in it and not like a ring.

use bytemuck::{Pod, Zeroable};

use super::header::LAYOUT_VERSION;

/// Bytes behind the slab.
pub(crate) const TRAILER_LEN: u64 = 4096;
/// Words of them that say something.
pub(crate) const IDENTITY_WORDS: usize = size_of::<Raw>() / 8;

/// What the first eight bytes of a finished one hold.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"RINGSLAB");
/// What they hold if a collector found it unfinished: it is removed, and its creator makes another.
pub(crate) const CONDEMNED: u64 = u64::from_le_bytes(*b"SLABGONE");

/// What lies behind the slab.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Raw {
    pub(super) magic: u64,
    pub(super) version: u32,
    pub(super) index: u32,
    pub(super) nonce: [u8; 16],
    pub(super) len: u64,
    pub(super) ring: u64,
}

/// Which slab of which ring it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) nonce: [u8; 16],
    pub(crate) index: u32,
    /// Bytes of the slab.
    pub(crate) len: u64,
    /// Of a System V segment, the id of the ring's.
    pub(crate) ring: Option<i32>,
}

impl Identity {
    /// Bytes of the whole segment.
    pub(crate) fn segment_len(&self) -> u64 {
        segment_len(self.len)
    }

    fn raw(&self) -> Raw {
        Raw {
            magic: MAGIC,
            version: LAYOUT_VERSION,
            index: self.index,
            nonce: self.nonce,
            len: self.len,
            ring: self.ring.map_or(0, |id| u64::from(id as u32) + 1),
        }
    }

    /// The page's words, the magic among them.
    pub(crate) fn encode(&self) -> [u64; IDENTITY_WORDS] {
        bytemuck::must_cast(self.raw())
    }

    /// Whether words behind `len` bytes can be what a creator that has not finished has written.
    pub(crate) fn may_become(words: [u64; IDENTITY_WORDS], len: u64) -> bool {
        let raw: Raw = bytemuck::must_cast(words);
        [0, CONDEMNED].contains(&raw.magic)
            && [0, LAYOUT_VERSION].contains(&raw.version)
            && [0, len].contains(&raw.len)
    }

    /// Decodes words that were fetched once; `None` if no ringway of this version wrote them.
    pub(crate) fn decode(words: [u64; IDENTITY_WORDS]) -> Option<Self> {
        let raw: Raw = bytemuck::must_cast(words);
        let identity = Self {
            nonce: raw.nonce,
            index: raw.index,
            len: raw.len,
            ring: raw.ring.checked_sub(1).map(|id| id as i32),
        };
        (identity.raw() == raw).then_some(identity)
    }
}

/// Bytes of the segment of a slab of `len` bytes.
pub(crate) fn segment_len(len: u64) -> u64 {
    len + TRAILER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_and_every_other_bit_counts() {
        for ring in [None, Some(0), Some(i32::MAX)] {
            let identity = Identity {
                nonce: [0xa5; 16],
                index: 65535,
                len: 1 << 40,
                ring,
            };
            let words = identity.encode();
            assert_eq!(Identity::decode(words), Some(identity));
            for bit in 0..IDENTITY_WORDS * 64 {
                let mut flipped = words;
                flipped[bit / 64] ^= 1 << (bit % 64);
                assert_ne!(Identity::decode(flipped), Some(identity), "bit {bit}");
            }
        }
    }

    #[test]
    fn nothing_decodes_to_none() {
        assert_eq!(Identity::decode([0; IDENTITY_WORDS]), None);
        assert_eq!(Identity::decode([CONDEMNED, 0, 0, 0, 0, 0]), None);
    }
}
