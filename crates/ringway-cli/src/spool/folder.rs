//! A folder of files that are sent: which are whole, in which order, and where they go.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};
use nix::libc;

use crate::cli::Order;
use crate::failure::Failure;
use crate::say::say;

/// Where a file is while it is sent.
const SENDING: &str = ".sending";
/// Where it is afterwards.
const DONE: &str = "done";
/// Where files go that cannot be sent.
const REFUSED: &str = "refused";

/// Names that end so are of files that are still written.
const UNFINISHED: [&[u8]; 3] = [b".tmp", b".part", b"~"];

/// A file on its way: the ring, the number that its message has or will have, and its name in the folder.
pub(super) struct Ticket {
    pub(super) ring: u128,
    pub(super) number: u64,
    pub(super) name: OsString,
}

impl Ticket {
    fn file_name(&self) -> OsString {
        let mut text = OsString::from(format!("{:032x}-{:016x}-", self.ring, self.number));
        text.push(&self.name);
        text
    }

    fn parse(file_name: &OsStr) -> Option<Self> {
        let bytes = file_name.as_bytes();
        let ring = str::from_utf8(bytes.get(..32)?).ok()?;
        let number = str::from_utf8(bytes.get(33..49)?).ok()?;
        let name = bytes.get(50..).filter(|name| !name.is_empty())?;
        Some(Self {
            ring: u128::from_str_radix(ring, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
            name: OsString::from_vec(name.to_vec()),
        })
    }

    pub(super) fn shown(&self) -> impl std::fmt::Display {
        self.name.to_string_lossy().into_owned()
    }
}

/// The folder, of which nobody else is the spool.
pub(super) struct Folder {
    path: PathBuf,
    order: Order,
    /// Of files that cannot be sent this was said.
    told: HashSet<OsString>,
    _lock: Flock<File>,
}

impl Folder {
    pub(super) fn open(path: &Path, order: Order) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| {
            Failure::error(format_args!("cannot feed from {}: {what}", path.display()))
        };
        if !path.is_dir() {
            return Err(failed(&"it is no folder"));
        }
        let sending = path.join(SENDING);
        for needed in [&sending, &path.join(DONE), &path.join(REFUSED)] {
            match fs::create_dir(needed) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(failed(&error));
                }
                _ => {}
            }
        }
        let file = File::open(&sending).map_err(|error| failed(&error))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(
                |(_, errno)| match errno {
                    Errno::EWOULDBLOCK => failed(&"another spool does"),
                    errno => failed(&errno),
                },
            )?;
        Ok(Self {
            path: path.to_owned(),
            order,
            told: HashSet::new(),
            _lock: lock,
        })
    }

    /// The names of files that may be sent, in order.
    pub(super) fn list(&mut self) -> Result<Vec<OsString>, Failure> {
        let failed = |error: io::Error| {
            Failure::error(format_args!("cannot list {}: {error}", self.path.display()))
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if is_unfinished(&name) {
                continue;
            }
            // What is gone by now needs no place in the order.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_file() {
                let time = match self.order {
                    Order::Name => None,
                    Order::Time => metadata.modified().ok(),
                };
                found.push((time, name));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    /// Whether a file can be read, and nobody writes it. Of what cannot be read this is said, once.
    pub(super) fn is_whole(&mut self, name: &OsStr) -> bool {
        let path = self.path.join(name);
        match open(&path) {
            Ok(file) => {
                file.metadata().is_ok_and(|file| file.is_file()) && !is_written(file.as_raw_fd())
            }
            Err(error) => {
                if error.kind() != ErrorKind::NotFound && self.told.insert(name.to_owned()) {
                    say(format_args!("{} is left alone: {error}", path.display()));
                }
                false
            }
        }
    }

    /// What is in a file that is being sent; of one that has more than `max` bytes, only more than that.
    pub(super) fn read(&self, ticket: &Ticket, max: u64) -> Result<Vec<u8>, Failure> {
        let path = self.sending(ticket);
        let mut bytes = Vec::new();
        let read =
            open(&path).and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => {
                self.put_back(ticket)?;
                let path = path.display();
                Err(Failure::error(format_args!("cannot read {path}: {error}")))
            }
        }
    }

    /// Takes the file out of the folder. It may be gone by now.
    pub(super) fn begin(&self, ticket: &Ticket) -> Result<bool, Failure> {
        let from = self.path.join(&ticket.name);
        match fs::rename(&from, self.sending(ticket)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unmoved(&from, &error)),
        }
    }

    /// The file is sent.
    pub(super) fn finish(&self, ticket: &Ticket, delete: bool) -> Result<(), Failure> {
        let from = self.sending(ticket);
        match delete {
            true => fs::remove_file(&from).map_err(|error| unmoved(&from, &error)),
            false => move_beside(&from, &self.path.join(DONE), &ticket.name),
        }
    }

    /// The file is not sent, or nobody knows.
    pub(super) fn put_back(&self, ticket: &Ticket) -> Result<(), Failure> {
        move_beside(&self.sending(ticket), &self.path, &ticket.name)
    }

    /// The file cannot be sent.
    pub(super) fn refuse(&self, ticket: &Ticket) -> Result<(), Failure> {
        let refused = self.path.join(REFUSED);
        move_beside(&self.sending(ticket), &refused, &ticket.name)
    }

    /// What a spool that was killed was about to send.
    pub(super) fn begun(&self) -> Result<Vec<Ticket>, Failure> {
        let path = self.path.join(SENDING);
        let failed =
            |error| Failure::error(format_args!("cannot list {}: {error}", path.display()));
        let mut begun = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            // What has another name was not put there by a spool.
            begun.extend(Ticket::parse(&entry.map_err(failed)?.file_name()));
        }
        Ok(begun)
    }

    fn sending(&self, ticket: &Ticket) -> PathBuf {
        self.path.join(SENDING).join(ticket.file_name())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        // No link to elsewhere; no wait for the other end of a pipe.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") || UNFINISHED.iter().any(|end| name.ends_with(end))
}

