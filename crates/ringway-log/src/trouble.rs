//! What goes wrong with the files of a log, before it is told to users.

use std::path::Path;

use nix::errno::Errno;
use ringway_core::{Address, Error, ErrorKind};

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel refused.
    Os {
        /// What, as a clause.
        what: String,
        /// Why.
        errno: Errno,
    },
    /// Nothing is there, or no log.
    NotALog,
    /// A file lies among the log's that is none of them.
    Foreign {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of a newer version.
    Version {
        /// Its name.
        name: String,
        /// The version.
        version: u32,
    },
    /// Something that was written is not there, or not as it was written.
    Damaged {
        /// In which file.
        name: String,
        /// At which byte.
        offset: u64,
        /// The number of the first message that cannot be read.
        number: u64,
    },
    /// A file in two parts has none that is right.
    NoSlot {
        /// Its name.
        name: String,
    },
    /// A sync has failed, and nobody knows what is on the disk.
    Poisoned,
}

impl Trouble {
    /// A call that the kernel refused.
    pub fn os(what: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let what = what.into();
        move |errno| Self::Os { what, errno }
    }

    /// The same, for users.
    pub(crate) fn at(self, action: &'static str, path: &Path) -> Error {
        let address = Address::Log(path.to_owned());
        let error = |kind, problem: String| Error::new(kind, action, &address, problem);
        match self {
            Self::Os { what, errno } => {
                let (kind, remedy) = match errno {
                    Errno::ENOENT | Errno::ENOTDIR => {
                        (ErrorKind::NotFound, "create it, or correct the path")
                    }
                    Errno::EACCES | Errno::EPERM => (
                        ErrorKind::PermissionDenied,
                        "run as a user who may, or widen the mode of the directory and its files",
                    ),
                    Errno::EROFS => (ErrorKind::PermissionDenied, "mount it writable"),
                    Errno::ENOSPC | Errno::EDQUOT => (
                        ErrorKind::NoSpace,
                        "make room on the disk, or have the log keep less (retention)",
                    ),
                    Errno::EMFILE | Errno::ENFILE => (
                        ErrorKind::NoSpace,
                        "close descriptors or raise the limit (ulimit -n)",
                    ),
                    _ => (ErrorKind::Os, ""),
                };
                error(kind, what).with_errno(errno as i32).remedy(remedy)
            }
            Self::NotALog => error(
                ErrorKind::NotFound,
                "the directory is there, but no log is in it".to_owned(),
            )
            .remedy("create it, or correct the path"),
            Self::Foreign { name, problem } => error(
                ErrorKind::Corrupt,
                format!("{name}, among its segments, {problem}"),
            )
            .remedy("move that file elsewhere"),
            Self::Version { name, version } => error(
                ErrorKind::Incompatible,
                format!("{name} has format version {version}, and this program knows 1"),
            )
            .remedy("use the program that made it"),
            Self::Damaged {
                name,
                offset,
                number,
            } => error(
                ErrorKind::Corrupt,
                format!(
                    "what was written is not there any more: message {number}, at byte {offset} of {name}"
                ),
            )
            .remedy(
                "copy the directory, and see to the disk; then read what is left, or have it cut there (Builder::repair)",
            ),
            Self::NoSlot { name } => error(
                ErrorKind::Corrupt,
                format!("{name} is damaged in both of its parts"),
            )
            .remedy("restore it from a copy; if it is of a cursor, remove it and choose where to begin"),
            Self::Poisoned => error(
                ErrorKind::Corrupt,
                "a sync failed, and what was not synced before may not be on the disk".to_owned(),
            )
            .remedy(
                "see to the disk; then have what is there written anew (Builder::repair)",
            ),
        }
    }
}
