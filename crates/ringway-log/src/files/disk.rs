//! The kernel's files, by a descriptor of their directory: what happens to the path meanwhile does not matter.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate, open, openat, renameat};
use nix::libc;
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, Whence, fdatasync, fsync, lseek, unlinkat};

use super::{FileLike, Files};

/// A directory that is open.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    /// What new files get.
    mode: Mode,
}

impl Directory {
    /// Opens a directory. New files in it get `mode`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path, mode: u32) -> Result<Self, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            fd: Arc::new(open(path, flags, Mode::empty())?),
            mode: Mode::from_bits_truncate(mode),
        })
    }

    /// A directory below this one, which is made if it is not there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn below(&self, name: &str, make: bool) -> Result<Self, Errno> {
        if make {
            // Who may read the files may look for them.
            let search = Mode::from_bits_truncate((self.mode.bits() & 0o444) >> 2);
            match mkdirat(&self.fd, name, self.mode | search) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(Self {
            fd: Arc::new(openat(&self.fd, name, flags, Mode::empty())?),
            mode: self.mode,
        })
    }

    fn at(&self, name: &str, flags: OFlag) -> Result<File, Errno> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.fd, name, flags, self.mode)?);
        // Not a pipe that somebody put there.
        match file.metadata().map_err(errno)?.is_file() {
            true => Ok(file),
            false => Err(Errno::EINVAL),
        }
    }

    /// The permissions of a file become those of new files.
    pub(crate) fn with_mode_of(mut self, name: &str) -> Result<Self, Errno> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        self.mode = Mode::from_bits_truncate(stat.st_mode & 0o666);
        Ok(self)
    }

    /// What new files get.
    pub(crate) fn mode(&self) -> u32 {
        self.mode.bits()
    }

    /// Device and inode of a file.
    pub(crate) fn id_of(&self, name: &str) -> Result<(u64, u64), Errno> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Opens a file to be locked, and makes it if it is not there.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, Errno> {
        self.at(name, OFlag::O_RDWR | OFlag::O_CREAT)
    }
}

impl Files for Directory {
    type File = File;

    fn list(&self) -> Result<Vec<String>, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, write: bool) -> Result<File, Errno> {
        let access = match write {
            true => OFlag::O_RDWR,
            false => OFlag::O_RDONLY,
        };
        self.at(name, access)
    }

    fn create(&self, name: &str) -> Result<File, Errno> {
        self.at(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        renameat(&self.fd, from, &self.fd, to)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)
    }

    fn sync_names(&self) -> Result<(), Errno> {
        fsync(self.fd.as_fd())
    }
}

impl FileLike for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(errno),
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), (usize, Errno)> {
        let mut done = 0;
        while done < bytes.len() {
            match FileExt::write_at(self, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err((done, Errno::EIO)),
                Ok(len) => done += len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, errno(error))),
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<(), Errno> {
        let wanted = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
        loop {
            match fallocate(self, FallocateFlags::empty(), 0, wanted) {
                Err(Errno::EINTR) => {}
                // This file system has no such thing: zeros do the same.
                Err(Errno::EOPNOTSUPP) => break,
                outcome => return outcome,
            }
        }
        let zeros = vec![0; 1 << 16];
        let mut at = FileLike::len(self)?;
        while at < len {
            let part = (len - at).min(zeros.len() as u64) as usize;
            FileLike::write_at(self, &zeros[..part], at).map_err(|(_, errno)| errno)?;
            at += part as u64;
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<(), Errno> {
        self.set_len(len).map_err(errno)
    }

    fn len(&self) -> Result<u64, Errno> {
        Ok(self.metadata().map_err(errno)?.len())
    }

    fn data_end(&self, from: u64) -> Result<u64, Errno> {
        let mut end = i64::try_from(from).map_err(|_| Errno::EFBIG)?;
        loop {
            let piece = lseek(self, end, Whence::SeekData)
                .and_then(|data| lseek(self, data, Whence::SeekHole));
            end = match piece {
                Ok(behind) if behind > end => behind,
                // The file may have been cut meanwhile.
                Ok(_) | Err(Errno::ENXIO) => return Ok(end as u64),
                // This file system has no such thing.
                Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return FileLike::len(self),
                Err(errno) => return Err(errno),
            };
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        fdatasync(self)
    }

    fn is_removed(&self) -> Result<bool, Errno> {
        match links(self) {
            Err(Errno::ENOSYS | Errno::EPERM) => Ok(self.metadata().map_err(errno)?.nlink() == 0),
            links => Ok(links? == 0),
        }
    }
}

/// How many names a file has, and nothing else: who asks for its times has each write behind that store new ones, exact to the nanosecond, which takes
/// longer than a short write itself.
#[allow(unsafe_code, reason = "nobody wraps this call")]
fn links(file: &File) -> Result<u32, Errno> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_NLINK);
    // SAFETY: the descriptor is open, the path is a string, and the kernel writes one such structure, of which zeros are a valid one.
    let outcome = unsafe {
        let path = c"".as_ptr();
        libc::statx(file.as_raw_fd(), path, flags, mask, found.as_mut_ptr())
    };
    Errno::result(outcome)?;
    // SAFETY: as above.
    let found = unsafe { found.assume_init() };
    match found.stx_mask & mask {
        0 => Err(Errno::ENOSYS),
        _ => Ok(found.stx_nlink),
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
