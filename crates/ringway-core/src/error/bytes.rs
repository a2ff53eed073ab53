//! How many bytes, in texts.

use std::fmt;

/// Bytes as a person reads them.
#[derive(Clone, Copy)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        let Some(power) = (self.0.max(1).ilog2() / 10).min(5).checked_sub(1) else {
            return write!(f, "{} bytes", self.0);
        };
        let unit = 1_u64 << (10 * (power + 1));
        let name = UNITS[power as usize];
        if self.0.is_multiple_of(unit) {
            write!(f, "{} {name}", self.0 / unit)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
        }
    }
}
