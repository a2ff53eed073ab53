//! Orderly ends, roles, forks and removal.

use std::time::{Duration, Instant};

use ringway::mq::{QueueBuilder, QueueReceiver, list, remove, stat};
use ringway::peer::Peer;
use ringway::{ErrorKind, RecvError, SendError, WaitStrategy};

use super::place::{System, again, drain, fill, receive_during, send_during};
use super::two_processes::procfs::while_blocked;
use super::two_processes::{Second, in_time, watchdog};

#[test]
fn a_blocked_receiver_learns_that_the_last_sender_closed() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let mut one = queue.sender().unwrap();
        let other = queue.sender().unwrap();
        one.send(b"x").unwrap();
        drop(one);
        assert_eq!(receiver.recv().unwrap(), b"x");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        let end = receive_during(&mut receiver, || other.close());
        assert_eq!(end, Err(RecvError::Closed), "{system:?}");
        assert_eq!(receiver.peer(), Peer::Closed);
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
        // Another one opens it again.
        let mut next = queue.sender().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        next.send(b"y").unwrap();
        drop(next);
        assert_eq!(receiver.recv().unwrap(), b"y");
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
    }
}

#[test]
fn closing_a_full_queue_is_told_behind_all_messages() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        // In one thread: closing does not wait for it.
        let mut receiver = queue.receiver().unwrap();
        let mut sender = queue.sender().unwrap();
        let many = fill(&mut sender);
        drop(sender);
        assert_eq!(drain(&mut receiver), many, "{system:?}");
        assert_eq!(receiver.recv(), Err(RecvError::Closed), "{system:?}");
    }
    // In two processes.
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let sender = Second::start_at("send", queue.address());
        sender.say(4);
        sender.expect("sent");
        sender.say("close");
        let thread = sender.pid();
        let mut seen = 0;
        while receiver.recv_deadline(watchdog()).is_ok() {
            seen += 1;
        }
        assert_eq!(seen, 4, "{system:?} {thread}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed), "{system:?}");
    }
}

#[test]
fn a_blocked_sender_learns_that_the_receiver_closed() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let receiver = queue.receiver().unwrap();
        let mut sender = queue.sender().unwrap();
        fill(&mut sender);
        let end = send_during(&mut sender, || receiver.close());
        assert_eq!(end, Err(SendError::Closed), "{system:?}");
        assert_eq!(sender.peer(), Peer::Closed);
        // Messages wait for the next.
        let mut receiver = queue.receiver().unwrap();
        assert_eq!(sender.peer(), Peer::Alive);
        assert!(drain(&mut receiver) > 0, "{system:?}");
        sender.send(b"x").unwrap();
    }
}

#[test]
fn who_leaves_leaves_the_queue_open() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let mut sender = queue.sender().unwrap();
        sender.send(b"x").unwrap();
        sender.leave();
        assert_eq!(receiver.recv().unwrap(), b"x");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        assert_eq!(receiver.peer(), Peer::Absent, "{system:?}");
        receiver.leave();
        // Dropping it is that, too.
        for leave in [drop::<QueueReceiver>, QueueReceiver::leave] {
            let mut sender = queue.sender().unwrap();
            assert_eq!(sender.peer(), Peer::Absent, "{system:?}");
            fill(&mut sender);
            assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full));
            let mut receiver = queue.receiver().unwrap();
            drain(&mut receiver);
            leave(receiver);
            assert_eq!(sender.peer(), Peer::Absent, "{system:?}");
        }
    }
}

/// One sender after the other ends in order, or dies: the receiver is told what became of the last one, and the next one
/// opens the queue again.
#[test]
fn each_stream_has_its_end_and_the_next_one_begins() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        for round in 0..4_u8 {
            let mut sender = queue.sender().unwrap();
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
            sender.send(&[round]).unwrap();
            match round % 2 {
                0 => sender.close(),
                _ => drop(sender),
            }
            assert_eq!(receiver.recv().unwrap(), [round], "{system:?}");
            for _ in 0..2 {
                assert_eq!(receiver.recv(), Err(RecvError::Closed), "{system:?}");
            }
            let nobody = receiver.wait_for_peer_deadline(Instant::now());
            assert_eq!(nobody, Err(RecvError::TimedOut), "{system:?}");
        }
        queue.sender().unwrap().leave();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
    }
}

#[test]
fn a_sender_that_saw_the_receiver_leave_waits_for_the_next() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut sender = queue.sender().unwrap();
        let receiver = queue.receiver().unwrap();
        assert_eq!(sender.peer(), Peer::Alive, "{system:?}");
        receiver.leave();
        fill(&mut sender);
        assert_eq!(sender.peer(), Peer::Absent, "{system:?}");
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full));
        let soon = Instant::now() + Duration::from_millis(5);
        let late = sender.send_deadline(&[0; 8], soon);
        assert_eq!(late, Err(SendError::TimedOut), "{system:?}");
        drain(&mut queue.receiver().unwrap());
        sender.send(b"x").unwrap();
    }
}

