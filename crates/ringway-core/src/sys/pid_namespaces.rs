//! pid_namespaces(7): what a process of another pid namespace is called here.

use nix::sys::stat::stat;

/// The number by which this process can name process `pid` of the pid namespace with this inode: `None` if that
/// namespace is not seen from here, or not known.
pub(crate) fn seen_from_here(pid: u32, namespace: u64) -> Option<u32> {
    let inode = |of: &str| {
        let found = stat(format!("/proc/{of}/ns/pid").as_str());
        found.map(|found| found.st_ino).ok()
    };
    if namespace == 0 || pid == 0 {
        return None;
    }
    if inode("self") == Some(namespace) {
        return Some(pid);
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    names.find_map(|name| {
        let here: u32 = name.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{name}/status")).ok()?;
        let numbers = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?;
        // From here inwards; the last one is that of its own namespace.
        let innermost: u32 = numbers.split_whitespace().last()?.parse().ok()?;
        (innermost == pid && inode(&name) == Some(namespace)).then_some(here)
    })
}
