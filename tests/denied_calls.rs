//! A sandbox begins to deny a system call when a ring is in use already: messages come all the same, who sleeps is woken,
//! the end is told, and nobody runs in circles. From before the ring is made, the same.
//!
//! Each try is a process of its own: a filter cannot be taken off.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::gettid;
use ringway::{
    Builder, ErrorKind, Kind, Receiver, RecvError, Ring, SendError, Sender, SyncKind, WaitStrategy,
};
use ringway_testing::place::{Backing, Place};
use ringway_testing::procfs::{until_asleep, while_blocked};
use ringway_testing::sandbox::Call;

/// Where a peer finds what it does with which ring until it is killed.
const PEER: &str = "RINGWAY_TEST_PEER";
/// What the dead hold.
const HOLDS: [&str; 4] = ["claim", "message", "slab", "nothing"];
/// Bytes of a message that goes into a slab.
const LONG: usize = 8 << 20;
/// Of one that is better in a slab, and fits the ring.
const FITS_BOTH: usize = 160 << 10;

/// What is denied.
fn calls() -> impl Iterator<Item = Call> {
    let semctl = Call::of("semctl", libc::SYS_semctl, None);
    Call::DISPENSABLE.into_iter().chain([semctl])
}

const ERRNOS: [i32; 2] = [libc::EPERM, libc::ENOSYS];
/// When it begins.
const STEPS: [&str; 5] = ["before", "opened", "attached", "used", "asleep"];
const KINDS: [Kind; 2] = [Kind::Spsc, Kind::Mpmc];

/// Where the child finds what to try.
const TRY: &str = "RINGWAY_TEST_DENIED";
/// Where it finds places for rings.
const PLACES: &str = "RINGWAY_TEST_PLACES";
/// Where it finds what a peer held that died.
const INSIDE: &str = "RINGWAY_TEST_INSIDE";
/// Where it finds the call that is to leave the error number alone.
const ERRNO: &str = "RINGWAY_TEST_ERRNO";
/// Where its own child finds the ring in which it is to die.
const VICTIM: &str = "RINGWAY_TEST_VICTIM";

