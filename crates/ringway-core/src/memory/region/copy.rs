//! Copying to and from memory that another process may be changing.
//!
//! A data race is undefined behaviour in Rust's memory model, also for bytes that nobody will look at.
//! So no byte of a segment is ever touched by an ordinary load or store, and no reference to it is
//! made. On x86-64 the copies are assembly, which the model does not see into; elsewhere, and under
//! Miri, they are relaxed atomic operations on aligned words, because the model has no races between
//! atomics of different sizes either. A torn copy is then merely a wrong value, which only a peer that
//! breaks the protocol can cause.
//!
//! Short values whose length the compiler knows are copied by such operations everywhere: their words can stay in registers.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytemuck::Pod;

/// Copies `len` bytes from private memory into shared memory, `AT` bytes behind `target`.
///
/// # Safety
/// `source` must be valid for reads of `len` bytes, and that place for reads and writes of the whole
/// aligned words of eight bytes in which so many bytes lie; nothing but other processes and this module
/// may access `target` meanwhile.
#[inline(always)]
pub(crate) unsafe fn to_shared<const AT: usize>(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: passed on.
    unsafe { imp::to_shared::<AT>(target, source, len) }
}

/// Copies `len` bytes from shared memory, `AT` bytes behind `source`, into private memory.
///
/// # Safety
/// That place must be valid for reads of the whole aligned words of eight bytes in which `len` bytes lie,
/// and `target` for writes of `len` bytes; nobody else may access `target` meanwhile.
#[inline(always)]
pub(crate) unsafe fn from_shared<const AT: usize>(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: passed on.
    unsafe { imp::from_shared::<AT>(target, source, len) }
}

/// Makes a record in private memory, as it is in shared memory: a word, and behind it the payload.
///
/// # Safety
/// `target` must be valid for writes of both, and nobody else may access it meanwhile.
#[inline(always)]
pub(crate) unsafe fn to_private(target: *mut u8, word: u64, payload: &[u8]) {
    // SAFETY: passed on.
    unsafe {
        target.cast::<u64>().write_unaligned(word);
        imp::to_private::<8>(target, payload.as_ptr(), payload.len());
    }
}

/// The same for a part of what is read from the front to the back: meanwhile the processor fetches what lies
/// a page's length ahead, within the `rest` bytes from `source` on that are still to be read.
///
/// Its own prefetcher stops at the end of each page. A message that is copied as a whole gains nothing by this;
/// one of which each part is looked at before the next is copied does.
///
/// # Safety
/// As for [`from_shared`].
#[inline]
pub(crate) unsafe fn from_shared_ahead(
    target: *mut u8,
    source: *const u8,
    len: usize,
    rest: usize,
) {
    // SAFETY: passed on.
    unsafe { imp::from_shared_ahead(target, source, len, rest) }
}

/// Up to so many bytes a value of a length that the compiler knows is copied word by word.
const MOST_IN_WORDS: usize = 256;

/// Copies a value of a length that the compiler knows out of shared memory. It need not pass through private memory: the
/// words of a short one are plain loads, which the compiler sees into, and may keep where it likes.
///
/// # Safety
/// `source` must be aligned to eight bytes, and valid for reads of as many whole words as the value reaches into.
#[inline(always)]
pub(crate) unsafe fn value_from_shared<T: Pod>(source: *const u8) -> T {
    let len = size_of::<T>();
    let mut value = MaybeUninit::<T>::uninit();
    let target = value.as_mut_ptr().cast::<u8>();
    if len > MOST_IN_WORDS {
        // SAFETY: the caller vouches for the source, and the target is this function's own.
        unsafe { from_shared::<0>(target, source, len) };
    }
    let mut done = 0;
    while len <= MOST_IN_WORDS && done < len {
        // SAFETY: an aligned word of the source, for which the caller vouches; everybody accesses it by atomics, or by
        // what the model does not see into.
        let word = unsafe { AtomicU64::from_ptr(source.add(done).cast_mut().cast()) };
        let bytes = word.load(Relaxed).to_ne_bytes();
        // SAFETY: so many bytes are left of the value.
        unsafe {
            let part = if len - done < 8 { len - done } else { 8 };
            target
                .add(done)
                .copy_from_nonoverlapping(bytes.as_ptr(), part);
        }
        done += 8;
    }
    // SAFETY: all its bytes are written, and whatever they are, they are a value.
    unsafe { value.assume_init() }
}

