//! How often ringway calls the kernel, counted by ptrace in a process of its own, all threads
//! included: not for messages while nobody sleeps, and at most ten times to open a ring and attach to
//! it.
//!
//! Each test runs one of the ignored functions of `traced` in a child, which marks the stretch that
//! counts by a system call that nobody else makes: getppid with arguments.

// The libc crate does not have PTRACE_GET_SYSCALL_INFO for other C libraries, whose calls ringway does not count.
#![cfg(target_env = "gnu")]

use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use ringway::{Address, Builder};

/// First argument of a marker; the second is the stretch's number, the third 1 at its end.
const MARKER: u64 = 0x7269_6e67;
/// Where the child finds the name of its rings.
const NAME: &str = "RINGWAY_TEST_SYSTEM_CALLS";

/// The system calls between two markers.
#[derive(Debug)]
struct Stretch {
    /// Who set the markers.
    caller: Pid,
    /// Thread and number of each call.
    by_all: Vec<(Pid, u64)>,
}

impl Stretch {
    /// How many the caller made itself.
    fn own(&self) -> usize {
        self.by_all
            .iter()
            .filter(|(thread, _)| *thread == self.caller)
            .count()
    }
}

type Stretches = BTreeMap<u64, Stretch>;

/// Runs the ignored test `name` of this binary and counts.
#[expect(clippy::zombie_processes, reason = "`follow` waits for it")]
fn trace(name: &str, rings: &str) -> Stretches {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--test-threads=1", "--quiet", name])
        .env(NAME, rings);
    // SAFETY: one system call between fork and exec, and no memory.
    let child = unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) }
        .spawn()
        .unwrap();
    let child = Pid::from_raw(child.id() as i32);
    // It stops with the exec.
    assert_eq!(
        waitpid(child, None),
        Ok(WaitStatus::Stopped(child, Signal::SIGTRAP))
    );
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(child, options).unwrap();
    ptrace::syscall(child, None).unwrap();
    follow(child)
}

/// Lets the child and its threads run from one system call to the next until it ends.
fn follow(child: Pid) -> Stretches {
    let mut stretches = Stretches::new();
    let mut current = None;
    loop {
        // Threads too, but not what other tests trace.
        let all = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = waitpid(None, Some(all)).unwrap();
        let (thread, signal) = match status {
            WaitStatus::Exited(thread, code) if thread == child => {
                assert_eq!(code, 0, "the traced test failed");
                return stretches;
            }
            WaitStatus::Signaled(thread, signal, _) if thread == child => {
                panic!("the traced test was ended by {signal}")
            }
            WaitStatus::PtraceSyscall(thread) => {
                if let Some((number, arguments)) = entered(thread) {
                    let is_marker = number == libc::SYS_getppid as u64 && arguments[0] == MARKER;
                    match (is_marker, arguments[2]) {
                        (true, 0) => {
                            current = Some(arguments[1]);
                            let by_all = Vec::new();
                            let caller = thread;
                            stretches.insert(arguments[1], Stretch { caller, by_all });
                        }
                        (true, _) => current = None,
                        (false, _) => {
                            if let Some(stretch) = current.and_then(|of| stretches.get_mut(&of)) {
                                stretch.by_all.push((thread, number));
                            }
                        }
                    }
                }
                (thread, None)
            }
            // A new thread begins with a stop that is no signal to it.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) => (thread, None),
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            WaitStatus::PtraceEvent(thread, _, _) => (thread, None),
            _ => continue,
        };
        // A thread may have been ended in between.
        let _ = ptrace::syscall(thread, signal);
    }
}

