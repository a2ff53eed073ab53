//! The texts of errors: what was attempted, on which address, and what to do next.

use nix::errno::Errno;

use super::{Error, ErrorKind};
use crate::address::Address;
use crate::sys::owner;

/// An action on an address, which may fail.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// A verb, as in "cannot open shm:orders".
    pub(crate) action: &'static str,
    pub(crate) address: &'a Address,
}

impl<'a> Attempt<'a> {
    pub(crate) fn to(action: &'static str, address: &'a Address) -> Self {
        Self { action, address }
    }

    /// A collector found the ring abandoned, before this process attached.
    pub(crate) fn retired(self) -> Error {
        let problem = "it was removed: all that had held it had died";
        self.error(ErrorKind::NotFound, problem)
            .remedy("open it again so that it is created if need be")
    }

    /// A child of `fork` cannot use what it inherited.
    pub(crate) fn forked(self) -> Error {
        self.error(ErrorKind::Forked, "this process inherited it through fork")
            .remedy("open the ring again in the child")
    }

    /// How to get a ring in the place of one that cannot be used any more.
    pub(crate) fn anew(self) -> String {
        match self.address {
            Address::Memfd => {
                "create another ring and hand that over; this one goes with its last process"
                    .to_owned()
            }
            address => format!("remove it (ringway rm {address}) and create it again"),
        }
    }

    pub(crate) fn error(self, kind: ErrorKind, problem: impl Into<String>) -> Error {
        Error::new(kind, self.action, self.address, problem)
    }

    /// `what` the kernel refused, for an errno that has no better explanation at the call.
    pub(crate) fn os(self, what: &str, errno: Errno) -> Error {
        let (kind, remedy) = match errno {
            Errno::EACCES => (
                ErrorKind::PermissionDenied,
                "run as the user who owns it, or have it made with a wider mode",
            ),
            // Not for the mode of an object: a capability is missing, or a sandbox denies the call.
            Errno::EPERM => (ErrorKind::PermissionDenied, ""),
            Errno::EROFS => (
                ErrorKind::PermissionDenied,
                "mount it writable, or use another kind of address: memfd: or sysv:",
            ),
            Errno::EMFILE => (
                ErrorKind::NoSpace,
                "close descriptors or raise the limit (ulimit -n)",
            ),
            Errno::ENFILE => (ErrorKind::NoSpace, "raise the limit: sysctl fs.file-max"),
            Errno::ENOMEM => (
                ErrorKind::NoSpace,
                "free memory, raise this process's memory limits, or choose a smaller capacity",
            ),
            Errno::ENOSPC => (
                ErrorKind::NoSpace,
                "free space or choose a smaller capacity",
            ),
            Errno::EDQUOT => (ErrorKind::NoSpace, "free some of the user's quota"),
            Errno::ENOSYS => (ErrorKind::Unsupported, ""),
            Errno::EOPNOTSUPP => (
                ErrorKind::Unsupported,
                "use another kind of address: shm:, file:, sysv: or memfd:",
            ),
            Errno::ENAMETOOLONG => (ErrorKind::InvalidAddress, "choose a shorter name"),
            // No cause is known, so no remedy is.
            _ => (ErrorKind::Os, ""),
        };
        self.error(kind, what).remedy(remedy).because(errno)
    }

    /// Nothing is at the address.
    pub(crate) fn not_found(self, errno: Errno) -> Error {
        let remedy = match self.action {
            "open" => "create it, or let the open wait for it",
            _ => "see which rings there are: ringway ls",
        };
        self.error(ErrorKind::NotFound, "there is no such ring")
            .remedy(remedy)
            .because(errno)
    }

    /// The address is taken.
    pub(crate) fn already_exists(self, errno: Errno) -> Error {
        let remedy = format!(
            "open it, remove it (ringway rm {}), or choose another address",
            self.address
        );
        self.error(ErrorKind::AlreadyExists, "the address is taken")
            .remedy(remedy)
            .because(errno)
    }

    /// Something else is at the address.
    pub(crate) fn not_a_ring(self, problem: impl Into<String>) -> Error {
        self.error(ErrorKind::NotARing, problem)
            .remedy("choose another address; ringway leaves alone what it did not make")
    }

    pub(crate) fn foreign_owner(self, owner: u32) -> Error {
        let problem = owner::difference(owner);
        self.error(ErrorKind::ForeignOwner, problem)
            .remedy("if that user is to be trusted, allow any owner when opening")
    }

    pub(crate) fn timed_out(self, problem: impl Into<String>) -> Error {
        self.error(ErrorKind::TimedOut, problem)
            .remedy("see whether the creator runs, or wait longer")
    }
}
