//! Whether what somebody plans will fit on this machine.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::{SysconfVar, sysconf};

use super::memory::{available, left_in_cgroups};
use super::{Check, Verdict, number, rows};
use crate::cli::{Plan, PlanBacking, PlanKind};
use crate::units::{counted, human_size};

/// Bytes of a ring beside its capacity, at most: header, control lines, places of participants, and names.
const BESIDE: u64 = 64 << 10;
/// Who can take part in a ring of many on each side, and in all; how many clients a service can have.
const MOST_EACH: u64 = 60;
const USUALLY_EACH: u64 = 32;
const MOST_RECEIVERS: u64 = 119;
const MOST_CLIENTS: u64 = 2032;
const USUALLY_CLIENTS: u64 = 240;

pub(super) fn checks(plan: &Plan) -> Vec<Check> {
    let one = plan.capacity.next_power_of_two().saturating_add(BESIDE);
    let all = one.saturating_mul(plan.rings);
    let mut checks = vec![clients(plan), message(plan)];
    checks.extend(match plan.backing {
        PlanBacking::Shm => vec![shm(all), inodes(plan.rings)],
        PlanBacking::Sysv => system_v(plan.rings, one, all),
        PlanBacking::File => Vec::new(),
    });
    checks.push(memory(all));
    if plan.lock {
        checks.push(locked(all));
    }
    checks
}

fn clients(plan: &Plan) -> Check {
    let name = "plan: clients";
    let clients = plan.clients;
    let value = format!("{clients} in {}", plan.kind.name());
    let check = Check::ok(name, value);
    let rings = clients.div_ceil(MOST_EACH);
    match plan.kind {
        PlanKind::Spsc if clients > 2 => check.but(
            Verdict::Problem,
            "a ring of kind spsc has one sender and one receiver: plan kind=mpmc, or kind=service",
        ),
        PlanKind::Mpmc if clients > MOST_EACH => check.but(
            Verdict::Problem,
            format!(
                "a ring has places for {MOST_EACH} senders and {MOST_EACH} receivers: share them among {rings} rings, \
                 or plan kind=service (up to {MOST_CLIENTS} clients)"
            ),
        ),
        PlanKind::Mpmc if clients > USUALLY_EACH => check.but(
            Verdict::Warning,
            format!("make it with --participants {clients}; a ring has {USUALLY_EACH} places of each side unless told otherwise"),
        ),
        PlanKind::Broadcast if clients > MOST_RECEIVERS => check.but(
            Verdict::Problem,
            format!("a broadcast ring has places for {MOST_RECEIVERS} receivers: have one of them send on to a second ring"),
        ),
        PlanKind::Broadcast if clients > USUALLY_EACH => check.but(
            Verdict::Warning,
            format!("make it with --participants {clients}; a ring has {USUALLY_EACH} places unless told otherwise"),
        ),
        PlanKind::Service if clients > MOST_CLIENTS => check.but(
            Verdict::Problem,
            format!("a service has places for {MOST_CLIENTS} clients: share them among several"),
        ),
        PlanKind::Service if clients > USUALLY_CLIENTS => check.but(
            Verdict::Warning,
            format!("make it with --clients {clients}; a service has {USUALLY_CLIENTS} places unless told otherwise"),
        ),
        _ => check,
    }
}

/// The longest message of a ring takes about a half of it.
fn message(plan: &Plan) -> Check {
    let most = plan.capacity.next_power_of_two() / 2 - 16;
    let check = Check::ok("plan: message", human_size(plan.message));
    let needed = (plan.message + 16).saturating_mul(2).next_power_of_two();
    // A service sends in parts.
    let fits = plan.kind == PlanKind::Service || plan.message <= most;
    check.unless(
        fits,
        Verdict::Problem,
        format!(
            "the longest message of such a ring has {}: plan capacity={needed}, or make the ring with --slabs",
            human_size(most)
        ),
    )
}

