//! The commands of README.md and of the book's page about them, and all snippets, each run for real, twice in a row: what a reader tries
//! must work, and must work when it is tried again.

#[path = "../src/blocks.rs"]
mod blocks;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_send, mq_unlink};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use ringway_testing::apart::apart;
use ringway_testing::programs::built;

const README: &str = include_str!("../../../README.md");
const COMMANDS: &str = include_str!("../../../docs/commands.md");

/// How long a command may take on a machine with much else to do. `demo` and `bench` measure for seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What must come out of some commands, as they stand there. Of all others only the good end is demanded.
const COMES_OUT: &[(&str, &str)] = &[
    ("ringway create shm:jobs --kind mpmc", "shm:jobs\n"),
    ("ringway recv shm:jobs --peek -n 3", "1\n2\n3\n"),
    (
        "ringway recv shm:jobs --producers 2",
        "1\n2\n3\none job\nanother\n",
    ),
    ("ringway recv shm:news --name audit", "1\n2\n3\n"),
    (
        "ringway recv shm:news --from last:2 --policy lossy",
        "2\n3\n",
    ),
    ("ringway work shm:jobs -- wc -c", "7\n7\n"),
    ("ringway work shm:tasks -- wc -c", "1\n1\n1\n"),
    (
        "ringway recv shm:tasks --ack-after 'wc -l < {}' --tries 3 --dead-letters shm:failed --create",
        "3\n",
    ),
    ("ringway recv shm:tasks --unlink", "1\n2\n3\n"),
    (FOLLOW, "./one.c\n"),
    (FOREIGN, "hello\n"),
];

/// This one goes on until a signal.
const FOLLOW: &str = "ringway recv shm:jobs --follow";

/// This one needs another program's queue.
const FOREIGN: &str = "ringway recv mq:/theirs --foreign -n 1";

/// A command that runs.
struct Running {
    command: String,
    child: Child,
}

impl Running {
    fn start(command: &str, folder: &Path, path: &OsString) -> Self {
        let mut shell = Command::new("sh");
        // A pipe fails if its first command does.
        shell.args(["-c", command]).current_dir(folder);
        shell.env("PATH", path).stdin(Stdio::null());
        // A signal is for whatever the shell starts, too.
        shell.stdout(Stdio::piped()).process_group(0);
        Self {
            command: command.to_owned(),
            child: shell.spawn().unwrap(),
        }
    }

    /// What comes out until its good end.
    fn finish(mut self) -> String {
        // None of these writes more than a pipe holds.
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(started.elapsed() < PATIENCE, "{} hangs", self.command),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        assert!(status.success(), "{}: {status}\n{out}", self.command);
        out
    }

    /// What comes out until so many lines are there, and a signal ends it.
    fn interrupt_after(mut self, lines: usize) -> String {
        let mut out = String::new();
        let mut stdout = BufReader::new(self.child.stdout.take().unwrap());
        for _ in 0..lines {
            let read = stdout.read_line(&mut out).unwrap();
            assert_ne!(read, 0, "{} has ended after {out:?}", self.command);
        }
        killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        // Until nobody is left who could write.
        stdout.read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32), "{status}");
        out
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it is waited for, its number may be somebody else's.
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The commands in the blocks of a document that have `program`, without what is said of them.
fn commands(document: &str, program: &str) -> Vec<(String, String)> {
    let lines: Vec<String> = blocks::blocks(document, "sh")
        .iter()
        .filter(|block| block.contains(&format!("{program} ")))
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.is_empty())
        .collect();
    let parted = lines.iter().map(|line| match line.split_once("  # ") {
        Some((command, note)) => (command.trim_end().to_owned(), note.to_owned()),
        None => (line.clone(), String::new()),
    });
    parted.collect()
}

/// A folder with what the commands name, and the variable `PATH` with the program `ringway`.
fn workplace() -> (tempfile::TempDir, OsString) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    file("photos/cat", &[1; 100_000]);
    file("jobs.txt", b"1\n2\n3\n");
    file("one.c", b"");
    let image: Vec<u8> = (0..9_000_000_u32).map(|at| (at >> 4) as u8).collect();
    file("disk.img", &image);
    std::fs::create_dir(folder.path().join("other")).unwrap();
    let mut path = built(&["--bin", "ringway"]).into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    (folder, path)
}

