//! The limits of sleeping: one slot in shared memory, and what the system has to wake a process with, bare.
//! The receiver always sleeps, the sender always wakes. (The futex's is in `raw`.)

use std::ops::Range;

use crate::memory::Shared;
use crate::message;
use crate::track::Lane;

/// What one process rings and another waits for; every ring ends one wait.
pub trait Bell {
    fn ring(&self);
    fn wait(&self);
}

/// One slot, guarded by a bell: rung when there is a message. That it has been read the other direction
/// tells.
pub struct Rung<B, const W: usize> {
    memory: Shared,
    bell: B,
}

impl<B, const W: usize> Rung<B, W> {
    pub fn new(bell: B) -> Self {
        let memory = Shared::new(W * 8);
        Self { memory, bell }
    }
}

impl<B: Bell, const W: usize> Lane for Rung<B, W> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    fn send(&mut self, numbers: Range<u64>) {
        let slot = self.memory.at(0).cast::<[u64; W]>();
        for number in numbers {
            // SAFETY: the slot is the mapping; the receiver has answered, so it does not read.
            message::fill(unsafe { &mut *slot }, number);
            self.bell.ring();
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let slot = self.memory.at(0).cast::<[u64; W]>();
        for number in numbers {
            self.bell.wait();
            // SAFETY: the slot is the mapping; the sender has rung, and waits for the answer.
            message::check(unsafe { &*slot }, number);
        }
    }
}

fn check(result: libc::c_int, call: &str) {
    assert_eq!(result, 0, "{call}: {}", std::io::Error::last_os_error());
}

/// A flag, a mutex and a condition variable, shared between processes, not robust.
pub struct Condvar(Shared);

#[repr(C)]
struct Monitor {
    mutex: libc::pthread_mutex_t,
    condition: libc::pthread_cond_t,
    rung: bool,
}

impl Condvar {
    pub fn new() -> Self {
        let memory = Shared::new(size_of::<Monitor>());
        let monitor = memory.at(0).cast::<Monitor>();
        // SAFETY: a mapping of a page, zeroed, which no other process has yet; the attributes are
        // initialised before they are used.
        unsafe {
            let mut shared = std::mem::zeroed();
            check(libc::pthread_mutexattr_init(&mut shared), "mutexattr_init");
            let pshared = libc::PTHREAD_PROCESS_SHARED;
            check(
                libc::pthread_mutexattr_setpshared(&mut shared, pshared),
                "mutexattr_setpshared",
            );
            check(
                libc::pthread_mutex_init(&raw mut (*monitor).mutex, &shared),
                "mutex_init",
            );
            let mut shared = std::mem::zeroed();
            check(libc::pthread_condattr_init(&mut shared), "condattr_init");
            check(
                libc::pthread_condattr_setpshared(&mut shared, pshared),
                "condattr_setpshared",
            );
            check(
                libc::pthread_cond_init(&raw mut (*monitor).condition, &shared),
                "cond_init",
            );
        }
        Self(memory)
    }

    fn monitor(&self) -> *mut Monitor {
        self.0.at(0).cast()
    }
}

impl Bell for Condvar {
    fn ring(&self) {
        let monitor = self.monitor();
        // SAFETY: both were initialised for use between processes; the mutex guards the flag.
        unsafe {
            check(libc::pthread_mutex_lock(&raw mut (*monitor).mutex), "lock");
            (*monitor).rung = true;
            check(
                libc::pthread_cond_signal(&raw mut (*monitor).condition),
                "signal",
            );
            check(
                libc::pthread_mutex_unlock(&raw mut (*monitor).mutex),
                "unlock",
            );
        }
    }

    fn wait(&self) {
        let monitor = self.monitor();
        // SAFETY: as above.
        unsafe {
            let (mutex, condition) = (&raw mut (*monitor).mutex, &raw mut (*monitor).condition);
            check(libc::pthread_mutex_lock(mutex), "lock");
            loop {
                if (*monitor).rung {
                    break;
                }
                check(libc::pthread_cond_wait(condition, mutex), "wait");
            }
            (*monitor).rung = false;
            check(libc::pthread_mutex_unlock(mutex), "unlock");
        }
    }
}

/// An unnamed POSIX semaphore.
pub struct PosixSemaphore(Shared);

impl PosixSemaphore {
    pub fn new() -> Self {
        let memory = Shared::new(size_of::<libc::sem_t>());
        // SAFETY: a mapping of a page, which no other process has yet.
        check(
            unsafe { libc::sem_init(memory.at(0).cast(), 1, 0) },
            "sem_init",
        );
        Self(memory)
    }
}

impl Bell for PosixSemaphore {
    fn ring(&self) {
        // SAFETY: initialised for use between processes.
        check(unsafe { libc::sem_post(self.0.at(0).cast()) }, "sem_post");
    }