/// Moves a file, under a name of its own if there is one of that name.
fn move_beside(from: &Path, directory: &Path, name: &OsStr) -> Result<(), Failure> {
    for count in 0_u32.. {
        let mut name = name.to_owned();
        if count > 0 {
            name.push(format!(".{count}"));
        }
        let to = directory.join(name);
        match renameat2(AT_FDCWD, from, AT_FDCWD, &to, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            // A file system that cannot refuse to replace: nobody else moves files there.
            Err(Errno::EINVAL) if !to.exists() => {
                return fs::rename(from, &to).map_err(|error| unmoved(from, &error));
            }
            Err(Errno::EINVAL) => {}
            Err(errno) => return Err(unmoved(from, &errno)),
        }
    }
    Err(unmoved(from, &"there is no free name"))
}

fn unmoved(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::error(format_args!("cannot move {}: {why}", path.display()))
}

/// Not in the libc crate.
const F_SETSIG: libc::c_int = 10;

/// Whether somebody has the file open for writing: then the kernel refuses a read lease. Where it cannot tell (another user's
/// file, a file system without leases) it is taken for whole, as a file is that was renamed.
fn is_written(file: RawFd) -> bool {
    let fcntl = |command, argument: libc::c_int| {
        // SAFETY: these commands take a number.
        Errno::result(unsafe { libc::fcntl(file, command, argument) })
    };
    // Who opens it for writing in this moment is told of by a signal: one that is ignored, or does nothing.
    if fcntl(F_SETSIG, libc::SIGURG).is_err() {
        return false;
    }
    let taken = fcntl(libc::F_SETLEASE, libc::F_RDLCK);
    let _ = fcntl(libc::F_SETLEASE, libc::F_UNLCK);
    taken == Err(Errno::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let name = OsString::from_vec(b"a-b \xff.txt".to_vec());
        let ticket = Ticket {
            ring: u128::MAX - 1,
            number: 77,
            name: name.clone(),
        };
        let read = Ticket::parse(&ticket.file_name()).unwrap();
        assert_eq!((read.ring, read.number), (u128::MAX - 1, 77));
        assert_eq!(read.name, name);
        for other in ["", "letter", "0123-4-letter"] {
            assert!(Ticket::parse(OsStr::new(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn names_of_unfinished_files_are_known() {
        for (name, expected) in [
            ("letter", false),
            (".letter", true),
            ("letter~", true),
            ("letter.tmp", true),
            ("letter.part", true),
            ("tmp", false),
        ] {
            assert_eq!(is_unfinished(OsStr::new(name)), expected, "{name}");
        }
    }
}