/// Number and arguments, if the thread stopped on its way into the kernel and not out of it.
fn entered(thread: Pid) -> Option<(u64, [u64; 6])> {
    let info = ptrace::syscall_info(thread).ok()?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: `op` says that this is the variant that the kernel filled in.
    let entry = unsafe { info.u.entry };
    // In debug builds the standard library asks before it closes a descriptor whether it is open.
    let is_debug_check = cfg!(debug_assertions)
        && entry.nr == libc::SYS_fcntl as u64
        && entry.args[1] == libc::F_GETFD as u64;
    (!is_debug_check).then_some((entry.nr, entry.args))
}

/// Rings for the child to open; gone with this value.
struct Rings {
    name: String,
}

impl Rings {
    fn new() -> Self {
        let rings = Self {
            name: format!("ringway-test-system-calls-{}", std::process::id()),
        };
        for number in 1..=2 {
            Builder::at(rings.address(number)).create().unwrap();
        }
        rings
    }

    fn address(&self, number: u32) -> Address {
        Address::Shm(format!("{}-{number}", self.name))
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for number in 1..=2 {
            // Not there if making it failed.
            let _ = ringway::remove(&self.address(number), true);
        }
    }
}

/// What may fall into the stretch whatever the number of messages: the first wait of a process asks how
/// many processors there are, and the keeper thread may still be on its way to sleep.
const FEW: usize = 8;

#[test]
fn no_system_call_while_both_sides_spin() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return; // On one processor, who spins yields.
    }
    let stretch = &trace("traced::two_threads_spin", "")[&0];
    println!("{} messages: {stretch:?}", traced::MESSAGES);
    // A side whose peer was not running for a while yields to it; they were not both awake then.
    let yields = |call: &&(Pid, u64)| call.1 == libc::SYS_sched_yield as u64;
    let calls = stretch.by_all.len() - stretch.by_all.iter().filter(yields).count();
    assert!(calls <= FEW, "{stretch:?}");
}

#[test]
fn no_system_call_while_nobody_has_to_wait() {
    let stretch = &trace("traced::send_and_receive_in_turn", "")[&0];
    println!("{} messages: {stretch:?}", traced::MESSAGES);
    assert!(stretch.by_all.len() <= FEW, "{stretch:?}");
}

#[test]
fn no_system_call_for_a_message_in_a_slab() {
    let stretches = trace("traced::send_and_keep_in_turn", "");
    // In the ring's segment, and in segments of their own when they are mapped.
    for stretch in [&stretches[&0], &stretches[&1]] {
        println!("{} messages: {stretch:?}", traced::MESSAGES / 10);
        assert!(stretch.by_all.len() <= FEW, "{stretch:?}");
    }
}

#[test]
fn one_system_call_wakes_all_consumers_of_a_broadcast_and_none_is_made_while_all_are_awake() {
    let stretches = trace("traced::broadcast_to_many", "");
    for sleepers in traced::SLEEPERS {
        let stretch = &stretches[&sleepers];
        println!("{sleepers} sleep: {stretch:?}");
        let calls = stretch.by_all.iter();
        let own: Vec<u64> = calls
            .filter(|(thread, _)| *thread == stretch.caller)
            .map(|(_, number)| *number)
            .collect();
        assert_eq!(own, [libc::SYS_futex as u64], "{sleepers} sleep");
    }
    let awake = &stretches[&0];
    println!("{} messages, all awake: {awake:?}", traced::MESSAGES / 10);
    assert!(awake.own() <= FEW, "{awake:?}");
    // Each of the threads that slept may still be on its way out of that.
    let slept = *traced::SLEEPERS.iter().max().unwrap() as usize;
    assert!(awake.by_all.len() <= FEW + 3 * slept, "{awake:?}");
}

#[test]
fn a_few_system_calls_open_and_attach() {
    let rings = Rings::new();
    let stretches = trace("traced::open_and_attach_twice", &rings.name);
    let (first, second) = (&stretches[&1], &stretches[&2]);
    for stretch in [first, second] {
        let (own, all) = (stretch.own(), stretch.by_all.len());
        println!("{own} by the caller, {all} by all threads: {stretch:?}");
    }
    // The first also makes what the process has once: its mark, a stack.
    assert!(first.by_all.len() <= 60, "{first:?}");
    // Half of them are for the keeper: its list, its thread, and two orders; a quarter for who else has the ring open.
    assert!(second.own() <= 44, "{second:?}");
    // It starts, has two orders, each of which it waits for and answers, and watches.
    assert!(second.by_all.len() <= second.own() + 16, "{second:?}");
}

