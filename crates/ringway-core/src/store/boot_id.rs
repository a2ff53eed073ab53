//! A ring in a file survives a reboot, and so do the liveness words in it, which no kernel marks any
//! more. The header says under which boot they were written; see [`renewal`](super::renewal).

use nix::errno::Errno;

use crate::error::Error;

use crate::error::Attempt;

/// What rings have that cannot outlive a boot.
pub(super) const NONE: [u8; 16] = [0; 16];

/// The id of this boot. Read each time: a failure may pass, and a child of `fork` may see another one.
pub(super) fn current(attempt: Attempt<'_>) -> Result<[u8; 16], Error> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    let unreadable = |what: &str| {
        attempt
            .error(
                crate::error::ErrorKind::Unsupported,
                format!(
                    "{FILE} {what}, so that nobody could tell after a reboot that the ring's processes are gone"
                ),
            )
            .remedy("mount /proc, or use shm:")
    };
    match std::fs::read_to_string(FILE) {
        Ok(text) => parse(&text).ok_or_else(|| unreadable("does not hold an id")),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            // They pass, and say nothing about /proc.
            Some(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EINTR)) => {
                Err(attempt.os("the id of this boot cannot be read from /proc", errno))
            }
            Some(errno) => Err(unreadable("cannot be read").because(errno)),
            None => Err(unreadable("cannot be read")),
        },
    }
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32 && number != 0).then(|| number.to_be_bytes())
}
