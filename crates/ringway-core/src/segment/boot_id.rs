//! A ring in a file survives a reboot, and so do the liveness words in it, which no kernel marks any
//! more. The header says under which boot they were written; see [`renewal`](super::renewal).

use std::sync::OnceLock;

use crate::error::Error;

use super::attempt::Attempt;

/// What rings have that cannot outlive a boot.
pub(super) const NONE: [u8; 16] = [0; 16];

/// The id of this boot, read once per process.
pub(super) fn current(attempt: Attempt<'_>) -> Result<[u8; 16], Error> {
    static CURRENT: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    let read = || parse(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?);
    CURRENT.get_or_init(read).ok_or_else(|| {
        attempt
            .error(
                crate::error::ErrorKind::Unsupported,
                "/proc/sys/kernel/random/boot_id cannot be read, so that nobody could tell after a \
                 reboot that the ring's processes are gone",
            )
            .remedy("mount /proc, or use shm:")
    })
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32 && number != 0).then(|| number.to_be_bytes())
}
