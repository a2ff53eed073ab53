//! What a log needs of a file system, as a seam: behind it is a directory of the kernel's, or a disk that is made to fail and to lose
//! power (`files/sim.rs`).
//!
//! Every effect of a log that outlives its process goes through these calls. So a process that is killed at any instruction has made
//! some first part of its sequence of calls, the last one perhaps in part; that is what the simulation goes through.

pub mod disk;
#[cfg(any(test, feature = "verify"))]
pub mod sim;

use nix::errno::Errno;

/// A directory, and nothing below it.
pub trait Files: Clone + Send + 'static {
    /// A file in it.
    type File: FileLike;

    /// The names of all files in it.
    ///
    /// # Errors
    /// As the kernel's.
    fn list(&self) -> Result<Vec<String>, Errno>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// As the kernel's; `ENOENT` if it is not there.
    fn open(&self, name: &str, write: bool) -> Result<Self::File, Errno>;

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// As the kernel's; `EEXIST` if it is there.
    fn create(&self, name: &str) -> Result<Self::File, Errno>;

    /// Gives a file another name, and what had that name is gone.
    ///
    /// # Errors
    /// As the kernel's.
    fn rename(&self, from: &str, to: &str) -> Result<(), Errno>;

    /// Takes a file's name away. Who has it open keeps it.
    ///
    /// # Errors
    /// As the kernel's.
    fn remove(&self, name: &str) -> Result<(), Errno>;

    /// Makes sure that names that were given and taken outlive a loss of power.
    ///
    /// # Errors
    /// As the kernel's.
    fn sync_names(&self) -> Result<(), Errno>;
}

/// A file.
#[allow(
    clippy::len_without_is_empty,
    reason = "nobody asks; the lint sees it only where this is public, with `verify`"
)]
pub trait FileLike: Send + Sync + 'static {
    /// Reads from `offset`, perhaps less than there is room for; 0 at the end.
    ///
    /// # Errors
    /// As the kernel's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// Writes all of `bytes`, or says how much was written before the error.
    ///
    /// # Errors
    /// How many bytes were written, and the kernel's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), (usize, Errno)>;

    /// Makes the file so long, with all room on the disk that it needs.
    ///
    /// # Errors
    /// As the kernel's; `ENOSPC` if there is no room.
    fn allocate(&self, len: u64) -> Result<(), Errno>;

    /// Cuts the file.
    ///
    /// # Errors
    /// As the kernel's.
    fn truncate(&self, len: u64) -> Result<(), Errno>;

    /// Bytes of it.
    ///
    /// # Errors
    /// As the kernel's.
    fn len(&self) -> Result<u64, Errno>;

    /// Behind which byte, `from` or later, there are only zeros: what was allocated and neither written nor read. A file system that does not know says
    /// how long the file is.
    ///
    /// # Errors
    /// As the kernel's.
    fn data_end(&self, from: u64) -> Result<u64, Errno>;

    /// Makes sure that what was written outlives a loss of power.
    ///
    /// # Errors
    /// As the kernel's. Then nobody knows what is on the disk.
    fn sync(&self) -> Result<(), Errno>;

    /// Whether its name was taken away.
    ///
    /// # Errors
    /// As the kernel's.
    fn is_removed(&self) -> Result<bool, Errno>;
}

/// Reads until `buffer` is full or the file ends. Returns how much that is.
pub(crate) fn read_full(
    file: &impl FileLike,
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => break,
            len => done += len,
        }
    }
    Ok(done)
}

/// Makes a file that is to be renamed. One of that name is removed first, and the names are synced: else the rename could reach the disk
/// without the removal, and give its name to what was there before.
///
/// # Errors
/// The kernel's.
pub fn create_draft<F: Files>(files: &F, name: &str) -> Result<F::File, Errno> {
    match files.remove(name) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    files.sync_names()?;
    files.create(name)
}
