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
    let mut bytes = Vec::new();
    sign(&mut bytes, who, number, max);
    bytes
}

/// Makes `bytes` the message that [`signed`] returns.
pub fn sign(bytes: &mut Vec<u8>, who: u32, number: u64, max: usize) {
    let seed = signature_seed(who, number);
    let len = signed_len(who, number, max);
    bytes.clear();
    bytes.extend((0..len.div_ceil(8) as u64).flat_map(|word| mix(seed ^ word).to_le_bytes()));
    bytes.truncate(len);
    bytes[..4].copy_from_slice(&who.to_le_bytes());
    bytes[4..SIGNATURE_LEN].copy_from_slice(&number.to_le_bytes());
}

/// Bytes of the message that [`signed`] returns.
pub fn signed_len(who: u32, number: u64, max: usize) -> usize {
    let seed = signature_seed(who, number);
    let some = (seed >> 32) as usize;
    let len = match seed % 64 {
        0..8 => 128 * (1 + some % 3) - 24 + some % 16,
        8..12 => some % 800,
        12 if seed >> 60 == 0 => max - some % 2,
        _ => some % 64,
    };
    len.clamp(SIGNATURE_LEN, max)
}

fn signature_seed(who: u32, number: u64) -> u64 {
    mix(u64::from(who) << 40 ^ number)
}

/// Bytes that say who sent a message, and its number.
pub const SIGNATURE_LEN: usize = 12;

/// Who sent this message, and its number. It must be whole.
#[track_caller]
pub fn signature(message: &[u8], max: usize) -> (u32, u64) {
    let Some((who, number)) = claimed_signature(message) else {
        panic!("torn: {message:?}")
    };
    assert!(
        is_signed(message, max),
        "torn: message {number} of {who} with {} bytes",
        message.len()
    );
    (who, number)
}

/// Who sent this message, and its number, as its first bytes say. `None` if it is too short.
pub fn claimed_signature(message: &[u8]) -> Option<(u32, u64)> {
    let (who, rest) = message.split_first_chunk()?;
    let number = rest.first_chunk()?;
    Some((u32::from_le_bytes(*who), u64::from_le_bytes(*number)))
}

/// Whether this is a whole message that [`signed`] returns.
pub fn is_signed(message: &[u8], max: usize) -> bool {
    claimed_signature(message).is_some_and(|(who, number)| message == signed(who, number, max))
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
