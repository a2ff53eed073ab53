//! What the kernel says of processes.

use std::time::Duration;

use nix::unistd::gettid;
use ringway::Wait;

/// Does `deed` while this thread is blocked in `call`: when the kernel says that the thread sleeps, or,
/// if it spins, a moment later. (A test must hold also when `deed` comes before the block.)
pub fn while_blocked<T>(wait: Wait, deed: impl FnOnce() + Send, call: impl FnOnce() -> T) -> T {
    let thread = gettid().as_raw();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            match wait {
                Wait::Spin => std::thread::sleep(Duration::from_millis(5)),
                _ => until_asleep(std::process::id(), thread),
            }
            deed();
        });
        call()
    })
}

/// Returns when a thread of a process sleeps.
pub fn until_asleep(process: u32, thread: i32) {
    let file = format!("/proc/{process}/task/{thread}/stat");
    while !std::fs::read_to_string(&file).unwrap().contains(") S ") {
        std::thread::sleep(Duration::from_millis(1));
    }
}
