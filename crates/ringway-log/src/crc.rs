//! CRC32C: for short messages by the processor's own instruction, one word at a time, which costs less than it takes to begin with several streams.

#![allow(
    unsafe_code,
    reason = "a function for processors with an instruction is called where that was found to be there"
)]

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes up to which one stream is as fast as several.
#[cfg(any(test, target_arch = "x86_64"))]
const SHORT: usize = 384;

/// Of some bytes.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Of a record without its checksum, padding aside: the length of its payload, two words, and the payload, in this order.
#[inline]
pub(crate) fn of_record(len: u32, words: [u64; 2], payload: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if payload.len() <= SHORT && std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has SSE 4.2, as was just asked.
        return unsafe { of_short(len, words, payload) };
    }
    of_long(len, words, payload)
}

fn of_long(len: u32, words: [u64; 2], payload: &[u8]) -> u32 {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..12].copy_from_slice(&words[0].to_le_bytes());
    header[12..].copy_from_slice(&words[1].to_le_bytes());
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&header);
    digest.update(payload);
    digest.finalize() as u32
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn of_short(len: u32, words: [u64; 2], payload: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let mut crc = u64::from(_mm_crc32_u32(!0, len));
    crc = _mm_crc32_u64(crc, words[0]);
    crc = _mm_crc32_u64(crc, words[1]);
    let (whole, rest) = payload.as_chunks::<8>();
    for word in whole {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
    }
    // The upper half is zero.
    let mut crc = crc as u32;
    for byte in rest {
        crc = _mm_crc32_u8(crc, *byte);
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn of_a_record_it_is_that_of_its_bytes_however_long_it_is() {
        let bytes: Vec<u8> = (0..3 * SHORT).map(|at| (at * 7 + at / 256) as u8).collect();
        for len in
            (0..bytes.len()).filter(|len| *len < 70 || len.abs_diff(SHORT) < 10 || len % 97 == 0)
        {
            let payload = &bytes[..len];
            let words = [0x0102_0304_0506_0708 ^ len as u64, u64::MAX - len as u64];
            let mut whole = (len as u32).to_le_bytes().to_vec();
            whole.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            whole.extend_from_slice(payload);
            let expected = crc32c(&whole);
            assert_eq!(of_record(len as u32, words, payload), expected, "{len}");
            assert_eq!(of_long(len as u32, words, payload), expected, "{len}");
        }
    }
}
