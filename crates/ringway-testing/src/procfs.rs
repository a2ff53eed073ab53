//! What the kernel says of processes.

use std::io;
use std::time::Duration;

use nix::unistd::gettid;
use ringway::WaitStrategy;

/// Does `deed` while this thread is blocked in `call`: when the kernel says that the thread sleeps, or,
/// if it spins, a moment later. (A test must hold also when `deed` comes before the block.)
pub fn while_blocked<T>(
    wait: WaitStrategy,
    deed: impl FnOnce() + Send,
    call: impl FnOnce() -> T,
) -> T {
    let thread = gettid().as_raw();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            match wait {
                WaitStrategy::Spin => std::thread::sleep(Duration::from_millis(5)),
                _ => until_asleep(std::process::id(), thread),
            }
            deed();
        });
        call()
    })
}

/// Returns when a thread of a process sleeps.
pub fn until_asleep(process: u32, thread: i32) {
    while state(process, thread).unwrap() != 'S' {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns when a thread of a process sleeps on a futex, or on several.
pub fn until_asleep_on_a_futex(process: u32, thread: i32) {
    let path = format!("/proc/{process}/task/{thread}/syscall");
    let is_asleep = || {
        let line = std::fs::read_to_string(&path).unwrap();
        let number = line.split(' ').next().and_then(|word| word.parse().ok());
        // It is `running` as long as it does not sleep in a call.
        matches!(number, Some(libc::SYS_futex | libc::SYS_futex_waitv))
    };
    while state(process, thread).unwrap() != 'S' || !is_asleep() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The state of a thread of a process, as a letter: `S` sleeps, `T` is stopped.
///
/// # Errors
/// There is no such thread.
pub fn state(process: u32, thread: i32) -> io::Result<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/stat"))?;
    // Behind the program's name, which may hold anything.
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
    let state = rest.and_then(|rest| rest.chars().next());
    state.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
