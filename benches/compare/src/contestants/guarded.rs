//! A ring of slots in shared memory that is locked, or counted, by what textbooks use for that.

use std::ops::Range;

use super::bare::SystemVSemaphore;
use crate::memory::Shared;
use crate::message;
use crate::track::Lane;

/// Messages that the ring has room for.
const SLOTS: u64 = 1024;

/// What lets one side into the ring and tells the other.
pub trait Guard {
    /// Returns when there is room, with whatever lock there is.
    fn begin_sending(&self);
    fn end_sending(&self);
    /// Returns when there is a message.
    fn begin_receiving(&self);
    fn end_receiving(&self);
}

/// A ring of slots that a guard guards.
pub struct Guarded<G, const W: usize> {
    memory: Shared,
    guard: G,
}

impl<G, const W: usize> Guarded<G, W> {
    pub fn new(guard: G) -> Self {
        Self {
            memory: Shared::new(SLOTS as usize * W * 8),
            guard,
        }
    }

    fn slot(&self, number: u64) -> *mut [u64; W] {
        self.memory.at(number % SLOTS * W as u64 * 8).cast()
    }
}

impl<G: Guard, const W: usize> Lane for Guarded<G, W> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    fn send(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.guard.begin_sending();
            // SAFETY: the slot is the sender's alone, by the guard; all bits are words.
            message::fill(unsafe { &mut *self.slot(number) }, number);
            self.guard.end_sending();
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.guard.begin_receiving();
            // SAFETY: the slot has a message, which is the receiver's alone, by the guard.
            message::check(unsafe { &*self.slot(number) }, number);
            self.guard.end_receiving();
        }
    }
}

fn check(result: libc::c_int, call: &str) {
    assert_eq!(result, 0, "{call}: {}", std::io::Error::last_os_error());
}

/// A mutex that guards a count, and two condition variables.
pub struct Monitor(Shared);

#[repr(C)]
struct State {
    mutex: libc::pthread_mutex_t,
    room: libc::pthread_cond_t,
    filled: libc::pthread_cond_t,
    count: u64,
}

impl Monitor {
    pub fn new() -> Self {
        let memory = Shared::new(size_of::<State>());
        let state = memory.at(0).cast::<State>();
        // SAFETY: a mapping of a page, zeroed, which no other process has yet; the attributes are
        // initialised before they are used.
        unsafe {
            let pshared = libc::PTHREAD_PROCESS_SHARED;
            let mut shared = std::mem::zeroed();
            check(libc::pthread_mutexattr_init(&mut shared), "mutexattr_init");
            check(
                libc::pthread_mutexattr_setpshared(&mut shared, pshared),
                "mutexattr_setpshared",
            );
            check(
                libc::pthread_mutex_init(&raw mut (*state).mutex, &shared),
                "mutex_init",
            );
            let mut shared = std::mem::zeroed();
            check(libc::pthread_condattr_init(&mut shared), "condattr_init");
            check(
                libc::pthread_condattr_setpshared(&mut shared, pshared),
                "condattr_setpshared",
            );
            for condition in [&raw mut (*state).room, &raw mut (*state).filled] {
                check(libc::pthread_cond_init(condition, &shared), "cond_init");
            }
        }
        Self(memory)
    }

    fn state(&self) -> *mut State {
        self.0.at(0).cast()
    }

    /// Locks, and waits until the count is not `barred`.
    fn begin(&self, barred: u64, until: impl Fn(*mut State) -> *mut libc::pthread_cond_t) {
        let state = self.state();
        // SAFETY: initialised for use between processes; the mutex guards the count.
        unsafe {
            check(libc::pthread_mutex_lock(&raw mut (*state).mutex), "lock");
            while (*state).count == barred {
                check(
                    libc::pthread_cond_wait(until(state), &raw mut (*state).mutex),
                    "wait",
                );
            }
        }
    }

    /// Changes the count, tells the other side, and unlocks.
    fn end(&self, sent: bool) {
        let state = self.state();
        // SAFETY: as above; the mutex is held.
        unsafe {
            let count = (*state).count;
            (*state).count = if sent { count + 1 } else { count - 1 };
            let told = match sent {
                true => &raw mut (*state).filled,
                false => &raw mut (*state).room,
            };
            check(libc::pthread_cond_signal(told), "signal");
            check(
                libc::pthread_mutex_unlock(&raw mut (*state).mutex),
                "unlock",
            );
        }
    }
}

impl Guard for Monitor {
    fn begin_sending(&self) {
        // SAFETY: a field of the mapping.
        self.begin(SLOTS, |state| unsafe { &raw mut (*state).room });
    }

    fn end_sending(&self) {
        self.end(true);
    }

    fn begin_receiving(&self) {
        // SAFETY: as above.
        self.begin(0, |state| unsafe { &raw mut (*state).filled });
    }

    fn end_receiving(&self) {
        self.end(false);
    }
}

/// Two unnamed POSIX semaphores that count room and messages.
pub struct PosixCounts(Shared);

const ROOM: u64 = 0;
const FILLED: u64 = 128;

impl PosixCounts {
    pub fn new() -> Self {
        let memory = Shared::new(4096);
        for (place, count) in [(ROOM, SLOTS), (FILLED, 0)] {
            // SAFETY: in a mapping that no other process has yet.
            let made = unsafe { libc::sem_init(memory.at(place).cast(), 1, count as libc::c_uint) };
            check(made, "sem_init");
        }
        Self(memory)
    }

    fn wait(&self, place: u64) {
        // SAFETY: initialised for use between processes.
        check(
            unsafe { libc::sem_wait(self.0.at(place).cast()) },
            "sem_wait",
        );
    }

    fn post(&self, place: u64) {
        // SAFETY: as above.
        check(
            unsafe { libc::sem_post(self.0.at(place).cast()) },
            "sem_post",
        );
    }
}

impl Guard for PosixCounts {
    fn begin_sending(&self) {
        self.wait(ROOM);
    }

    fn end_sending(&self) {
        self.post(FILLED);
    }

    fn begin_receiving(&self) {
        self.wait(FILLED);
    }

    fn end_receiving(&self) {
        self.post(ROOM);
    }
}

/// Two System V semaphores that count the same.
pub struct SystemVCounts(libc::c_int);

impl SystemVCounts {
    /// The `index`-th of this process.
    pub fn new(index: u32) -> Self {
        Self(SystemVSemaphore::counting(index, [SLOTS as u16, 0]))
    }

    fn change(&self, semaphore: u16, by: i16) {
        let mut operation = libc::sembuf {
            sem_num: semaphore,
            sem_op: by,
            sem_flg: 0,
        };
        // SAFETY: one operation, which is live.
        check(unsafe { libc::semop(self.0, &mut operation, 1) }, "semop");
    }
}

impl Guard for SystemVCounts {
    fn begin_sending(&self) {
        self.change(0, -1);
    }

    fn end_sending(&self) {
        self.change(1, 1);
    }

    fn begin_receiving(&self) {
        self.change(1, -1);
    }

    fn end_receiving(&self) {
        self.change(0, 1);
    }
}
