//! Only the dead are dead. A stopped process lives, and one whose attaching thread or main thread has ended;
//! one that has called exec does not, nor does a zombie, nor one whose pid somebody else has now; and a
//! child of fork is nobody. A pid namespace between hides nothing.

mod two_processes;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use ringway::peer::{Peer, Role};
use ringway::{ErrorKind, Kind, Receiver, RecvError, Ring, SendError, SyncKind, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::procfs::{self, while_blocked};
use two_processes::roles::{producer, send};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, command, in_time, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "exec" => exec(first),
        "attach in a thread" => attach_in_a_thread(first),
        "leave a handle in a thread" => leave_a_handle_in_a_thread(first),
        "end the main thread" => end_the_main_thread(first, true),
        "attach without a main thread" => end_the_main_thread(first, false),
        "fork" => fork_and_go_on(first),
        "send in a pid namespace" => in_a_pid_namespace(first, "send"),
        "reuse a pid in a namespace" => in_a_pid_namespace(first, "reuse a pid"),
        "reuse a pid" => reuse_a_pid(first),
        _ => panic!("{role}"),
    });
}

/// A stream ring and one with cells, on every backing.
fn rows() -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(|row| row.sync == SyncKind::Futex && matches!(row.kind, Kind::Spsc | Kind::Mpmc));
    rows
}

/// The producer, the only one, is seen to live. `pid` is what this namespace calls it.
#[track_caller]
fn assert_lives(row: Row, ring: &Ring, receiver: &Receiver, pid: u32) {
    assert_eq!(receiver.peer(), Peer::Alive, "{row}");
    if !row.has_many(Role::Producer) {
        let taken = ErrorKind::RoleTaken { pid };
        assert_eq!(ring.sender().unwrap_err().kind(), taken, "{row}");
    }
}

/// The producer, the only one, is seen to be dead by who does not wait, and its place is free.
#[track_caller]
fn assert_dead(row: Row, ring: &Ring, receiver: &mut Receiver) {
    assert_eq!(receiver.peer(), Peer::Died, "{row}");
    assert_eq!(receiver.try_recv(), Err(RecvError::PeerDied), "{row}");
    let mut successor = ring.sender().unwrap();
    assert_eq!(receiver.peer(), Peer::Alive, "{row}");
    successor.send(&number(99)).unwrap();
    assert_eq!(receiver.try_recv(), Ok(number(99).to_vec()), "{row}");
}

/// Waits for a message, asleep when `deed` happens.
fn receive_during(
    receiver: &mut Receiver,
    deed: impl FnOnce() + Send,
) -> Result<Vec<u8>, RecvError> {
    while_blocked(WaitStrategy::Park, deed, || {
        in_time(|deadline| receiver.recv_deadline(deadline))
    })
}

#[test]
fn exec_is_a_death() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let producer = Second::start("exec", &ring);
        producer.expect("attached");
        let end = receive_during(&mut receiver, || producer.say("now"));
        assert_eq!(end, Err(RecvError::PeerDied), "{row}");
        assert_dead(row, &ring, &mut receiver);
    });
}

#[test]
fn a_zombie_is_dead() {
    for_each(rows(), |row| {
        for waits in [false, true] {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
            let producer = producer(&ring, 1);
            assert_lives(row, &ring, &receiver, producer.pid());
            receiver.recv().unwrap();
            if waits {
                let end = receive_during(&mut receiver, || producer.kill_unreaped());
                assert_eq!(end, Err(RecvError::PeerDied), "{row}");
            } else {
                producer.kill_unreaped();
            }
            assert_dead(row, &ring, &mut receiver);
        }
    });
}

#[test]
fn a_stopped_producer_is_alive() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let producer = producer(&ring, 2);
        producer.stop();
        assert_lives(row, &ring, &receiver, producer.pid());
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 0);
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 1);
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(receiver.recv_deadline(soon), Err(RecvError::TimedOut));
        assert_lives(row, &ring, &receiver, producer.pid());
        producer.signal(Signal::SIGCONT);
        producer.say(1);
        assert_eq!(number_in(&receiver.recv_deadline(watchdog()).unwrap()), 0);
    });
}

#[test]
fn a_stopped_producer_that_is_killed_is_dead() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let producer = producer(&ring, 1);
        producer.stop();
        receiver.try_recv().unwrap();
        let end = receive_during(&mut receiver, || producer.kill());
        assert_eq!(end, Err(RecvError::PeerDied), "{row}");
    });
}

/// Its handle goes on in other threads, or nowhere.
#[test]
fn the_thread_that_attached_may_end() {
    for_each(rows(), |row| {
        for role in ["attach in a thread", "leave a handle in a thread"] {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
            let producer = Second::start(role, &ring);
            producer.expect("its thread has ended");
            assert_lives(row, &ring, &receiver, producer.pid());
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            if role == "attach in a thread" {
                let message = receive_during(&mut receiver, || producer.say("send"));
                assert_eq!(number_in(&message.unwrap()), 5, "{row}");
                assert_lives(row, &ring, &receiver, producer.pid());
            }
            let end = receive_during(&mut receiver, || producer.kill());
            assert_eq!(end, Err(RecvError::PeerDied), "{row} {role}");
            assert_dead(row, &ring, &mut receiver);
        }
    });
}

