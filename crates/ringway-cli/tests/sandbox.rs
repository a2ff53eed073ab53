//! A sandbox begins to deny a system call when `send` and `recv` are at work: what is sent arrives, who sleeps is woken, and the
//! ends are told.

mod common;

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};

use common::{Place, Running, assert_says, assert_status, command, lines, run, waiting_sender};
use ringway_testing::sandbox::{Call, Sandbox};

/// Two processes, each in a sandbox of its own, and what the one writes.
struct Pair {
    send: Running,
    recv: Running,
    received: Lines<BufReader<ChildStdout>>,
    sandboxes: [Sandbox; 2],
    sent: u64,
}

impl Pair {
    fn start(call: Call, address: &str, kind: &str) -> Self {
        let start = |verb| {
            let mut command = command([verb, address, "--create", "--kind", kind]);
            command.stdin(Stdio::piped());
            Sandbox::prepare(&mut command, call);
            let mut running = Running::spawn(&mut command);
            let sandbox = Sandbox::of(running.child());
            (running, sandbox)
        };
        let (mut recv, one) = start("recv");
        let (send, other) = start("send");
        let stdout = recv.child().stdout.take().unwrap();
        Self {
            send,
            recv,
            received: BufReader::new(stdout).lines(),
            sandboxes: [one, other],
            sent: 0,
        }
    }

    /// A line, for which the receiver waits, most often asleep.
    fn pass_one(&mut self) {
        let line = lines(self.sent, self.sent + 1);
        self.send.write(&line);
        let received = self.received.next().unwrap().unwrap();
        assert_eq!(format!("{received}\n").into_bytes(), line);
        self.sent += 1;
    }
}

#[test]
fn what_is_denied_while_they_are_at_work_harms_nobody() {
    for call in Call::DISPENSABLE {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for (kind, killed) in [
                ("spsc", false),
                ("mpmc", false),
                ("spsc", true),
                ("mpmc", true),
            ] {
                println!("{} {errno} {kind} {killed}", call.name);
                let place = Place::new("shm");
                let mut pair = Pair::start(call, &place.address, kind);
                pair.pass_one();
                for sandbox in &pair.sandboxes {
                    sandbox.deny(errno);
                }
                for _ in 0..50 {
                    pair.pass_one();
                }
                let Pair {
                    mut send,
                    recv,
                    mut received,
                    sandboxes,
                    ..
                } = pair;
                if killed {
                    send.kill();
                } else {
                    send.close();
                    assert_status(&send.finish(), 0);
                }
                assert!(received.next().is_none());
                let output = recv.finish();
                match (killed, call.name) {
                    (false, _) => assert_status(&output, 0),
                    // Nobody there may make sure that the dead one is done.
                    (true, "membarrier") => {
                        assert_status(&output, 2);
                        assert_says(&output.stderr, &["died", "membarrier"]);
                    }
                    (true, _) => {
                        assert_status(&output, 1);
                        assert_says(&output.stderr, &["died"]);
                    }
                }
                drop(sandboxes);
            }
        }
    }
}

/// From the start on, what cannot be done without is told with the call and its errno, and nothing is left.
#[test]
fn what_is_denied_from_the_start_and_is_needed_is_named() {
    for (call, address) in [
        (Call::of("mq_open", libc::SYS_mq_open, None), "mq"),
        (
            Call::of("inotify_init1", libc::SYS_inotify_init1, None),
            "mq",
        ),
        (Call::of("msgget", libc::SYS_msgget, None), "sysvmq"),
        (Call::of("semget", libc::SYS_semget, None), "sysvmq"),
        (Call::of("shmget", libc::SYS_shmget, None), "sysv"),
    ] {
        let place = Place::new(address);
        let mut command = command(["send", &place.address, "--create"]);
        Sandbox::prepare(&mut command, call);
        let mut running = Running::spawn(&mut command);
        let sandbox = Sandbox::denying(running.child(), libc::EPERM);
        let output = running.finish();
        assert_status(&output, 2);
        assert_says(&output.stderr, &[call.name, "EPERM"]);
        drop(sandbox);
        assert!(!place.exists(), "{}", call.name);
    }
}

/// It cannot make sure that the dead send nothing more. The next one can.
#[test]
fn a_collector_that_may_not_call_membarrier_keeps_what_it_cannot_judge() {
    let place = Place::new("shm");
    waiting_sender(&place, &["--kind", "mpmc"], b"").kill();
    let mut command = command(["gc", &place.address]);
    Sandbox::prepare(&mut command, Call::MEMBARRIER);
    let mut running = Running::spawn(&mut command);
    let sandbox = Sandbox::denying(running.child(), libc::EPERM);
    let output = running.finish();
    drop(sandbox);
    assert_says(&output.stdout, &["kept", &place.address, "membarrier"]);
    assert!(place.exists());
    assert_says(&run(["gc", &place.address]).stdout, &["removed"]);
    assert!(!place.exists());
}
