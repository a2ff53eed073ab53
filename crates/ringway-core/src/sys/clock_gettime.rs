//! clock_gettime(2): what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970; 0 by a clock that stands before that.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
