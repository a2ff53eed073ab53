//! The last page of a slab that is a segment of its own: whose it is.
//!
//! | offset in the page | width | field |
//! |---|---|---|
//! | 0 | 8 | magic, written last; or [`CONDEMNED`] |
//! | 8 | 4 | layout version |
//! | 12 | 4 | the slab's number |
//! | 16 | 16 | the ring's nonce |
//! | 32 | 8 | bytes of the slab, which is what lies before this page |
//! | 40 | 8 | `sysv:`: id of the ring's segment, plus 1; else zero |
//! | 48 | | zero |
//!
//! At the end and not in front, so that a slab begins where a page of whatever size does, and looks like
//! what is sent in it and not like a ring.

use super::header::LAYOUT_VERSION;

/// Bytes behind the slab.
pub(crate) const TRAILER_LEN: u64 = 4096;
/// Those of them that say something.
pub(crate) const IDENTITY_LEN: usize = 48;

/// What the first eight bytes of a finished one hold.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"RINGSLAB");
/// What they hold if a collector found it unfinished: it is removed, and its creator makes another.
pub(crate) const CONDEMNED: u64 = u64::from_le_bytes(*b"SLABGONE");

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

    /// The page's words, the magic among them.
    pub(crate) fn encode(&self) -> [u64; IDENTITY_LEN / 8] {
        let nonce = u128::from_le_bytes(self.nonce);
        [
            MAGIC,
            u64::from(LAYOUT_VERSION) | u64::from(self.index) << 32,
            nonce as u64,
            (nonce >> 64) as u64,
            self.len,
            self.ring.map_or(0, |id| u64::from(id as u32) + 1),
        ]
    }

    /// Whether words behind `len` bytes can be what a creator that has not finished has written.
    pub(crate) fn may_become(words: [u64; IDENTITY_LEN / 8], len: u64) -> bool {
        [0, CONDEMNED].contains(&words[0])
            && [0, LAYOUT_VERSION].contains(&(words[1] as u32))
            && [0, len].contains(&words[4])
    }

    /// Decodes words that were fetched once; `None` if no ringway of this version wrote them.
    pub(crate) fn decode(words: [u64; IDENTITY_LEN / 8]) -> Option<Self> {
        let nonce = u128::from(words[2]) | u128::from(words[3]) << 64;
        let ring = words[5].checked_sub(1).map(|id| id as i32);
        let identity = Self {
            nonce: nonce.to_le_bytes(),
            index: (words[1] >> 32) as u32,
            len: words[4],
            ring,
        };
        (identity.encode() == words).then_some(identity)
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
            for bit in 0..IDENTITY_LEN * 8 {
                let mut flipped = words;
                flipped[bit / 64] ^= 1 << (bit % 64);
                assert_ne!(Identity::decode(flipped), Some(identity), "bit {bit}");
            }
        }
    }

    #[test]
    fn nothing_decodes_to_none() {
        assert_eq!(Identity::decode([0; IDENTITY_LEN / 8]), None);
        assert_eq!(Identity::decode([CONDEMNED, 0, 0, 0, 0, 0]), None);
    }
}
