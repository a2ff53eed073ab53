//! Rings with names of their own, and processes that do not outlive their test.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::Channel;
use serde_json::Value;
use tempfile::TempDir;

/// How long something may take that is expected to come, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// An address of the test's own, removed at its end.
pub struct Place {
    pub address: String,
    directory: Option<TempDir>,
}

/// The kinds of synchronisation.
pub const SYNCS: [&str; 5] = ["futex", "pthread", "posix-sem", "sysv-sem", "mqueue"];

/// The kinds of rings: who takes part.
pub const KINDS: [&str; 4] = ["spsc", "mpsc", "spmc", "mpmc"];

/// The schemes of message queues.
pub const QUEUES: [&str; 2] = ["mq", "sysvmq"];

/// The schemes of rings that a command line can name.
pub const SCHEMES: [&str; 3] = ["shm", "file", "sysv"];

impl Place {
    pub fn new(scheme: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let (pid, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let mut directory = None;
        let address = match scheme {
            "shm" => format!("shm:ringway-cli-test-{pid}-{count}"),
            "sysv" => format!("sysv:{:#010x}", pid << 8 | count),
            "file" => {
                let made = TempDir::new().unwrap();
                let path = made.path().join("ring");
                directory = Some(made);
                format!("file:{}", path.display())
            }
            "mq" => format!("mq:/ringway-cli-test-{pid}-{count}"),
            "sysvmq" => format!("sysvmq:{:#010x}", pid << 8 | count),
            "auto" => format!("auto:ringway-cli-test-{pid}-{count}"),
            other => panic!("{other} has no name"),
        };
        Self { address, directory }
    }

    pub fn exists(&self) -> bool {
        run(["stat", &self.address]).status.code() == Some(0)
    }

    /// What `stat --json` says.
    pub fn stat(&self) -> Value {
        json(&run(["stat", &self.address, "--json"]))
    }

    /// Who is attached to the ring, or was when it died.
    pub fn participants(&self) -> Vec<Value> {
        self.stat()["participants"].as_array().unwrap().clone()
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.as_ref().unwrap().path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Channel::remove(&self.address.parse().unwrap(), true);
    }
}

/// A process that is killed if the test ends before it.
pub struct Running {
    child: Option<Child>,
    feeder: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts `ringway`, with nothing on its standard input.
    pub fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        Self::spawn(command(args).stdin(Stdio::null()))
    }

    /// Starts `ringway` with all of `input` on its standard input.
    pub fn feed<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Self {
        Self::feed_command(command(args), input)
    }

    /// Starts `command` with all of `input` on its standard input.
    pub fn feed_command(mut command: Command, input: &[u8]) -> Self {
        let mut running = Self::spawn(command.stdin(Stdio::piped()));
        let mut stdin = running.child().stdin.take().unwrap();
        let input = input.to_vec();
        // Fails if the process does not read it all, which is for the test to judge.
        running.feeder = Some(thread::spawn(move || drop(stdin.write_all(&input))));
        running
    }

    /// Starts `ringway` with `input` on its standard input, which stays open.
    pub fn open<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Self {
        let mut running = Self::spawn(command(args).stdin(Stdio::piped()));
        running.write(input);
        running
    }

    /// Goes on with its standard input, which is open.
    pub fn write(&mut self, input: &[u8]) {
        let stdin = self.child().stdin.as_mut().unwrap();
        stdin.write_all(input).unwrap();
    }

    /// Closes its standard input.
    pub fn close(&mut self) {
        drop(self.child().stdin.take());
    }

    pub fn spawn(command: &mut Command) -> Self {
        Self {
            child: Some(command.spawn().unwrap()),
            feeder: None,
        }
    }

    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    pub fn id(&mut self) -> u32 {
        self.child().id()
    }

