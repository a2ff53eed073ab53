//! Whether a sandbox denies system calls that ringway makes.

use nix::errno::Errno;
use nix::libc::{self, c_long};

use super::{Check, Verdict};

/// A call, arguments with which it can do nothing, and what does not work without it.
const CALLS: &[(&str, c_long, [c_long; 5], &str)] = &[
    (
        "futex_waitv",
        libc::SYS_futex_waitv,
        [0; 5],
        "rings wake up more often than they need",
    ),
    (
        "membarrier",
        libc::SYS_membarrier,
        [0; 5],
        "rings are slower, and those of processes that have it cannot be opened",
    ),
    (
        "set_robust_list",
        libc::SYS_set_robust_list,
        [0; 5],
        "no ring works: nobody learns of a death",
    ),
    (
        "memfd_create",
        libc::SYS_memfd_create,
        [0; 5],
        "there are no memfd: rings",
    ),
    (
        "renameat2",
        libc::SYS_renameat2,
        [-1, 0, -1, 0, 0],
        "new shm: and file: rings may fail",
    ),
    (
        "flock",
        libc::SYS_flock,
        [-1, 0, 0, 0, 0],
        "shm: and file: rings cannot be removed",
    ),
    (
        "shmget",
        libc::SYS_shmget,
        [0; 5],
        "there are no sysv: rings",
    ),
    (
        "semget",
        libc::SYS_semget,
        [0, -1, 0, 0, 0],
        "there are no sysv-sem rings and no sysvmq: queues",
    ),
    (
        "mq_open",
        libc::SYS_mq_open,
        [0; 5],
        "there are no mqueue rings and no mq: queues",
    ),
    (
        "msgctl",
        libc::SYS_msgctl,
        [-1, libc::IPC_STAT as c_long, 0, 0, 0],
        "there are no sysvmq: queues",
    ),
    (
        "inotify_init1",
        libc::SYS_inotify_init1,
        [-1, 0, 0, 0, 0],
        "there are no mq: queues, and --wait for a file polls",
    ),
];

pub(super) fn check() -> Check {
    let denied: Vec<_> = CALLS
        .iter()
        .filter_map(|(name, number, arguments, follows)| {
            denial(*number, *arguments).map(|errno| (name, errno, follows))
        })
        .collect();
    let filter = match seccomp_mode().as_deref() {
        Some("0") => "no filter",
        Some(_) => "a seccomp filter is in force",
        None => "whether there is a filter is unknown",
    };
    if denied.is_empty() {
        return Check::ok("sandbox", format!("{filter}; all calls are allowed"));
    }
    let names: Vec<_> = denied
        .iter()
        .map(|(name, errno, _)| format!("{name} ({errno:?})"))
        .collect();
    let follows: Vec<_> = denied.iter().map(|(_, _, follows)| **follows).collect();
    let serious = |name: &str| !matches!(name, "futex_waitv" | "membarrier" | "renameat2");
    let verdict = match denied.iter().any(|(name, ..)| serious(name)) {
        true => Verdict::Problem,
        false => Verdict::Warning,
    };
    Check::ok("sandbox", format!("{filter}; denied: {}", names.join(", "))).but(
        verdict,
        format!("{}: have the sandbox allow the calls", follows.join("; ")),
    )
}

/// How a call is refused that is not even looked at.
fn denial(number: c_long, arguments: [c_long; 5]) -> Option<Errno> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: with these arguments (no descriptor, no pointer, no length, an unknown flag) none of the calls reads or
    // writes memory, or makes or changes anything.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    match Errno::result(result) {
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => Some(errno),
        _ => None,
    }
}

fn seccomp_mode() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))?;
    Some(mode.trim().to_owned())
}
