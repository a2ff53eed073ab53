//! SIGTERM, SIGINT and SIGHUP: what is written is acknowledged, what is not comes again, and the process ends by that
//! signal.

mod common;

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use common::{
    Place, QUEUES, Running, assert_says, assert_status, command, eventually, lines, run, run_with,
    text,
};
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Lines that fit into a ring, and not into a pipe.
const TOTAL: u64 = 20_000;

/// A receiver whose output nobody reads, so that it is stuck in the midst of writing.
fn stuck_receiver(place: &Place, options: &[&str]) -> Running {
    let words = ["recv", &place.address];
    let mut recv = Running::start(words.into_iter().chain(options.iter().copied()));
    let pid = recv.id();
    // In one and the same call of `write` for a while.
    let (mut call, mut looks) = (String::new(), 0);
    eventually("a full pipe", || {
        let now = ["syscall", "status"]
            .map(|file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default());
        let now = now.concat();
        looks = if now == call { looks + 1 } else { 0 };
        call = now;
        looks > 10 && call.starts_with(&format!("{} ", nix::libc::SYS_write))
    });
    recv
}

/// Has a signal end a process, and reads only then what it wrote.
fn end_by(mut process: Running, signal: Signal) -> Output {
    process.signal(signal);
    eventually("the end", || process.child().try_wait().unwrap().is_some());
    process.finish()
}

#[test]
fn what_is_written_before_a_signal_does_not_come_again() {
    for (kind, sync) in [
        ("spsc", "futex"),
        ("mpsc", "futex"),
        ("mpmc", "futex"),
        ("mpmc", "pthread"),
    ] {
        for signal in ENDING {
            let place = Place::new("shm");
            let words = [
                "send",
                &place.address,
                "--create",
                "--kind",
                kind,
                "--sync",
                sync,
            ];
            assert_status(&run_with(words, &lines(0, TOTAL)), 0);
            let recv = stuck_receiver(&place, &[]);
            let first = end_by(recv, signal);
            assert_eq!(first.status.signal(), Some(signal as i32), "{kind} {sync}");
            let stat = place.stat();
            let (sent, received) = (
                stat["sent"].as_u64().unwrap(),
                stat["received"].as_u64().unwrap(),
            );
            let rest = run(["recv", &place.address]);
            let whole = first.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert!(whole > 1000, "{kind} {sync}: only {whole} lines");
            assert_eq!(
                received, whole,
                "{kind} {sync} {signal}: acknowledged and written"
            );
            assert!(rest.stdout == lines(whole, sent), "{kind} {sync} {signal}");
        }
    }
}

#[test]
fn what_a_full_disk_took_does_not_come_again_where_receivers_share() {
    let place = Place::new("shm");
    let words = ["send", &place.address, "--create", "--kind", "mpmc"];
    assert_status(&run_with(words, &lines(0, TOTAL)), 0);
    let recv = run_in_shell(
        "ulimit -f 8; trap '' XFSZ; exec $RINGWAY recv $AT > $DIR/out",
        &place,
        |command| command,
    );
    assert_status(&recv.0, 2);
    let out = std::fs::read(recv.1.path().join("out")).unwrap();
    let whole = out.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(whole > 10);
    assert_eq!(place.stat()["received"], whole);
    assert!(run(["recv", &place.address]).stdout == lines(whole, TOTAL));
}

fn run_in_shell(
    script: &str,
    place: &Place,
    also: impl FnOnce(&mut Command) -> &mut Command,
) -> (Output, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .env("RINGWAY", env!("CARGO_BIN_EXE_ringway"))
        .env("AT", &place.address)
        .env("DIR", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (Running::spawn(also(&mut shell)).finish(), directory)
}

#[test]
fn what_is_taken_out_of_a_queue_and_not_written_is_told_with_its_size() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address]), 0);
        let send = Running::feed(["send", &place.address], &lines(0, TOTAL));
        let recv = stuck_receiver(&place, &[]);
        let recv = end_by(recv, Signal::SIGTERM);
        assert_eq!(recv.status.signal(), Some(Signal::SIGTERM as i32));
        assert_says(&recv.stderr, &["byte", "lost"]);
        drop(send);
    }
}

#[test]
fn an_idle_receiver_ends_at_once() {
    for scheme in ["shm", "mq", "sysvmq"] {
        for signal in ENDING {
            let place = Place::new(scheme);
            let mut recv = Running::start(["recv", &place.address, "--create"]);
            eventually("the receiver", || {
                place.exists()
                    && match scheme {
                        "shm" => place.participants().len() == 1,
                        _ => place.stat()["receivers"] == 1,
                    }
            });
            recv.signal(signal);
            assert_eq!(recv.finish().status.signal(), Some(signal as i32));
        }
    }
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let place = Place::new("shm");
    let mut recv = command(["recv", &place.address, "--create"]);
    // As nohup does.
    let ignore = || {
        // SAFETY: between fork and exec, where changing an action to "ignore" is async-signal-safe.
        unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.map(drop)?;
        Ok(())
    };
    // SAFETY: `ignore` does one system call.
    unsafe { recv.pre_exec(ignore) };
    let mut recv = Running::spawn(&mut recv);
    eventually("the receiver", || {
        place.exists() && place.participants().len() == 1
    });
    recv.signal(Signal::SIGHUP);
    assert_status(&run_with(["send", &place.address], &lines(0, 10)), 0);
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(text(&recv.stdout), text(&lines(0, 10)));
}