    pub fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).unwrap();
    }

    /// Ends it as no process can prevent, and reaps it.
    pub fn kill(mut self) -> ExitStatus {
        self.child().kill().unwrap();
        self.child().wait().unwrap()
    }

    /// Waits for its end.
    pub fn finish(self) -> Output {
        self.finish_within(PATIENCE)
    }

    /// Waits for its end, with more or less patience.
    pub fn finish_within(mut self, patience: Duration) -> Output {
        let mut child = self.child.take().unwrap();
        let gather = |pipe: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    pipe.read_to_end(&mut bytes).unwrap();
                }
                bytes
            })
        };
        let stdout = gather(child.stdout.take().map(|pipe| Box::new(pipe) as _));
        let stderr = gather(child.stderr.take().map(|pipe| Box::new(pipe) as _));
        let mut status = None;
        self.child = Some(child);
        let started = Instant::now();
        while status.is_none() {
            if started.elapsed() > patience {
                panic!(
                    "the end of a process does not come:\n{}",
                    state_of(self.id())
                );
            }
            thread::sleep(Duration::from_millis(2));
            status = self.child().try_wait().unwrap();
        }
        Output {
            status: status.unwrap(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(feeder) = self.feeder.take() {
            let _ = feeder.join();
        }
    }
}

/// What a process is at: its command line, and of each thread the system call, where the kernel has it wait, and all
/// open descriptors. For whoever reads why a test failed.
fn state_of(pid: u32) -> String {
    let read =
        |path: String| std::fs::read(path).map_or_else(|error| error.to_string(), |all| text(&all));
    let entries = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten();
    let process = format!("/proc/{pid}");
    let mut state = read(format!("{process}/cmdline")).replace('\0', " ");
    for task in entries(&format!("{process}/task")) {
        let path = task.path().display().to_string();
        let [name, place, call] =
            ["comm", "wchan", "syscall"].map(|file| read(format!("{path}/{file}")));
        state += &format!("\n{}: in {place}, system call {}", name.trim(), call.trim());
    }
    for descriptor in entries(&format!("{process}/fd")) {
        let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
        state += &format!("\n{:?} is {}", descriptor.file_name(), target.display());
    }
    state
}

/// `ringway` with all streams piped or empty.
pub fn command<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    heed_signals(&mut command);
    command
}

/// Has a program heed the signals that whoever started the tests may have them ignore (a shell does so in the
/// background).
pub fn heed_signals(command: &mut Command) {
    use nix::sys::signal::{SigHandler, Signal, signal};
    use std::os::unix::process::CommandExt;
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for ending in [
                Signal::SIGINT,
                Signal::SIGTERM,
                Signal::SIGHUP,
                Signal::SIGPIPE,
            ] {
                // SAFETY: the default action runs no code of ours.
                signal(ending, SigHandler::SigDfl)?;
            }
            Ok(())
        });
    }
}

/// Runs `ringway` to its end.
pub fn run<'a>(args: impl IntoIterator<Item = &'a str>) -> Output {
    Running::start(args).finish()
}

/// Runs `ringway` to its end with `input`.
pub fn run_with<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Output {
    Running::feed(args, input).finish()
}

/// A sender that is attached to a ring, has sent the lines of `input` (if nobody else sends meanwhile), and waits
/// for more.
pub fn waiting_sender(place: &Place, options: &[&str], input: &[u8]) -> Running {
    let sent = || place.stat()["sent"].as_u64().unwrap();
    let before = if place.exists() { sent() } else { 0 };
    let words = ["send", &place.address, "--create"];
    let mut send = Running::open(words.into_iter().chain(options.iter().copied()), input);
    let pid = send.id();
    let count = input.iter().filter(|byte| **byte == b'\n').count() as u64;
    eventually("a sender", || {
        let is_there = || place.participants().iter().any(|one| one["pid"] == pid);
        place.exists() && is_there() && sent() >= before + count
    });
    send
}

/// Waits for what must come.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what} does not come");
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts a status; shows what the process said if it is another.
#[track_caller]
pub fn assert_status(output: &Output, status: i32) {
    assert_eq!(
        output.status.code(),
        Some(status),
        "{}",
        text(&output.stderr)
    );
}

/// Asserts that a text has all these words.
#[track_caller]
pub fn assert_says(said: &[u8], words: &[&str]) {
    let said = text(said);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// The JSON that was written in the course of a good end.
#[track_caller]
pub fn json(output: &Output) -> Value {
    assert_status(output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Bytes of every value, in no order that a text would have.
pub fn binary(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// The lines `from` to `to`, exclusive, each with its number.
pub fn lines(from: u64, to: u64) -> Vec<u8> {
    (from..to)
        .flat_map(|number| format!("line {number}\n").into_bytes())
        .collect()
}
