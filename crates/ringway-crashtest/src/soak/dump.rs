//! The state of a ring and of its users, to find out why somebody stands still.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use nix::unistd::Pid;
use ringway::Address;
use ringway::inspect::stat;
use ringway_testing::place::shmid;

/// What each thread of a process is waiting for.
pub(super) fn threads(pid: Pid) -> String {
    let mut text = String::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return text;
    };
    for task in tasks.flatten() {
        let read = |name| {
            let content = fs::read_to_string(task.path().join(name));
            content.unwrap_or_default().trim().to_owned()
        };
        let status = read("status");
        let of_status = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field));
            line.unwrap_or_default().to_owned()
        };
        let _ = writeln!(
            text,
            "    thread {} {}: {}; {}; wchan {}; syscall {}",
            task.file_name().to_string_lossy(),
            read("comm"),
            of_status("State:"),
            of_status("ShdPnd:"),
            read("wchan"),
            read("syscall"),
        );
    }
    text
}

/// What an observer sees, and where a copy of all the segment's words is left.
pub(super) fn ring(address: &Address, number: u64) -> String {
    let mut text = match stat(address) {
        Ok(stat) => format!("{stat:#?}\n"),
        Err(error) => format!("{error}\n"),
    };
    let copy = PathBuf::from(format!("soak-ring-{number}.segment"));
    let copied = match segment(address) {
        Some(bytes) => fs::write(&copy, bytes),
        None => return text,
    };
    let shown = copy.display();
    let _ = match copied {
        Ok(()) => writeln!(text, "its segment is copied to {shown}"),
        Err(error) => writeln!(text, "its segment cannot be copied to {shown}: {error}"),
    };
    text
}

fn segment(address: &Address) -> Option<Vec<u8>> {
    match address {
        Address::Shm(name) => fs::read(PathBuf::from("/dev/shm").join(name)).ok(),
        Address::File(path) => fs::read(path).ok(),
        Address::Sysv(key) => {
            let id = shmid(key)?;
            // SAFETY: asks for the kernel's record, into a local that is large enough; then maps the
            // segment for reading where the kernel likes.
            let (base, len) = unsafe {
                let mut status = std::mem::zeroed::<libc::shmid_ds>();
                if libc::shmctl(id, libc::IPC_STAT, &mut status) != 0 {
                    return None;
                }
                let base = libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY);
                (base, status.shm_segsz)
            };
            if base as isize == -1 {
                return None;
            }
            let word = |at| {
                // SAFETY: within the mapping, and aligned; it is unmapped below. Others may write there,
                // and any value will do.
                unsafe { base.cast::<u64>().add(at).read_volatile() }
            };
            let bytes = (0..len / 8).flat_map(|at| word(at).to_le_bytes()).collect();
            // SAFETY: the mapping made above, which nothing points into any more.
            unsafe { libc::shmdt(base) };
            Some(bytes)
        }
        _ => None,
    }
}