#[test]
fn there_is_one_receiver_at_a_time() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let receiver = queue.receiver().unwrap();
        let refused = again(&queue).receiver().unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::RoleTaken { pid: 0 },
            "{system:?}"
        );
        drop(receiver);
        again(&queue).receiver().unwrap();
    }
}

#[test]
fn who_waits_for_a_peer_goes_on_when_it_attaches() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let mut sender = None;
        while_blocked(
            WaitStrategy::Park,
            || sender = Some(queue.sender().unwrap()),
            || in_time(|deadline| receiver.wait_for_peer_deadline(deadline)),
        )
        .unwrap();
        drop(receiver);
        let mut sender = sender.unwrap();
        let mut receiver = None;
        while_blocked(
            WaitStrategy::Park,
            || receiver = Some(queue.receiver().unwrap()),
            || in_time(|deadline| sender.wait_for_peer_deadline(deadline)),
        )
        .unwrap();
        assert_eq!(sender.peer(), Peer::Alive, "{system:?}");
    }
}

#[test]
fn a_panic_is_a_death() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    for system in System::ALL {
        let (mut sender, mut receiver, _place) = system.ends();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            sender.send(b"x").unwrap();
            // As a panic, but nothing is printed.
            resume_unwind(Box::new("a panic"));
        }));
        assert!(panicked.is_err());
        assert_eq!(receiver.recv().unwrap(), b"x");
        assert_eq!(receiver.recv(), Err(RecvError::PeerDied), "{system:?}");
    }
}

#[test]
fn a_forked_child_is_told_that_its_handles_are_its_parents() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    // SAFETY: both return in a child as well, which calls the system and ends. Of the second no library hears, as of
    // `_Fork` and of other libraries' own ways.
    let ways = [
        || unsafe { libc::fork().into() },
        || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) },
    ];
    for (system, way) in System::ALL
        .into_iter()
        .flat_map(|system| ways.map(|way: fn() -> libc::c_long| (system, way)))
    {
        let (mut sender, mut receiver, _place) = system.ends();
        match way() {
            0 => {
                let mut failed = 0;
                failed |= i32::from(sender.try_send(b"x") != Err(SendError::Forked));
                failed |= i32::from(receiver.try_recv() != Err(RecvError::Forked)) << 1;
                drop((sender, receiver));
                // SAFETY: ends the process without running what the test has left to do.
                unsafe { libc::_exit(failed) };
            }
            child => {
                assert!(child > 0);
                let child = Pid::from_raw(child as i32);
                assert_eq!(
                    waitpid(child, None).unwrap(),
                    WaitStatus::Exited(child, 0),
                    "{system:?}"
                );
            }
        }
        // The child has taken nothing along.
        assert_eq!(sender.peer(), Peer::Alive, "{system:?}");
        assert_eq!(receiver.peer(), Peer::Alive, "{system:?}");
        sender.send(b"y").unwrap();
        assert_eq!(receiver.recv().unwrap(), b"y");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
    }
}

#[test]
fn a_queue_in_use_is_removed_only_by_force() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        let refused = remove(&place.address, false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InUse { pid: 0 }, "{system:?}");
        let end = receive_during(&mut receiver, || {
            remove(&place.address, true).unwrap();
            if system == System::Posix {
                sender.send(b"x").unwrap();
            }
        });
        match system {
            System::Posix => assert_eq!(end.unwrap(), b"x"),
            System::Sysv | System::SysvInTurn => {
                assert_eq!(end, Err(RecvError::Closed));
                assert_eq!(sender.try_send(b"x"), Err(SendError::Closed));
                let gone = queue.sender().unwrap_err();
                assert_eq!(gone.kind(), ErrorKind::NotFound);
            }
        }
        assert!(!place.is_taken(), "{system:?}");
        let gone = QueueBuilder::at(place.address.clone()).open().unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{system:?}");
        let gone = remove(&place.address, true).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{system:?}");
    }
}

#[test]
fn stat_and_list_tell_what_is_there() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        let mut sender = queue.sender().unwrap();
        sender.send(b"hello").unwrap();
        let receiver = queue.receiver().unwrap();
        let _other = queue.sender().unwrap();
        let stat = stat(&place.address).unwrap();
        assert_eq!((stat.messages, stat.bytes), (1, 16 + 5), "{system:?}");
        assert_eq!((stat.senders, stat.receivers), (2, 1), "{system:?}");
        assert_eq!(stat.mode, 0o600);
        assert_eq!(stat.owner, nix::unistd::geteuid().as_raw());
        assert_eq!(stat.max_message_len, queue.max_message_len());
        assert!(list().contains(&place.address), "{system:?}");
        drop(receiver);
    }
}