#[test]
fn who_spins_for_long_offers_its_processor() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return; // On one processor, who is adaptive sleeps at once.
    }
    let stretches = trace("traced::spin_in_vain", "");
    // One that waits for a ring, and one that waits for two.
    for which in [0, 1] {
        let stretch = &stretches[&which];
        let yields =
            |call: &&(Pid, u64)| call.0 == stretch.caller && call.1 == libc::SYS_sched_yield as u64;
        assert!(
            stretch.by_all.iter().any(|call| yields(&call)),
            "{stretch:?}"
        );
    }
}

/// What runs in the child. By themselves these prove nothing, so they are ignored.
mod traced {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    use ringway::wait::{WaitError, WaitSet};
    use ringway::{Builder, Kind, RecvError, WaitStrategy};
    use ringway_testing::place::{Backing, Place};
    use ringway_testing::procfs;

    use super::{MARKER, NAME};

    pub const MESSAGES: u64 = 200_000;
    /// How many consumers of a broadcast sleep.
    pub const SLEEPERS: [u64; 3] = [1, 2, 20];

    /// Counts what all threads do meanwhile.
    fn stretch(number: u64, work: impl FnOnce()) {
        let mark = |end: u64| {
            // SAFETY: getppid takes no arguments; these are for the tracer.
            unsafe { libc::syscall(libc::SYS_getppid, MARKER, number, end) }
        };
        mark(0);
        work();
        mark(1);
    }

