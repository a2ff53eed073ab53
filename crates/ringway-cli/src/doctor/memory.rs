//! Where rings lie: POSIX shared memory, System V segments, huge pages.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, SysconfVar, access, sysconf};

use super::{Check, DEFAULT_RING, Verdict, number, rows};
use crate::units::human_size;

const SHM: &str = "/dev/shm";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        shm_permissions(),
        shm_space(),
        shm_inodes(),
        memory(),
        cgroup(),
    ];
    checks.extend(system_v());
    checks.push(huge_pages());
    checks
}

fn shm_permissions() -> Check {
    let name = "/dev/shm";
    let metadata = match std::fs::metadata(SHM) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return no_shm("not a directory".to_owned()),
        Err(error) => return no_shm(error.to_string()),
    };
    let mode = metadata.mode() & 0o7777;
    let value = format!("mode {mode:04o}, owner {}", metadata.uid());
    if let Err(errno) = access(SHM, AccessFlags::W_OK | AccessFlags::X_OK) {
        let what_to_do = match errno {
            Errno::EROFS => "there are no new shm: rings: mount -o remount,rw /dev/shm",
            _ => "this user can make no shm: rings: chmod 1777 /dev/shm",
        };
        return Check::ok(name, value).but(Verdict::Problem, what_to_do);
    }
    let others_may_rename = mode & 0o022 != 0 && mode & 0o1000 == 0;
    Check::ok(name, value).unless(
        !others_may_rename,
        Verdict::Warning,
        "any user can rename the rings of others: chmod 1777 /dev/shm",
    )
}

fn no_shm(what: String) -> Check {
    Check::ok("/dev/shm", what).but(
        Verdict::Problem,
        "there are no shm: rings: mount -t tmpfs -o mode=1777 none /dev/shm",
    )
}

fn shm_space() -> Check {
    let name = "space in /dev/shm";
    let Ok(space) = statvfs(SHM) else {
        return Check::unreadable(name, SHM);
    };
    let bytes = |blocks: u64| blocks.saturating_mul(space.fragment_size());
    let (total, free) = (bytes(space.blocks()), bytes(space.blocks_available()));
    let value = format!("{} of {} free", human_size(free), human_size(total));
    let enlarge = "mount -o remount,size=SIZE /dev/shm (in a container: --shm-size)";
    match free {
        // No limit is said so.
        _ if total == 0 => Check::ok(name, "no limit"),
        free if free < DEFAULT_RING => Check::ok(name, value).but(
            Verdict::Problem,
            format!("a ring of the default size does not fit: ringway gc, or {enlarge}"),
        ),
        free if free < 16 * DEFAULT_RING => Check::ok(name, value).but(
            Verdict::Warning,
            format!("there is room for a few rings of the default size: {enlarge}"),
        ),
        _ => Check::ok(name, value),
    }
}

fn shm_inodes() -> Check {
    let name = "inodes in /dev/shm";
    let Ok(system) = statvfs(SHM) else {
        return Check::unreadable(name, SHM);
    };
    match (system.files(), system.files_available()) {
        (0, _) => Check::ok(name, "no limit"),
        (all, free) => Check::ok(name, format!("{free} of {all} free")).unless(
            free > 0,
            Verdict::Problem,
            "there are no new shm: rings, whatever space there is: ringway gc, or mount -o remount,nr_inodes=N /dev/shm",
        ),
    }
}

/// What the memory cgroups of this process leave.
fn cgroup() -> Check {
    let name = "memory cgroup";
    match (is_in_cgroup(), left_in_cgroups()) {
        (false, _) => Check::ok(name, "none"),
        (true, None) => Check::ok(name, "no limit"),
        (true, Some(left)) => Check::ok(name, format!("{} left", human_size(left))).unless(
            left >= DEFAULT_RING,
            Verdict::Problem,
            "a ring of the default size does not fit, and who touches more is killed: raise memory.max, or choose a \
             smaller --capacity",
        ),
    }
}

