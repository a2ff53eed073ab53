//! SIGTERM, SIGINT and SIGHUP: a command that is told to end ends in order, and by that signal, so that whoever
//! started it (a shell with a loop) learns of it.
//!
//! The signals are blocked in all threads but one, which waits for them. What the main thread does is *idle* or *busy*:
//!
//! | state | a signal comes | |
//! |---|---|---|
//! | idle | the process ends at once | nothing is in hand that an end would lose or repeat |
//! | busy | the main thread is interrupted until it is idle | it has written something that it has not acknowledged yet, or takes messages that nobody gives back |
//! | ending | | the main thread waits for the end |
//!
//! "Interrupted" is a signal whose handler does nothing: a `write` that waits for a reader returns, with what it has
//! written. It is sent again and again, as one that comes just before the `write` interrupts nothing. Who takes messages out
//! of a queue is busy while it waits for them, too: between the kernel's taking one and this program's knowing of it is no
//! moment at which the process could be idle. Such a wait ends when it is interrupted.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, pthread_sigmask, sigaction,
};
use nix::unistd::{Pid, getpid, gettid};

use crate::failure::Failure;

/// What ends a command in order.
const ENDING_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Interrupts the main thread. Its default is to be ignored, so nobody uses it to end a process.
const INTERRUPTION: Signal = Signal::SIGURG;

/// How often it is interrupted until it is idle.
const INTERVAL: Duration = Duration::from_millis(2);

const IDLE: u8 = 0;
const BUSY: u8 = 1;
/// Busy, and told to end.
const URGED: u8 = 2;
const ENDING: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// Has `before_end` called when one of the signals comes and the main thread is idle; then the process ends by that
/// signal. To be called once, in the main thread, before it starts others. Signals that whoever started this process
/// has it ignore (`nohup`) stay ignored.
pub(crate) fn take_over(before_end: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut signals = SigSet::empty();
    for signal in ENDING_SIGNALS {
        if !is_ignored(signal) {
            signals.add(signal);
        }
    }
    let interrupt = SigAction::new(
        SigHandler::Handler(do_nothing),
        // Without SA_RESTART.
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which is safe at any moment.
    unsafe { sigaction(INTERRUPTION, &interrupt) }.map_err(Failure::error)?;
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&signals), None).map_err(Failure::error)?;
    let main = gettid();
    thread::Builder::new()
        .spawn(move || {
            if let Ok(signal) = signals.wait() {
                urge(main);
                before_end();
                end_by(signal);
            }
        })
        .map(drop)
        .map_err(|error| Failure::error(format_args!("cannot start a thread: {error}")))
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks for the action and changes none; zeroes are a valid value of the C struct.
    let action = unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Returns when the main thread is idle, and will stay so.
fn urge(main: Pid) {
    loop {
        // Acquire and release: what the main thread did while busy is done.
        match STATE.compare_exchange(IDLE, ENDING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(_) => {
                let _ = STATE.compare_exchange(BUSY, URGED, Ordering::AcqRel, Ordering::Acquire);
                interrupt(main);
                thread::sleep(INTERVAL);
            }
        }
    }
}

fn interrupt(thread: Pid) {
    // SAFETY: tgkill takes numbers only; the main thread lives as long as the process.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            getpid().as_raw(),
            thread.as_raw(),
            INTERRUPTION as libc::c_int,
        )
    };
}

/// Ends this process by `signal`, which the calling thread lets through.
fn end_by(signal: Signal) -> ! {
    let mut only = SigSet::empty();
    only.add(signal);
    let _ = kill(getpid(), signal);
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
    // Not reached, unless somebody has set another action.
    std::process::exit(128 + signal as i32)
}

/// Something is in hand, until this is dropped.
pub(crate) struct Busy(());

impl Busy {
    /// Does not return if the process is about to end.
    pub(crate) fn begin() -> Self {
        if STATE
            .compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            wait_for_the_end();
        }
        Self(())
    }

    /// Lets the end come, if this process is told to end: the caller has nothing in hand at this moment. Otherwise it
    /// stays busy.
    pub(crate) fn end_if_urged(&self) {
        if is_urged() {
            STATE.store(IDLE, Ordering::Release);
            wait_for_the_end();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        STATE.store(IDLE, Ordering::Release);
    }
}

/// Whether the main thread, which is busy, shall come to an end.
pub(crate) fn is_urged() -> bool {
    STATE.load(Ordering::Acquire) == URGED
}

fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}
