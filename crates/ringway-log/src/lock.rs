//! A lock that the kernel takes back when its process dies.
//!
//! It is a record lock of `fcntl`: of the process and not of a descriptor, so a child of `fork` has it not, and it is seen across
//! pid namespaces. Two things make such locks dangerous, and are kept out here: that a process takes its own lock a second time (a table
//! of this process's locks refuses that), and that it loses the lock when it closes any descriptor of the file (nobody else opens it:
//! the file is for the lock only).

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::files::disk::Directory;

/// The files that this process has locked, by device and inode.
static HELD: Mutex<Option<HashSet<(u64, u64)>>> = Mutex::new(None);

/// A lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Option<File>,
    id: (u64, u64),
}

/// Why it was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The process with this id has it; 0 if it is in a pid namespace that is not seen from here.
    Taken(u32),
    /// The kernel's.
    Os(Errno),
}

impl Lock {
    /// Takes the lock of a file in a directory, which is made if it is not there.
    pub(crate) fn take(directory: &Directory, name: &str) -> Result<Self, Refused> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get_or_insert_default();
        // Before the file is opened: to close it again would let the lock go.
        if let Ok(id) = directory.id_of(name)
            && held.contains(&id)
        {
            return Err(Refused::Taken(std::process::id()));
        }
        let file = directory.lock_file(name).map_err(Refused::Os)?;
        let id = match file.metadata() {
            Ok(metadata) => (metadata.dev(), metadata.ino()),
            Err(_) => return Err(Refused::Os(Errno::EIO)),
        };
        match fcntl(&file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EACCES | Errno::EAGAIN) => {
                let mut holder = whole(libc::F_WRLCK);
                let asked = fcntl(&file, FcntlArg::F_GETLK(&mut holder));
                return Err(Refused::Taken(match asked {
                    Ok(_) if i32::from(holder.l_type) == libc::F_WRLCK => holder.l_pid as u32,
                    _ => 0,
                }));
            }
            Err(errno) => return Err(Refused::Os(errno)),
        }
        held.insert(id);
        Ok(Self {
            file: Some(file),
            id,
        })
    }

    /// Who has it: `None` if nobody.
    pub(crate) fn holder(directory: &Directory, name: &str) -> Option<u32> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let id = directory.id_of(name).ok()?;
        if held.get_or_insert_default().contains(&id) {
            return Some(std::process::id());
        }
        let file = directory.lock_file(name).ok()?;
        let mut holder = whole(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_GETLK(&mut holder)).ok()?;
        (i32::from(holder.l_type) == libc::F_WRLCK).then_some(holder.l_pid as u32)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        // The file before the entry: who takes it next must not lose it by that.
        self.file = None;
        held.get_or_insert_default().remove(&self.id);
    }
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
