//! A signal handler may use a ring, whatever it interrupts: here it interrupts calls on other handles of the same ring, at
//! thousands of places that chance chooses, and both get their messages through.

mod two_processes;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use ringway::{Kind, Receiver, RecvError, SendError, Sender, SyncKind};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::table::Row;

/// Two share one handler.
static ALONE: Mutex<()> = Mutex::new(());
/// How often the handler has run, and how often it interrupted a call.
static RUNS: AtomicU64 = AtomicU64::new(0);
static HITS: AtomicU64 = AtomicU64::new(0);
/// Whether a call is being made.
static CALLING: AtomicBool = AtomicBool::new(false);
/// What the handler works with.
static SCENE: AtomicPtr<Handled> = AtomicPtr::new(std::ptr::null_mut());

/// What the handler has.
struct Handled {
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// Set up before, since a handler must not allocate.
    message: Vec<u8>,
    sent: u64,
    received: Vec<u64>,
    problem: Option<&'static str>,
    alarm: Alarm,
}

/// What no call gives as the error number.
const ERRNO: i32 = 4242;

extern "C" fn interrupting(_: libc::c_int) {
    let runs = RUNS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the test points this to what nobody else uses until it has taken the pointer back, and the signals are for
    // its thread alone.
    let Some(handled) = (unsafe { SCENE.load(Ordering::SeqCst).as_mut() }) else {
        return;
    };
    if CALLING.load(Ordering::SeqCst) {
        HITS.fetch_add(1, Ordering::SeqCst);
    }
    let before = Errno::last_raw();
    Errno::set_raw(ERRNO);
    // Now and then as much as there is room for, or is there.
    let times = if runs.is_multiple_of(8) { 40 } else { 1 };
    for _ in 0..times {
        handled.act();
    }
    if Errno::last_raw() != ERRNO {
        handled.problem = Some("errno was changed");
    }
    handled.alarm.set(runs);
    Errno::set_raw(before);
}

impl Handled {
    fn act(&mut self) {
        if let Some(sender) = &mut self.sender {
            self.message[..8].copy_from_slice(&number(self.sent << 1 | 1));
            match sender.try_send(&self.message) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => {}
                Err(_) => self.problem = Some("sending failed"),
            }
        }
        if let Some(receiver) = &mut self.receiver
            && self.received.len() < self.received.capacity()
        {
            let mut buffer = [0; MOST];
            match receiver.try_recv_into(&mut buffer) {
                Ok(_) => self.received.push(number_in(&buffer[..8])),
                Err(RecvError::Empty) => {}
                Err(_) => self.problem = Some("receiving failed"),
            }
        }
    }
}

/// Makes a call that may be interrupted.
fn call<T>(work: impl FnOnce() -> T) -> T {
    CALLING.store(true, Ordering::SeqCst);
    let result = work();
    CALLING.store(false, Ordering::SeqCst);
    result
}

/// A timer that signals this thread, some microseconds after it was set, and then no more.
struct Alarm(libc::timer_t);

impl Alarm {
    fn new() -> Self {
        let mut timer = std::ptr::null_mut();
        // SAFETY: a record of numbers, for which zero is a value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_notify_thread_id = nix::unistd::gettid().as_raw();
        // SAFETY: both outlive the call.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) };
        assert_eq!(made, 0);
        Self(timer)
    }

