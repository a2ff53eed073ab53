//! Processors, and staying on one.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Two different cores that this process may use; not two threads of one core if that can be had.
/// `None` if there is only one.
pub(crate) fn pair() -> Option<[usize; 2]> {
    let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect();
    let (first, others) = allowed.split_first()?;
    let second = others
        .iter()
        .find(|cpu| core(**cpu) != core(*first))
        .or(others.first())?;
    Some([*first, *second])
}

/// Which core a processor is a thread of, in the kernel's words.
fn core(cpu: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path).ok()
}

/// Keeps the calling thread, and threads that it starts, on one processor. Where that is not allowed,
/// the scheduler decides.
pub(crate) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