    /// Restricts this thread to the `nth` processor that it may use, as those do who spin.
    fn pin(nth: usize) {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).unwrap();
        let mut numbers = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
        let mut one = CpuSet::new();
        one.set(numbers.nth(nth).unwrap()).unwrap();
        sched_setaffinity(this, &one).unwrap();
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn two_threads_spin() {
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return;
        }
        let ring = Builder::new("memfd:")
            .unwrap()
            .capacity(1 << 16)
            .create()
            .unwrap();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Spin);
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Spin);
        static BEGUN: AtomicBool = AtomicBool::new(false);
        static READY: AtomicBool = AtomicBool::new(false);
        static ENDED: AtomicBool = AtomicBool::new(false);
        let wait_for = |flag: &AtomicBool| {
            while !flag.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
        };
        let sending = std::thread::spawn(move || {
            pin(1);
            READY.store(true, Ordering::Release);
            wait_for(&BEGUN);
            for number in 0..MESSAGES {
                sender.send(&number.to_le_bytes()).unwrap();
            }
            // Not to leave the ring, which wakes the receiver, before the count has ended.
            wait_for(&ENDED);
        });
        wait_for(&READY);
        pin(0);
        stretch(0, || {
            BEGUN.store(true, Ordering::Release);
            let mut bytes = [0; 8];
            for number in 0..MESSAGES {
                assert_eq!(receiver.recv_into(&mut bytes), Ok(8));
                assert_eq!(u64::from_le_bytes(bytes), number);
            }
        });
        ENDED.store(true, Ordering::Release);
        sending.join().unwrap();
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn spin_in_vain() {
        let long = Duration::from_millis(20);
        let ring = || Builder::new("memfd:").unwrap().create().unwrap();
        let rings = [ring(), ring()];
        let [mut one, mut other] = rings.each_ref().map(|ring| {
            let receiver = ring.receiver().unwrap();
            receiver.with_wait(WaitStrategy::Adaptive(10 * long))
        });
        stretch(0, || {
            assert_eq!(one.recv_timeout(long), Err(RecvError::TimedOut))
        });
        stretch(1, || {
            let mut set = WaitSet::new().with_wait(WaitStrategy::Adaptive(10 * long));
            set.add(&mut one);
            set.add(&mut other);
            let waited = set.wait_timeout(long);
            assert_eq!(waited, Err(WaitError::TimedOut));
        });
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn send_and_receive_in_turn() {
        let ring = Builder::new("memfd:")
            .unwrap()
            .capacity(1 << 16)
            .create()
            .unwrap();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        stretch(0, || {
            let mut bytes = [0; 8];
            for number in 0..MESSAGES {
                sender.send(&number.to_le_bytes()).unwrap();
                assert_eq!(receiver.recv_into(&mut bytes), Ok(8));
                assert_eq!(u64::from_le_bytes(bytes), number);
            }
        });
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn send_and_keep_in_turn() {
        for (nth, backing) in [(0, Backing::Memfd), (1, Backing::Shm)] {
            let place = Place::new(backing);
            let builder = place.builder().capacity(1 << 16).slabs(4096, 4);
            let ring = builder.slab_segments(nth == 1).create().unwrap();
            let sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
            let mut sender = sender.with_copy_limit(0);
            let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
            let all = (0..4).map(|_| {
                sender.send(&[0]).unwrap();
                receiver.recv_in_place().unwrap().detach().unwrap()
            });
            drop(all.collect::<Vec<_>>());
            stretch(nth, || {
                let mut kept = None;
                for number in 0..MESSAGES / 10 {
                    sender.send(&number.to_le_bytes()).unwrap();
                    let message = receiver.recv_in_place().unwrap();
                    let mut bytes = [0; 8];
                    message.read_at(0, &mut bytes);
                    assert_eq!(u64::from_le_bytes(bytes), number);
                    kept = Some((message.detach().unwrap(), kept.take().map(drop)));
                }
            });
        }
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn broadcast_to_many() {
        let ring = Builder::new("memfd:").unwrap().kind(Kind::Broadcast);
        let ring = ring.capacity(1 << 16).create().unwrap();
        let mut sender = ring.sender().unwrap();
        // The first send raises the limit, and looks who is there.
        sender.send(b"first").unwrap();
        let mut awake = Vec::new();
        for sleepers in SLEEPERS {
            let (tell, hear) = std::sync::mpsc::channel();
            let threads: Vec<_> = (0..sleepers)
                .map(|_| {
                    let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
                    while receiver.try_recv().is_ok() {}
                    let tell = tell.clone();
                    std::thread::spawn(move || {
                        tell.send(nix::unistd::gettid().as_raw()).unwrap();
                        assert_eq!(receiver.recv(), Ok(b"for all".to_vec()));
                        receiver
                    })
                })
                .collect();
            for thread in hear.iter().take(threads.len()) {
                procfs::until_asleep_on_a_futex(std::process::id(), thread);
            }
            stretch(sleepers, || sender.send(b"for all").unwrap());
            awake = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
        }
        stretch(0, || {
            let mut bytes = [0; 8];
            for number in 0..MESSAGES / 10 {
                sender.send(&number.to_le_bytes()).unwrap();
                for receiver in &mut awake {
                    assert_eq!(receiver.recv_into(&mut bytes), Ok(8));
                    assert_eq!(u64::from_le_bytes(bytes), number);
                }
            }
        });
    }

    #[test]
    #[ignore = "run under ptrace by another test"]
    fn open_and_attach_twice() {
        // Run by itself, there is nothing to open.
        let Ok(name) = std::env::var(NAME) else {
            return;
        };
        for number in 1..=2 {
            let builder = Builder::new(&format!("shm:{name}-{number}")).unwrap();
            let mut receiver = None;
            stretch(number, || {
                receiver = Some(builder.open().unwrap().receiver().unwrap())
            });
        }
    }
}
