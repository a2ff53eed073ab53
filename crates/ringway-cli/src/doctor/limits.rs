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
    checks.extend(system_v_queues());
    checks.extend([inotify(), proc_for_queues()]);
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

/// Bytes of a message with which a queue is of use.
const MESSAGE: u64 = 512;

fn system_v_queues() -> Vec<Check> {
    let kernel = |name: &'static str| {
        let source = format!("/proc/sys/kernel/{name}");
        number(&source).ok_or_else(|| Check::unreadable(name, &source))
    };
    let least = |name: &'static str, follows: &str| match kernel(name) {
        Err(check) => check,
        Ok(value) => Check::ok(name, human_size(value)).unless(
            value >= MESSAGE,
            Verdict::Warning,
            format!("{follows}: sysctl kernel.{name}"),
        ),
    };
    let count = match (kernel("msgmni"), rows("/proc/sysvipc/msg")) {
        (Ok(most), Some(used)) => Check::ok("msgmni", format!("{used} of {most} used")).unless(
            used < most,
            Verdict::Problem,
            "there is no room for a sysvmq: queue: ringway gc, ipcrm, or raise it: sysctl kernel.msgmni",
        ),
        (Err(check), _) => check,
        (_, None) => Check::unreadable("msgmni", "/proc/sysvipc/msg"),
    };
    vec![
        least("msgmax", "sysvmq: queues carry tiny messages only"),
        least("msgmnb", "a new sysvmq: queue holds next to nothing"),
        count,
    ]
}

/// Instances with which a few queues can be used.
const INSTANCES: u64 = 16;

fn inotify() -> Check {
    use nix::sys::inotify::{InitFlags, Inotify};
    let (name, source) = (
        "inotify instances",
        "/proc/sys/fs/inotify/max_user_instances",
    );
    let raise =
        "every sender and receiver of an mq: queue takes one: sysctl fs.inotify.max_user_instances";
    if let Err(errno) = Inotify::init(InitFlags::IN_CLOEXEC) {
        let hint = format!("mq: queues do not work; {raise}");
        return Check::ok(name, format!("none can be had ({errno:?})")).but(Verdict::Problem, hint);
    }
    match number(source) {
        None => Check::unreadable(name, source),
        Some(most) => Check::ok(name, format!("up to {most}")).unless(
            most >= INSTANCES,
            Verdict::Warning,
            format!("few mq: queues work; {raise}"),
        ),
    }
}

fn proc_for_queues() -> Check {
    let has = std::path::Path::new("/proc/self/fd").is_dir();
    Check::ok("/proc", if has { "mounted" } else { "not mounted" }).unless(
        has,
        Verdict::Problem,
        "mq: queues do not work, and file: rings cannot tell a reboot: mount -t proc none /proc",
    )
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
