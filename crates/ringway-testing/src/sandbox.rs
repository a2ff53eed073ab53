//! Sandboxes that deny system calls: of this process from now on, or of another one when the test says so.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;

/// A system call, perhaps with one value of its second argument only.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What a test calls it.
    pub name: &'static str,
    /// Its number.
    pub number: libc::c_long,
    /// The second argument.
    pub operation: Option<i32>,
}

impl Call {
    /// membarrier(2).
    pub const MEMBARRIER: Self = Self::of("membarrier", libc::SYS_membarrier, None);

    /// Those that ringway can do without when it is in use, if they are denied.
    pub const DISPENSABLE: [Self; 4] = [
        Self::MEMBARRIER,
        Self::of("futex_waitv", libc::SYS_futex_waitv, None),
        Self::of("futex-wake-op", libc::SYS_futex, Some(libc::FUTEX_WAKE_OP)),
        Self::of("futex-wake", libc::SYS_futex, Some(libc::FUTEX_WAKE)),
    ];

    /// A call by its number.
    pub const fn of(name: &'static str, number: libc::c_long, operation: Option<i32>) -> Self {
        Self {
            name,
            number,
            operation,
        }
    }

    /// Has the kernel refuse it, to all threads of this process, from now on.
    pub fn deny(self, errno: i32) {
        let refused = libc::SECCOMP_RET_ERRNO | errno as u32;
        install(self, refused, libc::SECCOMP_FILTER_FLAG_TSYNC).unwrap();
    }
}

/// Installs a filter that answers `call` so, and allows all others. Returns the kernel's answer.
fn install(call: Call, answer: u32, flags: libc::c_ulong) -> io::Result<i32> {
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let unless = |k, jf| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf,
        k,
    };
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let (answer, allow) = (
        statement(give, answer),
        statement(give, libc::SECCOMP_RET_ALLOW),
    );
    // Offsets in seccomp_data: the number at 0, the second argument's low half at 24. (No allocation: this runs
    // between fork and exec.)
    let number = call.number as u32;
    let mut filter = match call.operation {
        None => [
            statement(load, 0),
            unless(number, 1),
            answer,
            allow,
            allow,
            allow,
        ],
        Some(operation) => [
            statement(load, 0),
            unless(number, 3),
            statement(load, 24),
            unless(operation as u32, 1),
            answer,
            allow,
        ],
    };
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: prctl takes numbers here; the program and its statements live through the call of seccomp.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match installed {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer as i32),
    }
}

/// The sandbox of another process, which allows a call until it is told otherwise.
pub struct Sandbox {
    /// What the call gives: an errno, or 0 while it is allowed.
    errno: Arc<AtomicI32>,
    ends: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
}

/// The descriptor by which a process in a sandbox can be asked for what it calls. It stays open there.
const LISTENER: i32 = 100;

impl Sandbox {
    /// Has a program run in a sandbox that asks about `call`: [`of`](Self::of) answers.
    pub fn prepare(command: &mut Command, call: Call) {
        let enter = move || {
            let asked = libc::SECCOMP_RET_USER_NOTIF;
            let listener = install(call, asked, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
            // SAFETY: calls with numbers; the first descriptor is nobody else's.
            match unsafe { (libc::dup2(listener, LISTENER), libc::close(listener)) } {
                (LISTENER, _) => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: system calls only, and no memory but the stack.
        unsafe { command.pre_exec(enter) };
    }

    /// The sandbox of a program that was started so. It allows the call.
    pub fn of(child: &Child) -> Self {
        Self::new(child, 0)
    }

    /// The same, which denies the call from the start.
    pub fn denying(child: &Child, errno: i32) -> Self {
        Self::new(child, errno)
    }

    fn new(child: &Child, errno: i32) -> Self {
        // SAFETY: calls with numbers, which give descriptors that nobody else has.
        let listener = unsafe {
            let process = libc::syscall(libc::SYS_pidfd_open, child.id(), 0);
            assert!(process >= 0, "{}", io::Error::last_os_error());
            let process = File::from_raw_fd(process as i32);
            let listener = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), LISTENER, 0);
            assert!(listener >= 0, "{}", io::Error::last_os_error());
            File::from_raw_fd(listener as i32)
        };
        let (errno, ends) = (Arc::new(AtomicI32::new(errno)), Arc::default());
        let (says, end) = (Arc::clone(&errno), Arc::clone(&ends));
        let answering = std::thread::spawn(move || answer(&listener, &says, &end));
        Self {
            errno,
            ends,
            answering: Some(answering),
        }
    }

    /// Denies the call from now on.
    pub fn deny(&self, errno: i32) {
        self.errno.store(errno, Ordering::SeqCst);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(answering) = self.answering.take() {
            let _ = answering.join();
        }
    }
}

/// Answers until the process is gone or the sandbox is dropped.
fn answer(listener: &File, errno: &AtomicI32, ends: &AtomicBool) {
    const NEXT: libc::c_ulong = request(0, size_of::<libc::seccomp_notif>());
    const ANSWER: libc::c_ulong = request(1, size_of::<libc::seccomp_notif_resp>());
    while !ends.load(Ordering::SeqCst) {
        let mut polled = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one record, which is there.
        let ready = unsafe { libc::poll(&raw mut polled, 1, 20) };
        if polled.revents & libc::POLLHUP != 0 {
            return;
        }
        if ready < 1 {
            continue;
        }
        // SAFETY: numbers, for which zero is a value, as the kernel demands of this record.
        let mut asked: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the kernel fills the record, which is as long as the request says.
        if unsafe { libc::ioctl(listener.as_raw_fd(), NEXT, &raw mut asked) } != 0 {
            // It was killed meanwhile.
            continue;
        }
        let errno = errno.load(Ordering::SeqCst);
        let mut answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: -errno,
            flags: match errno {
                0 => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
                _ => 0,
            },
        };
        // SAFETY: as above. It fails if the process was killed meanwhile.
        unsafe { libc::ioctl(listener.as_raw_fd(), ANSWER, &raw mut answer) };
    }
}

/// A request of seccomp's that reads and writes a record of so many bytes.
const fn request(number: libc::c_ulong, len: usize) -> libc::c_ulong {
    3 << 30 | (len as libc::c_ulong) << 16 | (b'!' as libc::c_ulong) << 8 | number
}
