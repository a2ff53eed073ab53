//! Other processes: this test binary, started again at the entry below.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::admin::gc::Gc;
use crate::api::builder::Builder;
use crate::memory::layout::{Kind, SyncKind};
use crate::testing::test_name;
use crate::{RecvError, SendError};

const PLAY: &str = "RINGWAY_TEST_GC_PLAY";
/// Set in a world of its own.
const PRIVATE: &str = "RINGWAY_TEST_GC_PRIVATE";
/// The status of what could not be run.
const SKIPPED: i32 = 77;

fn command(entry: &str, play: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", entry, "--ignored"])
        .args(["--nocapture", "--test-threads=1", "--quiet"])
        .env(PLAY, play)
        .stdin(Stdio::null());
    command
}

/// Runs a play in namespaces of its own: nothing is in /dev/shm, and no System V object nor message queue.
pub(super) fn private(play: &str) {
    let output = command(test_name!(entry), play)
        .env(PRIVATE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        eprintln!("skipped: {text}");
        return;
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Starts a step of a play in another process of this world, and waits until it says that it is there.
pub(super) fn spawn(step: &str) -> Child {
    let mut child = command(test_name!(entry), step)
        .env_remove(PRIVATE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let is_there = |line: String| line.ends_with("there");
    let found = lines.map_while(Result::ok).any(is_there);
    if !found {
        let output = child.wait_with_output().unwrap();
        panic!("{step}: {}", String::from_utf8_lossy(&output.stderr));
    }
    child
}

/// Ends and reaps it.
pub(super) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Tells it to end, and that must be a good end.
pub(super) fn ends(mut child: Child) {
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// A creator that dies where the play says.
pub(super) fn die_in_the_middle(play: &str, address: &str) {
    use std::os::unix::process::ExitStatusExt;
    let output = command(crate::store::tests::process::entry_name(), play)
        .env("RINGWAY_TEST_PLAY", play)
        .env("RINGWAY_TEST_AT", address)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
}

#[test]
#[ignore = "the other processes of other tests"]
fn entry() {
    let Ok(play) = std::env::var(PLAY) else {
        return;
    };
    if std::env::var_os(PRIVATE).is_some() {
        if let Err(why) = enter_a_world_of_its_own() {
            eprintln!("{why}");
            std::process::exit(SKIPPED);
        }
        super::play(&play);
    } else {
        // With its world.
        set_pdeathsig(Signal::SIGKILL).unwrap();
        super::play(&play);
    }
}

fn enter_a_world_of_its_own() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)
        .map_err(|errno| format!("no namespaces of its own ({errno})"))?;
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).status();
        match status.is_ok_and(|status| status.success()) {
            true => Ok(()),
            false => Err("nothing can be mounted".to_owned()),
        }
    };
    mount(&["--make-rprivate", "/"])?;
    mount(&["-t", "tmpfs", "none", "/dev/shm"])
}

pub(super) fn say_there() {
    println!("there");
}

/// What the processes in a world do.
pub(super) fn steps(step: &str) {
    let words: Vec<&str> = step.split_whitespace().collect();
    let sync_of = |name: &str| {
        SyncKind::ALL
            .into_iter()
            .find(|sync| sync.name() == name)
            .unwrap()
    };
    let kinds = [Kind::Spsc, Kind::Mpsc, Kind::Spmc, Kind::Mpmc];
    let kind_of = |name: &str| kinds.into_iter().find(|kind| kind.name() == name).unwrap();
    let builder = |address: &str, kind, sync| {
        let builder = Builder::new(address).unwrap().kind(kind).sync(sync);
        builder.capacity(8192).participants(40)
    };
    let with_slabs = |builder: Builder, count: &str| match count.parse().unwrap() {
        0 => builder,
        count => builder.slabs(4096, count).slab_segments(true),
    };
    match *words.as_slice() {
        ["hold", address, kind, sync, messages] => {
            let ending = Ending::new();
            let ring = builder(address, kind_of(kind), sync_of(sync))
                .open_or_create()
                .unwrap();
            let mut sender = ring.sender().unwrap();
            let receiver = ring.receiver().unwrap();
            for _ in 0..messages.parse().unwrap() {
                sender.try_send(b"message").unwrap();
            }
            say_there();
            ending.wait();
            drop(receiver);
            sender.leave();
        }
        ["make", address, sync, slabs] => {
            say_there();
            loop {
                let ring = with_slabs(builder(address, Kind::Mpmc, sync_of(sync)), slabs)
                    .create()
                    .unwrap();
                // Somebody has to die holding it.
                let _sender = ring.sender().unwrap();
                crate::remove(ring.address(), true).unwrap();
            }
        }
        ["lend", address] => {
            let ending = Ending::new();
            let ring = with_slabs(builder(address, Kind::Mpmc, SyncKind::Futex), "3")
                .open_or_create()
                .unwrap();
            let mut sender = ring.sender().unwrap().with_copy_limit(0);
            sender.try_send(b"message").unwrap();
            let message = ring.receiver().unwrap().recv_in_place().unwrap().detach();
            assert!(!message.unwrap().is_copy());
            say_there();
            ending.wait();
            sender.leave();
        }
        ["visit", address, sync, slabs] => {
            let ending = Ending::new();
            say_there();
            while !ending.has_come() {
                let ring = with_slabs(builder(address, Kind::Mpmc, sync_of(sync)), slabs)
                    .open_or_create()
                    .unwrap();
                let mut sender = ring.sender().unwrap().with_copy_limit(4);
                let mut receiver = ring.receiver().unwrap();
                match sender.try_send(b"message") {
                    Ok(()) | Err(SendError::Full) => {}
                    Err(error) => panic!("{error}"),
                }
                match receiver.try_recv() {
                    Ok(message) => assert_eq!(message, b"message"),
                    Err(RecvError::Empty) => {}
                    Err(error) => panic!("{error}"),
                }
                sender.leave();
            }
            // Nothing is left to lose.
            if let Ok(ring) = builder(address, Kind::Mpmc, sync_of(sync)).open() {
                let mut receiver = ring.receiver().unwrap();
                while receiver.try_recv().is_ok() {}
                std::mem::forget(receiver);
            }
        }
        ["tease", how] => super::hostile::tease(how),
        ["collect"] => {
            say_there();
            loop {
                let report = Gc::new().run();
                assert_eq!(report.failures, []);
            }
        }
        _ => panic!("{step}"),
    }
}

/// Comes when the other end closes standard input.
struct Ending(Arc<AtomicBool>);

impl Ending {
    fn new() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let ending = Self(Arc::clone(&flag));
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            flag.store(true, Ordering::Release);
        });
        ending
    }

    fn wait(&self) {
        while !self.has_come() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
