//! renameat2(2), which not every C library has.

use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;

/// Renames a file to a name that is free.
///
/// # Errors
/// EEXIST if it is not free, EINVAL where the file system cannot tell, and others of the kernel's.
pub fn to_free_name(from: &Path, to: &Path) -> Result<(), Errno> {
    let result = from.with_nix_path(|from| {
        to.with_nix_path(|to| {
            // SAFETY: both are strings that end with a zero and outlive the call.
            unsafe {
                libc::syscall(
                    libc::SYS_renameat2,
                    libc::AT_FDCWD,
                    from.as_ptr(),
                    libc::AT_FDCWD,
                    to.as_ptr(),
                    libc::RENAME_NOREPLACE,
                )
            }
        })
    })??;
    Errno::result(result).map(drop)
}