    /// May be called in the handler. A call is to come to its end, too: all of it in handlers that change what it looks
    /// at, it does not. So there is a pause, of another length each time.
    fn set(&self, nth: u64) {
        // SAFETY: as above.
        let mut time: libc::itimerspec = unsafe { std::mem::zeroed() };
        time.it_value.tv_nsec = 3_000 + (nth * 7_919 % 60_000) as libc::c_long;
        // SAFETY: the timer lives, and the time outlives the call.
        unsafe { libc::timer_settime(self.0, 0, &time, std::ptr::null_mut()) };
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: nobody uses the timer any more.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// In how many calls of a case the handler comes.
const ENOUGH: u64 = 400;
/// Longer than any message here.
const MOST: usize = 4096;

/// What the ring is besides its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    Overwriting,
    /// Messages of this many bytes lie in slabs.
    Slabs(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Send,
    Receive,
    Both,
}

/// The interrupted call is on one handle, the handler's on another one.
fn interrupt(row: Row, extra: Extra, work: Part, handler: Part) {
    let case = format!("{row} {extra:?}: {work:?} interrupted by {handler:?}");
    let (ring, _place) = row.ring_with(|builder| match extra {
        Extra::Nothing => builder,
        Extra::Overwriting => builder.overwrite_oldest(true),
        Extra::Slabs(_) => builder.slabs(4096, 5),
    });
    let len = match extra {
        Extra::Slabs(len) => len,
        _ => 100,
    };
    let sender = |part| {
        let sender = (part != Part::Receive).then(|| ring.sender().unwrap());
        sender.map(|sender| sender.with_copy_limit(200))
    };
    let receiver = |part| (part != Part::Send).then(|| ring.receiver().unwrap());
    let (mut own_sender, mut own_receiver) = (sender(work), receiver(work));
    let mut handled = Handled {
        sender: sender(handler),
        receiver: receiver(handler),
        message: vec![0; len],
        sent: 0,
        received: Vec::with_capacity(1 << 20),
        problem: None,
        alarm: Alarm::new(),
    };
    let mut message = vec![0; len];
    let mut buffer = [0; MOST];
    let mut own_sent = 0;
    let mut received = Vec::new();
    SCENE.store(&raw mut handled, Ordering::SeqCst);
    HITS.store(0, Ordering::SeqCst);
    // SAFETY: the first signal comes after this.
    unsafe { (*SCENE.load(Ordering::SeqCst)).alarm.set(0) };
    while HITS.load(Ordering::SeqCst) < ENOUGH {
        if let Some(sender) = &mut own_sender {
            message[..8].copy_from_slice(&number(own_sent << 1));
            match call(|| sender.try_send(&message)) {
                Ok(()) => own_sent += 1,
                Err(error) => assert_eq!(error, SendError::Full, "{case}"),
            }
        }
        if let Some(receiver) = &mut own_receiver {
            match call(|| receiver.try_recv_into(&mut buffer)) {
                Ok(_) => received.push(number_in(&buffer[..8])),
                Err(error) => assert_eq!(error, RecvError::Empty, "{case}"),
            }
        }
    }
    SCENE.store(std::ptr::null_mut(), Ordering::SeqCst);
    assert_eq!(handled.problem, None, "{case}");
    // What is left.
    let mut last = own_receiver
        .or(handled.receiver)
        .unwrap_or_else(|| ring.receiver().unwrap());
    while let Ok(len) = last.try_recv_into(&mut buffer) {
        received.push(number_in(&buffer[..len.min(8)]));
    }
    received.extend(handled.received);
    received.sort_unstable();
    let mut sent: Vec<_> = (0..own_sent).map(|nth| nth << 1).collect();
    sent.extend((0..handled.sent).map(|nth| nth << 1 | 1));
    sent.sort_unstable();
    if extra == Extra::Overwriting {
        let before = received.len();
        received.dedup();
        assert_eq!(received.len(), before, "{case}: twice");
        sent.retain(|number| received.binary_search(number).is_ok());
    }
    assert!(
        received == sent,
        "{case}: {} of {}",
        received.len(),
        sent.len()
    );
}

fn interrupt_all(kind: Kind, extra: Extra, backing: Backing) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let action = SigAction::new(
        SigHandler::Handler(interrupting),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler uses what it alone has, and the two calls that promise to work in one.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let row = Row {
        kind,
        sync: SyncKind::Futex,
        backing,
    };
    use Part::{Both, Receive, Send};
    let many = |role| kind.allows_many(role);
    let both = (
        many(ringway::peer::Role::Producer),
        many(ringway::peer::Role::Consumer),
    );
    let parts: &[(Part, Part)] = match both {
        (false, false) => &[(Send, Receive), (Receive, Send)],
        (true, false) => &[(Send, Both), (Both, Send), (Send, Send), (Receive, Send)],
        (false, true) => &[
            (Receive, Both),
            (Both, Receive),
            (Receive, Receive),
            (Send, Receive),
        ],
        (true, true) => &[(Both, Both), (Send, Both), (Receive, Both)],
    };
    for &(work, handler) in parts {
        interrupt(row, extra, work, handler);
    }
}

#[test]
fn a_handler_uses_the_ring_within_calls_on_other_handles() {
    for kind in Row::KINDS {
        interrupt_all(kind, Extra::Nothing, Backing::Shm);
    }
    interrupt_all(Kind::Mpmc, Extra::Nothing, Backing::Memfd);
    interrupt_all(Kind::Mpmc, Extra::Nothing, Backing::SysvPrivate);
    interrupt_all(Kind::Mpmc, Extra::Nothing, Backing::File);
}

#[test]
fn a_handler_uses_a_ring_that_overwrites() {
    for kind in Row::KINDS {
        interrupt_all(kind, Extra::Overwriting, Backing::Shm);
    }
}

#[test]
fn a_handler_uses_a_ring_with_slabs() {
    for kind in Row::KINDS {
        interrupt_all(kind, Extra::Slabs(1000), Backing::Shm);
    }
}