/// Where this process is in the tree of cgroups.
fn own_cgroup() -> Option<String> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.to_owned())
}

fn is_in_cgroup() -> bool {
    own_cgroup().is_some()
}

/// Bytes that this process's cgroups leave to it, the least of all levels; `None` if none of them has a limit.
pub(super) fn left_in_cgroups() -> Option<u64> {
    let path = own_cgroup()?;
    let mut directory = std::path::PathBuf::from(format!("/sys/fs/cgroup{path}"));
    let mut least: Option<u64> = None;
    while directory.starts_with("/sys/fs/cgroup") {
        let read = |file: &str| {
            let file = directory.join(file);
            number(file.to_str()?)
        };
        if let (Some(most), Some(used)) = (read("memory.max"), read("memory.current")) {
            let left = most.saturating_sub(used);
            least = Some(least.map_or(left, |least| least.min(left)));
        }
        directory.pop();
    }
    least
}

const MEMINFO: &str = "/proc/meminfo";

/// Bytes that can be had without swapping.
pub(super) fn available() -> Option<u64> {
    meminfo(&std::fs::read_to_string(MEMINFO).ok()?, "MemAvailable:")
}

fn memory() -> Check {
    let name = "available memory";
    let Some(free) = available() else {
        return Check::unreadable(name, MEMINFO);
    };
    Check::ok(name, human_size(free)).unless(
        free >= DEFAULT_RING,
        Verdict::Problem,
        "a ring of the default size does not fit: free memory",
    )
}

/// Bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn system_v() -> [Check; 3] {
    let kernel = |name| number(&format!("/proc/sys/kernel/{name}"));
    let raise = |name: &str| format!("raise it: sysctl kernel.{name}");
    let one = match kernel("shmmax") {
        None => no_system_v("shmmax"),
        Some(most) => Check::ok("shmmax", limit(most)).unless(
            most >= DEFAULT_RING,
            Verdict::Problem,
            format!(
                "a sysv: ring of the default size does not fit; {}",
                raise("shmmax")
            ),
        ),
    };
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let page = page
        .and_then(|page| u64::try_from(page).ok())
        .unwrap_or(4096);
    let all = match kernel("shmall") {
        None => no_system_v("shmall"),
        Some(pages) => {
            let most = pages.saturating_mul(page);
            Check::ok("shmall", limit(most)).unless(
                most >= DEFAULT_RING,
                Verdict::Problem,
                format!(
                    "a sysv: ring of the default size does not fit; {}",
                    raise("shmall")
                ),
            )
        }
    };
    let count = match (kernel("shmmni"), rows("/proc/sysvipc/shm")) {
        (Some(most), Some(used)) => Check::ok("shmmni", format!("{used} of {most} used")).unless(
            used < most,
            Verdict::Problem,
            format!(
                "there is no room for a sysv: ring: ringway gc, ipcrm, or {}",
                raise("shmmni")
            ),
        ),
        _ => no_system_v("shmmni"),
    };
    [one, all, count]
}

/// The kernel's own limits are close to what 64 bits can say.
fn limit(bytes: u64) -> String {
    match bytes {
        1_000_000_000_000_000_000.. => "no limit".to_owned(),
        bytes => human_size(bytes),
    }
}

fn no_system_v(name: &'static str) -> Check {
    Check::ok(name, "unknown").but(
        Verdict::Warning,
        "it cannot be read; the kernel may have no System V shared memory",
    )
}

fn huge_pages() -> Check {
    let name = "huge pages";
    let (Some(all), Some(free)) = (
        number("/proc/sys/vm/nr_hugepages"),
        std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("HugePages_Free:"))?;
                line.trim().parse::<u64>().ok()
            }),
    ) else {
        return Check::unreadable(name, "/proc/sys/vm/nr_hugepages");
    };
    // Needed only by who asks for them.
    Check::ok(name, format!("{free} of {all} reserved are free"))
}
