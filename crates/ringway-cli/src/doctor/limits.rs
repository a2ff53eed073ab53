//! Limits: of semaphores, message queues, and this process.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{FsType, statfs};

use super::{Check, DEFAULT_RING, Verdict, number, numbers, rows};
use crate::units::human_size;

/// What a ring with 32 producers and 32 consumers has: a lock, their bells, and 24 that tell whose it is.
const SEMAPHORES: u64 = 1 + 64 + 24;
/// Operations that make a set, at once.
const OPERATIONS: u64 = 25;
/// Bytes that the kernel counts for a queue of one message of one byte, and more.
const QUEUE: u64 = 512;
/// Descriptors for a few rings of many participants with queues.
const DESCRIPTORS: u64 = 256;
const MQUEUE_MAGIC: FsType = FsType(0x1980_0202);

pub(super) fn checks() -> Vec<Check> {
    let mut checks = semaphores();
    checks.extend(segments());
    checks.extend(queues());
    checks.extend(process());
    checks
}

fn semaphores() -> Vec<Check> {
    let source = "/proc/sys/kernel/sem";
    let limits = numbers::<u64>(source);
    let Some([per_set, in_all, at_once, sets]) = limits.as_deref() else {
        return vec![Check::unreadable("semaphores", source)];
    };
    let hint = |nth: &str| {
        format!(
            "sysv-sem rings of the default size do not work: raise the {nth} of kernel.sem (sysctl)"
        )
    };
    let used = rows("/proc/sysvipc/sem").unwrap_or(0);
    vec![
        Check::ok("SEMMSL", per_set.to_string()).unless(
            *per_set >= SEMAPHORES,
            Verdict::Warning,
            hint("first"),
        ),
        Check::ok("SEMMNS", in_all.to_string()).unless(
            *in_all >= SEMAPHORES,
            Verdict::Warning,
            hint("second"),
        ),
        Check::ok("SEMOPM", at_once.to_string()).unless(
            *at_once >= OPERATIONS,
            Verdict::Problem,
            "no sysv-sem ring works: raise the third of kernel.sem (sysctl)",
        ),
        Check::ok("SEMMNI", format!("{used} of {sets} sets used")).unless(
            used < *sets,
            Verdict::Problem,
            "there is no room for a sysv-sem ring: ringway gc, ipcrm, or raise the fourth of kernel.sem",
        ),
    ]
}

/// Of an IPC namespace.
fn segments() -> Option<Check> {
    let forced = number("/proc/sys/kernel/shm_rmid_forced")?;
    Some(Check::ok("shm_rmid_forced", forced.to_string()).unless(
        forced == 0,
        Verdict::Problem,
        "sysv: is refused, because the kernel removes a segment that nobody has attached: sysctl kernel.shm_rmid_forced=0",
    ))
}

fn queues() -> Vec<Check> {
    let limit = |name: &'static str, least: u64, hint: &str| {
        let source = format!("/proc/sys/fs/mqueue/{name}");
        match number(&source) {
            Some(value) => {
                Check::ok(name, value.to_string()).unless(value >= least, Verdict::Problem, hint)
            }
            None => Check::unreadable(name, &source),
        }
    };
    let mounted = statfs("/dev/mqueue").is_ok_and(|at| at.filesystem_type() == MQUEUE_MAGIC);
    vec![
        limit(
            "queues_max",
            4,
            "few mqueue rings work: raise fs.mqueue.queues_max (sysctl)",
        ),
        limit(
            "msg_max",
            1,
            "no mqueue ring works: raise fs.mqueue.msg_max (sysctl)",
        ),
        limit(
            "msgsize_max",
            1,
            "no mqueue ring works: raise fs.mqueue.msgsize_max (sysctl)",
        ),
        resource(
            "RLIMIT_MSGQUEUE",
            Resource::RLIMIT_MSGQUEUE,
            |limit| limit >= 8 * QUEUE,
            Verdict::Warning,
            "few mqueue rings work: raise it (ulimit -q)",
        ),
        Check::ok(
            "/dev/mqueue",
            if mounted { "mounted" } else { "not mounted" },
        )
        .unless(
            mounted || nix::unistd::geteuid().is_root(),
            Verdict::Warning,
            "ringway gc sees no queues: mount -t mqueue none /dev/mqueue",
        ),
    ]
}

fn process() -> [Check; 3] {
    [
        resource(
            "RLIMIT_MEMLOCK",
            Resource::RLIMIT_MEMLOCK,
            |limit| limit >= DEFAULT_RING,
            Verdict::Warning,
            "a ring of the default size cannot be locked in memory, where that is asked for (ulimit -l)",
        ),
        resource(
            "RLIMIT_FSIZE",
            Resource::RLIMIT_FSIZE,
            |limit| limit >= DEFAULT_RING,
            Verdict::Problem,
            "a ring of the default size is longer than a file may be: raise it (ulimit -f)",
        ),
        descriptors(),
    ]
}

fn descriptors() -> Check {
    let name = "RLIMIT_NOFILE";
    let Ok((limit, most)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Check::unreadable(name, "it");
    };
    Check::ok(name, format!("{limit} (up to {most})")).unless(
        limit >= DESCRIPTORS,
        Verdict::Warning,
        "mqueue rings of many participants may not work: raise it (ulimit -n)",
    )
}

/// A limit in bytes of this process.
fn resource(
    name: &'static str,
    resource: Resource,
    is_well: impl Fn(u64) -> bool,
    verdict: Verdict,
    hint: &str,
) -> Check {
    match getrlimit(resource) {
        Ok((RLIM_INFINITY, _)) => Check::ok(name, "no limit"),
        Ok((limit, _)) => Check::ok(name, human_size(limit)).unless(is_well(limit), verdict, hint),
        Err(_) => Check::unreadable(name, "it"),
    }
}
