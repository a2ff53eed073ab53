//! Message contents that tell their number, so that the receiver can check every byte.

/// Odd, so that different numbers give different words.
const NUMBER: u64 = 0x9e37_79b9_7f4a_7c15;
/// What undoes a multiplication by it, modulo 2^64.
const NUMBER_INVERSE: u64 = {
    // Newton's iteration: each step doubles the bits that are right, of which an odd number has three.
    let mut inverse = NUMBER;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(NUMBER.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
};
const PLACE: u64 = 0xd1b5_4a32_d192_ed03;

/// Writes the contents of message `number`.
#[inline]
pub(crate) fn fill(number: u64, message: &mut [u8]) {
    let mut word = number.wrapping_mul(NUMBER);
    let mut words = message.chunks_exact_mut(8);
    for chunk in &mut words {
        chunk.copy_from_slice(&word.to_le_bytes());
        word = word.wrapping_add(PLACE);
    }
    let rest = words.into_remainder();
    rest.copy_from_slice(&word.to_le_bytes()[..rest.len()]);
}

/// Whether these are the contents of message `number`.
#[inline]
#[must_use]
pub(crate) fn check(number: u64, message: &[u8]) -> bool {
    let mut word = number.wrapping_mul(NUMBER);
    // Differences are gathered, not branched on, so that the loop can be vectorised.
    let mut difference = 0;
    let mut words = message.chunks_exact(8);
    for chunk in &mut words {
        difference |= word ^ chunk.try_into().map_or(!word, u64::from_le_bytes);
        word = word.wrapping_add(PLACE);
    }
    let rest = words.remainder();
    difference == 0 && rest == &word.to_le_bytes()[..rest.len()]
}

/// The number of a message, if it has bytes enough to tell. Whether the rest is in order, [`check`]
/// tells.
pub(crate) fn number(message: &[u8]) -> Option<u64> {
    let word = message
        .first_chunk::<8>()
        .copied()
        .map(u64::from_le_bytes)?;
    Some(word.wrapping_mul(NUMBER_INVERSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_from_others_and_from_damaged_ones() {
        for len in [1, 7, 8, 9, 63, 64, 100] {
            let mut message = vec![0; len];
            fill(41, &mut message);
            assert!(check(41, &message), "{len}");
            assert!(!check(42, &message), "{len}");
            assert_eq!(number(&message), (len >= 8).then_some(41), "{len}");
            for place in 0..len {
                message[place] ^= 1;
                assert!(!check(41, &message), "{len} {place}");
                message[place] ^= 1;
            }
        }
    }
}
