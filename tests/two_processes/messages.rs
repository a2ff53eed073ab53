//! Messages that know their number: what arrives is compared with what must have been sent.

/// Message `number` of a ring that carries up to `max` bytes a message: empty, one byte, around the
/// borders of words, now and then long, seldom the longest.
pub fn message(number: u64, max: usize) -> Vec<u8> {
    let seed = mix(number);
    let len = match number % 64 {
        0 => 0,
        1 => 1,
        2 => 7,
        3 => 8,
        4 => 9,
        63 => max.min(1900),
        _ => seed as usize % 64,
    };
    let len = match number % 5000 {
        4998 => max - 1,
        4999 => max,
        _ => len,
    };
    let mut bytes = seed.to_le_bytes().repeat(len.div_ceil(8));
    for (index, part) in bytes.chunks_exact_mut(64).enumerate() {
        part[..8].copy_from_slice(&mix(seed ^ index as u64).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Number `number` as a message of eight bytes.
pub fn number(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// The number in a message of eight bytes.
#[track_caller]
pub fn number_in(message: &[u8]) -> u64 {
    u64::from_le_bytes(message.try_into().unwrap())
}

/// Random numbers, the same in each run.
pub struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 += 1;
        mix(self.0) % limit
    }
}

/// SplitMix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
