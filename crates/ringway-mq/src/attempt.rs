//! The texts of errors at set-up.

use nix::errno::Errno;
use ringway_core::{Address, Error, ErrorKind, os};

/// An action on an address, which may fail.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// A verb, as in "cannot open mq:/orders".
    pub(crate) action: &'static str,
    pub(crate) address: &'a Address,
}

impl Attempt<'_> {
    pub(crate) fn error(self, kind: ErrorKind, problem: impl Into<String>) -> Error {
        Error::new(kind, self.action, self.address, problem)
    }

    pub(crate) fn not_found(self, errno: Errno) -> Error {
        let remedy = match self.action {
            "open" => "create it, or let the open wait for it",
            _ => "see which queues there are: ringway ls",
        };
        self.error(ErrorKind::NotFound, "there is no such queue")
            .remedy(remedy)
            .with_errno(errno as i32)
    }

    pub(crate) fn already_exists(self, errno: Errno) -> Error {
        self.error(ErrorKind::AlreadyExists, "the address is taken")
            .remedy(format!(
                "open it, remove it (ringway rm {}), or choose another address",
                self.address
            ))
            .with_errno(errno as i32)
    }

    pub(crate) fn foreign(self, problem: &str) -> Error {
        self.error(ErrorKind::NotARing, problem)
            .remedy("choose another address; ringway leaves alone what it did not make")
    }

    /// Somebody alive is attached; the kernel does not say who.
    pub(crate) fn in_use(self) -> Error {
        self.error(ErrorKind::InUse { pid: 0 }, "a live process is attached")
            .remedy("end it, or remove with force")
    }

    pub(crate) fn role_taken(self) -> Error {
        let problem = "a live process is its receiver, and there is one at a time";
        self.error(ErrorKind::RoleTaken { pid: 0 }, problem)
            .remedy("close that receiver, or end its process")
    }

    pub(crate) fn forked(self) -> Error {
        let problem = "this process inherited it through fork";
        self.error(ErrorKind::Forked, problem)
            .remedy("open the queue again in the child")
    }

    pub(crate) fn wrong_address(self) -> Error {
        self.error(ErrorKind::Unsupported, "that is no message queue")
            .remedy("write mq:/NAME, sysvmq:0xKEY or sysvmq:PATH#ID")
    }

    /// The thread of a receiver was not started.
    pub(crate) fn no_watcher(self, error: &std::io::Error) -> Error {
        let problem = "its watcher thread could not be started";
        self.error(ErrorKind::NoSpace, problem)
            .remedy("make room for one more thread (ulimit -u)")
            .with_errno(error.raw_os_error().unwrap_or(libc::EAGAIN))
    }

    /// Only one's own objects and root's are used, unless others' are allowed.
    pub(crate) fn check_owner(self, owners: &[u32], any_owner: bool) -> Result<(), Error> {
        match owners.iter().find(|owner| !os::is_trusted(**owner)) {
            Some(owner) if !any_owner => Err(self
                .foreign_owner(*owner)
                .remedy("if that user is to be trusted, allow any owner when opening")),
            _ => Ok(()),
        }
    }

    /// For removal: one's own, and for root all.
    pub(crate) fn check_is_ours(self, owners: &[u32]) -> Result<(), Error> {
        if os::may_remove(owners) {
            return Ok(());
        }
        let owner = owners.first().copied().unwrap_or(0);
        let error = self.foreign_owner(owner);
        Err(error.remedy("remove it as that user, or as root"))
    }

    fn foreign_owner(self, owner: u32) -> Error {
        self.error(ErrorKind::ForeignOwner, os::difference(owner))
    }

    /// Without /proc a queue that is open cannot be opened once more, as everybody who attaches does.
    pub(crate) fn check_proc(self) -> Result<(), Error> {
        if std::path::Path::new("/proc/self/fd").is_dir() {
            return Ok(());
        }
        let problem = "there is no /proc here, by which a queue is opened once more";
        Err(self
            .error(ErrorKind::Unsupported, problem)
            .remedy("mount it (mount -t proc none /proc), or use another kind of address"))
    }

    /// This user has as many inotify instances or watches as the limit `name` allows.
    pub(crate) fn limit_of_inotify(self, call: &str, name: &str, errno: Errno) -> Error {
        let limit = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
        let limit = limit.unwrap_or_default();
        let problem = format!(
            "{call} cannot watch it: this user has its fs.inotify.{name} ({})",
            limit.trim()
        );
        self.error(ErrorKind::NoSpace, problem)
            .remedy(format!(
                "end senders and receivers of POSIX queues, or raise the limit (sysctl fs.inotify.{name})"
            ))
            .with_errno(errno as i32)
    }

    /// That the system call `call` `failed`, as in "cannot open it", for an errno that has no better explanation there.
    pub(crate) fn os(self, call: &str, failed: &str, errno: Errno) -> Error {
        let (kind, remedy) = match errno {
            Errno::EACCES => (
                ErrorKind::PermissionDenied,
                "run as the user who owns it, or have it made with a wider mode",
            ),
            // Not for the mode of an object: a capability is missing, or a sandbox denies the call.
            Errno::EPERM => (ErrorKind::PermissionDenied, ""),
            Errno::EMFILE => (
                ErrorKind::NoSpace,
                "close descriptors or raise the limit (ulimit -n)",
            ),
            Errno::ENFILE => (ErrorKind::NoSpace, "raise the limit: sysctl fs.file-max"),
            Errno::ENOMEM => (ErrorKind::NoSpace, "free memory"),
            Errno::ENOLCK => (
                ErrorKind::NoSpace,
                "the kernel has no memory for file locks",
            ),
            Errno::ENOSYS => (ErrorKind::Unsupported, "use another kind of address"),
            Errno::ENAMETOOLONG => (ErrorKind::InvalidAddress, "choose a shorter name"),
            // No cause is known, so no remedy is.
            _ => (ErrorKind::Os, ""),
        };
        self.error(kind, format!("{call} {failed}"))
            .remedy(remedy)
            .with_errno(errno as i32)
    }
}

/// Whether this process has all the descriptors that it may have. The kernel says EMFILE of other limits, too.
pub(crate) fn is_out_of_descriptors() -> bool {
    let opened = std::fs::File::open("/");
    opened.is_err_and(|error| error.raw_os_error() == Some(libc::EMFILE))
}
