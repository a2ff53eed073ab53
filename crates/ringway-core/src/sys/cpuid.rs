//! What the processor says of its caches.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a second-level cache where the processor does not say: as of current ones.
const USUAL: u64 = 1 << 20;

/// Bytes of a processor's second-level cache.
pub(crate) fn second_level_cache() -> u64 {
    // Asked once, as a virtual machine is left for each answer; no lock, as a signal handler may ask, too.
    static BYTES: AtomicU64 = AtomicU64::new(0);
    // Relaxed, here and below: a number by itself, which is the same whoever has asked.
    match BYTES.load(Ordering::Relaxed) {
        0 => {
            let bytes = ask().unwrap_or(USUAL);
            BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// Intel's and AMD's tell it in the same place.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn ask() -> Option<u64> {
    use std::arch::x86_64::__cpuid;

    const EXTENDED: u32 = 0x8000_0000;
    const SECOND_LEVEL: u32 = EXTENDED + 6;
    #[allow(unused_unsafe, reason = "safe in newer compilers")]
    // SAFETY: every x86-64 has the instruction, and the first of these leaves.
    let ask = |leaf| unsafe { __cpuid(leaf) };
    if ask(EXTENDED).eax < SECOND_LEVEL {
        return None;
    }
    let kibibytes = ask(SECOND_LEVEL).ecx >> 16;
    (kibibytes > 0).then_some(u64::from(kibibytes) << 10)
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn ask() -> Option<u64> {
    None
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_cache_has_a_sound_length() {
        let bytes = second_level_cache();
        assert!((64 << 10..=1 << 30).contains(&bytes), "{bytes}");
    }
}
