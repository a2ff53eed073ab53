//! Keeping to few slabs, which stay warm.
//!
//! A producer that is faster than its consumer would fill all slabs that there are, and each line would leave the caches
//! of both processors before it is used again. Where two or more long slabs fit a second-level cache, those carry 1.05 to 1.2
//! times as much (benches/TRIED.md). So a producer that may wait takes the first free slab of its class, and if the first
//! few are all held, it first waits a moment for one of them.
//!
//! Where not even two fit, all that keeping to two does is that each side waits for the other, in turn: then all slabs go
//! round, through a cache that both processors share.
//!
//! Others are free meanwhile, so this must not cost much where it gains nothing, because the consumer is slow or keeps what
//! it gets: the moment is no longer than it takes to read the message, and after one in vain the next calls do not wait.

use crate::memory::layout::pool::Class;
use crate::sys::cpuid;

/// The shortest slabs for which it matters. Shorter ones stay in the caches however many there are, or gained nothing where
/// measured.
const SHORTEST: u64 = 512 << 10;

/// Messages that are read in a nanosecond, in bytes.
const BYTES_PER_NANOSECOND: u64 = 8;

/// After so many calls at the latest, one waits again.
const MOST_SKIPPED: u32 = 63;

/// How many slabs of a class are warm; `None` if it is all the same which are used.
pub(super) fn count(class: Class) -> Option<u32> {
    if class.len < SHORTEST {
        return None;
    }
    count_in(class, cpuid::second_level_cache())
}

/// The same, with a second-level cache of so many bytes.
fn count_in(class: Class, cache: u64) -> Option<u32> {
    let count = u32::try_from(cache / class.len).unwrap_or(u32::MAX);
    let matters = class.len >= SHORTEST && (2..class.count).contains(&count);
    matters.then_some(count)
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
        let of = |len, slabs, cache| count_in(Class { len, count: slabs }, cache);
        assert_eq!(of(1 << 20, 8, 2 << 20), Some(2));
        assert_eq!(of(512 << 10, 8, 2 << 20), Some(4));
        assert_eq!(of(512 << 10, 4, 2 << 20), None);
        assert_eq!(of(64 << 10, 64, 2 << 20), None);
        assert_eq!(of(64 << 20, 8, 2 << 20), None);
    }

    #[test]
    fn where_not_even_two_fit_all_go_round() {
        let of = |len, cache| count_in(Class { len, count: 8 }, cache);
        assert_eq!(of(2 << 20, 2 << 20), None);
        assert_eq!(of(1 << 20, 1 << 20), None);
        assert_eq!(of(512 << 10, 1 << 20), Some(2));
        assert_eq!(of(1 << 20, 0), None);
    }
}