    fn wait(&self) {
        // SAFETY: as above.
        check(unsafe { libc::sem_wait(self.0.at(0).cast()) }, "sem_wait");
    }
}

/// System V semaphores: one to ring by, and one that excludes, which the kernel gives back for the dead.
pub struct SystemVSemaphore {
    id: libc::c_int,
    /// Whether who rings and who waits has the second for a moment, as each has to who puts a message into a queue
    /// of several participants, or takes it out.
    excludes: bool,
}

const BELL: u16 = 0;
const LOCK: u16 = 1;

/// The keys of a run of this process, which its parent removes whatever becomes of it.
fn keys(process: u32) -> impl Iterator<Item = libc::key_t> {
    (1..=7).map(move |index| (process << 3 | index) as libc::key_t)
}

impl SystemVSemaphore {
    /// There and back.
    pub fn pair(excludes: bool) -> [Self; 2] {
        let keys = keys(std::process::id()).skip(if excludes { 2 } else { 0 });
        let mut made = keys.map(|key| {
            // SAFETY: no memory is involved.
            let id = unsafe { libc::semget(key, 2, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
            check(libc::c_int::from(id < 0), "semget");
            let semaphores = Self { id, excludes };
            semaphores.change(LOCK, 1, 0);
            semaphores
        });
        std::array::from_fn(|_| made.next().expect("two keys"))
    }

    /// A set of two for counting, the `index`-th (0 to 2) of this process.
    pub fn counting(index: u32, counts: [u16; 2]) -> libc::c_int {
        let key = (std::process::id() << 3 | (5 + index)) as libc::key_t;
        // SAFETY: numbers only; SETVAL takes one.
        unsafe {
            let id = libc::semget(key, 2, libc::IPC_CREAT | libc::IPC_EXCL | 0o600);
            check(libc::c_int::from(id < 0), "semget");
            for (semaphore, count) in (0..).zip(counts) {
                check(
                    libc::semctl(id, semaphore, libc::SETVAL, libc::c_int::from(count)),
                    "semctl",
                );
            }
            id
        }
    }

    /// Removes what a process has left.
    pub fn remove_all(process: u32) {
        for key in keys(process) {
            // SAFETY: no memory is involved; a key that is not there is none of ours.
            unsafe {
                let id = libc::semget(key, 2, 0);
                if id >= 0 {
                    libc::semctl(id, 0, libc::IPC_RMID);
                }
            }
        }
    }

    fn change(&self, semaphore: u16, by: i16, flags: libc::c_int) {
        let mut operation = libc::sembuf {
            sem_num: semaphore,
            sem_op: by,
            sem_flg: flags as i16,
        };
        // SAFETY: one operation, which is live.
        check(unsafe { libc::semop(self.id, &mut operation, 1) }, "semop");
    }

    fn exclude(&self) {
        if self.excludes {
            self.change(LOCK, -1, libc::SEM_UNDO);
            self.change(LOCK, 1, libc::SEM_UNDO);
        }
    }
}

impl Bell for SystemVSemaphore {
    fn ring(&self) {
        self.exclude();
        self.change(BELL, 1, 0);
    }

    fn wait(&self) {
        self.change(BELL, -1, 0);
        self.exclude();
    }
}

/// A POSIX message queue, through which one byte says that there is a message.
pub struct MessageQueue(libc::mqd_t);

impl MessageQueue {
    /// `name` is free again when this returns; forked processes have the queue.
    pub fn new(name: &str) -> Self {
        let name = std::ffi::CString::new(format!("/{name}")).expect("no zero byte");
        // SAFETY: mq_attr is plain numbers, for which zero is a value; a C string that lives.
        let queue = unsafe {
            let mut shape: libc::mq_attr = std::mem::zeroed();
            shape.mq_maxmsg = 1;
            shape.mq_msgsize = 1;
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
            let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &mut shape);
            check(libc::c_int::from(queue < 0), "mq_open");
            check(libc::mq_unlink(name.as_ptr()), "mq_unlink");
            queue
        };
        Self(queue)
    }
}

impl Bell for MessageQueue {
    fn ring(&self) {
        // SAFETY: the buffer is the byte.
        check(
            unsafe { libc::mq_send(self.0, [1].as_ptr(), 1, 0) },
            "mq_send",
        );
    }

    fn wait(&self) {
        let mut byte = [0];
        // SAFETY: the buffer has room for a message, which is one byte; the priority is not asked for.
        let len = unsafe { libc::mq_receive(self.0, byte.as_mut_ptr(), 1, std::ptr::null_mut()) };
        check(libc::c_int::from(len != 1), "mq_receive");
    }
}
