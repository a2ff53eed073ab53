//! Whose an object is.
//!
//! In a user namespace the kernel shows each user that has no number there as one and the same, the *overflow* uid,
//! usually 65534; groups likewise. A process that has no number itself sees itself so, and everything of all others
//! seems to be its own. So that number says who somebody is only where nobody is without one: in the first namespace,
//! and those that map all.

use nix::sys::stat::FileStat;
use nix::unistd::geteuid;

use super::shmget;

/// Where one or the other number is told, and what it is where nobody tells.
const OVERFLOW: u32 = 65534;

/// Users or groups.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    overflow: &'static str,
    map: &'static str,
}

const USERS: Numbers = Numbers {
    overflow: "/proc/sys/kernel/overflowuid",
    map: "/proc/self/uid_map",
};

const GROUPS: Numbers = Numbers {
    overflow: "/proc/sys/kernel/overflowgid",
    map: "/proc/self/gid_map",
};

impl Numbers {
    /// Whether the number stands for one and no other. Asked anew each time: a process can enter a namespace.
    fn is_known(self, number: u32) -> bool {
        let overflow = std::fs::read_to_string(self.overflow).ok();
        let overflow = overflow.and_then(|text| text.trim().parse().ok());
        if number != overflow.unwrap_or(OVERFLOW) {
            return true;
        }
        std::fs::read_to_string(self.map).is_ok_and(|map| maps_all(&map))
    }
}

/// Whether a map leaves nobody without a number.
fn maps_all(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        fields.nth(2)?.parse::<u64>().ok()
    });
    // The last number is none.
    counts.sum::<u64>() >= u64::from(u32::MAX)
}

/// Whether `owner` is this process's user.
pub fn is_own(owner: u32) -> bool {
    owner == geteuid().as_raw() && USERS.is_known(owner)
}

/// Whether `owner` is this process's user or root, whose objects are used without being asked.
pub fn is_trusted(owner: u32) -> bool {
    (owner == 0 || owner == geteuid().as_raw()) && USERS.is_known(owner)
}

/// Why `owner` is neither this process's user nor root.
pub fn difference(owner: u32) -> String {
    let euid = geteuid().as_raw();
    match USERS.is_known(owner) {
        true => format!("it belongs to user {owner}, and this process runs as user {euid}"),
        false => format!(
            "it belongs to user {owner}, which in this user namespace is everybody without a number here"
        ),
    }
}

/// Whether this process may remove what belongs to all of `owners`: one's own, and for root all.
pub fn may_remove(owners: &[u32]) -> bool {
    geteuid().is_root() || owners.iter().any(|owner| is_own(*owner))
}

/// Whether the number of a group stands for one and no other.
pub(crate) fn is_known_group(group: u32) -> bool {
    GROUPS.is_known(group)
}

/// Who may use an object, such as a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Read and write bits.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: u32,
    /// The owning group.
    pub(crate) gid: u32,
}

impl Access {
    pub(crate) fn of_sysv(status: &shmget::Status) -> Self {
        Self {
            mode: status.mode & 0o666,
            uid: status.owner_uid,
            gid: status.owner_gid,
        }
    }

    pub(crate) fn of_file(stat: &FileStat) -> Self {
        Self {
            mode: stat.st_mode & 0o666,
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }

    /// The same for what lies beside the segment: nothing for a group that only seems to be the segment's.
    pub(crate) fn beside(mut self) -> Self {
        if !is_known_group(self.gid) {
            self.mode &= !0o070;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_map_of_all_leaves_nobody_out() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(maps_all("0 0 1000\n1000 1000 4294966295\n"));
        for map in ["", "0 1000 1\n", "0 100000 65536\n", "0 0 4294967294\n"] {
            assert!(!maps_all(map), "{map}");
        }
    }
}