/// As by pthread_exit: the process is a zombie to those who look at its main thread.
#[test]
fn the_main_thread_may_end() {
    for_each(rows(), |row| {
        for role in ["end the main thread", "attach without a main thread"] {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
            let parent = Second::start(role, &ring);
            let pid: u32 = parent.hear().parse().unwrap();
            assert_eq!(procfs::state(pid, pid as i32).unwrap(), 'Z', "{row}");
            assert_lives(row, &ring, &receiver, pid);
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            let message = receive_during(&mut receiver, || parent.say("send"));
            assert_eq!(number_in(&message.unwrap()), 6, "{row}");
            let producer = Pid::from_raw(pid as i32);
            let end = receive_during(&mut receiver, || {
                kill(producer, Signal::SIGKILL).unwrap();
            });
            assert_eq!(end, Err(RecvError::PeerDied), "{row} {role}");
            assert_dead(row, &ring, &mut receiver);
        }
    });
}

#[test]
fn a_child_of_fork_is_nobody_and_its_end_is_not_its_parents() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let parent = Second::start("fork", &ring);
        parent.expect("its child has ended well");
        assert_lives(row, &ring, &receiver, parent.pid());
        for expected in [1, 2] {
            let message = receiver.recv_deadline(watchdog()).unwrap();
            assert_eq!(number_in(&message), expected, "{row}");
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        parent.say("end");
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::Closed), "{row}");
        parent.finish();
    });
}

#[test]
fn the_death_of_a_process_in_another_pid_namespace_is_noticed() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let second = Second::start("send in a pid namespace", &ring);
        let Ok(producer) = second.hear().parse() else {
            return println!("skipped: this user may not make a pid namespace");
        };
        second.say(3);
        second.expect("3");
        assert_lives(row, &ring, &receiver, producer as u32);
        for expected in 0..3 {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), expected);
        }
        let end = receive_during(&mut receiver, || {
            kill(Pid::from_raw(producer), Signal::SIGKILL).unwrap();
        });
        assert_eq!(end, Err(RecvError::PeerDied), "{row}");
        assert_dead(row, &ring, &mut receiver);
    });
}

/// And so, most likely, are the ids of its threads.
#[test]
fn the_dead_are_dead_though_their_pid_is_another_ones() {
    for_each(rows(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let second = Second::start("reuse a pid in a namespace", &ring);
        if second.hear().parse::<u32>().is_err() {
            return println!("skipped: this user may not make a pid namespace");
        }
        if second.hear() != "another has its pid" {
            return println!("skipped: this user may not choose a pid");
        }
        for expected in 0..2 {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), expected);
        }
        assert_dead(row, &ring, &mut receiver);
    });
}

fn exec(first: &First) {
    let _sender = first.ring().sender().unwrap();
    first.say("attached");
    first.hear();
    panic!("{}", Command::new("sleep").arg("60").exec());
}

fn attach_in_a_thread(first: &First) {
    let ring = first.ring();
    let attaching = std::thread::spawn(move || ring.sender().unwrap());
    let mut sender = attaching.join().unwrap();
    first.say("its thread has ended");
    first.hear();
    let sending = std::thread::spawn(move || {
        sender.send(&number(5)).unwrap();
        sender
    });
    let _sender = sending.join().unwrap();
    first.hear();
}

fn leave_a_handle_in_a_thread(first: &First) {
    let ring = first.ring();
    let attaching = std::thread::spawn(move || std::mem::forget(ring.sender().unwrap()));
    attaching.join().unwrap();
    first.say("its thread has ended");
    first.hear();
}

/// In a child, whose main thread this is.
fn end_the_main_thread(first: &First, attaches_before: bool) {
    // SAFETY: the only other threads of this process, the test harness's, hold no lock now that the child
    // needs: they sleep.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            let end = waitpid(child, None).unwrap();
            assert_eq!(end, WaitStatus::Signaled(child, Signal::SIGKILL, false));
        }
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
            std::thread::scope(|scope| {
                let (attached, may_end) = mpsc::channel();
                scope.spawn(move || send_without_a_main_thread(first, attaches_before, attached));
                let _ = may_end.recv();
                // SAFETY: ends this thread, as pthread_exit does in the end; what it lent to the other one
                // stays where it is.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
        }
    }
}

fn send_without_a_main_thread(first: &First, attaches_before: bool, attached: mpsc::Sender<()>) {
    let attach = || first.ring().sender().unwrap();
    let before = attaches_before.then(attach);
    attached.send(()).unwrap();
    let process = std::process::id();
    while procfs::state(process, process as i32).unwrap() != 'Z' {
        std::thread::yield_now();
    }
    let mut sender = before.unwrap_or_else(attach);
    first.say(process);
    first.hear();
    sender.send(&number(6)).unwrap();
    first.hear();
}