#[test]
fn an_interrupted_bench_ends_by_its_signal_and_leaves_nothing() {
    for signal in ENDING {
        let place = Place::new("shm");
        let words = ["bench", "--rounds", "100000", "--address", &place.address];
        let mut bench = Running::start(words);
        eventually("a ring", || place.exists());
        bench.signal(signal);
        assert_eq!(bench.finish().status.signal(), Some(signal as i32));
        assert!(!place.exists());
    }
}

#[test]
fn a_message_that_was_begun_and_not_written_is_told_with_its_size() {
    let place = Place::new("shm");
    let words = [
        "send",
        &place.address,
        "--create",
        "--whole",
        "--capacity",
        "64K",
    ];
    let send = Running::feed(words, &lines(0, TOTAL));
    eventually("the ring", || place.exists());
    let mut recv = stuck_receiver(&place, &["--whole"]);
    let mut some = [0; 10];
    recv.child()
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut some)
        .unwrap();
    let recv = end_by(recv, Signal::SIGINT);
    assert_eq!(recv.status.signal(), Some(Signal::SIGINT as i32));
    assert_says(&recv.stderr, &["only", "KiB", "lost"]);
    drop(send);
}

/// Stops a receiver's main thread when it comes back from the kernel with the first message out of a queue.
fn stop_with_a_message(recv: &mut Running, send: impl FnOnce() -> Running) -> Pid {
    const TAKING: [i64; 2] = [libc::SYS_mq_timedreceive, libc::SYS_msgrcv];
    let pid = Pid::from_raw(recv.id() as i32);
    let call = || {
        let now = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        now.split(' ').next().and_then(|number| number.parse().ok())
    };
    eventually("a receiver that waits", || {
        // A foreign queue is polled.
        call().is_some_and(|call: i64| TAKING.contains(&call) || call == libc::SYS_ppoll)
    });
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, None).unwrap();
    let sent = send();
    let mut entered = 0;
    loop {
        ptrace::syscall(pid, None).unwrap();
        let WaitStatus::PtraceSyscall(_) = waitpid(pid, None).unwrap() else {
            continue;
        };
        let info = ptrace::syscall_info(pid).unwrap();
        // SAFETY: `op` says which of the union it is.
        let taken = unsafe {
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => {
                    entered = info.u.entry.nr as i64;
                    0
                }
                libc::PTRACE_SYSCALL_INFO_EXIT if TAKING.contains(&entered) => info.u.exit.sval,
                _ => 0,
            }
        };
        // Notices have no bytes.
        if taken > 0 {
            break;
        }
    }
    assert_status(&sent.finish(), 0);
    pid
}

/// A signal comes in the very moment in which the kernel has given a message and the program does not know of it.
#[test]
fn what_the_kernel_took_out_of_a_queue_before_a_signal_is_written() {
    for (scheme, options) in [
        ("mq", &[][..]),
        ("sysvmq", &[]),
        ("mq", &["--follow"]),
        ("sysvmq", &["--follow"]),
        ("mq", &["--whole"]),
        ("sysvmq", &["--whole"]),
    ] {
        for signal in ENDING {
            let place = Place::new(scheme);
            assert_status(&run(["create", &place.address]), 0);
            let recv = ["recv", &place.address];
            let mut recv = Running::start(recv.into_iter().chain(options.iter().copied()));
            let whole: &[&str] = match options {
                ["--whole"] => &["--whole"],
                _ => &[],
            };
            let pid = stop_with_a_message(&mut recv, || {
                let send = ["send", &place.address].into_iter();
                Running::feed(send.chain(whole.iter().copied()), b"precious\n")
            });
            recv.signal(signal);
            eventually("an interruption, or the end", || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/status"));
                let status = status.unwrap_or_default();
                let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
                let pending = line("SigPnd:").unwrap_or_default().trim();
                let pending = u64::from_str_radix(pending, 16).unwrap_or(0);
                let is_gone = line("State:").is_none_or(|state| state.trim().starts_with('Z'));
                is_gone || pending & 1 << (Signal::SIGURG as u32 - 1) != 0
            });
            let _ = ptrace::detach(pid, None);
            let recv = recv.finish();
            assert_eq!(recv.status.signal(), Some(signal as i32));
            assert_eq!(text(&recv.stdout), "precious\n", "{scheme} {options:?}");
        }
    }
}

/// Pieces of a message are acknowledged before it is whole; whoever waits for the next one has lost them.
#[test]
fn a_message_of_which_the_rest_never_came_is_told() {
    for scheme in ["shm", "mq", "sysvmq"] {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address]), 0);
        let mut recv = Running::start(["recv", &place.address, "--whole"]);
        // More than a piece; less than a pipe holds behind it, which nobody reads.
        let send = Running::open(["send", &place.address, "--whole"], &lines(0, 8000));
        let mut some = [0; 1000];
        let stdout = recv.child().stdout.as_mut().unwrap();
        stdout.read_exact(&mut some).unwrap();
        let recv = end_by(recv, Signal::SIGTERM);
        assert_eq!(recv.status.signal(), Some(Signal::SIGTERM as i32));
        assert_says(&recv.stderr, &["only", "written", "the rest is lost"]);
        drop(send);
    }
}
