//! getrandom(2).

use nix::errno::Errno;

/// Sixteen random bytes, which nobody can foretell and no other segment has.
pub fn nonce() -> Result<[u8; 16], Errno> {
    let mut bytes = [0_u8; 16];
    loop {
        // SAFETY: the kernel writes at most `bytes.len()` bytes into `bytes`.
        let result = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match Errno::result(result) {
            // Up to 256 bytes come all at once.
            Ok(_) => return Ok(bytes),
            // Only while the pool is not yet filled, early in the boot.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
