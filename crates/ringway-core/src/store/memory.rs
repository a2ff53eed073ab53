//! How much memory there is, as the kernel tells it in files.

use std::path::Path;

/// Bytes, of something that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) total: u64,
    pub(super) free: u64,
}

/// The machine's memory.
pub(super) struct Memory {
    /// With swap.
    pub(super) room: Room,
    /// Bytes of a huge page of the default size, a power of two.
    pub(super) huge_page: Option<u64>,
    /// Reserved huge pages.
    pub(super) huge_total: u64,
    /// Those that are not in use.
    pub(super) huge_free: u64,
}

impl Memory {
    /// `None` without /proc.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |name| {
            let rest = after(text, name)?.strip_prefix(':')?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        let kib = |name| number(name).map(|kib| kib.saturating_mul(1024));
        let with_swap = |memory, swap| Some(kib(memory)?.saturating_add(kib(swap).unwrap_or(0)));
        Some(Self {
            room: Room {
                total: with_swap("MemTotal", "SwapTotal")?,
                free: with_swap("MemAvailable", "SwapFree")?,
            },
            huge_page: kib("Hugepagesize").filter(|size| size.is_power_of_two()),
            huge_total: number("HugePages_Total").unwrap_or(0),
            huge_free: number("HugePages_Free").unwrap_or(0),
        })
    }
}

/// What the line of `text` that starts with `name` goes on with.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Where a version of control groups says what.
struct Files {
    /// What this process's line in /proc/self/cgroup has before the group.
    line: &'static str,
    root: &'static str,
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: pages of files that nobody has used lately, which are given up first.
    reclaimable: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        line: "0::/",
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        used: "memory.current",
        reclaimable: "inactive_file ",
    },
    Files {
        line: ":memory:/",
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file ",
    },
];

/// The memory limits of the control groups that this process is in, innermost first.
pub(super) fn groups() -> Vec<Room> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for files in &VERSIONS {
        let group = text
            .lines()
            .find_map(|line| Some(line.split_once(files.line)?.1));
        if let Some(group) = group {
            found.extend(groups_below(files, Path::new(files.root), group));
        }
    }
    found
}

fn groups_below(files: &Files, root: &Path, group: &str) -> Vec<Room> {
    let directory = root.join(group);
    let above = directory
        .ancestors()
        .take_while(|path| path.starts_with(root));
    above.filter_map(|path| group_room(files, path)).collect()
}

/// `None` without a limit.
fn group_room(files: &Files, directory: &Path) -> Option<Room> {
    let read = |file| std::fs::read_to_string(directory.join(file)).ok();
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let total = number(&read(files.limit)?)?;
    let used = number(&read(files.used)?)?;
    let reclaimable = read("memory.stat")
        .and_then(|text| number(after(&text, files.reclaimable)?))
        .unwrap_or(0);
    let used = used.saturating_sub(reclaimable);
    Some(Room {
        total,
        free: total.saturating_sub(used),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_understood() {
        let text = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable:  600 kB\nSwapTotal: 10 kB\n\
                    SwapFree: 5 kB\nHugePages_Total: 4\nHugePages_Free: 3\n\
                    Hugepagesize: 2048 kB\n";
        let memory = Memory::parse(text).unwrap();
        let room = Room {
            total: 1010 << 10,
            free: 605 << 10,
        };
        assert_eq!(memory.room, room);
        assert_eq!(memory.huge_page, Some(2 << 20));
        assert_eq!((memory.huge_total, memory.huge_free), (4, 3));
        assert!(Memory::parse("").is_none());
    }

    #[test]
    fn the_limits_of_all_groups_around_count() {
        let root = std::env::temp_dir().join(format!("ringway-test-cgroup-{}", std::process::id()));
        let inner = root.join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let write = |path: &Path, file: &str, text: &str| {
            std::fs::write(path.join(file), text).unwrap();
        };
        write(&inner, "memory.max", "1000\n");
        write(&inner, "memory.current", "900\n");
        write(&inner, "memory.stat", "anon 1\ninactive_file 300\n");
        write(&root.join("a"), "memory.max", "max\n");
        write(&root.join("a"), "memory.current", "5\n");
        write(&root, "memory.max", "2000\n");
        write(&root, "memory.current", "2500\n");
        let found = groups_below(&VERSIONS[0], &root, "a/b");
        std::fs::remove_dir_all(&root).unwrap();
        let room = |total, free| Room { total, free };
        assert_eq!(found, [room(1000, 400), room(2000, 0)]);
    }
}
