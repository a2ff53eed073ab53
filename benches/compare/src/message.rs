//! What every contestant carries: messages that are derived from their number, and checked.

use crate::memory::Shared;

/// Up to here every word of a message is written and checked; of larger ones, which are there to be
/// copied, one word in every KiB and the last.
const DENSE_WORDS: usize = 128;
const SPARSE_STEP: usize = 128;

/// A message in memory of the process's own, from where it is sent or where it is received.
///
/// One that is short is a local of each call, which the compiler may keep where it likes. One that is long, and there to be
/// copied, lies in pages of its own for good: to zero a local for each message would take as long as a copy, and the compiler
/// spares that only those whose copies it sees through.
#[derive(Default)]
pub struct Buffer<const W: usize>(Option<Shared>);

impl<const W: usize> Buffer<W> {
    /// The message: `local`, unless it is long.
    #[inline(always)]
    pub fn of<'a>(&'a mut self, local: &'a mut [u64; W]) -> &'a mut [u64; W] {
        if W <= DENSE_WORDS {
            return local;
        }
        let new = || {
            let pages = Shared::new(W * 8);
            pages.populate();
            pages
        };
        // SAFETY: so many bytes, on a page, zeroed at first, which nobody else knows of.
        unsafe { &mut *self.0.get_or_insert_with(new).at(0).cast() }
    }
}

/// Odd, so that multiplying by it loses nothing.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// What undoes it, modulo 2^64: Newton's method, from the five bits that any odd number is right in.
const UNDO: u64 = {
    let mut inverse = FACTOR.wrapping_mul(3) ^ 2;
    let mut step = 0;
    while step < 4 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(FACTOR.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};
const _: () = assert!(FACTOR.wrapping_mul(UNDO) == 1);

#[inline(always)]
pub fn word(number: u64, index: usize) -> u64 {
    number.wrapping_mul(FACTOR).wrapping_add(index as u64)
}

/// The number of the message that begins with this word.
#[inline(always)]
pub fn number_of(first_word: u64) -> u64 {
    first_word.wrapping_mul(UNDO)
}

/// Makes `message` the one with this number.
#[inline(always)]
pub fn fill<const W: usize>(message: &mut [u64; W], number: u64) {
    if W <= DENSE_WORDS {
        for (index, place) in message.iter_mut().enumerate() {
            *place = word(number, index);
        }
    } else {
        for index in (0..W).step_by(SPARSE_STEP) {
            message[index] = word(number, index);
        }
        message[W - 1] = word(number, W - 1);
    }
}

/// The same for a message in bytes, of any length, as for one that is there to be copied.
pub fn fill_bytes(message: &mut [u8], number: u64) {
    let words = message.len() / 8;
    for index in sparse(words) {
        message[index * 8..][..8].copy_from_slice(&word(number, index).to_ne_bytes());
    }
}

/// Panics, which ends the run, if the bytes are not those of the message with this number.
pub fn check_bytes(message: &[u8], number: u64) {
    let words = message.len() / 8;
    for index in sparse(words) {
        if message[index * 8..][..8] != word(number, index).to_ne_bytes() {
            wrong(number);
        }
    }
}

fn sparse(words: usize) -> impl Iterator<Item = usize> {
    (0..words).step_by(SPARSE_STEP).chain(words.checked_sub(1))
}

/// Panics, which ends the run, if `message` is not the one with this number.
#[inline(always)]
pub fn check<const W: usize>(message: &[u64; W], number: u64) {
    let mut difference = 0;
    if W <= DENSE_WORDS {
        for (index, found) in message.iter().enumerate() {
            difference |= found ^ word(number, index);
        }
    } else {
        for index in (0..W).step_by(SPARSE_STEP) {
            difference |= message[index] ^ word(number, index);
        }
        difference |= message[W - 1] ^ word(number, W - 1);
    }
    if difference != 0 {
        wrong(number);
    }
}

#[cold]
#[inline(never)]
pub fn wrong(number: u64) -> ! {
    panic!("message {number} arrived with other contents than were sent")
}
