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

/// Message `number` of producer `who`, for a ring that carries up to `max` bytes a message: it says
/// both, and all its other bytes and its length follow from them. Mostly short, some around the borders
/// of cells of 128 bytes, some several cells long, seldom the longest.
pub fn signed(who: u32, number: u64, max: usize) -> Vec<u8> {
    let seed = mix(u64::from(who) << 40 ^ number);
    let some = (seed >> 32) as usize;
    let len = match seed % 64 {
        0..8 => 128 * (1 + some % 3) - 24 + some % 16,
        8..12 => some % 800,
        12 if seed >> 60 == 0 => max - some % 2,
        _ => some % 64,
    };
    let mut bytes: Vec<u8> = (0..len.clamp(SIGNATURE_LEN, max) as u64)
        .map(|at| mix(seed ^ (at / 8)).to_le_bytes()[(at % 8) as usize])
        .collect();
    bytes[..4].copy_from_slice(&who.to_le_bytes());
    bytes[4..SIGNATURE_LEN].copy_from_slice(&number.to_le_bytes());
    bytes
}

const SIGNATURE_LEN: usize = 12;

/// Who sent this message, and its number. It must be whole.
#[track_caller]
pub fn signature(message: &[u8], max: usize) -> (u32, u64) {
    assert!(message.len() >= SIGNATURE_LEN, "torn: {message:?}");
    let (who, number) = message[..SIGNATURE_LEN].split_at(4);
    let who = u32::from_le_bytes(who.try_into().unwrap());
    let number = number_in(number);
    assert!(
        message == signed(who, number, max),
        "torn: message {number} of {who} with {} bytes",
        message.len()
    );
    (who, number)
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
