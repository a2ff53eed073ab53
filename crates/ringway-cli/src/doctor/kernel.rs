//! What the kernel can do.

use ringway::inspect::Support;

use super::{Check, Verdict};

/// What has futex_waitv.
const LEAST_VERSION: (u32, u32) = (5, 16);

pub(super) fn checks() -> Vec<Check> {
    let support = Support::probe();
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    vec![
        version(),
        Check::ok("futex_waitv", yes_or_no(support.futex_waitv)).unless(
            support.futex_waitv,
            Verdict::Warning,
            "deaths are noticed some milliseconds later, and so are messages by who waits for several rings: use Linux \
             5.16 or later, or let the sandbox allow it",
        ),
        Check::ok("membarrier", yes_or_no(support.membarrier)).unless(
            support.membarrier,
            Verdict::Warning,
            "rings are slower, and those of processes that have it cannot be opened: allow it",
        ),
        boot_id(),
        Check::ok("ptrace", "not needed"),
    ]
}

fn version() -> Check {
    let name = "kernel";
    let source = "/proc/sys/kernel/osrelease";
    let Ok(release) = std::fs::read_to_string(source) else {
        return Check::unreadable(name, source);
    };
    let release = release.trim();
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next().and_then(|part| part.parse().ok());
    let version = part().zip(part());
    Check::ok(name, release).unless(
        version.is_some_and(|version| version >= LEAST_VERSION),
        Verdict::Problem,
        "ringway needs Linux 5.16 or later",
    )
}

fn boot_id() -> Check {
    let source = "/proc/sys/kernel/random/boot_id";
    match std::fs::read_to_string(source) {
        Ok(id) => Check::ok("boot id", id.trim()),
        Err(error) => Check::ok("boot id", format!("unknown ({error})")).but(
            Verdict::Problem,
            "file: rings need it to tell after a reboot who is gone: mount /proc",
        ),
    }
}
