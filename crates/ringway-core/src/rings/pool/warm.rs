//! Keeping to few slabs, which stay warm.
//!
//! A producer that is faster than its consumer would fill all slabs that there are, and each line would leave the caches
//! of both processors before it is used again. As many long slabs as fill one second-level cache carry 1.05 to 1.2 times
//! as much (benches/TRIED.md). So a producer that may wait takes the first free slab of its class, and if the first
//! few are all held, it first waits a moment for one of them.
//!
//! Others are free meanwhile, so this must not cost much where it gains nothing, because the consumer is slow or keeps what
//! it gets: the moment is no longer than it takes to read the message, and after one in vain the next calls do not wait.

use crate::memory::layout::pool::Class;

/// Bytes of slabs that stay warm: a second-level cache.
const CACHE: u64 = 2 << 20;

/// The lengths for which it matters. Shorter slabs stay in the caches however many there are, or gained nothing where
/// measured; of longer ones not even two fit.
const LENGTHS: std::ops::RangeInclusive<u64> = 512 << 10..=CACHE;

/// Messages that are read in a nanosecond, in bytes.
const BYTES_PER_NANOSECOND: u64 = 8;

/// After so many calls at the latest, one waits again.
const MOST_SKIPPED: u32 = 63;

/// How many slabs of a class are warm; `None` if it is all the same which are used.
pub(super) fn count(class: Class) -> Option<u32> {
    let count = (CACHE / class.len).max(2) as u32;
    (LENGTHS.contains(&class.len) && count < class.count).then_some(count)
}

/// The longest wait for a warm slab, for a message of `len` bytes.
pub(crate) fn moment(len: usize) -> std::time::Duration {
    std::time::Duration::from_nanos(len as u64 / BYTES_PER_NANOSECOND)
}

/// Which calls wait for a warm slab.
#[derive(Debug, Default)]
pub(crate) struct WarmBackoff {
    /// So many calls more do not.
    skip: u32,
    /// How many were to be skipped after the last wait.
    skipped: u32,
}

impl WarmBackoff {
    /// Whether this call may wait.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        is_due
    }

    /// It did, for nothing or not.
    pub(crate) fn waited(&mut self, in_vain: bool) {
        self.skipped = if in_vain {
            (2 * self.skipped + 1).min(MOST_SKIPPED)
        } else {
            0
        };
        self.skip = self.skipped;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn waits_in_vain_become_rare() {
        let mut warm_backoff = WarmBackoff::default();
        let mut waits = 0;
        for _ in 0..1000 {
            if warm_backoff.is_due() {
                warm_backoff.waited(true);
                waits += 1;
            }
        }
        assert!(waits < 25, "{waits}");
        while !warm_backoff.is_due() {}
        warm_backoff.waited(false);
        assert!(warm_backoff.is_due());
    }

    #[test]
    fn warm_slabs_fill_a_cache_and_are_not_all() {
        let of = |len, slabs| count(Class { len, count: slabs });
        assert_eq!(of(1 << 20, 8), Some(2));
        assert_eq!(of(2 << 20, 8), Some(2));
        assert_eq!(of(512 << 10, 8), Some(4));
        assert_eq!(of(512 << 10, 4), None);
        assert_eq!(of(64 << 10, 64), None);
        assert_eq!(of(64 << 20, 8), None);
    }
}
