//! A row's own System V objects, message queues and shared memory, apart from the machine's; and what stays
//! behind there when all are dead and the garbage is collected.

use std::fs;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::mkdir;
use ringway::gc::Gc;

/// That this process is apart.
pub(super) struct Seclusion(());

/// What is listed in lines with a headline: System V objects of this namespace.
const LISTS: [&str; 3] = [
    "/proc/sysvipc/shm",
    "/proc/sysvipc/sem",
    "/proc/sysvipc/msg",
];

/// POSIX shared memory.
const SHM: &str = "/dev/shm";

/// Where message queues are shown. The machine may have no place for that.
const QUEUES: &str = "/dev/shm/queues";

impl Seclusion {
    /// Runs this process and its children apart, if that is permitted: creators that are killed leave objects,
    /// and so would this process. They go with its end.
    pub(super) fn enter() -> Option<Self> {
        let apart = unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS).and_then(|()| {
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(NOTHING, "/", NOTHING, private, NOTHING)?;
            mount_anew("tmpfs", SHM)?;
            mkdir(QUEUES, Mode::S_IRWXU)?;
            mount_anew("mqueue", QUEUES)
        });
        match apart {
            Ok(()) => Some(Self(())),
            Err(errno) => {
                eprintln!(
                    "no namespaces here ({errno}): what killed creators leave stays; see ringway gc"
                );
                None
            }
        }
    }

    /// What is there after a collection, when nobody uses anything any more.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let report = Gc::new().run();
        let failures = report.failures.iter().map(ToString::to_string);
        failures.chain(objects()).collect()
    }
}

fn objects() -> Vec<String> {
    let lines = LISTS.into_iter().flat_map(|list| {
        let text = fs::read_to_string(list).unwrap_or_default();
        let rows: Vec<_> = text
            .lines()
            .skip(1)
            .map(|row| format!("{list}: {row}"))
            .collect();
        rows
    });
    let files = [SHM, QUEUES].into_iter().flat_map(|directory| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string())
    });
    let files = files.filter(|path| path != QUEUES);
    lines.chain(files).collect()
}

fn mount_anew(file_system: &str, at: &str) -> Result<(), Errno> {
    mount(
        Some(file_system),
        at,
        Some(file_system),
        MsFlags::empty(),
        NOTHING,
    )
}

/// No path or text for mount(2).
const NOTHING: Option<&str> = None;