fn shm(all: u64) -> Check {
    let name = "plan: /dev/shm";
    let Ok(space) = statvfs("/dev/shm") else {
        return Check::unreadable(name, "/dev/shm").but(
            Verdict::Problem,
            "there is no /dev/shm: plan backing=file or backing=sysv",
        );
    };
    let bytes = |blocks: u64| blocks.saturating_mul(space.fragment_size());
    let (total, free) = (bytes(space.blocks()), bytes(space.blocks_available()));
    let size = human_size(all + (total - free.min(total)));
    Check::ok(name, format!("{} of {} free", human_size(all), human_size(free))).unless(
        total == 0 || all <= free,
        Verdict::Problem,
        format!("it does not fit: mount -o remount,size={} /dev/shm, in a container --shm-size={} ({size})",
            all.saturating_add(total - free.min(total)), all.saturating_add(total - free.min(total))),
    )
}

fn inodes(rings: u64) -> Check {
    let name = "plan: inodes";
    match statvfs("/dev/shm").map(|system| (system.files(), system.files_available())) {
        Ok((0, _)) | Err(_) => Check::ok(name, "no limit"),
        Ok((_, free)) => Check::ok(name, format!("{rings} of {free} free")).unless(
            rings <= free,
            Verdict::Problem,
            "there are too few: mount -o remount,nr_inodes=N /dev/shm",
        ),
    }
}

fn system_v(rings: u64, one: u64, all: u64) -> Vec<Check> {
    let kernel = |name: &str| number(&format!("/proc/sys/kernel/{name}")).unwrap_or(u64::MAX);
    let page = sysconf(SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .unwrap_or(4096) as u64;
    let (most, in_all, count) = (kernel("shmmax"), kernel("shmall"), kernel("shmmni"));
    let used = rows("/proc/sysvipc/shm").unwrap_or(0);
    let pages = all.div_ceil(page);
    vec![
        Check::ok("plan: shmmax", human_size(one)).unless(
            one <= most,
            Verdict::Problem,
            format!(
                "a segment may have {}: sysctl kernel.shmmax={one}",
                human_size(most)
            ),
        ),
        Check::ok("plan: shmall", human_size(all)).unless(
            pages <= in_all,
            Verdict::Problem,
            format!("all together may have {in_all} pages: sysctl kernel.shmall={pages}"),
        ),
        Check::ok("plan: shmmni", counted(rings, "segment")).unless(
            rings <= count.saturating_sub(used),
            Verdict::Problem,
            format!(
                "{used} of {count} are used: sysctl kernel.shmmni={}",
                used.saturating_add(rings)
            ),
        ),
    ]
}

fn memory(all: u64) -> Check {
    let name = "plan: memory";
    let limits = [available(), left_in_cgroups()].into_iter().flatten();
    let Some(free) = limits.min() else {
        return Check::unreadable(name, "/proc/meminfo");
    };
    let check = Check::ok(
        name,
        format!("{} of {} free", human_size(all), human_size(free)),
    );
    match all {
        all if all > free => check.but(
            Verdict::Problem,
            "it does not fit into memory, or into the limit of this container (memory.max): a smaller capacity, or fewer rings",
        ),
        all if all > free / 2 => check.but(Verdict::Warning, "that is more than half of it"),
        _ => check,
    }
}

fn locked(all: u64) -> Check {
    let name = "plan: RLIMIT_MEMLOCK";
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((RLIM_INFINITY, _)) => Check::ok(name, "no limit"),
        Ok((limit, _)) => Check::ok(name, human_size(limit)).unless(
            all <= limit || nix::unistd::geteuid().is_root(),
            Verdict::Problem,
            format!("a process that opens all of them cannot lock them: ulimit -l {}, or LimitMEMLOCK={all} in its unit", all.div_ceil(1024)),
        ),
        Err(_) => Check::unreadable(name, "it"),
    }
}
