//! What makes the steps of two runs the same.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::personality::{self, Persona};
use nix::unistd::Pid;

/// Runs on one processor, which makes steps cheap, and without random addresses, which makes them the same.
/// Victims inherit both.
pub(crate) fn settle_on(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu).map_err(said)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(said)?;
    let persona = personality::get().map_err(said)?;
    personality::set(persona | Persona::ADDR_NO_RANDOMIZE)
        .map(drop)
        .map_err(said)
}

/// The same on the first processor that this process may use.
pub(crate) fn settle_on_any() -> Result<(), String> {
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(said)?;
    let first = (0..CpuSet::count()).find(|cpu| set.is_set(*cpu) == Ok(true));
    settle_on(first.ok_or("no processor")?)
}

fn said(errno: nix::errno::Errno) -> String {
    format!("settling on a processor: {errno}")
}
