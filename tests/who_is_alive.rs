//! Only the dead are dead. A stopped process lives, and one whose attaching thread has ended; one that
//! has called exec does not, and a child of fork is nobody. A pid namespace between hides nothing.

mod two_processes;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use ringway::{ErrorKind, Peer, RecvError, SendError, Wait};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::procfs::while_blocked;
use two_processes::roles::send;
use two_processes::{First, Second, command, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "exec" => exec(first),
        "attach in a thread" => attach_in_a_thread(first),
        "fork" => fork_and_go_on(first),
        "start another in a pid namespace" => start_another_in_a_pid_namespace(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn exec_is_a_death() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap().with_wait(Wait::Park);
        let producer = Second::start("exec", &ring);
        producer.expect("attached");
        let end = while_blocked(
            Wait::Park,
            || producer.say("now"),
            || receiver.recv_deadline(watchdog()),
        );
        assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
        ring.sender().unwrap();
    }
}

#[test]
fn a_stopped_producer_is_alive() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let producer = Second::start("send", &ring);
        producer.say(2);
        producer.expect("2");
        producer.stop();
        let taken = ErrorKind::RoleTaken {
            pid: producer.pid(),
        };
        assert_eq!(ring.sender().unwrap_err().kind(), taken, "{backing:?}");
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 0);
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 1);
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(receiver.recv_deadline(soon), Err(RecvError::TimedOut));
        assert_eq!(receiver.peer(), Peer::Alive, "{backing:?}");
        producer.signal(Signal::SIGCONT);
        producer.say(1);
        assert_eq!(number_in(&receiver.recv_deadline(watchdog()).unwrap()), 0);
    }
}

#[test]
fn a_stopped_producer_that_is_killed_is_dead() {
    let (ring, _place) = Backing::Shm.ring(4096);
    let mut receiver = ring.receiver().unwrap();
    let producer = Second::start("send", &ring);
    producer.say(1);
    producer.expect("1");
    producer.stop();
    receiver.try_recv().unwrap();
    let end = while_blocked(
        Wait::default(),
        || producer.kill(),
        || receiver.recv_deadline(watchdog()),
    );
    assert_eq!(end, Err(RecvError::PeerDied));
}

#[test]
fn the_thread_that_attached_may_end() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let producer = Second::start("attach in a thread", &ring);
        producer.expect("its thread has ended");
        assert_eq!(receiver.peer(), Peer::Alive, "{backing:?}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        assert!(ring.sender().is_err());
        producer.say("send");
        assert_eq!(number_in(&receiver.recv_deadline(watchdog()).unwrap()), 5);
        producer.kill();
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
    }
}

#[test]
fn a_child_of_fork_is_nobody_and_its_end_is_not_its_parents() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let parent = Second::start("fork", &ring);
        parent.expect("its child has ended well");
        assert_eq!(receiver.peer(), Peer::Alive, "{backing:?}");
        let taken = ErrorKind::RoleTaken { pid: parent.pid() };
        assert_eq!(ring.sender().unwrap_err().kind(), taken, "{backing:?}");
        for expected in [1, 2] {
            let message = receiver.recv_deadline(watchdog()).unwrap();
            assert_eq!(number_in(&message), expected, "{backing:?}");
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{backing:?}");
        parent.say("end");
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::Closed), "{backing:?}");
        parent.finish();
    }
}

#[test]
fn the_death_of_a_process_in_another_pid_namespace_is_noticed() {
    for backing in [Backing::Shm, Backing::File, Backing::SysvKey] {
        let (ring, _place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap().with_wait(Wait::Park);
        let second = Second::start("start another in a pid namespace", &ring);
        let Ok(producer) = second.hear().parse() else {
            println!("skipped: this user may not make a pid namespace");
            return;
        };
        second.say(3);
        second.expect("3");
        // As its own namespace counts.
        let taken = ErrorKind::RoleTaken { pid: 1 };
        assert_eq!(ring.sender().unwrap_err().kind(), taken, "{backing:?}");
        for expected in 0..3 {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), expected);
        }
        let end = while_blocked(
            Wait::Park,
            || kill(Pid::from_raw(producer), Signal::SIGKILL).unwrap(),
            || receiver.recv_deadline(watchdog()),
        );
        assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
        ring.sender().unwrap();
    }
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
    sender.send(&number(5)).unwrap();
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
    // SAFETY: the only other threads of this process, ringway's keeper and the test harness, hold no
    // lock now that the child needs: they sleep.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_eq!(sender.try_send(b"x"), Err(SendError::Forked));
                assert_eq!(sender.send(b"x"), Err(SendError::Forked));
                assert_eq!(sender.claim(1, None).unwrap_err(), SendError::Forked);
                assert_eq!(sender.batch().push(b"x"), Err(SendError::Forked));
                let drained = sender.wait_until_drained(None);
                assert_eq!(drained, Err(SendError::Forked));
                assert_eq!(sender.wait_for_peer(None), Err(SendError::Forked));
                assert_eq!(receiver.try_recv(), Err(RecvError::Forked));
                assert_eq!(receiver.recv(), Err(RecvError::Forked));
                assert_eq!(receiver.drain(1, |_| ()), Err(RecvError::Forked));
                assert_eq!(receiver.wait_for_peer(None), Err(RecvError::Forked));
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
        }
    }
    sender.send(&number(2)).unwrap();
    assert_eq!(receiver.try_recv().unwrap(), b"for the parent");
    first.say("its child has ended well");
    first.hear();
}

fn start_another_in_a_pid_namespace(first: &First) {
    match unshare(CloneFlags::CLONE_NEWPID) {
        Ok(()) => {}
        Err(Errno::EPERM) => return first.say("not permitted"),
        Err(errno) => panic!("{errno}"),
    }
    // The first process of the namespace. It inherits the socket.
    let mut other = command("send", first.address()).spawn().unwrap();
    first.say(other.id());
    assert_eq!(other.wait().unwrap().signal(), Some(libc::SIGKILL));
    // A zombie no longer, but nobody needed to reap it.
}