fn fork_and_go_on(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    sender.send(&number(1)).unwrap();
    // The receiver of a ring of its own, so that the child inherits both sides.
    let own = ringway::Builder::new("memfd:").unwrap().create().unwrap();
    let mut receiver = own.receiver().unwrap();
    own.sender().unwrap().send(b"for the parent").unwrap();
    // A batch that is begun, and a claim, in rings of each shape.
    let kinds = [Kind::Spsc, Kind::Mpmc, Kind::Broadcast];
    let begun = kinds.into_iter().chain(kinds).map(|kind| {
        let builder = ringway::Builder::new("memfd:").unwrap().kind(kind);
        builder.create().unwrap()
    });
    let begun: Vec<_> = begun.collect();
    let mut senders: Vec<_> = begun.iter().map(|ring| ring.sender().unwrap()).collect();
    let (batching, claiming) = senders.split_at_mut(kinds.len());
    let mut batches: Vec<_> = batching.iter_mut().map(ringway::Sender::batch).collect();
    for batch in &mut batches {
        batch.push(b"never").unwrap();
    }
    let claims = claiming.iter_mut().map(|sender| sender.claim(5).unwrap());
    let claims: Vec<_> = claims.collect();
    // SAFETY: the only other threads of this process, ringway's keeper and the test harness, hold no
    // lock now that the child needs: they sleep.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_eq!(sender.try_send(b"x"), Err(SendError::Forked));
                assert_eq!(sender.send(b"x"), Err(SendError::Forked));
                assert_eq!(sender.claim(1).unwrap_err(), SendError::Forked);
                assert_eq!(sender.batch().push(b"x"), Err(SendError::Forked));
                let drained = sender.wait_until_drained();
                assert_eq!(drained, Err(SendError::Forked));
                assert_eq!(sender.wait_for_peer(), Err(SendError::Forked));
                for mut batch in batches {
                    assert_eq!(batch.push(b"x"), Err(SendError::Forked));
                    assert_eq!(batch.commit(), 0);
                }
                claims.into_iter().for_each(|claim| claim.commit());
                assert_eq!(receiver.try_recv(), Err(RecvError::Forked));
                assert_eq!(receiver.recv(), Err(RecvError::Forked));
                assert_eq!(receiver.drain(1, |_| ()), Err(RecvError::Forked));
                assert_eq!(receiver.wait_for_peer(), Err(RecvError::Forked));
                assert_eq!(ring.sender().unwrap_err().kind(), ErrorKind::Forked);
                assert_eq!(own.receiver().unwrap_err().kind(), ErrorKind::Forked);
                drop(sender);
                receiver.close();
                // What the child opens itself is its own.
                let mine = ringway::Builder::new("memfd:").unwrap().create().unwrap();
                let (mut sender, mut receiver) = (mine.sender().unwrap(), mine.receiver().unwrap());
                sender.send(b"mine").unwrap();
                assert_eq!(receiver.recv().unwrap(), b"mine");
            })) {
                Ok(()) => 0,
                Err(_) => 1,
            };
            // SAFETY: ends the process without running what the parent registered.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            let end = waitpid(child, None).unwrap();
            assert_eq!(end, WaitStatus::Exited(child, 0));
            for ring in &begun {
                assert_eq!(ring.stat().sent, 0, "{:?}", ring.kind());
            }
            for mut batch in batches {
                batch.push(b"now").unwrap();
                assert_eq!(batch.commit(), 2);
            }
        }
    }
    sender.send(&number(2)).unwrap();
    assert_eq!(receiver.try_recv().unwrap(), b"for the parent");
    first.say("its child has ended well");
    first.hear();
}

/// Has another process play `role`, the first one of a namespace. It inherits the socket.
fn in_a_pid_namespace(first: &First, role: &str) {
    match unshare(CloneFlags::CLONE_NEWPID) {
        Ok(()) => {}
        Err(Errno::EPERM) => return first.say("not permitted"),
        Err(errno) => panic!("{errno}"),
    }
    let mut other = command(role, first.address()).spawn().unwrap();
    first.say(other.id());
    let end = other.wait().unwrap();
    // A zombie no longer, but nobody needed to reap it.
    assert!(
        end.signal() == Some(libc::SIGKILL) || end.success(),
        "{end}"
    );
}

/// Another one on the test's ring dies, and one on another ring gets its pid.
fn reuse_a_pid(first: &First) {
    let ring = first.ring();
    // Before a number is chosen: each attachment has a thread, which takes one.
    let (elsewhere, _place) = Backing::Memfd.ring(4096);
    let _receiver = elsewhere.receiver().unwrap();
    let victim = producer(&ring, 2);
    victim.kill();
    // As the namespace of who writes it counts.
    let last = std::fs::write(
        "/proc/sys/kernel/ns_last_pid",
        (victim.pid() - 1).to_string(),
    );
    if last.is_err() {
        return first.say("not permitted");
    }
    let other = producer(&elsewhere, 2);
    assert_eq!(other.pid(), victim.pid());
    first.say("another has its pid");
    first.hear();
}