#[test]
fn the_commands_work_twice_in_a_row() {
    apart("the_commands_work_twice_in_a_row", || {
        let (folder, path) = workplace();
        let documents = [README, COMMANDS].map(|document| commands(document, "ringway send"));
        assert!(documents.iter().all(|commands| commands.len() > 8));
        for (command, _) in COMES_OUT {
            let mut there = documents.iter().flatten();
            let known = there.any(|(there, _)| there == command);
            assert!(known, "nobody is told to type {command} any more");
        }
        for commands in &documents {
            for round in 0..2 {
                type_all(commands, round == 0, folder.path(), &path);
            }
        }
    });
}

/// Types the commands of a document. Where two are for two terminals, it is said whether the first one is the first.
fn type_all(mut commands: &[(String, String)], in_order: bool, folder: &Path, path: &OsString) {
    let (mut photos, mut images) = (false, false);
    while let Some(((command, note), rest)) = commands.split_first() {
        commands = rest;
        photos |= command.contains("photos");
        images |= command.contains("copy.img");
        if note.starts_with("in one terminal") {
            let ((other, note), rest) = rest.split_first().unwrap();
            assert!(note.starts_with("in another"), "{note}");
            images |= other.contains("copy.img");
            commands = rest;
            both(command, other, in_order, folder, path);
            continue;
        }
        let expected = COMES_OUT.iter().find(|(known, _)| known == command);
        if command == FOREIGN {
            their_queue();
        }
        let running = Running::start(command, folder, path);
        let out = match command.as_str() {
            FOLLOW => running.interrupt_after(1),
            _ => running.finish(),
        };
        if let Some((_, expected)) = expected {
            assert_eq!(&out, expected, "{command}");
        }
    }
    let content = |name: &str| std::fs::read(folder.join(name)).unwrap();
    if images {
        assert!(content("other/copy.img") == content("disk.img"));
        std::fs::remove_file(folder.join("other/copy.img")).unwrap();
    }
    if photos {
        assert!(content("other/photos/cat") == content("photos/cat"));
        std::fs::remove_dir_all(folder.join("other/photos")).unwrap();
    }
    assert!(photos, "the photos are there no more");
    let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().collect();
    assert!(left.is_empty(), "the commands left {left:?}");
}

/// Two commands in two terminals, of which one is started first.
fn both(one: &str, other: &str, in_order: bool, folder: &Path, path: &OsString) {
    let there = folder.join("other");
    let mut terminals = [(one, folder), (other, &there)];
    if !in_order {
        terminals.reverse();
    }
    let running = terminals.map(|(command, folder)| Running::start(command, folder, path));
    running.into_iter().for_each(|one| drop(one.finish()));
}

/// Another program's queue, with a message.
fn their_queue() {
    let _ = mq_unlink("/theirs");
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
    let limits = MqAttr::new(0, 10, 100, 0);
    let queue = mq_open(
        "/theirs",
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
        Some(&limits),
    )
    .unwrap();
    mq_send(&queue, b"hello", 0).unwrap();
}

#[test]
fn what_is_said_to_run_first_does() {
    apart("what_is_said_to_run_first_does", || {
        let (folder, path) = workplace();
        for (command, _) in commands(README, "cargo run") {
            // That is who runs this.
            if command == "cargo test --workspace" {
                continue;
            }
            let arguments = command
                .strip_prefix("cargo run --release -p ringway-cli -- ")
                .unwrap_or_else(|| panic!("{command} is not known"));
            // It measures for seconds, and makes its own rings: once is enough.
            Running::start(&format!("ringway {arguments}"), folder.path(), &path).finish();
        }
    });
}

#[test]
fn the_snippets_work_twice_in_a_row() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_ringway-readme"));
    apart("the_snippets_work_twice_in_a_row", || {
        let path = std::env::var_os("PATH").unwrap();
        let run = |arguments: &str| {
            let command = format!("{} {arguments}", program.display());
            Running::start(&command, Path::new("/"), &path).finish()
        };
        let documents = run("");
        assert!(documents.starts_with("README.md "), "{documents}");
        let mut all = 0;
        for (document, count) in documents.lines().filter_map(|line| line.split_once(' ')) {
            let count: usize = count.parse().unwrap();
            all += count;
            for number in (0..count).chain(0..count) {
                run(&format!("{document} {number}"));
            }
            remove_all();
        }
        assert!(all > 10, "{all} snippets");
    });
}

/// What one document leaves is not there for the next.
fn remove_all() {
    for entry in std::fs::read_dir("/dev/shm").unwrap() {
        let _ = std::fs::remove_file(entry.unwrap().path());
    }
}
