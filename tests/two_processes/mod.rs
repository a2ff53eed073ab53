//! A second process: this test binary, started again as its test `child_role` with a role to play.
//!
//! The two talk by lines over a Unix socket, which is the second one's standard input, and over which
//! a `memfd:` ring is handed over. The second process dies with the test, also with a failed one, and what it made
//! in the directory for temporary files goes then: it may be killed, so nothing that it owns removes itself.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of this"
)]

pub mod bytes;
pub mod crowd;
pub mod roles;

pub use ringway_testing::{messages, place, procfs, table};

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use ringway::{Address, Builder, Ring, WaitStrategy};
use tempfile::TempDir;

use place::ROLE;

const AT: &str = "RINGWAY_TEST_AT";

/// The ways to wait.
pub const WAITS: [WaitStrategy; 3] = [
    WaitStrategy::Park,
    WaitStrategy::Spin,
    WaitStrategy::Adaptive(Duration::from_micros(50)),
];

/// What no test comes near to; only a hang does.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A deadline that only reports a hang.
pub fn watchdog() -> Instant {
    Instant::now() + WATCHDOG
}

/// What a call with a deadline gives, which must not have taken until the deadline: with its last look a
/// call also finds what it was not woken for.
#[track_caller]
pub fn in_time<T>(call: impl FnOnce(Instant) -> T) -> T {
    let deadline = watchdog();
    let outcome = call(deadline);
    assert!(Instant::now() < deadline, "not woken");
    outcome
}

/// The second process, as the test sees it. Killed and reaped when dropped.
pub struct Second {
    process: Mutex<Child>,
    socket: UnixStream,
    /// Its directory for temporary files. It goes when the process is gone.
    _scratch: TempDir,
}

impl Second {
    /// Starts a process that plays `role` on `ring`.
    pub fn start(role: &str, ring: &Ring) -> Self {
        let second = Self::start_at(role, ring.address());
        if *ring.address() == Address::Memfd {
            ring.hand_over(&second.socket).unwrap();
        }
        second
    }

    /// Starts a process that plays `role` at an address that need not exist.
    pub fn start_at(role: &str, address: &Address) -> Self {
        Self::start_by(command(role, address))
    }

    /// Starts it by another program, which is given it to execute.
    pub fn start_in(program: &[&str], role: &str, address: &Address) -> Self {
        let inner = command(role, address);
        let mut outer = Command::new(program[0]);
        outer.args(&program[1..]).arg(inner.get_program());
        outer.args(inner.get_args()).stdout(Stdio::null());
        let variables = inner.get_envs();
        outer.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        Self::start_by(outer)
    }

    fn start_by(mut command: Command) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(WATCHDOG)).unwrap();
        let scratch = TempDir::with_prefix("ringway-test-").unwrap();
        // It may become another user.
        fs::set_permissions(&scratch, Permissions::from_mode(0o1777)).unwrap();
        command.env("TMPDIR", scratch.path());
        let process = command.stdin(OwnedFd::from(theirs)).spawn().unwrap();
        Self {
            process: Mutex::new(process),
            socket: ours,
            _scratch: scratch,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Tells it a line.
    pub fn say(&self, line: impl ToString) {
        say(&self.socket, &line.to_string());
    }

    /// Its next line.
    #[track_caller]
    pub fn hear(&self) -> String {
        hear(&self.socket)
    }

    /// Waits for its next line, which must be `line`.
    #[track_caller]
    pub fn expect(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    /// All that it still says before it ends.
    pub fn last_words(&self) -> Vec<String> {
        let mut text = String::new();
        (&self.socket).read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// Kills and reaps it.
    pub fn kill(&self) {
        let mut process = self.process();
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    /// Kills it and leaves it a zombie.
    pub fn kill_unreaped(&self) {
        self.signal(Signal::SIGKILL);
        self.await_state(WaitPidFlag::WEXITED);
    }

    /// Stops it, and returns when it stands still.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        self.await_state(WaitPidFlag::WSTOPPED);
    }

    fn await_state(&self, state: WaitPidFlag) {
        let pid = Pid::from_raw(self.pid() as i32);
        waitid(Id::Pid(pid), state | WaitPidFlag::WNOWAIT).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&self) -> ExitStatus {
        self.process().wait().unwrap()
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub fn finish(self) {
        let status = self.wait();
        assert!(status.success(), "{status}");
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let mut process = self.process();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// This test binary, about to play `role`.
pub fn command(role: &str, address: &Address) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_role", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(AT, address.to_string())
        .stdout(Stdio::null());
    command
}

/// The first process, as the second one sees it.
pub struct First {
    socket: UnixStream,
    address: Address,
}

impl First {
    /// Where the test takes place.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The test's ring.
    pub fn ring(&self) -> Ring {
        match self.address {
            Address::Memfd => place::trusting().take_over(&self.socket).unwrap().0,
            _ => Builder::at(self.address.clone()).open().unwrap(),
        }
    }

    /// Tells the test a line.
    pub fn say(&self, line: impl ToString) {
        say(&self.socket, &line.to_string());
    }

    /// The test's next line. If there is none any more, this process ends.
    pub fn hear(&self) -> String {
        hear(&self.socket)
    }
}

/// The body of `child_role`: plays the role that this process was started for, if any.
pub fn play(roles: impl FnOnce(&str, &First)) {
    let (Ok(role), Ok(at)) = (std::env::var(ROLE), std::env::var(AT)) else {
        return;
    };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    // Survives exec, and ends what hangs.
    nix::unistd::alarm::set(2 * WATCHDOG.as_secs() as libc::c_uint);
    let first = First {
        socket: UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap()),
        address: at.parse().unwrap(),
    };
    roles(&role, &first);
}

fn say(mut socket: &UnixStream, line: &str) {
    socket.write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[track_caller]
fn hear(socket: &UnixStream) -> String {
    try_hear(socket).unwrap_or_else(|error| panic!("the other process says nothing: {error}"))
}

/// Byte by byte: what follows the line may be a descriptor.
fn try_hear(mut socket: &UnixStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        socket.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => return Ok(String::from_utf8(line).unwrap()),
            [byte] => line.push(byte),
        }
    }
}
