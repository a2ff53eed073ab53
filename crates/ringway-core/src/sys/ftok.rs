//! ftok(3): a System V key from a file and a number.

use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;

/// The key of `path` and `id`. Files whose inode numbers agree in the low 16 bits collide.
pub fn key(path: &Path, id: u8) -> Result<u32, Errno> {
    path.with_nix_path(|path| {
        Errno::clear();
        // SAFETY: `path` is a C string; ftok looks at the file and writes nothing.
        let key = unsafe { libc::ftok(path.as_ptr(), libc::c_int::from(id)) };
        // -1 can be a key as well; only an error sets errno.
        match Errno::last_raw() {
            errno if key == -1 && errno != 0 => Err(Errno::from_raw(errno)),
            _ => Ok(key as u32),
        }
    })?
}
