//! Signals: no call ends early for one, and the calls that promise it work in a handler.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use ringway::{Builder, RecvError, Sender, WaitStrategy};

/// Only so that a failure ends.
const WATCHDOG: Duration = Duration::from_secs(60);

fn handle(signal: Signal, handler: extern "C" fn(libc::c_int)) {
    // Without SA_RESTART: system calls are to fail with EINTR.
    let action = SigAction::new(
        SigHandler::Handler(handler),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handlers below only use atomics and `try_send`.
    unsafe { sigaction(signal, &action) }.unwrap();
}

static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::SeqCst);
}

/// A receiver that sleeps is hit again and again, and still gets its message, not an error.
#[test]
fn a_blocked_call_outlasts_signals() {
    handle(Signal::SIGUSR1, count);
    let ring = Builder::new("memfd:").unwrap().create().unwrap();
    let mut sender = ring.sender().unwrap();
    let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
    let (tell, told) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || {
        tell.send(pthread_self()).unwrap();
        receiver.recv_deadline(Instant::now() + WATCHDOG)
    });
    let target = told.recv().unwrap();
    for number in 1..=50 {
        pthread_kill(target, Signal::SIGUSR1).unwrap();
        while SEEN.load(Ordering::SeqCst) < number {
            thread::yield_now();
        }
    }
    sender.send(b"at last").unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), b"at last");
}

static SENDER: AtomicPtr<Sender> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn send(_: libc::c_int) {
    // SAFETY: the test points this to a handle that lives until it has seen the last signal, and that
    // nobody uses but this handler, on one thread.
    if let Some(sender) = unsafe { SENDER.load(Ordering::SeqCst).as_mut() } {
        sender.try_send(b"from a handler").unwrap();
    }
}

#[test]
fn a_handler_can_send() {
    let ring = Builder::new("memfd:").unwrap().create().unwrap();
    let mut sender = ring.sender().unwrap();
    let mut receiver = ring.receiver().unwrap();
    SENDER.store(&raw mut sender, Ordering::SeqCst);
    handle(Signal::SIGUSR2, send);
    for _ in 0..20 {
        // Delivered to this thread before it returns.
        raise(Signal::SIGUSR2).unwrap();
    }
    SENDER.store(std::ptr::null_mut(), Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(receiver.try_recv().unwrap(), b"from a handler");
    }
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
}
