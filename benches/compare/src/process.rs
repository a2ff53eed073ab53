//! What a process is told of itself: where it runs, and whose end ends it.

use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

/// Restricts this process to one processor.
pub fn pin(cpu: usize) {
    // SAFETY: cpu_set_t is plain bits, for which zero is a value; `cpu` came from such a set or is
    // checked against its size by CPU_SET.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    assert_eq!(
        result,
        0,
        "processor {cpu}: {}",
        std::io::Error::last_os_error()
    );
}

/// For those that share a processor: nobody is preempted because it has woken another, so that each runs until it sleeps.
pub fn take_turns() {
    // SAFETY: sched_param is plain numbers, of which this policy takes a zero; the kernel only reads it.
    let result = unsafe {
        let plain: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &plain)
    };
    assert_eq!(
        result,
        0,
        "SCHED_BATCH: {}",
        std::io::Error::last_os_error()
    );
}

/// How often this thread has given up its processor to wait for something.
pub fn sleeps() -> u64 {
    // SAFETY: rusage is plain numbers, which the kernel fills in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw as u64
    }
}

/// The processors that this process may use.
pub fn processors() -> Vec<usize> {
    // SAFETY: as in `pin`; the kernel fills the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        (0..libc::CPU_SETSIZE as usize)
            .filter(|cpu| libc::CPU_ISSET(*cpu, &set))
            .collect()
    }
}

/// In a forked child: the kernel ends it when its parent ends.
pub fn die_with(parent: libc::pid_t) {
    // SAFETY: no memory is involved. The parent is looked at afterwards: it may be gone already.
    let orphaned = unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() != parent
    };
    if orphaned {
        std::process::exit(1);
    }
}

pub fn alarm(seconds: u32) {
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(seconds) };
}

/// This process goes, with an error, when a child of its goes or an alarm is due.
pub fn end_with_children() {
    // SAFETY: the handlers call only what is allowed in one.
    unsafe {
        libc::signal(
            libc::SIGCHLD,
            child_ended as *const () as libc::sighandler_t,
        );
        libc::signal(
            libc::SIGALRM,
            burst_stuck as *const () as libc::sighandler_t,
        );
    }
}

/// Waits for children that end in peace.
pub fn reap(children: &[libc::pid_t]) {
    for &child in children {
        // SAFETY: waits for our own child; the status is not asked for.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
}

/// From here on a child may end.
pub fn let_children_end() {
    // SAFETY: only resets what `end_with_children` has set.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Whose burst runs, for the handlers below.
static NAME: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static NAME_LEN: AtomicUsize = AtomicUsize::new(0);

pub fn blame(name: &'static str) {
    NAME_LEN.store(0, Ordering::Relaxed);
    NAME.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
    NAME_LEN.store(name.len(), Ordering::Relaxed);
}

extern "C" fn child_ended(_: libc::c_int) {
    give_up(b": another process of the team has died\n");
}

extern "C" fn burst_stuck(_: libc::c_int) {
    give_up(b": a burst is stuck\n");
}

/// Async-signal-safe.
fn give_up(message: &[u8]) -> ! {
    let start = b"compare: ";
    // SAFETY: write(2) and _exit(2) are async-signal-safe; the buffers are live, and the name is
    // static: a signal finds its length only beside its own address, or 0.
    unsafe {
        libc::write(2, start.as_ptr().cast(), start.len());
        let len = NAME_LEN.load(Ordering::Relaxed);
        libc::write(2, NAME.load(Ordering::Relaxed).cast(), len);
        libc::write(2, message.as_ptr().cast(), message.len());
        libc::_exit(1)
    }
}

/// What asks a process to end.
const ENDINGS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The child that is to end in this process's place.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// From now on, what asks this process to end kills `child` instead, and with it its children.
pub fn pass_endings_to(child: libc::pid_t) {
    CHILD.store(child, Ordering::Relaxed);
    set_endings(kill_child as *const () as libc::sighandler_t);
}

/// Takes that back.
pub fn pass_endings_to_nobody() {
    set_endings(libc::SIG_DFL);
    CHILD.store(0, Ordering::Relaxed);
}

fn set_endings(handler: libc::sighandler_t) {
    for signal in ENDINGS {
        // SAFETY: the handler, if it is one, only calls what a handler may call. Calls that it interrupts go on.
        unsafe { libc::signal(signal, handler) };
    }
}

extern "C" fn kill_child(_: libc::c_int) {
    let child = CHILD.load(Ordering::Relaxed);
    if child > 0 {
        // SAFETY: may be called in a handler, and has no effect on memory.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
}