/// Copies a value of a length that the compiler knows into shared memory. A short one need not lie in private memory. What is left
/// of its last word means nothing afterwards.
///
/// # Safety
/// `target` must be aligned to eight bytes, and valid for reads and writes of as many whole words as the value reaches into.
/// Nobody may need what these held.
#[inline(always)]
pub(crate) unsafe fn value_to_shared<T: Pod>(target: *mut u8, value: &T) {
    let bytes = bytemuck::bytes_of(value);
    if bytes.len() > MOST_IN_WORDS {
        // SAFETY: the caller vouches for the target.
        return unsafe { to_shared::<0>(target, bytes.as_ptr(), bytes.len()) };
    }
    let mut done = 0;
    while done < bytes.len() {
        let mut word = [0; 8];
        let part = if bytes.len() - done < 8 {
            bytes.len() - done
        } else {
            8
        };
        word[..part].copy_from_slice(&bytes[done..done + part]);
        // SAFETY: an aligned word of the target, for which the caller vouches; everybody accesses it by atomics, or by
        // what the model does not see into.
        let place = unsafe { AtomicU64::from_ptr(target.add(done).cast()) };
        place.store(u64::from_ne_bytes(word), Relaxed);
        done += 8;
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod imp {
    use std::arch::asm;
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    /// How far ahead a line is asked for: beyond the end of the page, and not so far that the nearest cache has
    /// given it up before it is read.
    const AHEAD: usize = 4096;

    /// From this length on the processor's own string copy is the fastest way out.
    const STRING_COPY_OUT: usize = 1024;

    /// The same on the way in, where copies by whole lines are faster than others up to there.
    const STRING_COPY_IN: usize = 2048;

    /// The front last: it shares a line with the record's word, on which the consumer may be spinning. That line is best written
    /// last and in one go. (The string copy begins with it, which shows no more in messages of that length.)
    #[inline(always)]
    pub(super) unsafe fn to_shared<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: the caller vouches for `len` bytes on both sides.
        unsafe {
            if !copy_straight::<AT, 0>(target, source, len) {
                to_shared_long(target.add(AT), source, len);
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn to_private<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: passed on; it is as good for private memory.
        unsafe { to_shared::<AT>(target, source, len) };
    }

    #[inline(always)]
    pub(super) unsafe fn from_shared<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: the caller vouches for `len` bytes on both sides.
        unsafe {
            if !copy_straight::<0, AT>(target, source, len) {
                from_shared_long(target, source.add(AT), len);
            }
        }
    }

    /// Up to 256 bytes, to `TO` behind the target, from `FROM` behind the source, by the class of the length: from both ends
    /// as much as covers the whole, so that the middle may be copied twice. What is copied at once is loaded first, and then
    /// stored from the back to the front. No loop, and no call. `false`: it is longer, and nothing was done.
    #[inline(always)]
    unsafe fn copy_straight<const TO: usize, const FROM: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) -> bool {
        // SAFETY: the caller vouches for `len` bytes on both sides; each branch stays within them, as the comparisons say.
        unsafe {
            if len > 32 {
                if len <= 64 {
                    copy_33_to_64::<TO, FROM>(target, source, len);
                } else if len <= 128 {
                    copy_64::<TO, FROM>(target.add(len - 64), source.add(len - 64));
                    copy_64::<TO, FROM>(target, source);
                } else if len <= 256 {
                    copy_64::<TO, FROM>(target.add(len - 64), source.add(len - 64));
                    copy_64::<TO, FROM>(target.add(len - 128), source.add(len - 128));
                    copy_64::<TO, FROM>(target.add(64), source.add(64));
                    copy_64::<TO, FROM>(target, source);
                } else {
                    return false;
                }
            } else if len >= 16 {
                copy_16_to_32::<TO, FROM>(target, source, len);
            } else if len == 8 {
                copy_8::<TO, FROM>(target, source);
            } else if len > 8 {
                copy_9_to_16::<TO, FROM>(target, source, len);
            } else if len >= 4 {
                copy_4_to_8::<TO, FROM>(target, source, len);
            } else if len > 0 {
                copy_1::<TO, FROM>(target.add(len - 1), source.add(len - 1));
                copy_1::<TO, FROM>(target.add(len / 2), source.add(len / 2));
                copy_1::<TO, FROM>(target, source);
            }
        }
        true
    }

    #[inline(never)]
    unsafe fn to_shared_long(target: *mut u8, source: *const u8, len: usize) {
        // SAFETY: the caller vouches for `len` bytes on both sides, which are more than a block; the processor has been asked.
        unsafe {
            if len >= STRING_COPY_IN {
                copy_string(target, source, len);
            } else if is_x86_feature_detected!("avx512f") {
                copy_lines(target, source, len);
            } else {
                copy_lines_in_parts(target, source, len);
            }
        }
    }

    /// Each line of the target between the first and the last 64 bytes by one store of the whole line, four at a time, and then those: the
    /// first last, because the consumer may be spinning on the word in front of them.
    ///
    /// Payload begins anywhere in a line. Of stores from its start on, one in four would lie across two lines. And the lines go from the
    /// front to the back, as processors ask ahead in that direction: from the back to the front, this was no better
    /// (benches/TRIED.md).
    ///
    /// # Safety
    /// Both sides have `len` bytes, at least 64; the processor has AVX-512F.
    unsafe fn copy_lines(target: *mut u8, source: *const u8, len: usize) {
        // SAFETY: the first and the last 64 bytes are read and written, and in between whole aligned lines that start at most 64
        // bytes behind the target's start and before its last 64 bytes, so that they end before its end.
        unsafe {
            asm!(
                "vmovdqu64 zmm0, [rsi]",
                "vmovdqu64 zmm1, [rsi + rdx - 64]",
                // r8: where the last 64 bytes go; r9: where the first do.
                "lea r8, [rdi + rdx - 64]",
                "mov r9, rdi",
                // Both sides go on to the target's next line.
                "mov rcx, rdi",
                "and rcx, 63",
                "neg rcx",
                "add rcx, 64",
                "add rsi, rcx",
                "add rdi, rcx",
                "2:",
                "lea rcx, [rdi + 256]",
                "cmp rcx, r8",
                "ja 3f",
                "vmovdqu64 zmm2, [rsi]",
                "vmovdqu64 zmm3, [rsi + 64]",
                "vmovdqu64 zmm4, [rsi + 128]",
                "vmovdqu64 zmm5, [rsi + 192]",
                "vmovdqa64 [rdi], zmm2",
                "vmovdqa64 [rdi + 64], zmm3",
                "vmovdqa64 [rdi + 128], zmm4",
                "vmovdqa64 [rdi + 192], zmm5",
                "add rsi, 256",
                "mov rdi, rcx",
                "jmp 2b",
                "3:",
                "cmp rdi, r8",
                "jae 4f",
                "vmovdqu64 zmm2, [rsi]",
                "vmovdqa64 [rdi], zmm2",
                "add rsi, 64",
                "add rdi, 64",
                "jmp 3b",
                "4:",
                "vmovdqu64 [r8], zmm1",
                "vmovdqu64 [r9], zmm0",
                "vzeroupper",
                in("rdi") target,
                in("rsi") source,
                in("rdx") len,
                // As of a call: all registers of vectors, of which the upper parts are zeroed, and those used above.
                clobber_abi("sysv64"),
                options(nostack),
            );
        }
    }

    /// The same by stores of a quarter of a line.
    ///
    /// # Safety
    /// Both sides have `len` bytes, at least 64.
    pub(super) unsafe fn copy_lines_in_parts(target: *mut u8, source: *const u8, len: usize) {
        let mut done = 64 - target.addr() % 64;
        // SAFETY: lines that begin on one and end before the last byte; the first and the last 64 bytes.
        unsafe {
            while done + 64 < len {
                copy_64::<0, 0>(target.add(done), source.add(done));
                done += 64;
            }
            copy_64::<0, 0>(target.add(len - 64), source.add(len - 64));
            copy_64::<0, 0>(target, source);
        }
    }

    /// In blocks, of which the last one overlaps the one before.
    #[inline(never)]
    unsafe fn from_shared_long(target: *mut u8, source: *const u8, len: usize) {
        // SAFETY: the caller vouches for `len` bytes on both sides, which are more than a block.
        unsafe {
            if len >= STRING_COPY_OUT {
                return copy_string(target, source, len);
            }
            let mut done = 0;
            while done + 64 < len {
                copy_64::<0, 0>(target.add(done), source.add(done));
                done += 64;
            }
            copy_64::<0, 0>(target.add(len - 64), source.add(len - 64));
        }
    }

    /// A line and a hint in turn: many hints at once would hold up the loads behind them.
    #[inline]
    pub(super) unsafe fn from_shared_ahead(
        target: *mut u8,
        source: *const u8,
        len: usize,
        rest: usize,
    ) {
        let mut done = 0;
        while done + 64 <= len {
            if done + AHEAD < rest {
                let line = source.wrapping_add(done + AHEAD);
                // SAFETY: a prefetch changes nothing and cannot fault.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
            }
            // SAFETY: 64 bytes of the `len` that the caller vouches for.
            unsafe { copy_64::<0, 0>(target.add(done), source.add(done)) };
            done += 64;
        }
        // SAFETY: what is left of them.
        unsafe { from_shared::<0>(target.add(done), source.add(done), len - done) };
    }

    #[inline(always)]
    unsafe fn copy_64<const TO: usize, const FROM: usize>(target: *mut u8, source: *const u8) {
        // SAFETY: 64 bytes are read and written, at any alignment; SSE2 is part of x86-64.
        unsafe {
            asm!(
                "movups {a}, [{source} + {from}]",
                "movups {b}, [{source} + {from} + 16]",
                "movups {c}, [{source} + {from} + 32]",
                "movups {d}, [{source} + {from} + 48]",
                "movups [{target} + {to} + 48], {d}",
                "movups [{target} + {to} + 32], {c}",
                "movups [{target} + {to} + 16], {b}",
                "movups [{target} + {to}], {a}",
                source = in(reg) source,
                target = in(reg) target,
                from = const FROM,
                to = const TO,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// The first and the last 32 bytes.
    #[inline(always)]
    unsafe fn copy_33_to_64<const TO: usize, const FROM: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: so many bytes are read and written, at any alignment; SSE2 is part of x86-64.
        unsafe {
            asm!(
                "movups {a}, [{source} + {from}]",
                "movups {b}, [{source} + {from} + 16]",
                "movups {c}, [{source} + {len} + {from} - 32]",
                "movups {d}, [{source} + {len} + {from} - 16]",
                "movups [{target} + {len} + {to} - 16], {d}",
                "movups [{target} + {len} + {to} - 32], {c}",
                "movups [{target} + {to} + 16], {b}",
                "movups [{target} + {to}], {a}",
                source = in(reg) source,
                target = in(reg) target,
                len = in(reg) len,
                from = const FROM,
                to = const TO,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// The first and the last 16 bytes.
    #[inline(always)]
    unsafe fn copy_16_to_32<const TO: usize, const FROM: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: so many bytes are read and written, at any alignment; SSE2 is part of x86-64.
        unsafe {
            asm!(
                "movups {a}, [{source} + {from}]",
                "movups {b}, [{source} + {len} + {from} - 16]",
                "movups [{target} + {len} + {to} - 16], {b}",
                "movups [{target} + {to}], {a}",
                source = in(reg) source,
                target = in(reg) target,
                len = in(reg) len,
                from = const FROM,
                to = const TO,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// The first and the last 8 bytes.
    #[inline(always)]
    unsafe fn copy_9_to_16<const TO: usize, const FROM: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: so many bytes are read and written, at any alignment.
        unsafe {
            asm!(
                "mov {a}, [{source} + {from}]",
                "mov {b}, [{source} + {len} + {from} - 8]",
                "mov [{target} + {len} + {to} - 8], {b}",
                "mov [{target} + {to}], {a}",
                source = in(reg) source,
                target = in(reg) target,
                len = in(reg) len,
                from = const FROM,
                to = const TO,
                a = out(reg) _,
                b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn copy_8<const TO: usize, const FROM: usize>(target: *mut u8, source: *const u8) {
        // SAFETY: eight bytes are read and written, at any alignment.
        unsafe {
            asm!(
                "mov {word}, [{source} + {from}]",
                "mov [{target} + {to}], {word}",
                source = in(reg) source,
                target = in(reg) target,
                from = const FROM,
                to = const TO,
                word = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// The first and the last 4 bytes.
    #[inline(always)]
    unsafe fn copy_4_to_8<const TO: usize, const FROM: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: so many bytes are read and written, at any alignment.
        unsafe {
            asm!(
                "mov {a:e}, [{source} + {from}]",
                "mov {b:e}, [{source} + {len} + {from} - 4]",
                "mov [{target} + {len} + {to} - 4], {b:e}",
                "mov [{target} + {to}], {a:e}",
                source = in(reg) source,
                target = in(reg) target,
                len = in(reg) len,
                from = const FROM,
                to = const TO,
                a = out(reg) _,
                b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn copy_1<const TO: usize, const FROM: usize>(target: *mut u8, source: *const u8) {
        // SAFETY: one byte is read and written.
        unsafe {
            asm!(
                "mov {byte}, [{source} + {from}]",
                "mov [{target} + {to}], {byte}",
                source = in(reg) source,
                target = in(reg) target,
                from = const FROM,
                to = const TO,
                byte = out(reg_byte) _,
                options(nostack, preserves_flags),
            );
        }
    }

    unsafe fn copy_string(target: *mut u8, source: *const u8, len: usize) {
        // SAFETY: `len` bytes are read and written; the direction flag is clear by the ABI.
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rsi") source => _,
                inout("rdi") target => _,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(any(not(target_arch = "x86_64"), miri))]
mod imp {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    pub(super) unsafe fn to_private<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: the caller vouches for `len` bytes on both sides.
        unsafe { target.add(AT).copy_from_nonoverlapping(source, len) };
    }

    pub(super) unsafe fn from_shared_ahead(
        target: *mut u8,
        source: *const u8,
        len: usize,
        _: usize,
    ) {
        // SAFETY: passed on.
        unsafe { from_shared::<0>(target, source, len) }
    }

    pub(super) unsafe fn to_shared<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: in bounds, as the caller says.
        let target = unsafe { target.add(AT) };
        let mut done = 0;
        while done < len {
            // SAFETY: `done` is below `len`.
            let (word, skip) = unsafe { word_of(target.add(done)) };
            let part = (8 - skip).min(len - done);
            let mut bytes = match part {
                8 => [0; 8],
                // The rest of the word is of the same record, so nobody else is writing it.
                _ => word.load(Relaxed).to_ne_bytes(),
            };
            // SAFETY: `part` bytes are left of the source, and behind `skip` of the word.
            unsafe {
                let target = bytes.as_mut_ptr().add(skip);
                source.add(done).copy_to_nonoverlapping(target, part);
            }
            word.store(u64::from_ne_bytes(bytes), Relaxed);
            done += part;
        }
    }

    pub(super) unsafe fn from_shared<const AT: usize>(
        target: *mut u8,
        source: *const u8,
        len: usize,
    ) {
        // SAFETY: in bounds, as the caller says.
        let source = unsafe { source.add(AT) };
        let mut done = 0;
        while done < len {
            // SAFETY: `done` is below `len`.
            let (word, skip) = unsafe { word_of(source.add(done)) };
            let part = (8 - skip).min(len - done);
            let bytes = word.load(Relaxed).to_ne_bytes();
            // SAFETY: there is room for `part` more bytes at the target.
            unsafe {
                let source = bytes.as_ptr().add(skip);
                target.add(done).copy_from_nonoverlapping(source, part);
            }
            done += part;
        }
    }

    /// The aligned word in which the byte lies, and how many of its bytes lie before.
    unsafe fn word_of<'a>(byte: *const u8) -> (&'a AtomicU64, usize) {
        let skip = byte.addr() % 8;
        // SAFETY: the word is valid (the caller vouches for it), aligned, and no longer used than the
        // call that this is part of; everybody accesses it by atomics.
        let word = unsafe { AtomicU64::from_ptr(byte.sub(skip).cast_mut().cast()) };
        (word, skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length up to a few blocks and across the change to the string copy, at every alignment
    /// of both sides: exactly the bytes asked for are copied.
    #[test]
    fn every_length_and_alignment() {
        let lengths = if cfg!(miri) { 0..40 } else { 0..700 };
        let long = if cfg!(miri) { 100..101 } else { 1015..1035 };
        let longer = if cfg!(miri) { 0..0 } else { 2030..2060 };
        for len in lengths.chain(long).chain(longer) {
            // In all places within a line, where lines are what is copied.
            for offset in 0..if len > 256 { 64 } else { 8 } {
                let private: Vec<u8> = (0..len).map(|at| (at * 7 + offset) as u8 | 1).collect();
                let mut words = vec![0_u64; (len + 80) / 8];
                let shared = words.as_mut_ptr().cast::<u8>();
                let mut back = vec![0_u8; len + 1];
                // SAFETY: `words` has room for offset + len bytes, and nobody else knows it.
                unsafe {
                    to_shared::<0>(shared.add(offset), private.as_ptr(), len);
                    from_shared::<0>(back.as_mut_ptr(), shared.add(offset), len);
                }
                assert_eq!(back[..len], private, "{len} bytes at {offset}");
                assert_eq!(back[len], 0);
                #[cfg(all(target_arch = "x86_64", not(miri)))]
                if len > 256 {
                    words.fill(0);
                    // SAFETY: as above, and more than 64 bytes. What a processor without moves of a line does.
                    unsafe {
                        imp::copy_lines_in_parts(shared.add(offset), private.as_ptr(), len);
                    }
                    let bytes: &[u8] = bytemuck::cast_slice(&words);
                    assert_eq!(
                        bytes[offset..][..len],
                        private,
                        "{len} bytes at {offset}, in parts"
                    );
                }
                for rest in [len, len + 5000] {
                    back.fill(0);
                    // SAFETY: as above; what lies beyond `len` is not read.
                    unsafe {
                        from_shared_ahead(back.as_mut_ptr(), shared.add(offset), len, rest);
                    }
                    assert_eq!(back[..len], private, "{len} bytes at {offset}, ahead");
                    assert_eq!(back[len], 0);
                }
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                assert!(
                    bytes[..offset].iter().all(|byte| *byte == 0),
                    "before {len} at {offset}"
                );
                assert!(
                    bytes[offset + len..].iter().all(|byte| *byte == 0),
                    "after {len}"
                );
            }
        }
    }

    /// Values of every kind of length: whole words, a rest, less than a word, and so many that they are copied as bytes are.
    #[test]
    fn values_are_copied_whole_and_nothing_beyond_their_words() {
        fn there_and_back<const LEN: usize>()
        where
            [u8; LEN]: Pod,
        {
            let value: [u8; LEN] = std::array::from_fn(|at| (at * 7) as u8 | 1);
            let mut words = vec![u64::MAX; LEN.div_ceil(8) + 1];
            let shared = words.as_mut_ptr().cast::<u8>();
            // SAFETY: `words` has room for the words of the value, and nobody else knows it.
            let back: [u8; LEN] = unsafe {
                value_to_shared(shared, &value);
                value_from_shared(shared)
            };
            assert_eq!(back, value);
            assert_eq!(words.last(), Some(&u64::MAX), "behind {LEN} bytes");
        }
        there_and_back::<0>();
        there_and_back::<1>();
        there_and_back::<7>();
        there_and_back::<8>();
        there_and_back::<13>();
        there_and_back::<64>();
        there_and_back::<255>();
        there_and_back::<256>();
        there_and_back::<257>();
        there_and_back::<1024>();
    }
}
