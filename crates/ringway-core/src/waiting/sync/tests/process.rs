//! Another process: this test binary, started again at the entry below.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, setresuid};

use super::*;
use crate::presence::Liveness;
use crate::testing::test_name;

const PLAY: &str = "RINGWAY_TEST_SYNC_PLAY";
const AT: &str = "RINGWAY_TEST_SYNC_AT";

/// Another process, killed at the latest when this is dropped.
pub(super) struct Process {
    child: std::process::Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    pub(super) fn start(play: &str, fixture: &Fixture) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test_name!(entry), "--ignored"])
            .args(["--nocapture", "--test-threads=1"])
            .env(PLAY, play)
            .env(AT, fixture.address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// One that is about to wait.
    pub(super) fn waiting(play: &str, fixture: &Fixture) -> Self {
        let mut process = Self::start(play, fixture);
        assert_eq!(process.says(), "\"waits\"");
        process
    }

    /// One that waits.
    pub(super) fn asleep(play: &str, fixture: &Fixture) -> Self {
        let process = Self::waiting(play, fixture);
        process.falls_asleep();
        process
    }

    /// What it says next.
    pub(super) fn says(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it has ended");
            if let Some((_, said)) = line.split_once("says: ") {
                return said.trim_end().to_owned();
            }
        }
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    pub(super) fn succeeds(mut self) {
        assert!(self.child.wait().unwrap().success());
    }

    /// Gives it the time to fall asleep. The test proves something also when it has not.
    pub(super) fn falls_asleep(&self) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: impl Debug) {
    println!("says: {what:?}");
}

/// Until it is killed.
fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

pub(super) const ROUNDS: u64 = 3000;

#[test]
#[ignore = "the second process of other tests"]
fn entry() {
    let (Ok(play), Ok(at)) = (std::env::var(PLAY), std::env::var(AT)) else {
        return;
    };
    let address: Address = at.parse().unwrap();
    if limits(&play, &address).is_some() {
        return;
    }
    let handle = Handle::attach(&address);
    match play.as_str() {
        "count" => {
            for _ in 0..ROUNDS {
                assert_eq!(handle.lock().acquire(None), Ok(Acquired::Clean));
                let before = handle.word().load(Ordering::Relaxed);
                std::hint::spin_loop();
                handle.word().store(before + 1, Ordering::Relaxed);
                handle.lock().release();
            }
        }
        "acquire" => {
            say("waits");
            say(handle.lock().acquire(None));
            stay();
        }
        "acquire and release" | "acquire, release and stay" => {
            say("waits");
            let acquired = handle.lock().acquire(None);
            say(acquired);
            if acquired == Ok(Acquired::AfterDeath) {
                handle.lock().mark_consistent();
            }
            handle.lock().release();
            if play.ends_with("stay") {
                stay();
            }
        }
        "sleep until told" => {
            say(handle.participant.slot);
            while handle.word().load(Ordering::SeqCst) == 0 {
                assert_eq!(handle.bell().sleep(None), Ok(Wake::Check));
            }
            say("woken");
        }
        "sleep until somebody dies" | "sleep until three have died" => {
            let enough = if play.contains("three") { 3 } else { 1 };
            let is_dead = |slot: &u32| handle.liveness(*slot) == Liveness::Dead;
            say("waits");
            while (0..8).filter(is_dead).count() < enough {
                assert_eq!(handle.bell().sleep(None), Ok(Wake::Check));
            }
            say("woken");
            // Its leaving would wake others.
            stay();
        }
        "sleep for ever" => {
            say("waits");
            while handle.bell().sleep(None).is_ok() {}
            say("broken");
        }
        "be there" => {
            say("there");
            stay();
        }
        "die while attaching" => {
            drop(handle);
            let segment = Segment::open(&Request::new(&address)).unwrap();
            // And tells nobody.
            let _held = Participant::attach(&segment.map, place(&segment), &address).unwrap();
            say("attached");
            stay();
        }
        _ => panic!("{play}"),
    }
}

/// The plays in which attaching or creating fails. `None`: another play.
fn limits(play: &str, address: &Address) -> Option<()> {
    let nowhere = Address::Sysv(SysvKey::Private);
    let fails = |error: Option<Error>, text: &str| {
        let error = error.expect("an error");
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    match play {
        "no memory for queues" => {
            setrlimit(Resource::RLIMIT_MSGQUEUE, 0, 0).unwrap();
            fails(Handle::new(address).err(), "ulimit -q");
        }
        "no more queues" => {
            if unshare(CloneFlags::CLONE_NEWIPC).is_err() {
                eprintln!("skipped: no namespace of its own");
                return Some(());
            }
            std::fs::write("/proc/sys/fs/mqueue/queues_max", "0").unwrap();
            let nobody = Uid::from_raw(65534);
            setresuid(nobody, nobody, nobody).unwrap();
            fails(Handle::new(address).err(), "has its 0 message queues");
        }
        "no more semaphores" => {
            if unshare(CloneFlags::CLONE_NEWIPC).is_err() {
                eprintln!("skipped: no namespace of its own");
                return Some(());
            }
            let set = |value| std::fs::write("/proc/sys/kernel/sem", value).unwrap();
            set("8 32000 500 100");
            let error = create(&nowhere, SyncKind::SysvSem, 0o600).err();
            fails(error, "needs 41 semaphores, and a set may have 8 (SEMMSL)");
            set("100 32000 500 0");
            let error = create(&nowhere, SyncKind::SysvSem, 0o600).err();
            fails(error, "has its 0 semaphore sets (SEMMNI)");
            // Nor is a segment left.
            let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
            assert_eq!(segments.lines().count(), 1, "{segments}");
        }
        _ => return None,
    }
    Some(())
}