#[test]
fn what_is_denied_later_harms_nobody() {
    let mut failed = Vec::new();
    for call in calls() {
        for errno in ERRNOS {
            for step in STEPS {
                for kind in KINDS {
                    let what = format!("{} {errno} {step} {}", call.name, kind.name());
                    let places = [(); 2].map(|()| Place::new(Backing::Shm));
                    let names = places.each_ref().map(|place| place.address.to_string());
                    let status = Command::new(std::env::current_exe().unwrap())
                        .args(["--ignored", "--exact", "--quiet", "child"])
                        .env(TRY, &what)
                        .env(PLACES, names.join(" "))
                        .output()
                        .unwrap();
                    if !status.status.success() {
                        let output = String::from_utf8_lossy(&status.stdout);
                        eprintln!("{what}: {:?}: {output}", status.status.signal());
                        failed.push(what);
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A handler may send where its program is about to look at that number. A call that succeeds leaves it alone by itself.
#[test]
fn what_is_denied_leaves_the_error_number_alone() {
    for call in Call::DISPENSABLE {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--quiet", "child"])
            .env(ERRNO, call.name)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{}: {output}", call.name);
    }
}

fn leave_errno_alone(call: &str) {
    const OWN: i32 = 4242;
    nix::unistd::alarm::set(60);
    let (ring, _place) = Backing::Shm.ring(4096);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let call = calls().find(|known| known.name == call).unwrap();
    call.deny(libc::EPERM);
    let send = || {
        Errno::set_raw(OWN);
        let sent = sender.try_send(b"x");
        let after = Errno::last_raw();
        sent.unwrap();
        assert_eq!(after, OWN, "{}", call.name);
    };
    let received = while_blocked(WaitStrategy::Park, send, || receiver.recv());
    assert_eq!(received.unwrap(), b"x");
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn child() {
    if let Ok(what) = std::env::var(PEER) {
        return be_a_peer(&what);
    }
    if let Ok(what) = std::env::var(INSIDE) {
        return survive_without_membarrier(&what);
    }
    if let Ok(address) = std::env::var(VICTIM) {
        return live_until_killed(&address);
    }
    if let Ok(call) = std::env::var(ERRNO) {
        return leave_errno_alone(&call);
    }
    let Ok(what) = std::env::var(TRY) else { return };
    let words: Vec<&str> = what.split(' ').collect();
    let call = calls().find(|call| call.name == words[0]).unwrap();
    let errno = words[1].parse().unwrap();
    let kind = KINDS
        .into_iter()
        .find(|kind| kind.name() == words[3])
        .unwrap();
    // A hang ends here.
    nix::unistd::alarm::set(60);
    let begins = |step| {
        if words[2] == step {
            call.deny(errno);
        }
    };
    // What needs semctl is made by it: the ring is there before.
    let sync = match words[0] {
        "semctl" if kind == Kind::Mpmc && words[2] != "before" && words[2] != "opened" => {
            SyncKind::SysvSem
        }
        _ => SyncKind::Futex,
    };
    let place = Place::new(Backing::Shm);
    let shared = place.builder().kind(kind).create().unwrap();
    let mut mourner = shared.receiver().unwrap().with_wait(WaitStrategy::Park);
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--quiet", "child"])
        .env(VICTIM, shared.address().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(number(&mut mourner), Ok(7));
    begins("before");
    let names = std::env::var(PLACES).unwrap();
    let mut names = names.split(' ');
    let rings = [(); 2].map(|()| {
        // Whoever removes it must be able to remove its semaphores.
        let name = names.next().filter(|_| sync == SyncKind::SysvSem);
        let builder = Builder::new(name.unwrap_or("memfd:")).unwrap();
        builder.kind(kind).sync(sync).create().unwrap()
    });
    begins("opened");
    let [mut there, mut back] = [&rings[0], &rings[1]].map(|ring| {
        let sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        (
            sender,
            ring.receiver().unwrap().with_wait(WaitStrategy::Park),
        )
    });
    begins("attached");
    there.0.send(&0_u64.to_le_bytes()).unwrap();
    assert_eq!(number(&mut there.1), Ok(0));
    begins("used");
    let (tell, told) = mpsc::channel();
    let echo = std::thread::spawn(move || {
        tell.send(gettid().as_raw()).unwrap();
        echo(&mut there.1, &mut back.0)
    });
    until_asleep(std::process::id(), told.recv().unwrap());
    begins("asleep");
    for round in 1..300_u64 {
        there.0.send(&round.to_le_bytes()).unwrap();
        assert_eq!(number(&mut back.1), Ok(round));
    }
    // Nothing comes, and nobody runs in circles.
    let before = cpu_time();
    let soon = Instant::now() + Duration::from_millis(300);
    let mut bytes = [0; 8];
    assert_eq!(
        back.1.recv_into_deadline(&mut bytes, soon),
        Err(RecvError::TimedOut)
    );
    let used = cpu_time() - before;
    assert!(
        used < Duration::from_millis(150),
        "{used:?} of work while all sleep"
    );
    there.0.close();
    assert_eq!(echo.join().unwrap(), RecvError::Closed);
    // A death is told.
    let end = while_blocked(
        WaitStrategy::Park,
        || victim.kill().unwrap(),
        || number(&mut mourner),
    );
    victim.wait().unwrap();
    // Whether it was done by then, one who may not call membarrier cannot know.
    let expected = match words[0] {
        "membarrier" => RecvError::Unsettled,
        _ => RecvError::PeerDied,
    };
    assert_eq!(end, Err(expected));
}

/// Who may not call `membarrier` any more leaves what the dead hold alone and says so, until somebody has put it in
/// order who may.
#[test]
fn what_cannot_be_settled_is_left_to_others() {
    let mut failed = Vec::new();
    for holds in HOLDS {
        for kind in KINDS {
            for sync in SyncKind::ALL {
                let is_for_many = holds == "message" || holds == "slab";
                if kind == Kind::Spsc && (sync != SyncKind::Futex || is_for_many) {
                    continue;
                }
                let what = format!("{holds} {} {}", kind.name(), sync.name());
                let output = Command::new(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", "--quiet", "child"])
                    .env(INSIDE, &what)
                    .output()
                    .unwrap();
                if !output.status.success() {
                    let stdout = String::from_utf8_lossy(&output.stdout);
                    eprintln!("{what}: {:?}: {stdout}", output.status.signal());
                    failed.push(what);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn survive_without_membarrier(what: &str) {
    nix::unistd::alarm::set(60);
    let words: Vec<&str> = what.split(' ').collect();
    let holds = words[0];
    let kind = KINDS.into_iter().find(|kind| kind.name() == words[1]);
    let sync = SyncKind::ALL
        .into_iter()
        .find(|sync| sync.name() == words[2]);
    let (kind, sync) = (kind.unwrap(), sync.unwrap());
    let place = Place::new(Backing::Shm);
    let mut builder = place.builder().kind(kind).sync(sync);
    if holds == "slab" {
        builder = builder.slabs(LONG as u64, 1);
    }
    let ring = builder.create().unwrap();
    let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
    let address = ring.address().to_string();
    let seven = 7_u64.to_le_bytes();
    // One that stays would go on sending: the end is told when all are gone.
    let mut sender = None;
    if holds == "slab" {
        return want_the_slab(&ring, &address);
    }
    if holds == "message" {
        let mut first = ring.sender().unwrap();
        first.send(&seven).unwrap();
        sender = Some(first);
    }
    // Before the filter, which children inherit.
    let mut victim = Peer::start(holds, &address);
    let mut rescuer = Peer::start("rescuer", &address);
    victim.say();
    assert_eq!(victim.hear(), "there");
    if holds == "claim" && kind == Kind::Mpmc {
        let mut behind = ring.sender().unwrap();
        behind.send(&seven).unwrap();
        sender = Some(behind);
    }
    Call::MEMBARRIER.deny(libc::EPERM);
    let end = while_blocked(
        WaitStrategy::Park,
        || victim.kill(),
        || number(&mut receiver),
    );
    assert_eq!(end, Err(RecvError::Unsettled));
    // It stays so, and nothing has been changed.
    assert_eq!(number(&mut receiver), Err(RecvError::Unsettled));
    assert_eq!(receiver.try_recv(), Err(RecvError::Unsettled));
    // Nor takes this one the place of the dead.
    let attached = match holds {
        "message" => ring.receiver().map(drop),
        _ => ring.sender().map(drop),
    };
    assert_eq!(attached.unwrap_err().kind(), ErrorKind::Unsupported);
    if let Some(sender) = &mut sender {
        // What is not in the way harms nobody.
        sender.send(&8_u64.to_le_bytes()).unwrap();
    }
    rescuer.say();
    assert_eq!(rescuer.hear(), "there");
    let expected: &[u64] = match (holds, &sender) {
        ("message" | "claim", Some(_)) => &[7, 8, 9],
        _ => &[9],
    };
    // What comes back may come behind what has been sent since.
    let mut numbers: Vec<u64> = expected
        .iter()
        .map(|_| number(&mut receiver).unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, expected);
    rescuer.kill();
}

/// The only slab is a dead one's: that is no reason to wait for good, and none to take it.
fn want_the_slab(ring: &Ring, address: &str) {
    let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
    let mut victim = Peer::start("slab", address);
    let mut rescuer = Peer::start("rescuer", address);
    victim.say();
    assert_eq!(victim.hear(), "there");
    Call::MEMBARRIER.deny(libc::EPERM);
    let refused = while_blocked(
        WaitStrategy::Park,
        || victim.kill(),
        || sender.claim(LONG).map(drop),
    );
    assert_eq!(refused, Err(SendError::Unsettled));
    assert_eq!(sender.try_claim(LONG).map(drop), Err(SendError::Unsettled));
    // What fits the ring goes there.
    sender.claim(FITS_BOTH).unwrap().abort();
    rescuer.say();
    assert_eq!(rescuer.hear(), "there");
    sender.claim(LONG).unwrap().abort();
    rescuer.kill();
}

/// Another process, that is not denied anything.
struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(does: &str, address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--quiet", "--nocapture", "child"])
            .env(PEER, format!("{does} {address}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Has it begin.
    fn say(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"begin\n").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| line == "there").unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn be_a_peer(what: &str) {
    nix::unistd::alarm::set(60);
    let (does, address) = what.split_once(' ').unwrap();
    let begun = std::io::stdin().read_line(&mut String::new()).unwrap();
    if begun == 0 {
        return;
    }
    let ring = Builder::new(address).unwrap().open().unwrap();
    let there = || {
        println!("\nthere");
        loop {
            nix::unistd::pause();
        }
    };
    if does == "message" {
        let mut receiver = ring.receiver().unwrap();
        let _message = receiver.recv_in_place().unwrap();
        there();
    }
    let mut sender = ring.sender().unwrap();
    match does {
        "claim" => {
            let _claim = sender.claim(8).unwrap();
            there()
        }
        "slab" => {
            let _claim = sender.claim(LONG).unwrap();
            there()
        }
        "nothing" => there(),
        _ => {
            if !sender.is_shared_out() {
                sender.send(&9_u64.to_le_bytes()).unwrap();
                there();
            }
            // It comes as both, for each takes the place of one that died.
            let receiver = ring.receiver().unwrap();
            sender.send(&9_u64.to_le_bytes()).unwrap();
            drop(receiver);
            there();
        }
    }
}

fn live_until_killed(address: &str) {
    let mut sender = Builder::new(address)
        .unwrap()
        .open()
        .unwrap()
        .sender()
        .unwrap();
    sender.send(&7_u64.to_le_bytes()).unwrap();
    nix::unistd::alarm::set(60);
    loop {
        nix::unistd::pause();
    }
}

fn number(receiver: &mut Receiver) -> Result<u64, RecvError> {
    let mut bytes = [0; 8];
    receiver
        .recv_into(&mut bytes)
        .map(|_| u64::from_le_bytes(bytes))
}

fn echo(from: &mut Receiver, to: &mut Sender) -> RecvError {
    loop {
        match number(from) {
            Ok(number) => to.send(&number.to_le_bytes()).unwrap(),
            Err(end) => return end,
        }
    }
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
    };
    time(usage.user_time()) + time(usage.system_time())
}
